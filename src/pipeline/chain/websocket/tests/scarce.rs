//! A pool without slots costs time, and nothing else.

use super::*;
use crate::mem::Buf;

#[test]
fn what_finds_no_slot_waits_and_nothing_is_lost() {
    let bytes = [
        ping(b"?"),
        text("one"),
        frame(true, RSV1, Opcode::Text, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
        binary(&[7; 1000]),
        close(1000, ""),
    ];
    let bytes = bytes.concat();
    let heard = [
        Heard::Pong(b"?".into()),
        echo_of("one"),
        echo_of("Hello"),
        Heard::Message(Kind::Binary, vec![7; 1000]),
        closed(1000, ""),
    ];
    for cut in [10, 50, 2048] {
        let mut bed = bed();
        let mut peer = Peer::compressing(&mut bed);
        bed.starve(true);
        bed.receive_cut(peer.conn, &bytes, cut);
        assert_eq!(bed.closed(peer.conn), None);
        bed.starve(false);
        bed.run();
        assert_eq!(peer.hear(&mut bed), heard, "cut to {cut}");
        assert_eq!(bed.closed(peer.conn), Some(End::Linger));
        bed.finish();
    }
}

/// Greets with what needs no slot but for its frame.
struct Greeter;

impl Service for Greeter {
    fn opened(&mut self, _cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        out.ping(conn);
    }

    fn message(&mut self, _cx: &mut Cx, message: Buf, _meta: MessageMeta, out: &mut Out<'_>) {
        out.send(message);
    }
}

#[test]
fn nothing_is_said_before_the_answer_that_waits_for_a_slot() {
    let mut bed = bed_of(settings(), Greeter);
    // With one WebSocket open, the chain has a slot in hand, which the next would be greeted with.
    let _first = Peer::connect(&mut bed);
    let conn = bed.open();
    bed.starve(true);
    bed.receive(conn, REQUEST);
    assert_eq!(bed.sent(conn), b"");
    bed.advance(Duration::from_secs(30));
    assert_eq!(bed.sent(conn), b"");
    bed.starve(false);
    bed.run();
    let mut peer = Peer::answered(&mut bed, conn, false);
    assert_eq!(peer.hear(&mut bed), [Heard::Ping(Vec::new())]);
    assert_eq!(bed.closed(conn), None);
    bed.finish();
}

#[test]
fn a_peer_that_goes_while_its_messages_wait_leaves_nothing_behind() {
    let mut bed = bed();
    let gone = Peer::compressing(&mut bed);
    let mut stays = Peer::connect(&mut bed);
    bed.starve(true);
    for _ in 0..10 {
        bed.receive(
            gone.conn,
            frame(true, RSV1, Opcode::Text, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
        );
    }
    bed.receive(stays.conn, text("still here"));
    bed.reset(gone.conn);
    bed.starve(false);
    bed.run();
    assert_eq!(stays.hear(&mut bed), [echo_of("still here")]);
    assert_eq!(chain(&mut bed).codecs.count().0, 0);
    bed.finish();
}
