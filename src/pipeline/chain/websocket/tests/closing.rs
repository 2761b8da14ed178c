//! Ends: who says what, in which order, and when the connection below is closed.

use super::*;
use crate::limits::WEBSOCKET_SWEEP_SESSIONS;
use crate::mem::{Buf, kind};
use crate::pipeline::Handler;

/// Echoes, and does what it is told.
struct Obedient;

impl Service for Obedient {
    fn message(&mut self, cx: &mut Cx, message: Buf, _meta: MessageMeta, out: &mut Out<'_>) {
        let conn = message.conn();
        match &*message {
            b"close" => out.close(conn, CloseCode::NORMAL),
            b"say and close" => {
                assert!(out.send_copy(cx, conn, Kind::Text, b"said"));
                out.close(conn, CloseCode::new(4000).unwrap());
                assert!(out.send_copy(cx, conn, Kind::Text, b"too late"));
            }
            b"ping" => out.ping(conn),
            b"pause" => out.send(Buf::marker(conn, kind::PAUSE)),
            _ => out.send(message),
        }
    }

    fn pong(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Out<'_>) {
        assert!(out.send_copy(cx, conn, Kind::Text, b"it is there"));
    }

    fn closing(&mut self, cx: &mut Cx, reason: &Buf, code: Option<CloseCode>, out: &mut Out<'_>) {
        let code = code.map_or(0, CloseCode::number);
        let last = format!("{code} {}", std::str::from_utf8(reason).unwrap());
        assert!(out.send_copy(cx, reason.conn(), Kind::Text, last.as_bytes()));
    }
}

#[test]
fn the_peers_close_is_answered_behind_what_is_said_to_it() {
    for (word, last, code) in [
        (close(1000, "bye"), "1000 bye", Some(1000)),
        (close(4999, ""), "4999 ", Some(4999)),
        (frame(true, 0, Opcode::Close, b""), "0 ", None),
    ] {
        let mut bed = bed_of(settings(), Obedient);
        let mut peer = Peer::connect(&mut bed);
        let bytes = [text("one"), word, text("too late")].concat();
        let heard = [echo_of("one"), echo_of(last), Heard::Close(code, String::new())];
        assert_eq!(peer.say(&mut bed, bytes), heard);
        assert_eq!(bed.closed(peer.conn), Some(End::Linger));
        bed.finish();
    }
}

#[test]
fn a_close_of_the_services_waits_for_the_peers() {
    let mut bed = bed_of(settings(), Obedient);
    let mut peer = Peer::connect(&mut bed);
    assert_eq!(peer.say(&mut bed, text("say and close")), [echo_of("said"), closed(4000, "")]);
    assert_eq!(bed.closed(peer.conn), None);
    assert_eq!(peer.say(&mut bed, text("not answered")), []);
    assert_eq!(peer.say(&mut bed, close(4000, "")), []);
    assert_eq!(bed.closed(peer.conn), Some(End::Linger));
    bed.finish();
}

#[test]
fn a_peer_that_does_not_answer_a_close_is_closed_in_time() {
    let mut bed = bed_of(settings(), Obedient);
    let mut peer = Peer::connect(&mut bed);
    assert_eq!(peer.say(&mut bed, text("close")), [closed(1000, "")]);
    bed.advance(Duration::from_secs(4));
    assert_eq!(bed.closed(peer.conn), None);
    bed.advance(Duration::from_secs(2));
    assert_eq!(bed.closed(peer.conn), Some(End::Linger));
    assert_eq!(peer.hear(&mut bed), []);
    bed.finish();
}

#[test]
fn a_fault_is_told_with_its_code_behind_answers_to_what_came_before_it() {
    for (broken, code, reason) in [
        (frame(true, 0x40, Opcode::Text, b""), 1002, "reserved bits"),
        (frame(true, 0, Opcode::Continuation, b""), 1002, "nothing to continue"),
        (vec![0x81, 0x01, b'a'], 1002, "not masked"),
        (frame(true, 0, Opcode::Text, &[0xff]), 1007, "text is not UTF-8"),
        (close(1005, ""), 1002, "close code"),
        (frame(true, 0, Opcode::Binary, &[0; 101]), 1009, "frame too large"),
    ] {
        let mut settings = settings();
        (settings.websocket.limits.frame_bytes, settings.websocket.limits.message_bytes) =
            (100, 100);
        let before = [text("one"), ping(b"?"), text("two")].concat();
        let bytes = [before, broken, text("too late")].concat();
        for cut in [1, 8, 2048] {
            let mut bed = bed_of(settings.clone(), Echo);
            let mut peer = Peer::connect(&mut bed);
            bed.receive_cut(peer.conn, &bytes, cut);
            let one = [echo_of("one"), Heard::Pong(b"?".into()), echo_of("two")];
            let heard = [&one[..], &[closed(code, reason)]].concat();
            assert_eq!(peer.hear(&mut bed), heard, "{reason}, cut to {cut}");
            assert_eq!(bed.closed(peer.conn), Some(End::Linger), "{reason}");
            bed.finish();
        }
    }
}

