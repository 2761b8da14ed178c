//! Messages and pings, and where they lie.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;

use super::compressed::deflate;
use super::*;
use crate::counters::Counter;
use crate::handler::http::Request as Asked;
use crate::handler::websocket::Opening;
use crate::mem::Buf;

/// What comes opens with what is said at once.
struct Greeter;

impl Service for Greeter {
    fn opened(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        assert!(out.send_copy(cx, conn, Kind::Text, b"welcome"));
    }

    fn message(&mut self, _cx: &mut Cx, message: Buf, _meta: MessageMeta, out: &mut Out<'_>) {
        out.send(message);
    }
}

/// Where messages lie, and what they are.
type Placed = Vec<(usize, Vec<u8>)>;

/// Keeps them, and answers nothing.
struct Places(Rc<RefCell<Placed>>);

impl Service for Places {
    fn message(&mut self, _cx: &mut Cx, message: Buf, meta: MessageMeta, _out: &mut Out<'_>) {
        assert_eq!(meta, MessageMeta::whole(Kind::Binary));
        self.0.borrow_mut().push((message.as_ptr().addr(), message.to_vec()));
    }
}

#[test]
fn messages_come_back_once_the_handshake_is_done() {
    let mut bed = bed();
    let mut peer = Peer::connect(&mut bed);
    assert_eq!(peer.say(&mut bed, text("hello")), [echo_of("hello")]);
    let long = vec![7; 1500];
    assert_eq!(peer.say(&mut bed, binary(&long)), [Heard::Message(Kind::Binary, long)]);
    assert_eq!(peer.say(&mut bed, text("")), [echo_of("")]);
    bed.finish();
}

#[test]
fn bytes_behind_the_request_are_the_first_messages() {
    let first = [REQUEST.as_bytes(), &text("one"), &ping(b"?"), &text("two")].concat();
    for cut in [1, 7, 100, REQUEST.len(), REQUEST.len() + 1, REQUEST.len() + 8, 2048] {
        let mut bed = bed_of(settings(), Greeter);
        let conn = bed.open();
        bed.receive_cut(conn, &first, cut);
        let mut peer = Peer::answered(&mut bed, conn, false);
        let heard = [echo_of("welcome"), echo_of("one"), Heard::Pong(b"?".into()), echo_of("two")];
        assert_eq!(peer.hear(&mut bed), heard, "cut to {cut}");
        bed.finish();
    }
}

