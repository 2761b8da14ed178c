//! With a server that sends everything back.

use std::time::Duration;

use ringway::proto::websocket::{CloseCode, Deflate, Kind};
use ringway::websocket::{Client, Error, Message, Options};

use crate::common::{Server, Start, pattern};

fn server(settings: &str) -> Server {
    Start::new().listener("websocket", settings).start()
}

fn connect(server: &Server, options: &Options) -> Client {
    let options = options.clone().timeout(Duration::from_secs(100));
    options.connect(&format!("ws://{}/", server.address(0))).unwrap()
}

fn echoes(client: &mut Client, bytes: &[u8]) {
    client.send_binary(bytes).unwrap();
    let heard = client.receive().unwrap();
    assert!(heard == Message::Binary(bytes), "of {} bytes", bytes.len());
}

/// Parts with who has nothing more to say.
fn part(client: Client) {
    let close = client.close(CloseCode::NORMAL, "that was all").unwrap();
    assert_eq!((close.code, &*close.reason), (Some(CloseCode::NORMAL), ""));
}

// W-7
#[test]
fn messages_of_all_lengths_come_back() {
    let server = server("");
    for compress in [false, true] {
        let mut client = connect(&server, &Options::new().compress(compress));
        assert_eq!(client.compresses(), compress);
        for bytes in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1 << 20] {
            echoes(&mut client, &pattern(bytes as u64, bytes));
            let text = "é".repeat(bytes / 2);
            client.send_text(&text).unwrap();
            assert!(client.receive().unwrap() == Message::Text(&text), "of {bytes} bytes");
        }
        part(client);
    }
    server.wait_for_no_connections();
    server.stop();
}

#[test]
fn messages_in_fragments_come_back_whole() {
    let server = server("");
    let message = pattern(7, 200_000);
    for compress in [false, true] {
        let mut client = connect(&server, &Options::new().compress(compress));
        for size in [1000, 65_536, 70_000, 200_000] {
            let mut fragments = client.begin(Kind::Binary);
            for piece in message.chunks(size) {
                fragments.send(piece).unwrap();
            }
            fragments.end(b"").unwrap();
            assert!(client.receive().unwrap() == Message::Binary(&message), "{size}");
        }
        let mut fragments = client.begin(Kind::Text);
        fragments.send(b"caf\xc3").unwrap();
        fragments.end(b"\xa9").unwrap();
        assert_eq!(client.receive().unwrap(), Message::Text("café"));
        client.begin(Kind::Text).end(b"").unwrap();
        assert_eq!(client.receive().unwrap(), Message::Text(""));
        part(client);
    }
    server.stop();
}

#[test]
fn all_windows_and_takeovers_are_agreed_on_as_far_as_the_server_goes() {
    let server = server("");
    for bits in 8..=15 {
        for (one, other) in [(false, false), (true, false), (false, true), (true, true)] {
            let deflate = Deflate {
                server_no_context_takeover: one,
                client_no_context_takeover: other,
                server_max_window_bits: bits,
                client_max_window_bits: 23 - bits,
            };
            let mut client = connect(&server, &Options::new().deflate(Some(deflate)));
            assert!(client.compresses());
            for round in 0..3 {
                echoes(&mut client, &b"round and round ".repeat(100 + 500 * round));
            }
            part(client);
        }
    }
    server.stop();
}

/// A message far larger than what the sockets between hold, to a server that sends back what is under way.
#[test]
fn who_sends_and_is_sent_to_at_once_is_not_stuck() {
    let server = server("max_message_bytes = 33554432");
    let mut client = connect(&server, &Options::new());
    let message = pattern(3, 20 << 20);
    echoes(&mut client, &message);
    client.send_binary(&message).unwrap();
    client.ping(b"behind it").unwrap();
    assert!(client.receive().unwrap() == Message::Binary(&message));
    assert_eq!(client.receive().unwrap(), Message::Pong(b"behind it"));
    part(client);
    server.stop();
}

#[test]
fn pings_are_answered_and_what_is_too_long_for_one_is_not_sent() {
    let server = server("");
    let mut client = connect(&server, &Options::new());
    for payload in [&b""[..], b"?", &[9; 125]] {
        client.ping(payload).unwrap();
        assert_eq!(client.receive().unwrap(), Message::Pong(payload));
    }
    assert!(matches!(client.ping(&[9; 126]), Err(Error::Payload(_))));
    part(client);
    server.stop();
}

#[test]
fn nothing_to_receive_is_nothing_and_no_failure() {
    let server = server("");
    let mut client = connect(&server, &Options::new());
    assert_eq!(client.receive_within(Duration::ZERO).unwrap(), None);
    client.send_text("a").unwrap();
    client.set_timeout(Duration::from_secs(60));
    assert_eq!(client.receive().unwrap(), Message::Text("a"));
    client.set_timeout(Duration::from_millis(20));
    let error = client.receive().unwrap_err();
    assert!(error.to_string().starts_with("could not receive a message within 20ms"), "{error}");
    client.set_timeout(Duration::from_secs(60));
    echoes(&mut client, b"as before");
    part(client);
    server.stop();
}

#[test]
fn what_breaks_the_server_s_limits_is_told_with_its_code() {
    let server = server("max_message_bytes = 1000");
    let mut client = connect(&server, &Options::new());
    echoes(&mut client, &[7; 1000]);
    client.send_binary(&[7; 1001]).unwrap();
    match client.receive().unwrap() {
        Message::Close(close) => {
            assert_eq!((close.code, &*close.reason), (Some(CloseCode::TOO_BIG), "frame too large"));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(client.receive(), Err(Error::Closed(_))));
    assert!(matches!(client.send_text("a"), Err(Error::NotWritable)));
    let close = client.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(close.code, Some(CloseCode::TOO_BIG));
    server.wait_for_no_connections();
    server.stop();
}

#[test]
fn behind_its_own_close_a_client_still_hears_what_was_under_way() {
    let server = server("");
    let mut client = connect(&server, &Options::new());
    for text in ["one", "two"] {
        client.send_text(text).unwrap();
    }
    client.begin_close(CloseCode::new(4999).unwrap(), &"é".repeat(100)).unwrap();
    assert!(matches!(client.send_text("three"), Err(Error::NotWritable)));
    assert_eq!(client.receive().unwrap(), Message::Text("one"));
    assert_eq!(client.receive().unwrap(), Message::Text("two"));
    match client.receive().unwrap() {
        Message::Close(close) => assert_eq!(close.code, CloseCode::new(4999)),
        other => panic!("{other:?}"),
    }
    client.close(CloseCode::NORMAL, "").unwrap();
    server.stop();
}