#[test]
fn frames_and_messages_of_their_largest_size_are_taken_and_one_byte_more_is_not() {
    let mut settings = settings();
    settings.websocket.limits =
        crate::proto::websocket::Limits { frame_bytes: 50, message_bytes: 80, fragments: 3 };
    let piece = |fin, opcode, bytes| frame(fin, 0, opcode, &vec![1; bytes]);
    let message = |sizes: &[usize]| -> Vec<u8> {
        let last = sizes.len() - 1;
        let frames = sizes.iter().enumerate().map(|(n, &bytes)| {
            piece(n == last, if n == 0 { Opcode::Binary } else { Opcode::Continuation }, bytes)
        });
        frames.flatten().collect()
    };
    for sizes in [&[50][..], &[50, 30], &[30, 30, 20]] {
        let mut bed = bed_of(settings.clone(), Echo);
        let mut peer = Peer::connect(&mut bed);
        let whole = vec![1; sizes.iter().sum()];
        assert_eq!(peer.say(&mut bed, message(sizes)), [Heard::Message(Kind::Binary, whole)]);
        bed.finish();
    }
    for (sizes, code) in [(&[51][..], 1009), (&[50, 31], 1009), (&[1, 1, 1, 1], 1008)] {
        let mut bed = bed_of(settings.clone(), Echo);
        let mut peer = Peer::connect(&mut bed);
        let heard = peer.say(&mut bed, message(sizes));
        let [Heard::Close(Some(told), _)] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!(*told, code, "{sizes:?}");
        bed.finish();
    }
}

#[test]
fn what_the_chain_says_by_itself_does_not_overtake_answers() {
    // The ping is due, and its word on its way to the handler, when a message comes with a close behind it.
    for last in [close(1000, ""), frame(true, 0, Opcode::Continuation, b"")] {
        let mut bed = bed();
        let mut peer = Peer::connect(&mut bed);
        bed.advance(Duration::from_nanos(Config::new(mask).ping_interval_ns - 1));
        let conn = peer.conn;
        let session = chain(&mut bed).sessions.get_mut(conn).unwrap();
        let mut messages = Burst::new();
        WebSocket::ask_to_transmit(session, conn, &mut messages);
        let mut word = messages.pop().unwrap();
        word.set_conn(conn);
        bed.tell(word);
        let heard = peer.say(&mut bed, [text("answer me"), last].concat());
        assert_eq!(heard.first(), Some(&echo_of("answer me")));
        assert!(matches!(heard.last(), Some(Heard::Close(..))));
        assert_eq!(bed.closed(peer.conn), Some(End::Linger));
        bed.finish();
    }
}

#[test]
fn a_silent_peer_is_pinged_and_then_given_up() {
    let mut bed = bed();
    let mut peers = [Peer::connect(&mut bed), Peer::connect(&mut bed)];
    bed.advance(Duration::from_secs(19));
    assert_eq!(peers[0].hear(&mut bed), []);
    bed.advance(Duration::from_secs(2));
    for peer in &mut peers {
        assert_eq!(peer.hear(&mut bed), [Heard::Ping(Vec::new())]);
    }
    assert_eq!(peers[0].say(&mut bed, frame(true, 0, Opcode::Pong, b"")), []);
    bed.advance(Duration::from_secs(21));
    assert_eq!(peers[1].hear(&mut bed), [closed(1011, "no answer to a ping")]);
    assert_eq!(bed.closed(peers[1].conn), Some(End::Linger));
    assert_eq!(peers[0].hear(&mut bed), [Heard::Ping(Vec::new())]);
    assert_eq!(bed.closed(peers[0].conn), None);
    bed.finish();
}

/// A chain with so many WebSockets, on the harness's pool and clock.
fn chain_of(bed: &Bed<Echo>, sessions: u32) -> WebSocket {
    let mut chain = WebSocket::new(sessions, settings());
    for slot in 0..sessions {
        let conn = ConnId::new(0, slot, slot);
        chain.open(&bed.cx, conn, None);
        chain.sessions.get_mut(conn).unwrap().answered = true;
    }
    chain
}

#[test]
fn a_turn_looks_at_so_many_sessions_and_the_next_at_the_rest() {
    let most = WEBSOCKET_SWEEP_SESSIONS as u32;
    for (sessions, turns) in [(most - 1, 1), (most, 2), (most + 1, 2), (2 * most, 3)] {
        let mut bed = bed();
        let mut chain = chain_of(&bed, sessions);
        let more = (0..).take_while(|_| chain.tick(&mut bed.cx, &mut Burst::new()));
        assert_eq!(more.count() + 1, turns, "{sessions} sessions");
        bed.finish();
    }
}

