//! What a capture brings, on the wire and inside.

use std::net::UdpSocket;
use std::process::Command;

use ringway::proto::websocket::Kind;

use crate::bed::{Instance, listener};
use crate::common::{patience, pattern, uninterrupted, websocket};
use crate::reader::{FIN, SYN};

#[test]
fn a_request_and_its_reply_are_a_stream_of_tcp_from_its_beginning_to_its_end() {
    let instance = Instance::http("capture-http");
    let capture = instance.capture(&[]);
    let mut client = instance.running.connect();
    let reply = client.get("/health");
    client.finish();
    client.wait_for_the_end();
    drop(client);
    capture.wait_until(|file| {
        file.packets.iter().filter(|packet| packet.flags & FIN != 0).count() == 2
    });
    let file = capture.interrupted();
    file.check_streams();
    assert_eq!(file.interfaces, ["rx", "tx"]);
    assert_eq!(file.bytes_at("rx"), b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(file.bytes_at("tx"), [reply.head.as_bytes(), &reply.body].concat());
    let flags = |flag: u8| file.packets.iter().filter(|packet| packet.flags & flag != 0).count();
    assert_eq!((flags(SYN), flags(FIN)), (2, 2));
    assert_eq!(file.packets[0].flags, SYN);
    assert!(file.packets[0].comment.starts_with("connection 0:"), "{:?}", file.packets[0]);
    let listens = instance.running.address;
    assert_eq!(file.packets[0].ends.1, (vec![127, 0, 0, 1], listens.port()));
    assert_eq!(file.packets[0].ends.0.0[..2], [100, 64]);
    assert!(file.packets.is_sorted_by_key(|packet| packet.unix_ns));
    assert_eq!(file.statistics[0], (1, 0));
}

#[test]
fn it_ends_with_its_count_and_keeps_no_more_of_a_message_than_was_asked_for() {
    let instance = Instance::http("capture-count");
    let capture = instance.capture(&["--count", "2", "--snaplen", "5", "--stage", "rx"]);
    let mut client = instance.running.connect();
    (0..3).for_each(|_| assert_eq!(client.get("/health").status(), 200));
    let file = capture.ended();
    file.check_streams();
    let with_bytes = file.packets.iter().filter(|packet| packet.payload_full > 0);
    let payloads: Vec<_> =
        with_bytes.map(|packet| (&*packet.payload, packet.payload_full)).collect();
    assert_eq!(payloads, [(&b"GET /"[..], 33), (&b"GET /"[..], 33)]);
    instance.wait_for_nobody("capture");
}

#[test]
fn everything_is_there_and_in_order_also_of_what_ip_would_not_hold() {
    // An answer from static memory may be longer than any buf; an echo comes as it was received.
    let instance = Instance::start("capture-large", &listener("echo", ""));
    let capture = instance.capture(&[]);
    let mut client = instance.running.connect();
    let bytes = pattern(7, 300_000);
    client.send(&bytes);
    assert_eq!(client.receive(bytes.len()), bytes);
    let file = capture.interrupted();
    let (seen, dropped) =
        file.statistics.iter().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    assert!(seen > 0);
    if dropped == 0 {
        file.check_streams();
        assert_eq!(file.bytes_at("rx"), bytes);
        assert_eq!(file.bytes_at("tx"), bytes);
    }
}

#[test]
fn a_websocket_is_masked_on_the_wire_and_plain_inside() {
    let instance = Instance::start("capture-ws", &listener("websocket", "service = \"echo\""));
    let capture = instance.capture(&["--stage", "rx,ingress,handler"]);
    let mut peer = websocket::Peer::connect(instance.running.address);
    peer.echoes(Kind::Text, b"a word that can be read");
    let file = capture.interrupted();
    assert!(file.has_at("rx", b"Upgrade: websocket"), "{file:?}");
    assert!(!file.has_at("rx", b"a word that can be read"));
    assert!(file.has_at("ingress", b"a word that can be read"));
    assert!(file.has_at("handler", b"a word that can be read"));
    let message = file.packets.iter().find(|packet| packet.comment.contains("MESSAGE"));
    assert!(message.unwrap().comment.contains("text"), "{message:?}");
}

#[test]
fn datagrams_stay_datagrams() {
    let udp = "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"udp\"\nprotocol = \"echo\"\n";
    let instance = Instance::start("capture-udp", udp);
    let capture = instance.capture(&[]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(instance.running.address).unwrap();
    socket.set_read_timeout(patience()).unwrap();
    let mut room = [0; 64];
    for word in ["one", "two"] {
        socket.send(word.as_bytes()).unwrap();
        assert_eq!(uninterrupted(|| socket.recv(&mut room)).unwrap(), 3);
    }
    let file = capture.interrupted();
    let payloads = |inbound: bool| -> Vec<Vec<u8>> {
        let of_it = file.packets.iter().filter(|packet| packet.inbound == inbound);
        of_it.map(|packet| packet.payload.clone()).collect()
    };
    assert_eq!(payloads(true), [b"one", b"two"]);
    assert_eq!(payloads(false), [b"one", b"two"]);
    assert!(file.packets.iter().all(|packet| packet.flags == 0));
}

#[test]
fn a_trace_and_a_capture_of_one_listener_do_not_know_of_each_other() {
    let instance = Instance::http("capture-both");
    let capture = instance.capture(&["--stage", "rx"]);
    let trace = instance.trace(&["--count", "1"]);
    let mut client = instance.running.connect();
    client.get("/one");
    assert_eq!(trace.rest().last().unwrap()["traced"]["messages"], 1);
    instance.wait_for_nobody("trace");
    client.get("/two");
    let file = capture.interrupted();
    assert!(file.has_at("rx", b"GET /one ") && file.has_at("rx", b"GET /two "));
}

/// Wireshark's own reader, where there is one: it follows the stream and finds HTTP in it.
#[test]
fn tshark_finds_the_requests_in_it() {
    if Command::new("tshark").arg("--version").output().is_err() {
        return eprintln!("skipped: there is no tshark (apt-get install tshark)");
    }
    let instance = Instance::http("capture-tshark");
    let capture = instance.capture(&[]);
    let mut client = instance.running.connect();
    client.get("/health");
    client.post("/echo", b"hello");
    capture.wait_for("tx", b"hello");
    capture.signal(nix::sys::signal::Signal::SIGINT);
    let mut capture = capture;
    assert!(capture.child.wait().unwrap().success());
    let port = instance.running.address.port();
    let output = Command::new("tshark")
        .args(["-r", &capture.path.display().to_string(), "-d", &format!("tcp.port=={port},http")])
        .args(["-T", "fields", "-e", "http.request.uri", "-e", "http.response.code"])
        .args(["-Y", "http", "-o", "tcp.check_checksum:TRUE"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let words: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(words, ["/health", "200", "/echo", "200"]);
    let bad = Command::new("tshark")
        .args(["-r", &capture.path.display().to_string(), "-o", "tcp.check_checksum:TRUE"])
        .args(["-Y", "tcp.checksum_bad or tcp.analysis.flags or _ws.malformed"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(bad.stdout).unwrap(), "", "no packet is odd");
}
