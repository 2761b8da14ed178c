//! The mocks that users test their own handlers and chains with, used as they would: on what
//! ringway brings along, on a chain of their own, and beneath an lcore.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringway::counters::{Counter, Reason};
use ringway::handler::Echo;
use ringway::handler::http::{Http, Request, Response};
use ringway::lcore::Listener;
use ringway::limits::{BLOCK_BYTES, MESSAGES_MAX, SLOT_BYTES_MIN};
use ringway::mem::{Buf, Burst, ClassSize, Mempool, MessageId, Share, SlotCounts, kind};
use ringway::pipeline::chain::http1::Settings;
use ringway::pipeline::{
    Chain, Cx, Extensions, Handler, MessageKey, Pipeline, SessionTable, chain,
};
use ringway::sys::mapping;
use ringway::testing::{End, Harness, SLOTS, Script, Scripted};
use ringway::time::{Clock, Instant};

mod rig;

use rig::Rig;

#[test]
fn echo_sends_every_byte_back_and_closes_behind_the_peer_a_13() {
    let mut harness = Harness::new(Echo);
    let (a, b) = (harness.open(), harness.open());
    let bytes: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    harness.receive(a, &bytes);
    harness.receive_cut(b, b"byte by byte", 1);
    harness.eof(a);
    assert_eq!((harness.sent(a), harness.sent(b)), (&bytes[..], &b"byte by byte"[..]));
    assert_eq!((harness.closed(a), harness.closed(b)), (Some(End::Close), None));
    harness.receive(a, b"late");
    assert_eq!(harness.take_sent(a).len(), bytes.len(), "what comes late is dropped");
    harness.drain();
    assert_eq!(harness.closed(b), Some(End::Close));
    harness.finish();
}

#[test]
fn a_buf_arrives_as_it_is_whatever_its_size_and_its_pool_a_13() {
    let request = mapping::Request { no_huge: true, ..mapping::Request::new("test", 0) };
    let size = ClassSize { slot_bytes: BLOCK_BYTES, slots: 1 };
    let pool = Mempool::create(&request, &[size], None).unwrap();
    let block = || {
        let mut block = pool.alloc(1).unwrap();
        assert!(block.append(&vec![7; BLOCK_BYTES as usize]));
        block
    };
    let mut harness = Harness::new(Echo);
    let conn = harness.open();
    harness.receive_buf(conn, block());
    assert!(harness.sent(conn) == vec![7; BLOCK_BYTES as usize]);
    harness.eof(conn);
    harness.receive_buf(conn, block());
    assert_eq!(pool.missing(), 0, "what comes late is dropped");
    harness.finish();
}

#[test]
fn connections_take_the_slots_of_those_that_have_ended() {
    let mut harness = Harness::new(Echo);
    for round in 0..3 {
        let conns: Vec<_> = (0..SLOTS).map(|_| harness.open()).collect();
        for conn in conns {
            harness.receive(conn, [round]);
            assert_eq!(harness.sent(conn), [round]);
            harness.reset(conn);
            assert_eq!(harness.closed(conn), Some(End::Reset));
        }
    }
    harness.finish();
}

fn http() -> Harness<Http<impl FnMut(&mut Cx, &Request<'_>) -> Option<Response>>> {
    let service = |_: &mut Cx, request: &Request<'_>| match request.path() {
        b"/" => Some(Response::text(200, "hello")),
        _ => Some(Response::text(404, "nothing here")),
    };
    Harness::build(|_| {
        let chain = chain::Http1::new(SLOTS, Settings::for_slots(SLOTS, SLOTS));
        (Pipeline::Http1(Box::new(chain)), Http::new(SLOTS, service))
    })
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn an_http_service_answers_the_same_however_its_request_is_cut_a_13() {
    let mut harness = http();
    let conn = harness.open();
    harness.receive(conn, GET);
    let whole = harness.take_sent(conn);
    assert!(whole.starts_with(b"HTTP/1.1 200 OK\r\n") && whole.ends_with(b"\r\n\r\nhello"));
    let date = b"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    assert!(whole.windows(date.len()).any(|part| part == date), "the clock stands still");
    for most in 1..GET.len() {
        harness.receive_cut(conn, GET, most);
        assert_eq!(harness.take_sent(conn), whole, "cut to {most}");
    }
    harness.finish();
}

