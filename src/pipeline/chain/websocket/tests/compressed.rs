//! Compressed messages.

use super::*;
use crate::handler::http::Request as Asked;
use crate::handler::websocket::Opening;
use crate::limits::{WEBSOCKET_DEFLATE_BYTES_MIN, WEBSOCKET_DEFLATE_SKIPS_MAX};
use crate::mem::Buf;
use crate::proto::websocket::handshake::Server;

/// A piece of a message as it goes on the wire.
pub fn deflate(deflater: &mut Deflater, piece: &[u8], last: bool) -> Vec<u8> {
    // What pieces before it have left comes out with it.
    let mut out = vec![0; 1 << 16];
    let progress = deflater.deflate(piece, last, &mut out);
    assert!(progress.done);
    out.truncate(progress.written);
    out
}

/// A whole compressed message.
fn packed(opcode: Opcode, message: &[u8]) -> Vec<u8> {
    frame(true, RSV1, opcode, &deflate(&mut Deflater::new(15, true, 1), message, true))
}

/// The beginning of one.
fn begun() -> Vec<u8> {
    frame(false, RSV1, Opcode::Text, &[0xf2])
}

/// Bytes that no compressing makes shorter.
fn noise(seed: u32, bytes: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn busy<S: Service>(bed: &mut Bed<S>) -> (usize, usize) {
    chain(bed).codecs.count()
}

#[test]
fn a_compressed_message_comes_back_compressed() {
    let mut bed = bed();
    let mut peer = Peer::compressing(&mut bed);
    let long = "round and round ".repeat(60);
    assert_eq!(peer.say(&mut bed, packed(Opcode::Text, long.as_bytes())), [echo_of(&long)]);
    assert_eq!(peer.listener.compressed, 1);
    assert_eq!(peer.say(&mut bed, text(&long)), [echo_of(&long)]);
    assert_eq!(peer.listener.compressed, 2);
    assert_eq!(peer.say(&mut bed, packed(Opcode::Text, b"")), [echo_of("")]);
    assert_eq!(busy(&mut bed), (0, 1));
    bed.finish();
}

#[test]
fn the_shortest_message_that_is_compressed_is_and_one_byte_less_is_not() {
    let mut bed = bed();
    let mut peer = Peer::compressing(&mut bed);
    for (bytes, compressed) in
        [(WEBSOCKET_DEFLATE_BYTES_MIN - 1, 0), (WEBSOCKET_DEFLATE_BYTES_MIN, 1)]
    {
        let message = "a".repeat(bytes);
        assert_eq!(peer.say(&mut bed, text(&message)), [echo_of(&message)]);
        assert_eq!(peer.listener.compressed, compressed);
    }
    bed.finish();
}

#[test]
fn a_compressed_message_in_pieces_comes_back_whole() {
    for (pool, cut) in [(bed as fn() -> _, 5), (bed, 2048), (narrow, 5), (narrow, 2048)] {
        let mut bed = pool();
        let mut peer = Peer::compressing(&mut bed);
        let letters = noise(7, 30_000).into_iter().map(|byte| char::from(b'a' + byte % 4));
        let message: String = letters.collect();
        let mut deflater = Deflater::new(15, true, 1);
        let pieces: Vec<_> = message.as_bytes().chunks(7000).collect();
        let last = pieces.len() - 1;
        for (number, piece) in pieces.into_iter().enumerate() {
            let payload = deflate(&mut deflater, piece, number == last);
            let (opcode, rsv) = match number {
                0 => (Opcode::Text, RSV1),
                _ => (Opcode::Continuation, 0),
            };
            bed.receive_cut(peer.conn, frame(number == last, rsv, opcode, &payload), cut);
        }
        assert_eq!(peer.hear(&mut bed), [echo_of(&message)]);
        assert_eq!(busy(&mut bed), (0, 1));
        bed.finish();
    }
}

#[test]
fn a_piece_of_a_frame_is_not_its_end() {
    #[derive(Default)]
    struct Ends(std::rc::Rc<std::cell::RefCell<Vec<(bool, bool)>>>);
    impl Service for Ends {
        fn message(&mut self, _cx: &mut Cx, _message: Buf, meta: MessageMeta, _out: &mut Out<'_>) {
            self.0.borrow_mut().push((meta.frame_last, meta.last));
        }
    }
    let ends = std::rc::Rc::default();
    let mut bed = bed_of(settings(), Ends(std::rc::Rc::clone(&ends)));
    let peer = Peer::compressing(&mut bed);
    let mut deflater = Deflater::new(15, true, 1);
    let first = noise(1, 600);
    let first = frame(false, RSV1, Opcode::Binary, &deflate(&mut deflater, &first, false));
    let last = frame(true, 0, Opcode::Continuation, &deflate(&mut deflater, b"end", true));
    bed.receive_cut(peer.conn, [first, last].concat(), 100);
    let ends = ends.borrow();
    assert!(ends.iter().filter(|(frame, _)| *frame).count() <= 2, "{ends:?}");
    assert_eq!(ends.last(), Some(&(true, true)));
    bed.finish();
}

#[test]
fn what_compressing_makes_no_shorter_is_left_alone_for_longer_and_longer() {
    let mut bed = bed();
    let mut peer = Peer::compressing(&mut bed);
    let zeros = vec![0; 200];
    let mut left_alone = 1;
    for round in 0..9 {
        let messages = [noise(round, 200)].into_iter().chain(vec![zeros.clone(); left_alone]);
        for message in messages {
            let heard = peer.say(&mut bed, binary(&message));
            assert_eq!(heard, [Heard::Message(Kind::Binary, message)]);
            assert_eq!(peer.listener.compressed, 0, "round {round}");
        }
        left_alone = (2 * left_alone).min(usize::from(WEBSOCKET_DEFLATE_SKIPS_MAX));
    }
    // One that becomes shorter ends that.
    for (message, compressed) in [(&zeros, 1), (&noise(10, 200), 1), (&zeros, 1), (&zeros, 2)] {
        assert_eq!(peer.say(&mut bed, binary(message)).len(), 1);
        assert_eq!(peer.listener.compressed, compressed);
    }
    bed.finish();
}

/// `café` in two pieces that meet within its last character.
const CAF: &[u8] = &[0x4a, 0x4e, 0x4c, 0x3b, 0x0c, 0x00, 0x00, 0x00, 0xff, 0xff];
const E: &[u8] = &[0x5a, 0x09, 0x00];

#[test]
fn texts_are_checked_each_by_itself_however_they_come_together() {
    let mut bed = bed();
    let mut peer = Peer::compressing(&mut bed);
    let (caf, e) = (frame(false, RSV1, Opcode::Text, CAF), frame(true, 0, Opcode::Continuation, E));
    // The end of one that is compressed, cut within a character, and one behind it that is not.
    assert_eq!(peer.say(&mut bed, &caf), []);
    let heard = [echo_of("café"), echo_of("plain é")];
    assert_eq!(peer.say(&mut bed, [e.clone(), text("plain é")].concat()), heard);
    // One that is compressed, and behind it the beginning of one that is not, cut within a character.
    let plain = text("é");
    let (begun, rest) = plain.split_at(plain.len() - 1);
    let before = [&packed(Opcode::Text, "ö".as_bytes()), begun].concat();
    assert_eq!(peer.say(&mut bed, before), [echo_of("ö")]);
    assert_eq!(peer.say(&mut bed, [rest, &caf[..]].concat()), [echo_of("é")]);
    assert_eq!(peer.say(&mut bed, e), [echo_of("café")]);
    bed.finish();
}

#[test]
fn a_message_that_grows_past_the_largest_is_refused() {
    let mut settings = settings();
    settings.websocket.limits.message_bytes = 10_000;
    for (bytes, is_taken) in [(10_000, true), (10_001, false), (1 << 20, false)] {
        let mut bed = bed_of(settings.clone(), Echo);
        let mut peer = Peer::compressing(&mut bed);
        let message = vec![0; bytes];
        let heard = peer.say(&mut bed, [packed(Opcode::Binary, &message), text("more")].concat());
        if is_taken {
            assert_eq!(heard, [Heard::Message(Kind::Binary, message), echo_of("more")]);
        } else {
            assert_eq!(heard, [closed(1009, "message too large")]);
            assert_eq!(bed.closed(peer.conn), Some(End::Linger));
        }
        assert_eq!(busy(&mut bed).0, 0);
        bed.finish();
    }
}

#[test]
fn what_is_broken_inside_is_told_and_nothing_behind_it_is_heard() {
    let cut = "é".as_bytes()[..1].to_vec();
    for (broken, reason) in [
        (frame(true, RSV1, Opcode::Binary, &[0xff; 10]), "compressed data"),
        (packed(Opcode::Text, &[b'a', 0xff]), "text is not UTF-8"),
        (packed(Opcode::Text, &cut), "text is not UTF-8"),
    ] {
        let behind = [
            vec![],
            [text("plain"), packed(Opcode::Text, b"packed"), ping(b"?")].concat(),
            close(1000, ""),
            frame(true, 0x20, Opcode::Text, b""),
        ];
        for behind in behind {
            let mut bed = bed();
            let mut peer = Peer::compressing(&mut bed);
            let bytes = [&*text("before"), &broken, &behind].concat();
            assert_eq!(peer.say(&mut bed, bytes), [echo_of("before"), closed(1007, reason)]);
            assert_eq!(bed.closed(peer.conn), Some(End::Linger));
            assert_eq!(busy(&mut bed).0, 0);
            bed.finish();
        }
    }
}

/// Peers that begin a message and do not end it, as many as may.
fn hoarders(bed: &mut Bed<Echo>) -> Vec<Peer> {
    chain(bed).codecs.allow(HOLDERS);
    let mut peers: Vec<_> = (0..HOLDERS).map(|_| Peer::compressing(bed)).collect();
    for peer in &mut peers {
        assert_eq!(peer.say(bed, begun()), []);
        bed.advance(Duration::from_nanos(1));
    }
    assert_eq!(busy(bed).0, HOLDERS);
    peers
}

/// Fewer than the harness has places, which are fewer than those that may be under way there.
const HOLDERS: usize = 8;

/// The rest of the message that [`begun`] begins.
fn rest() -> Vec<u8> {
    frame(true, 0, Opcode::Continuation, &[0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00])
}

#[test]
fn as_many_messages_as_may_be_under_way_are_and_for_one_more_the_stalest_gives_way_w_8() {
    let mut bed = bed();
    let mut peers = hoarders(&mut bed);
    // Of the first, more comes; of the second, a frame that has nothing in it, and a ping.
    let more = frame(false, 0, Opcode::Continuation, &[0x48]);
    assert_eq!(peers[0].say(&mut bed, more), []);
    let nothing = [frame(false, 0, Opcode::Continuation, b""), ping(b"")].concat();
    assert_eq!(peers[1].say(&mut bed, nothing), [Heard::Pong(Vec::new())]);
    // Nobody has to go while nobody comes.
    assert!(peers.iter().all(|peer| bed.closed(peer.conn).is_none()));
    let mut honest = Peer::compressing(&mut bed);
    assert_eq!(honest.say(&mut bed, begun()), []);
    let refused = closed(1013, "too many compressed messages at once");
    assert_eq!(peers[1].hear(&mut bed), [refused]);
    assert_eq!(bed.closed(peers[1].conn), Some(End::Linger));
    assert_eq!(busy(&mut bed).0, HOLDERS);
    // All others go on.
    assert_eq!(honest.say(&mut bed, rest()), [echo_of("Hello")]);
    let of_first = frame(true, 0, Opcode::Continuation, &[0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    assert_eq!(peers[0].say(&mut bed, of_first), [echo_of("Hello")]);
    assert_eq!(peers[2].say(&mut bed, rest()), [echo_of("Hello")]);
    assert_eq!(busy(&mut bed).0, HOLDERS - 3);
    // One that is gone gives its own back.
    bed.reset(peers[3].conn);
    assert_eq!(busy(&mut bed).0, HOLDERS - 4);
    bed.finish();
}

#[test]
fn whoever_begins_messages_and_waits_keeps_nobody_from_compression_w_8() {
    let mut bed = bed();
    let _hoarders = hoarders(&mut bed);
    for _ in 0..3 * HOLDERS {
        let mut honest = Peer::compressing(&mut bed);
        assert_eq!(honest.say(&mut bed, begun()), []);
        assert_eq!(honest.say(&mut bed, rest()), [echo_of("Hello")]);
        bed.reset(honest.conn);
    }
    bed.finish();
}

#[test]
fn a_message_that_is_whole_is_never_refused_for_those_that_are_not() {
    let mut bed = bed();
    let _hoarders = hoarders(&mut bed);
    let mut honest = Peer::compressing(&mut bed);
    let long = "round and round ".repeat(60);
    for _ in 0..3 {
        assert_eq!(honest.say(&mut bed, packed(Opcode::Text, long.as_bytes())), [echo_of(&long)]);
    }
    // In fragments that come together, others behind it, and a ping between.
    let all = [begun(), ping(b"?"), rest(), begun(), rest(), text("plain")].concat();
    let pong = Heard::Pong(b"?".into());
    let heard = [pong, echo_of("Hello"), echo_of("Hello"), echo_of("plain")];
    assert_eq!(honest.say(&mut bed, all), heard);
    assert_eq!(busy(&mut bed).0, HOLDERS);
    bed.finish();
}

#[test]
fn whoever_closes_or_breaks_a_rule_within_a_message_holds_nothing() {
    for end in [close(1000, ""), frame(true, 0x20, Opcode::Text, b"")] {
        let mut bed = bed();
        let mut peer = Peer::compressing(&mut bed);
        assert_eq!(peer.say(&mut bed, begun()), []);
        assert_eq!(busy(&mut bed).0, 1);
        assert_eq!(peer.say(&mut bed, end).len(), 1);
        assert_eq!(busy(&mut bed), (0, 1));
        bed.finish();
    }
}

/// Offers windows that outlast messages.
struct Generous;

impl Service for Generous {
    fn opening(&mut self, _cx: &mut Cx, _request: &Asked<'_>) -> Opening<'_> {
        Opening::Offer(Server { deflate: Some(Deflate::default()), ..Server::default() })
    }

    fn message(&mut self, cx: &mut Cx, message: Buf, _meta: MessageMeta, out: &mut Out<'_>) {
        let conn = message.conn();
        if &*message == b"out of turn" {
            // A piece, and before its message ends, another, which nobody may send.
            let mut piece = alloc(cx, conn, Kind::Text, 10).unwrap();
            piece.append(b"piece");
            let meta = MessageMeta { last: false, ..MessageMeta::whole(Kind::Text) };
            piece.set_kind(MESSAGE, meta.to_meta());
            out.send(piece);
            out.send_copy(cx, conn, Kind::Text, "lost and found ".repeat(30).as_bytes());
            let mut end = alloc(cx, conn, Kind::Text, 10).unwrap();
            let meta = MessageMeta { first: false, ..MessageMeta::whole(Kind::Text) };
            end.set_kind(MESSAGE, meta.to_meta());
            out.send(end);
        } else {
            out.send(message);
        }
    }
}

#[test]
fn what_was_compressed_and_not_sent_is_not_referred_to() {
    let mut bed = bed_of(settings(), Generous);
    let mut peer = Peer::compressing(&mut bed);
    peer.listener.inflater = Inflater::new(false);
    assert_eq!(peer.say(&mut bed, text("out of turn")), [echo_of("piece")]);
    let message = "lost and found ".repeat(30);
    for compressed in 1..4 {
        assert_eq!(peer.say(&mut bed, text(&message)), [echo_of(&message)]);
        assert_eq!(peer.listener.compressed, compressed);
    }
    bed.finish();
}
