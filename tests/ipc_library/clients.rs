//! Replies that are read while they are written, and clients of many threads.

use std::io::Read;
use std::thread;

use ringway::ipc::Client;

use crate::bed::{Bed, PATIENCE};

#[test]
fn i11_a_reply_is_read_while_it_is_written() {
    let bed = Bed::new();
    let mut stream = Client::new(&bed.path).timeout(PATIENCE).stream("part-wait").unwrap();
    let mut part = [0; 5];
    stream.read_exact(&mut part).unwrap();
    assert_eq!(&part, b"part ");
    assert_eq!(stream.peer().pid, std::process::id() as i32);
    bed.door.open();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "whole");
}

#[test]
fn i9_one_client_serves_many_threads() {
    let bed = Bed::new();
    let client = Client::new(&bed.path).timeout(PATIENCE);
    thread::scope(|scope| {
        for sender in 0..8 {
            let client = client.clone();
            scope.spawn(move || {
                for turn in 0..50 {
                    let reply = client.send(&format!("echo {sender} {turn}")).unwrap();
                    assert_eq!(reply, format!("{sender} {turn}\n").as_bytes());
                }
            });
        }
    });
}

#[test]
fn a_reply_that_only_begins_like_an_error_is_a_reply() {
    let bed = Bed::new();
    for text in ["error", "err", "{\"error\": 1}", "{\"error\": \"x\", \"code\": \"y\"}", "{"] {
        assert_eq!(bed.text(&format!("echo {text}")), format!("{text}\n"));
    }
    assert_eq!(bed.refusal("echo error: it is what it says").0, "it is what it says");
}