#[test]
fn requests_that_arrive_in_one_block_are_all_answered() {
    const REQUESTS: usize = 30_000;
    let mut harness = http();
    let conn = harness.open();
    harness.receive(conn, GET);
    let one = harness.take_sent(conn);
    let request = mapping::Request { no_huge: true, ..mapping::Request::new("test", 0) };
    let size = ClassSize { slot_bytes: BLOCK_BYTES, slots: 1 };
    let pool = Mempool::create(&request, &[size], None).unwrap();
    let mut block = pool.alloc(1).unwrap();
    assert!(block.append(&GET.repeat(REQUESTS)));
    let (half, rest) = GET.split_at(10);
    assert!(block.append(half));
    harness.receive_buf(conn, block);
    assert!(harness.take_sent(conn) == one.repeat(REQUESTS));
    assert_eq!(pool.missing(), 0, "half a head holds no block");
    harness.receive(conn, rest);
    assert!(harness.sent(conn) == one);
    harness.finish();
}

#[test]
fn a_head_that_takes_too_long_is_closed_by_the_clock_of_the_harness_a_13() {
    let mut harness = http();
    let conn = harness.open();
    harness.receive(conn, b"GET / HT");
    harness.advance(Duration::from_secs(10));
    assert_eq!(harness.closed(conn), None);
    harness.advance(Duration::from_secs(15));
    assert!(harness.closed(conn).is_some());
    harness.finish();
}

#[test]
fn an_answer_waits_for_a_slot_and_is_given_once_there_is_one_a_13() {
    let mut harness = http();
    let conn = harness.open();
    harness.starve(true);
    harness.receive(conn, [GET, GET].concat());
    harness.starve(false);
    harness.run();
    let sent = harness.take_sent(conn);
    assert_eq!(sent.windows(5).filter(|five| five == b"hello").count(), 2);
    assert_eq!(harness.waiting(), 0);
    harness.finish();
}

/// Keeps the first buf of each connection for good.
struct Hoarder(Vec<Buf>);

impl Handler for Hoarder {
    fn process(&mut self, _cx: &mut Cx, input: &mut Burst, _output: &mut Burst) {
        input.drain_with(|buf| self.0.push(buf));
    }
}

#[test]
#[should_panic(expected = "1 slots are held although no connection is left")]
fn a_handler_that_holds_on_to_a_slot_is_found_out_a_13() {
    let mut harness = Harness::new(Hoarder(Vec::new()));
    let conn = harness.open();
    harness.receive(conn, b"mine");
    harness.finish();
}

#[test]
#[should_panic(expected = "1 slots are missing")]
fn a_handler_that_loses_a_slot_is_found_out_a_13() {
    let mut lost = Vec::new();
    let mut harness = Harness::new(Hoarder(Vec::new()));
    let conn = harness.open();
    harness.receive(conn, b"mine");
    lost.append(&mut harness.handler.0);
    drop(harness);
}

/// Sends without end.
struct Firehose;

impl Handler for Firehose {
    fn process(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        let Some(conn) = input.get(0).map(Buf::conn) else { return };
        while output.push(Buf::marker(conn, kind::DATA)).is_ok() {}
    }
}

#[test]
#[should_panic(expected = "something moves in each")]
fn a_handler_that_never_rests_is_found_out_a_13() {
    Harness::new(Firehose).open();
}

/// A protocol of lines. Each line is a message with a name; its last piece has the meta 1.
struct Lines(SessionTable<MessageId>);

impl Lines {
    /// The first line of `buf`, or the part of it that is there.
    fn piece(message: &mut MessageId, extensions: &mut Extensions, buf: &mut Buf) -> Buf {
        let end = buf.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let mut piece = buf.split_to(end.unwrap_or(buf.len()));
        if message.is_none() {
            *message = extensions.begin_message();
        }
        piece.set_message(*message);
        if end.is_some() {
            piece.set_kind(kind::DATA, 1);
            *message = MessageId::NONE;
        }
        piece
    }
}

impl Chain for Lines {
    fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while !output.is_full()
            && let Some(mut buf) = input.pop()
        {
            match buf.kind() {
                kind::OPEN => _ = self.0.open(buf.conn(), MessageId::NONE),
                kind::CLOSED => {
                    let cut_short = self.0.close(buf.conn()).unwrap_or(MessageId::NONE);
                    cx.extensions.end_message(cut_short);
                }
                kind::DATA => {
                    let Some(message) = self.0.get_mut(buf.conn()) else { continue };
                    output.push(Self::piece(message, &mut cx.extensions, &mut buf)).unwrap();
                    if !buf.is_empty() {
                        input.unpop(buf).unwrap();
                    }
                }
                _ => output.push(buf).unwrap(),
            }
        }
    }

    fn egress(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        output.take_from(input);
    }

    fn drain(&mut self, _cx: &mut Cx, _output: &mut Burst) {}
}