#[test]
fn a_slot_that_a_request_still_has_is_not_written_to() {
    /// Keeps a share of each request.
    struct Keeper(Vec<Buf>);
    impl Service for Keeper {
        fn opening(&mut self, _cx: &mut Cx, request: &Asked<'_>) -> Opening<'_> {
            self.0.push(request.share());
            Opening::Offer(Default::default())
        }

        fn message(&mut self, _cx: &mut Cx, message: Buf, _meta: MessageMeta, out: &mut Out<'_>) {
            out.send(message);
        }

        fn closed(&mut self, _cx: &mut Cx, _conn: ConnId) {
            assert_eq!(self.0.remove(0).bytes(), REQUEST.as_bytes());
        }
    }
    let mut bed = bed_of(settings(), Keeper(Vec::new()));
    let conn = bed.open();
    let message = text("shared");
    bed.receive(conn, [REQUEST.as_bytes(), &message].concat());
    let mut peer = Peer::answered(&mut bed, conn, false);
    assert_eq!(peer.hear(&mut bed), [echo_of("shared")]);
    // Once to a slot of its own, once behind others.
    assert_eq!(bed.cx.counters.get(Counter::CopiedBytes), (message.len() + 6) as u64);
    bed.finish();
}

#[test]
fn hundreds_of_frames_in_one_slot_are_handed_on_in_order_and_not_copied() {
    let heard = Rc::<RefCell<Placed>>::default();
    let mut bed = bed_of(settings(), Places(Rc::clone(&heard)));
    let peer = Peer::connect(&mut bed);
    let messages: Vec<Vec<u8>> = (0..200).map(|n| vec![n; 70]).collect();
    let mut slot = bed.cx.pool.alloc(16384).unwrap();
    let start = slot.as_ptr().addr();
    messages.iter().for_each(|message| assert!(slot.append(&binary(message))));
    assert!(slot.append(&frame(true, 0, Opcode::Pong, b"")));
    let end = start + slot.len();
    bed.receive_buf(peer.conn, slot);
    assert_eq!(bed.cx.counters.get(Counter::CopiedBytes), 0);
    let heard = heard.borrow();
    assert!(heard.iter().all(|(at, _)| (start..end).contains(at)), "copied");
    assert!(heard.iter().map(|(_, message)| message).eq(&messages));
    bed.finish();
}

#[test]
fn what_has_no_bytes_keeps_its_place_where_a_burst_is_full() {
    for frames in 50..80 {
        let mut bed = bed();
        let mut peer = Peer::connect(&mut bed);
        let mut bytes: Vec<u8> = (0..frames).flat_map(|_| text("a")).collect();
        bytes.extend((0..8).flat_map(|_| frame(true, 0, Opcode::Pong, b"")));
        // A slot is full with that; what follows is in another, which arrives with it.
        let first = vec![0; SMALL_SLOT_BYTES as usize - bytes.len() - 8];
        let bytes = [&*binary(&first), &bytes, &text("b"), &close(1000, "")].concat();
        let mut expected = vec![Heard::Message(Kind::Binary, first)];
        expected.extend(vec![echo_of("a"); frames]);
        expected.extend([echo_of("b"), closed(1000, "")]);
        assert_eq!(peer.say(&mut bed, bytes), expected, "{frames} frames");
        assert_eq!(bed.closed(peer.conn), Some(End::Linger));
        bed.finish();
    }
}

#[test]
fn what_is_sent_back_has_its_header_where_it_lies() {
    for (bytes, header) in [(257, 4), (65_535, 4), (65_536, 10)] {
        let sizes = [2048, 131_072].map(|slot_bytes| ClassSize { slot_bytes, slots: 64 });
        let request = Request { no_huge: true, ..Request::new("test", 0) };
        let pool = Mempool::create(&request, &sizes, None).unwrap();
        let mut bed = Harness::build_on(pool, |_| parts(settings(), Echo));
        let peer = Peer::connect(&mut bed);
        for (room, bufs) in [(header, 1), (header - 1, 2)] {
            let mut message = bed.cx.pool.alloc(131_072).unwrap();
            assert!(message.append(&vec![1; room + bytes]));
            message.advance(room);
            message.set_conn(peer.conn);
            message.set_kind(MESSAGE, MessageMeta::whole(Kind::Binary).to_meta());
            let (mut replies, mut out) = (Burst::new(), Burst::new());
            replies.push(message).unwrap();
            bed.egress(&mut replies, &mut out);
            let lens: Vec<_> = out.as_mut_slice().iter().map(|buf| buf.len()).collect();
            assert_eq!((lens.len(), lens.iter().sum()), (bufs, header + bytes));
        }
        bed.finish();
    }
}

#[test]
fn a_ping_is_answered_with_what_it_says_however_it_is_cut() {
    for bytes in [0, 1, 125] {
        let payload = vec![b'p'; bytes];
        let ping = ping(&payload);
        for cut in 1..=ping.len() {
            let mut bed = bed();
            let mut peer = Peer::connect(&mut bed);
            bed.receive_cut(peer.conn, &ping, cut);
            assert_eq!(peer.hear(&mut bed), [Heard::Pong(payload.clone())], "cut to {cut}");
            bed.finish();
        }
    }
}

#[test]
fn a_ping_within_a_message_is_answered_between_its_pieces() {
    let mut bed = bed();
    let mut peer = Peer::connect(&mut bed);
    let pieces = [
        frame(false, 0, Opcode::Text, b"one "),
        ping(b"!"),
        frame(false, 0, Opcode::Continuation, b""),
        frame(true, 0, Opcode::Continuation, b"two"),
    ];
    let heard = [Heard::Pong(b"!".into()), echo_of("one two")];
    assert_eq!(peer.say(&mut bed, pieces.concat()), heard);
    bed.finish();
}

/// Something that a client says.
#[derive(Debug, Clone)]
enum Said {
    Message { text: bool, compressed: bool, pieces: Vec<Vec<u8>> },
    Ping(Vec<u8>),
    Pong,
    Reserved,
    NotDeflate,
    Close(u16),
}

fn said() -> impl Strategy<Value = Said> {
    let letters = prop::collection::vec(b'a'..b'e', 0..700);
    let pieces = prop::collection::vec(letters, 1..4);
    let message = (any::<bool>(), any::<bool>(), pieces);
    prop_oneof![
        12 => message.prop_map(|(text, compressed, pieces)| Said::Message { text, compressed, pieces }),
        4 => prop::collection::vec(any::<u8>(), 0..126).prop_map(Said::Ping),
        2 => Just(Said::Pong),
        1 => Just(Said::Reserved),
        1 => Just(Said::NotDeflate),
        1 => (3000u16..5000).prop_map(Said::Close),
    ]
}

fn wire(said: &[Said]) -> Vec<u8> {
    let mut deflater = Deflater::new(15, true, 1);
    let mut bytes = Vec::new();
    for one in said {
        match one {
            Said::Ping(payload) => bytes.extend(ping(payload)),
            Said::Pong => bytes.extend(frame(true, 0, Opcode::Pong, b"x")),
            Said::Reserved => bytes.extend(frame(true, 0x20, Opcode::Text, b"x")),
            Said::NotDeflate => bytes.extend(frame(true, RSV1, Opcode::Text, &[0xff; 9])),
            Said::Close(code) => bytes.extend(close(*code, "why")),
            Said::Message { text, compressed, pieces } => {
                for (number, piece) in pieces.iter().enumerate() {
                    let (first, last) = (number == 0, number + 1 == pieces.len());
                    let kind = if *text { Opcode::Text } else { Opcode::Binary };
                    let opcode = if first { kind } else { Opcode::Continuation };
                    let rsv = if first && *compressed { RSV1 } else { 0 };
                    let packed = compressed.then(|| deflate(&mut deflater, piece, last));
                    let payload = packed.as_deref().unwrap_or(piece);
                    bytes.extend(frame(last, rsv, opcode, payload));
                }
            }
        }
    }
    bytes
}

/// What a server of the core alone would have its peer hear, echoing.
fn expected(bytes: &[u8]) -> Vec<Heard> {
    let mut server = Listener::new(Role::Server, true);
    let fault = server.hear(&Config::new(mask), bytes).err();
    let heard = server.heard.into_iter();
    let mut answers: Vec<Heard> = heard
        .filter_map(|heard| match heard {
            Heard::Ping(payload) => Some(Heard::Pong(payload)),
            Heard::Pong(_) => None,
            Heard::Close(code, _) => Some(Heard::Close(code, String::new())),
            message => Some(message),
        })
        .collect();
    if let Some(fault) = fault {
        answers.push(closed(fault.code().unwrap().number(), fault.name()));
    }
    answers
}

proptest! {
    #[test]
    fn however_what_comes_is_cut_it_is_heard_as_by_the_core_alone(
        said in prop::collection::vec(said(), 0..12),
        cut in 1usize..3000,
        starved: bool,
    ) {
        let mut bed = bed();
        let mut peer = Peer::compressing(&mut bed);
        let bytes = wire(&said);
        bed.starve(starved);
        bed.receive_cut(peer.conn, &bytes, cut.max(bytes.len() / 60));
        bed.starve(false);
        bed.run();
        let (mut heard, mut expected) = (peer.hear(&mut bed), expected(&bytes));
        if starved {
            // Of pings that come in pieces while there is no slot, the last is answered (RFC 6455 §5.5.3).
            [&mut heard, &mut expected]
                .into_iter()
                .for_each(|all| all.retain(|one| !matches!(one, Heard::Pong(_))));
        }
        let ends = matches!(expected.last(), Some(Heard::Close(..)));
        prop_assert_eq!(heard, expected);
        prop_assert_eq!(bed.closed(peer.conn), ends.then_some(End::Linger));
        bed.finish();
    }
}

/// Says that it was woken.
struct Woken;

impl Service for Woken {
    fn message(&mut self, _cx: &mut Cx, _message: Buf, _meta: MessageMeta, _out: &mut Out<'_>) {}

    fn woken(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        assert!(out.send_copy(cx, conn, Kind::Text, b"woken"));
    }
}

#[test]
fn a_service_hears_that_another_thread_has_woken_a_connection() {
    let mut bed = bed_of(settings(), Woken);
    let mut peer = Peer::connect(&mut bed);
    bed.wake(peer.conn);
    assert_eq!(peer.hear(&mut bed), [echo_of("woken")]);
    bed.finish();
}
