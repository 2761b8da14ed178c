//! `stop`: as SIGTERM drains, and again at once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use nix::sys::signal::Signal;

use crate::bed::{Instance, command};
use crate::common::{patience, uninterrupted, wait_until};

#[test]
fn a_16_stop_drains_and_returns_when_the_instance_is_gone() {
    let mut instance = Instance::patient("drains");
    let mut client = instance.running.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    assert_eq!(client.head().status(), 200);
    let stop = command(&["--file-prefix", &instance.name, "stop"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    instance.running.line_with("draining");
    assert!(instance.json(&["stats"])["connections"] == 1, "it answers while it drains");
    client.send("cd");
    assert_eq!(client.receive_all(), b"abcd");
    drop(client);
    let output = stop.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"draining; stop again to cut what is left\n");
    assert!(!instance.socket().exists());
    instance.running.ended_well();
}

#[test]
fn a_16_a_second_stop_stops_at_once_whoever_gave_the_first() {
    for by_signal in [false, true] {
        let mut instance = Instance::patient("twice");
        let mut client = instance.running.connect();
        client.send("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
        assert_eq!(client.response().status(), 200);
        let first = if by_signal {
            instance.running.signal(Signal::SIGTERM);
            None
        } else {
            Some(command(&["--file-prefix", &instance.name, "--json", "stop"]).spawn().unwrap())
        };
        instance.running.line_with("draining");
        assert_eq!(instance.text(&["stop"]), "stopping at once\n");
        client.wait_for_the_end();
        if let Some(mut first) = first {
            assert_eq!(first.wait().unwrap().code(), Some(0));
        }
        instance.running.ended_well();
    }
}

#[test]
fn a_16_a_signal_after_stop_stops_at_once() {
    let mut instance = Instance::patient("mixed");
    let mut client = instance.running.connect();
    client.send("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    let mut stop = command(&["--file-prefix", &instance.name, "stop"]).spawn().unwrap();
    instance.running.line_with("draining");
    instance.running.signal(Signal::SIGINT);
    client.wait_for_the_end();
    assert_eq!(stop.wait().unwrap().code(), Some(0));
    instance.running.ended_well();
}

/// Asks for `/` until the connection ends, which it has to do between two responses.
fn ask_until_the_end(address: SocketAddr) {
    const BODY: &[u8] = b"hello! I'm go server !";
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(patience()).unwrap();
    let (mut room, mut got) = ([0; 4096], Vec::new());
    while stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok() {
        got.clear();
        while !got.ends_with(BODY) {
            match uninterrupted(|| stream.read(&mut room)) {
                Ok(count) if count > 0 => got.extend_from_slice(&room[..count]),
                end => return assert!(got.is_empty(), "{end:?} behind {got:?}"),
            }
        }
    }
}

#[test]
fn a_16_a_stop_under_load_cuts_no_reply_short() {
    let instance = Instance::with("load", 2, &crate::bed::toml(""));
    let address = instance.running.address;
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..4).map(|_| scope.spawn(move || ask_until_the_end(address))).collect();
        wait_until(|| instance.json(&["stats"])["messages"].as_u64().unwrap() > 1000);
        assert!(clients.iter().all(|client| !client.is_finished()));
        assert_eq!(instance.json(&["stop"])["stopping"], "draining");
    });
    instance.running.ended_well();
}