/// Answers each line with its length, which it keeps on the message until that is whole.
struct Measure(MessageKey<usize>);

impl Handler for Measure {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while !output.is_full()
            && let Some(piece) = input.pop()
        {
            if piece.kind() != kind::DATA {
                continue;
            }
            let message = piece.message();
            let so_far = cx.extensions.get(message, self.0, cx.now).copied().unwrap_or(0);
            let bytes = so_far + piece.len();
            if piece.meta() == 0 {
                assert!(cx.extensions.set(message, self.0, bytes, None));
                continue;
            }
            let Some(mut reply) = cx.alloc(SLOT_BYTES_MIN, piece.conn()) else {
                input.unpop(piece).unwrap();
                return;
            };
            assert!(reply.append(format!("{bytes}\n").as_bytes()));
            cx.extensions.end_message(message);
            output.push(reply).unwrap();
        }
    }
}

fn lines() -> Harness<Measure> {
    Harness::build(|extensions| {
        let chain = Lines(SessionTable::new(SLOTS));
        (Pipeline::Custom(Box::new(chain)), Measure(extensions.register_message()))
    })
}

#[test]
fn a_chain_of_ones_own_hangs_values_on_messages_that_arrive_in_pieces_a_8() {
    let mut harness = lines();
    let (a, b) = (harness.open(), harness.open());
    let (text, lengths) = (b"one\n\nthree33\nfo", b"4\n1\n8\n");
    for most in 1..=text.len() {
        harness.receive_cut(a, text, most);
        harness.receive(b, b"x");
        harness.receive_cut(a, b"ur\n", most);
        assert_eq!(harness.take_sent(a), [&lengths[..], b"5\n"].concat(), "cut to {most}");
    }
    harness.receive(b, b"\n");
    assert_eq!(harness.sent(b), format!("{}\n", text.len() + 1).as_bytes());
    harness.finish();
}

#[test]
fn names_of_messages_come_back_when_those_are_answered_or_cut_short_a_8() {
    let mut harness = lines();
    for _ in 0..MESSAGES_MAX / 100 {
        let conn = harness.open();
        harness.receive(conn, b"line\n".repeat(200));
        harness.receive(conn, b"cut sho");
        harness.reset(conn);
    }
    assert_eq!(harness.cx.extensions.unnamed_messages(), 0);
    harness.finish();
}

/// An lcore that serves echo over a script.
fn scripted(script: &Script) -> Rig {
    let mut rig = Rig::new(Mempool::small(64).unwrap(), Clock::by_hand().0, None);
    let transport = Scripted::new(script, 4);
    let pipeline = Pipeline::Raw(chain::Raw::new(4));
    rig.serve(Box::new(transport), pipeline, Box::new(Echo));
    rig
}

fn settle(rig: &mut Rig) {
    for _ in 0..100 {
        rig.lcore.poll_once(usize::MAX);
    }
}

#[test]
fn a_listener_sends_what_a_transport_refused_when_it_takes_it_a_13() {
    let script = Script::new();
    let mut rig = scripted(&script);
    let conn = script.open();
    script.bytes(conn, b"one").bytes(conn, b"two").bytes(conn, b"three").eof(conn);
    script.take(0).take(1).take(0).take(1);
    rig.lcore.poll_once(usize::MAX);
    settle(&mut rig);
    assert_eq!((script.sent(conn), script.sent_bufs(conn)), (b"onetwothree".to_vec(), 3));
    assert_eq!((script.closed(conn), script.left()), (Some(End::Close), 0));
    drop(rig.lcore);
    assert_eq!(rig.pool.missing(), 0);
}

#[test]
fn what_a_script_resets_closes_or_finds_no_slot_for_is_accounted_for_a_13() {
    let script = Script::new();
    let mut rig = scripted(&script);
    let hoard: Vec<Buf> = std::iter::from_fn(|| rig.pool.alloc(1)).collect();
    let (a, b) = (script.open(), script.open());
    script.bytes(a, b"waits").reset(a).bytes(a, b"late").bytes(b, b"goes on").pause().eof(b);
    settle(&mut rig);
    assert!(rig.count(Counter::RxStarved) > 0 && script.left() == 6);
    drop(hoard);
    settle(&mut rig);
    assert_eq!((script.closed(a), script.closed(b)), (Some(End::Reset), Some(End::Close)));
    assert_eq!(script.sent(b), b"goes on");
    assert_eq!(rig.counters.dropped(Reason::Lingering), 1, "what came after the reset");
    drop(rig.lcore);
    assert_eq!(rig.pool.missing(), 0);
}