#[test]
fn each_session_that_is_due_is_told_once_whatever_a_burst_holds() {
    let mut bed = bed();
    let mut chain = chain_of(&bed, 1000);
    bed.advance(Duration::from_secs(21));
    let (mut told, mut more) = (Vec::new(), true);
    while more {
        let mut messages = Burst::new();
        more = chain.tick(&mut bed.cx, &mut messages);
        while let Some(word) = messages.pop() {
            assert_eq!((word.kind(), word.meta()), (TRANSMIT, 0));
            told.push(word.conn().slot());
        }
    }
    assert!(told.into_iter().eq(0..1000));
    bed.finish();
}

#[test]
fn a_peer_that_is_not_listened_to_is_not_late() {
    let mut bed = bed_of(settings(), Obedient);
    let mut peer = Peer::connect(&mut bed);
    assert_eq!(peer.say(&mut bed, text("pause")), []);
    assert!(bed.paused(peer.conn));
    bed.advance(Duration::from_secs(300));
    assert_eq!((peer.hear(&mut bed), bed.closed(peer.conn)), (vec![], None));
    // What came meanwhile waits, and is taken in once the handler wants it.
    assert_eq!(peer.say(&mut bed, [text("one"), text("two")].concat()), []);
    bed.reply(Buf::marker(peer.conn, kind::RESUME));
    assert_eq!(peer.hear(&mut bed), [echo_of("one"), echo_of("two")]);
    assert!(!bed.paused(peer.conn));
    bed.advance(Duration::from_secs(19));
    assert_eq!(peer.hear(&mut bed), []);
    bed.advance(Duration::from_secs(2));
    assert_eq!(peer.hear(&mut bed), [Heard::Ping(Vec::new())]);
    bed.finish();
}

#[test]
fn the_services_ping_is_answered_and_heard() {
    let mut bed = bed_of(settings(), Obedient);
    let mut peer = Peer::connect(&mut bed);
    assert_eq!(peer.say(&mut bed, text("ping")), [Heard::Ping(Vec::new())]);
    assert_eq!(peer.say(&mut bed, frame(true, 0, Opcode::Pong, b"")), [echo_of("it is there")]);
    bed.finish();
}

#[test]
fn a_drain_tells_each_peer_that_the_server_goes_away() {
    let mut bed = bed();
    let mut peers = [Peer::connect(&mut bed), Peer::connect(&mut bed)];
    let idle = bed.open();
    bed.receive(peers[1].conn, frame(false, 0, Opcode::Text, b"one "));
    bed.drain();
    for peer in &mut peers {
        assert_eq!(peer.hear(&mut bed).last(), Some(&closed(1001, "")));
        assert_eq!(bed.closed(peer.conn), None);
        bed.receive(peer.conn, close(1001, ""));
        assert_eq!(bed.closed(peer.conn), Some(End::Linger));
    }
    assert_eq!(bed.closed(idle), Some(End::Close));
    bed.finish();
}

#[test]
fn who_is_gone_with_its_request_leaves_no_session_behind() {
    let mut bed = bed();
    let mut chain = WebSocket::new(SLOTS, settings());
    let mut handler = Http::new(SLOTS, WebSockets::new(Echo));
    for generation in 0..3 {
        let conn = ConnId::new(0, 0, generation);
        let mut request = bed.cx.alloc(REQUEST.len(), conn).unwrap();
        assert!(request.append(REQUEST.as_bytes()));
        let (mut rx, mut messages) = (Burst::new(), Burst::new());
        let words = [Buf::marker(conn, kind::OPEN), request, Buf::marker(conn, kind::CLOSED)];
        words.into_iter().for_each(|word| rx.push(word).unwrap());
        chain.ingress(&mut bed.cx, &mut rx, &mut messages);
        let (mut replies, mut tx) = (Burst::new(), Burst::new());
        handler.process(&mut bed.cx, &mut messages, &mut replies);
        chain.egress(&mut bed.cx, &mut replies, &mut tx);
        assert!(chain.sessions.is_empty());
        // For the transport to account for: it has an end already.
        assert!(tx.pop().unwrap().starts_with(b"HTTP/1.1 101 "));
    }
    bed.finish();
}

#[test]
fn the_end_of_what_a_peer_sends_ends_the_connection() {
    let mut bed = bed();
    let mut peer = Peer::connect(&mut bed);
    bed.receive(peer.conn, text("last"));
    bed.eof(peer.conn);
    assert_eq!(peer.hear(&mut bed), [echo_of("last")]);
    assert_eq!(bed.closed(peer.conn), Some(End::Close));
    bed.finish();
}
