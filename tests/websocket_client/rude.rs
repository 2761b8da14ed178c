//! Servers that break the rules, take their time, or never end.

use std::io::Write;
use std::time::Duration;

use ringway::proto::websocket::{CloseCode, Deflater, Fault, Header, Kind, Opcode, RSV1};
use ringway::websocket::{Client, Error, Message};

use crate::scripted::{Heard, close, frame, header, opened, opened_with, options, text};

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

fn fault_of(client: &mut Client) -> Fault {
    match client.receive() {
        Err(Error::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// What the server breaks, what the client says of it, and what the server is told.
fn check(frames: impl AsRef<[u8]>, fault: Fault) {
    let (mut client, server) = opened(frames);
    assert_eq!(fault_of(&mut client), fault);
    assert_eq!(fault_of(&mut client), fault, "nothing more comes");
    assert!(matches!(client.send_text("a"), Err(Error::NotWritable)));
    drop(client);
    let code = fault.code().map(CloseCode::number);
    assert_eq!(server.heard(), [Heard::Close(code, fault.name().to_owned())]);
}

// W-7
#[test]
fn each_broken_rule_is_told_of_here_and_there() {
    let masked =
        Header { fin: true, rsv: 0, opcode: Opcode::Text, mask: Some([0; 4]), payload_bytes: 1 };
    check([&*masked.encode(), b"a"].concat(), Fault::Masked);
    check(frame(true, RSV1, Opcode::Text, b"a"), Fault::ReservedBits);
    check([0x83, 0], Fault::ReservedOpcode);
    check(frame(false, 0, Opcode::Ping, b""), Fault::ControlFragmented);
    check([0x89, 126], Fault::ControlTooLong);
    check([0x82, 126, 0, 5], Fault::LengthNotMinimal);
    check([0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], Fault::LengthTooLarge);
    check(frame(true, 0, Opcode::Continuation, b"a"), Fault::NothingToContinue);
    check([frame(false, 0, Opcode::Text, b"a"), text("b")].concat(), Fault::Interleaved);
    check(frame(true, 0, Opcode::Text, b"\xff"), Fault::Text);
    check(frame(true, 0, Opcode::Text, b"\xc3"), Fault::Text);
    check(frame(true, 0, Opcode::Close, b"\x03"), Fault::CloseLength);
    check(close(1005, ""), Fault::CloseCode);
    check(frame(true, 0, Opcode::Close, b"\x03\xe8\xff"), Fault::CloseReason);
}

#[test]
fn what_came_before_a_broken_rule_is_received() {
    let (mut client, _server) = opened([text("whole"), vec![0x83, 0]].concat());
    assert_eq!(client.receive().unwrap(), Message::Text("whole"));
    assert_eq!(fault_of(&mut client), Fault::ReservedOpcode);
}

#[test]
fn the_largest_message_is_taken_and_one_byte_more_is_not() {
    let small = options().message_bytes_max(1000);
    let binary = |bytes| frame(true, 0, Opcode::Binary, &vec![7; bytes]);
    let (mut client, _server) = opened_with(&small, "", binary(1000));
    assert_eq!(client.receive().unwrap(), Message::Binary(&[7; 1000]));
    // Its header is enough.
    let (mut client, server) = opened_with(&small, "", &*header(true, 0, Opcode::Binary, 1001));
    assert_eq!(fault_of(&mut client), Fault::MessageTooLarge);
    drop(client);
    assert_eq!(server.heard(), [Heard::Close(Some(1009), "message too large".to_owned())]);
    let fragments = [
        frame(false, 0, Opcode::Binary, &[7; 600]),
        frame(true, 0, Opcode::Continuation, &[7; 401]),
    ];
    let (mut client, _server) = opened_with(&small, "", fragments.concat());
    assert_eq!(fault_of(&mut client), Fault::MessageTooLarge);
    let huge = &*header(true, 0, Opcode::Binary, u64::MAX >> 1);
    let (mut client, _server) = opened(huge);
    assert_eq!(fault_of(&mut client), Fault::MessageTooLarge);
}

#[test]
fn a_bomb_goes_off_at_the_bound_and_what_is_broken_inside_is_told() {
    let small = options().message_bytes_max(100_000).compress(true);
    let packed = |message: &[u8]| {
        let mut out = vec![0; 1 << 16];
        let progress = Deflater::new(15, true, 1).deflate(message, true, &mut out);
        assert!(progress.done);
        frame(true, RSV1, Opcode::Text, &out[..progress.written])
    };
    let message = "a".repeat(100_000);
    let (mut client, _server) = opened_with(&small, DEFLATE, packed(message.as_bytes()));
    assert!(client.receive().unwrap() == Message::Text(&message));
    for (bytes, fault) in [
        (packed(&[b'a'; 100_001]), Fault::MessageTooLarge),
        (packed(&[b'a'; 1 << 20]), Fault::MessageTooLarge),
        (packed(b"a\xff"), Fault::Text),
        (frame(true, RSV1, Opcode::Text, &[0xff; 9]), Fault::Deflate),
        (frame(true, RSV1, Opcode::Ping, b""), Fault::ReservedBits),
    ] {
        let (mut client, server) = opened_with(&small, DEFLATE, bytes);
        assert_eq!(fault_of(&mut client), fault);
        drop(client);
        let code = fault.code().map(CloseCode::number);
        assert_eq!(server.heard(), [Heard::Close(code, fault.name().to_owned())]);
    }
}

#[test]
fn half_a_frame_is_waited_for_and_gone_on_with() {
    let (mut client, mut server) = opened([&text("whole")[..], &text("in halves")[..5]].concat());
    assert_eq!(client.receive().unwrap(), Message::Text("whole"));
    client.set_timeout(Duration::from_millis(20));
    assert!(matches!(client.receive(), Err(Error::Timeout { .. })));
    assert_eq!(client.receive_within(Duration::ZERO).unwrap(), None);
    server.say(&text("in halves")[5..]);
    client.set_timeout(Duration::from_secs(60));
    assert_eq!(client.receive().unwrap(), Message::Text("in halves"));
    server.say(&text("the end comes first")[..9]);
    server.end();
    assert!(matches!(client.receive(), Err(Error::Ended)));
    assert!(matches!(client.receive(), Err(Error::Ended)));
}

/// Sends the same over and over until the client is gone.
fn endless(
    mut server: std::os::unix::net::UnixStream,
    bytes: Vec<u8>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || while server.write_all(&bytes).is_ok() {})
}

#[test]
fn endless_fragments_end_at_a_bound() {
    for (payload, fault) in
        [(&b""[..], Fault::TooManyFragments), (&[b'a'; 1000][..], Fault::MessageTooLarge)]
    {
        let options = options().message_bytes_max(10 << 20);
        let (mut client, server) =
            opened_with(&options, "", frame(false, 0, Opcode::Text, b"begun"));
        let more = frame(false, 0, Opcode::Continuation, payload).repeat(1000);
        let server = endless(server.0, more);
        assert_eq!(fault_of(&mut client), fault);
        drop(client);
        server.join().unwrap();
    }
}

#[test]
fn endless_pings_to_nobody_who_reads_their_pongs_end_with_the_time() {
    let (mut client, server) = opened("");
    client.set_timeout(Duration::from_millis(300));
    let server = endless(server.0, frame(true, 0, Opcode::Ping, &[1; 125]).repeat(100));
    assert!(matches!(client.receive(), Err(Error::Timeout { .. })));
    assert_eq!(client.receive_within(Duration::ZERO).unwrap(), None);
    // Until what is between them is full.
    let error = (0..).find_map(|_| client.send_text("a").err()).unwrap();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(matches!(client.send_text("a"), Err(Error::NotWritable)));
    drop(client);
    server.join().unwrap();
}

#[test]
fn endless_pings_whose_pongs_are_read_end_with_the_time_and_nothing_is_lost() {
    let (mut client, server) = opened("");
    client.set_timeout(Duration::from_millis(100));
    let mut reader = server.0.try_clone().unwrap();
    let reads = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    let server = endless(server.0, frame(true, 0, Opcode::Ping, &[1; 125]));
    assert!(matches!(client.receive(), Err(Error::Timeout { .. })));
    assert_eq!(client.receive_within(Duration::ZERO).unwrap(), None);
    client.set_timeout(Duration::from_secs(60));
    client.send_text("as before").unwrap();
    drop(client);
    server.join().unwrap();
    reads.join().unwrap().unwrap();
}

#[test]
fn pings_between_fragments_are_answered_in_order() {
    let frames = [
        frame(false, 0, Opcode::Text, b"a"),
        frame(true, 0, Opcode::Ping, b"one"),
        frame(true, 0, Opcode::Ping, b"two"),
        frame(true, 0, Opcode::Continuation, b"b"),
        close(1001, "down"),
    ];
    let (mut client, server) = opened(frames.concat());
    assert_eq!(client.receive().unwrap(), Message::Text("ab"));
    server.end();
    let close = client.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!((close.code, &*close.reason), (Some(CloseCode::AWAY), "down"));
    let heard = server.heard();
    let pongs = [Heard::Pong(b"one".into()), Heard::Pong(b"two".into())];
    assert_eq!(heard[..2], pongs);
    assert_eq!(heard[2..], [Heard::Close(Some(1000), String::new())]);
}

#[test]
fn a_server_that_never_answers_a_close_is_given_up() {
    let (mut client, server) = opened(text("no close"));
    client.set_timeout(Duration::from_millis(30));
    let error = client.close(CloseCode::NORMAL, "bye").unwrap_err();
    assert!(error.to_string().starts_with("could not close within"), "{error}");
    assert_eq!(server.heard(), [Heard::Close(Some(1000), "bye".to_owned())]);
    // Nor one that answers it, and does not end.
    let (mut client, _server) = opened(close(1000, ""));
    client.set_timeout(Duration::from_millis(30));
    assert!(matches!(client.close(CloseCode::NORMAL, ""), Err(Error::Timeout { .. })));
    let (client, server) = opened("");
    server.end();
    assert!(matches!(client.close(CloseCode::NORMAL, ""), Err(Error::Ended)));
}

#[test]
fn a_server_that_reads_nothing_is_given_up_in_time() {
    let (mut client, _server) = opened("");
    client.set_timeout(Duration::from_millis(50));
    let error = client.send_binary(&vec![0; 8 << 20]).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(matches!(client.send_text("a"), Err(Error::NotWritable)));
}

#[test]
fn what_is_sent_is_what_the_server_hears() {
    let (mut client, server) = opened("");
    client.send_text("one").unwrap();
    client.ping(b"?").unwrap();
    let refused = client.begin(Kind::Text).send(b"\xff");
    assert!(matches!(refused, Err(Error::Payload(_))));
    let mut message = client.begin(Kind::Text);
    message.send(b"tw").unwrap();
    message.end(b"o").unwrap();
    client.begin(Kind::Binary).send(b"unended").unwrap();
    assert!(matches!(client.send_text("three"), Err(Error::Unended)));
    client.begin_close(CloseCode::NORMAL, "").unwrap();
    drop(client);
    let expected = [
        Heard::Message(b"one".into()),
        Heard::Ping(b"?".into()),
        Heard::Message(b"two".into()),
        Heard::Close(Some(1000), String::new()),
    ];
    assert_eq!(server.heard(), expected);
}
