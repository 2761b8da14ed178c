//! Messages there and back.

use ringway::counters::Counter;
use ringway::proto::websocket::Kind;

use crate::common::websocket::{Heard, Peer, closed, text};
use crate::common::{Server, Start, pattern};

pub fn server(settings: &str) -> Server {
    Start::new().listener("websocket", settings).start()
}

#[test]
fn messages_of_all_lengths_come_back_w_7() {
    let server = server("");
    let mut peer = Peer::connect(server.address(0));
    for bytes in [0, 1, 125, 126, 127, 255, 256, 257, 65_535, 65_536, 1 << 20] {
        peer.echoes(Kind::Binary, &pattern(bytes as u64, bytes));
        peer.echoes(Kind::Text, &vec![b'a'; bytes]);
    }
    peer.part();
    server.stop();
}

#[test]
fn messages_of_all_lengths_come_back_compressed_where_that_pays_w_7() {
    let server = server("");
    let mut peer = Peer::compressing(server.address(0));
    for bytes in [0, 1, 125, 126, 127, 1000, 65_535, 65_536, 1 << 20] {
        peer.echoes(Kind::Text, &vec![b'a'; bytes]);
    }
    assert!(peer.compressed >= 4, "{} came compressed", peer.compressed);
    peer.part();
    server.stop();
}

#[test]
fn nothing_is_compressed_where_the_settings_say_so() {
    let server = server("compress = false");
    let client = crate::common::websocket::request("localhost");
    let offer = ringway::proto::websocket::handshake::Client {
        deflate: Some(Default::default()),
        ..client
    };
    let mut raw = server.connect();
    let mut room = [0; 1024];
    let len = offer.write_request(&[7; 16], &mut room).unwrap();
    let head = raw.send(&room[..len]).head();
    assert_eq!((head.status(), head.field("sec-websocket-extensions")), (101, None));
    drop(raw);
    server.stop();
}

#[test]
fn the_largest_message_comes_back_and_one_byte_more_is_refused_w_7() {
    let server = server("max_message_bytes = 100000");
    let mut peer = Peer::connect(server.address(0));
    peer.echoes(Kind::Binary, &pattern(1, 100_000));
    peer.say(Kind::Binary, &[0; 100_001]);
    assert_eq!(peer.hear(), closed(1009, "frame too large"));
    assert_eq!(peer.answer().hear(), Heard::End);
    server.stop();
}

#[test]
fn many_messages_in_one_write_come_back_in_order_w_8() {
    let server = server("");
    let mut peer = Peer::connect(server.address(0));
    let frames: Vec<u8> =
        (0..1000).flat_map(|n: u32| peer.frame(Kind::Text, n.to_string().as_bytes())).collect();
    std::io::Write::write_all(&mut peer.stream, &frames).unwrap();
    (0..1000).for_each(|n: u32| assert_eq!(peer.hear(), text(&n.to_string())));
    assert!(server.count(Counter::Messages) >= 1000);
    peer.part();
    server.stop();
}

#[test]
fn pings_come_back_with_what_they_say_w_7() {
    let server = server("");
    let mut peer = Peer::connect(server.address(0));
    for payload in [&b""[..], b"?", &[9; 125]] {
        assert_eq!(peer.ping(payload).hear(), Heard::Pong(payload.to_vec()));
    }
    peer.part();
    server.stop();
}