/// Bytes as they come, and a note of when it looked for what takes too long.
#[derive(Clone, Default)]
struct Punctual {
    wants: Rc<Cell<Option<Instant>>>,
    looked: Rc<RefCell<Vec<u64>>>,
}

impl Chain for Punctual {
    fn ingress(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        output.take_from(input);
    }

    fn egress(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        output.take_from(input);
    }

    fn drain(&mut self, _cx: &mut Cx, _output: &mut Burst) {}

    fn tick(&mut self, cx: &mut Cx, _messages: &mut Burst) -> bool {
        self.looked.borrow_mut().push(cx.now.as_ns() / 1_000_000);
        self.wants.set(self.wants.get().filter(|at| *at > cx.now));
        false
    }

    fn next_tick(&self) -> Option<Instant> {
        self.wants.get()
    }

    fn is_timed(&self) -> bool {
        true
    }
}

#[test]
fn a_chain_looks_once_a_second_and_when_it_has_asked_for_it_and_no_other_with_it() {
    let (clock, hand) = Clock::by_hand();
    let mut rig = Rig::new(Mempool::small(64).unwrap(), clock, None);
    let chains: [(Script, Punctual); 2] = Default::default();
    for (script, chain) in &chains {
        let pipeline = Pipeline::Custom(Box::new(chain.clone()));
        rig.serve(Box::new(Scripted::new(script, 4)), pipeline, Box::new(Echo));
    }
    settle(&mut rig);
    let [(script, Punctual { wants, looked }), (_, other)] = &chains;
    let conn = script.open();
    wants.set(Some(clock.now().after_ns(300_000_000)));
    for _ in 0..2500 {
        hand.advance_ns(1_000_000);
        settle(&mut rig);
        if clock.now().as_ns() == 400_000_000 {
            // Asked for in a turn, as when something arrives.
            wants.set(Some(clock.now().after_ns(7_000_000)));
            script.bytes(conn, b"word");
        }
    }
    assert_eq!(*looked.borrow(), [300, 407, 1000, 2000]);
    assert_eq!(*other.looked.borrow(), [1000, 2000]);
}

/// Drops what comes, and says that so many small slots wait.
struct Waiting(Rc<Cell<u32>>);

impl Handler for Waiting {
    fn process(&mut self, _cx: &mut Cx, input: &mut Burst, _output: &mut Burst) {
        while input.pop().is_some() {}
    }

    fn waiting(&self) -> SlotCounts {
        [self.0.get(), 0, 0, 0]
    }

    fn is_polled(&self) -> bool {
        true
    }
}

#[test]
fn a_listener_at_its_share_is_held_back_once_and_not_with_each_slot_that_comes_and_goes() {
    let mut rig = Rig::new(Mempool::small(64).unwrap(), Clock::by_hand().0, None);
    let (script, waiting) = (Script::new(), Rc::new(Cell::new(0)));
    let (transport, handler) = (Scripted::new(&script, 4), Waiting(waiting.clone()));
    let listener =
        Listener::new(Box::new(transport), Pipeline::Raw(chain::Raw::new(4)), Box::new(handler))
            .with_share(Share::one_in(8, [64, 0, 0, 0]));
    rig.lcore.register(0, Box::new(listener)).unwrap();
    let conn = script.open();
    let mut hoard: Vec<Buf> = (0..40).map(|_| rig.pool.alloc(1).unwrap()).collect();
    let mut turn = |held| {
        waiting.set(held);
        script.bytes(conn, b"-");
        settle(&mut rig);
        script.holds()
    };
    assert_eq!((turn(8), turn(9)), (0, 1));
    for _ in 0..10 {
        assert_eq!((turn(8), turn(7), turn(9)), (1, 1, 1));
    }
    assert_eq!((turn(6), turn(8), turn(9)), (2, 2, 3));
    // The pool is short of slots, is just not, and is clearly not.
    hoard.truncate(32);
    assert_eq!(turn(9), 3);
    hoard.truncate(20);
    assert_eq!(turn(9), 4);
}
