use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::pipeline::{Handler, Pipeline};
use crate::testing::{End, Harness, SLOTS};

/// Says what it gets, and closes as it should.
struct Repeat;

impl Handler for Repeat {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() > 1
            && let Some(mut message) = input.pop()
        {
            let conn = message.conn();
            match message.kind() {
                COMMAND => message.set_kind(kind::DATA, 0),
                FAULT => {
                    let FaultMeta { fault, json } = FaultMeta::of(&message);
                    message = cx.alloc(64, conn).unwrap();
                    assert!(message.append(format!("{fault:?} {json}").as_bytes()));
                }
                kind::CLOSE => {
                    push(output, message);
                    continue;
                }
                _ => continue,
            }
            push(output, message);
            push(output, Buf::linger(conn));
        }
    }
}

fn harness() -> Harness<Repeat> {
    with(Settings::for_slots(64, 64))
}

fn with(settings: Settings) -> Harness<Repeat> {
    let chain = Ipc::new(SLOTS, settings);
    Harness::build(|_| (Pipeline::Ipc(Box::new(chain)), Repeat))
}

/// What comes of these bytes in pieces of `most`.
fn outcome(bytes: &[u8], most: usize) -> (Vec<u8>, Option<End>) {
    let mut harness = harness();
    let conn = harness.open();
    harness.receive_cut(conn, bytes, most);
    let outcome = (harness.take_sent(conn), harness.closed(conn));
    harness.finish();
    outcome
}

fn command(text: &[u8]) -> (Vec<u8>, Option<End>) {
    (text.to_vec(), Some(End::Linger))
}

#[test]
fn i4_a_command_of_4096_bytes_is_handed_on_and_one_of_4097_is_too_long_however_they_come() {
    let line = |bytes: usize| [vec![b'a'; bytes - 1], vec![b'\n']].concat();
    for most in [1, 100, 1024, 2047, 2048] {
        assert_eq!(outcome(&line(4096), most), command(&[b'a'; 4095]), "{most}");
        assert_eq!(outcome(&line(4097), most), command(b"TooLong false"), "{most}");
        assert_eq!(outcome(&[b'a'; 4096], most), (Vec::new(), None), "{most}");
    }
}

#[test]
fn i3_what_follows_the_first_command_is_never_handed_on() {
    assert_eq!(outcome(b"one\ntwo\n", 2048), command(b"one"));
    let mut harness = harness();
    let conn = harness.open();
    harness.receive(conn, b"one\ntwo\n");
    assert_eq!(harness.cx.counters.dropped(Reason::Protocol), 1);
    harness.finish();
}

#[test]
fn i4_what_is_no_utf8_and_what_holds_a_nul_is_a_fault_and_says_whether_json_was_asked_for() {
    assert_eq!(outcome(b"\xff\n", 1), command(b"Utf8 false"));
    assert_eq!(outcome(b"j/\xff\n", 1), command(b"Utf8 true"));
    assert_eq!(outcome(b"j/a\0b\n", 2), command(b"Nul true"));
}

#[test]
fn who_ends_within_a_command_is_told_and_who_says_nothing_is_not() {
    let mut harness = harness();
    let (silent, partial, whole) = (harness.open(), harness.open(), harness.open());
    harness.receive(partial, b"j/pin");
    harness.receive(whole, b"ping\n");
    [silent, partial, whole].iter().for_each(|&conn| harness.eof(conn));
    assert_eq!((harness.sent(silent), harness.closed(silent)), (&b""[..], Some(End::Close)));
    assert_eq!(harness.sent(partial), b"Unended true");
    assert_eq!(harness.sent(whole), b"ping");
    harness.finish();
}

#[test]
fn i11_a_command_has_its_time_from_the_beginning_of_the_connection_however_it_drips() {
    let mut harness = harness();
    let (silent, slow) = (harness.open(), harness.open());
    for _ in 0..9 {
        harness.advance(Duration::from_secs(1));
        harness.receive(slow, b"a");
    }
    assert_eq!((harness.closed(silent), harness.closed(slow)), (None, None));
    harness.advance(Duration::from_secs(1));
    assert_eq!(harness.sent(silent), b"Timeout false");
    assert_eq!(harness.sent(slow), b"Timeout false");
    assert_eq!(harness.cx.counters.get(Counter::Timeouts), 2);
    harness.finish();
}

#[test]
fn the_connection_past_the_bound_on_unfinished_commands_is_told() {
    let stashes = StashBounds { all: 2, large: 1 };
    let mut harness = with(Settings { stashes, ..Settings::for_slots(64, 64) });
    let conns: Vec<_> = (0..3).map(|_| harness.open()).collect();
    conns.iter().for_each(|&conn| harness.receive(conn, b"j/a"));
    assert_eq!(harness.closed(conns[1]), None);
    assert_eq!(harness.sent(conns[2]), b"Busy true");
    // Of those that are longer than a small slot, there may be fewer.
    harness.receive_cut(conns[0], [b'a'; 2048], 2048);
    harness.receive_cut(conns[1], [b'a'; 2048], 2048);
    assert_eq!(harness.closed(conns[0]), None);
    assert_eq!(harness.sent(conns[1]), b"Busy true");
    harness.finish();
}

#[test]
fn a_drain_closes_those_that_have_said_no_command() {
    let mut harness = harness();
    let (silent, partial) = (harness.open(), harness.open());
    harness.receive(partial, b"pin");
    harness.drain();
    assert_eq!(harness.closed(silent), Some(End::Close));
    assert_eq!(harness.closed(partial), Some(End::Close));
    let late = harness.open();
    harness.drain();
    assert_eq!(harness.closed(late), Some(End::Close));
    harness.finish();
}

proptest! {
    #[test]
    fn the_same_comes_of_the_same_bytes_however_they_are_cut(
        bytes in prop::collection::vec(prop::sample::select(b"ab/j \n\r\0\xc3\xa9".to_vec()), 0..20),
        padding in prop_oneof![Just(0usize), 2040..2056usize, 4080..4098usize],
        most in 1usize..2049,
    ) {
        let bytes = [vec![b' '; padding], bytes].concat();
        prop_assert_eq!(outcome(&bytes, most), outcome(&bytes, 2048));
    }
}
