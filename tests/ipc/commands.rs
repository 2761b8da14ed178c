//! What is a command, and what is not (I-3, I-4, I-6).

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use ringway::counters::{Counter, Reason};
use ringway::handler::ipc::{Command, Reply, Service};
use ringway::pipeline::Cx;
use ringway::sync::{AtomicBool, Ordering};

use crate::bed::{Bed, Wish};
use crate::common::wait_until;

#[test]
fn the_commands_of_ringway_answer_and_close() {
    let bed = Bed::new();
    assert_eq!(bed.ask("ping\n"), "pong\n");
    assert_eq!(bed.ask("j/ping\r\n"), "{\"result\": \"pong\"}\n");
    assert_eq!(bed.ask("echo a b\n"), "a b\n");
    assert_eq!(bed.ask("version\n"), concat!(env!("CARGO_PKG_VERSION"), "\n"));
    assert!(bed.ask("help\n").contains("\nping "));
    assert!(bed.ask("status\n").contains("\naccepted 6\n"));
    let status: serde_json::Value = serde_json::from_str(&bed.ask("j/status\n")).unwrap();
    assert_eq!(status["counters"]["accepted"], 7);
    assert_eq!(bed.ask("nothing\n"), "error: no command `nothing`; `help` lists those there are\n");
    bed.stop();
}

#[test]
fn i4_a_command_of_4096_bytes_is_run_and_one_of_4097_is_an_error_and_never_cut() {
    let bed = Bed::new();
    let line = |bytes: usize| format!("echo {}\n", "a".repeat(bytes - 6));
    assert_eq!(bed.ask(line(4096)), format!("{}\n", "a".repeat(4090)));
    let error = "error: the command is longer than 4096 bytes with its newline\n";
    assert_eq!(bed.ask(line(4097)), error);
    let error = "{\"error\": \"the command is longer than 4096 bytes with its newline\", \
                 \"code\": 413}\n";
    assert_eq!(bed.ask("j/".to_owned() + &line(4097)), error);
    bed.stop();
}

#[test]
fn of_two_commands_in_one_write_the_first_is_answered_and_the_second_never_run() {
    let bed = Bed::new();
    assert_eq!(bed.ask("echo one\necho two\n"), "one\n");
    wait_until(|| bed.server.plane().status().dropped(Reason::Protocol) == 1);
    assert_eq!(bed.count(Counter::Messages), 1);
    bed.stop();
}

#[test]
fn one_command_in_ten_writes_is_one_command() {
    let bed = Bed::new();
    let mut peer = bed.connect();
    for piece in ["e", "c", "h", "o", " ", "a", " ", "b", "\r", "\n"] {
        peer.send(piece);
        sleep(Duration::from_millis(2));
    }
    assert_eq!(peer.reply(), b"a b\n");
    bed.stop();
}

#[test]
fn i4_bytes_that_are_no_utf8_and_nul_are_errors() {
    let bed = Bed::new();
    assert_eq!(bed.ask(b"echo \xff\n"), "error: the command is not UTF-8\n");
    assert_eq!(bed.ask(b"echo a\0b\n"), "error: the command holds a NUL byte\n");
    let error = "{\"error\": \"the command is not UTF-8\", \"code\": 400}\n";
    assert_eq!(bed.ask(b"j/echo \xc3\n"), error);
    bed.stop();
}

#[test]
fn who_ends_without_a_newline_is_told_and_who_says_nothing_is_let_go() {
    let bed = Bed::new();
    let reply = bed.connect().send("ping").finish().reply();
    assert_eq!(reply, b"error: the command was not ended by a newline\n");
    assert_eq!(bed.connect().finish().reply(), b"");
    assert_eq!(bed.connect().send("ping\n").finish().reply(), b"pong\n");
    bed.stop();
}

#[test]
fn i11_a_command_that_does_not_come_is_told_so_and_closed() {
    let settings = "command_timeout_ms = 1".to_owned();
    let bed = Bed::with(&Wish { settings, ..Wish::default() });
    let reply = bed.connect().send("j/pin").reply();
    assert_eq!(reply, b"{\"error\": \"the command took too long to arrive\", \"code\": 408}\n");
    assert_eq!(bed.count(Counter::Timeouts), 1);
    bed.stop();
}

/// Commands of a service that holds its lcore up for longer than a command may take.
struct Holds(Arc<AtomicBool>);

impl Service for Holds {
    fn call(&mut self, _cx: &mut Cx, command: &Command<'_>, reply: &mut Reply) {
        if command.name == "hold" {
            self.0.store(true, Ordering::Relaxed);
            sleep(Duration::from_secs(6));
        }
        reply.bytes(command.name.as_bytes());
    }
}

#[test]
fn who_was_in_time_is_not_late_because_nobody_looked() {
    // More than one pass takes in.
    const PEERS: u64 = 300;
    let holds = Arc::new(AtomicBool::new(false));
    let settings = "command_timeout_ms = 4000".to_owned();
    let service = holds.clone();
    let wish = Wish { settings, ..Wish::default() };
    let bed = Bed::serving(&wish, move || Holds(service.clone()));
    let mut halves: Vec<_> = (0..PEERS).map(|_| bed.connect()).collect();
    wait_until(|| bed.server.plane().status().connections() == PEERS);
    for peer in &mut halves {
        peer.send("wo");
    }
    let mut holder = bed.connect();
    holder.send("hold\n");
    wait_until(|| holds.load(Ordering::Relaxed));
    for peer in &mut halves {
        peer.send("rd\n");
    }
    for mut peer in halves {
        assert_eq!(String::from_utf8(peer.reply()).unwrap(), "word");
    }
    assert_eq!((holder.reply(), bed.count(Counter::Timeouts)), (b"hold".to_vec(), 0));
    bed.stop();
}

#[test]
fn a_drain_closes_those_that_have_said_nothing_and_removes_the_file() {
    let bed = Bed::new();
    let mut silent = bed.connect();
    wait_until(|| bed.server.plane().status().connections() == 1);
    bed.server.plane().drain();
    assert_eq!(silent.reply(), b"");
    wait_until(|| !bed.path().exists());
    bed.server.account();
}

#[test]
fn settings_that_it_does_not_have_or_that_are_out_of_bounds_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (settings, part) in [
        ("command_timeout_ms = 0", "a number from 1 to 86400000"),
        ("command_timeout_ms = 86400001", "a number from 1 to 86400000"),
        ("timeout_ms = 1", "no setting `timeout_ms`"),
    ] {
        let wish = Wish { settings: settings.to_owned(), ..Wish::default() };
        let outcome = crate::bed::builder(&directory, "ipc", &wish).start();
        let error = outcome.err().expect("it must not start").to_string();
        assert!(error.contains(part) && error.contains("ipc"), "{error}");
    }
}

#[test]
fn other_protocols_run_over_unix_sockets_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let builder = crate::bed::builder(&directory, "http", &Wish::default());
    let server = crate::common::Server::run(builder);
    let mut peer = crate::bed::Peer::connect(&crate::bed::path_in(&directory));
    peer.send("POST /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let response = String::from_utf8(peer.reply()).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\npong"));
    server.stop();
}
