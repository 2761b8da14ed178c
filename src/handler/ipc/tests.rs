use std::fmt::Write;
use std::time::Duration;

use super::*;
use crate::counters::{Reason, Totals};
use crate::limits::IPC_REPLY_BYTES_MAX;
use crate::pipeline::{Pipeline, chain};
use crate::testing::{End, Harness, SLOTS};

fn harness<S: Service>(service: S) -> Harness<Ipc<S>> {
    let settings = chain::ipc::Settings::for_slots(64, 64);
    let chain = chain::Ipc::new(SLOTS, settings);
    Harness::build(|_| (Pipeline::Ipc(Box::new(chain)), Ipc::new(SLOTS, service)))
}

/// What `service` answers to `line`, whole, and how the connection ended.
fn ask<S: Service>(service: S, line: &str) -> (String, Option<End>) {
    let mut harness = harness(service);
    let conn = harness.open();
    harness.receive(conn, line);
    // A service that is waited for is asked once in each.
    (0..4).for_each(|_| harness.run());
    let reply = String::from_utf8(harness.take_sent(conn)).unwrap();
    let end = harness.closed(conn);
    harness.finish();
    (reply, end)
}

fn builtin(line: &str) -> String {
    let (reply, end) = ask(Builtin::new(Totals::new(Vec::new())), line);
    assert_eq!(end, Some(End::Linger));
    reply
}

/// `large N`: so many bytes at once; `stream N`: so many parts of 1000 bytes; `panic`, `cut`, and
/// `late`, which panics in its stream.
#[derive(Default)]
struct Parts {
    left: u32,
    calls: u32,
    closed: u32,
    waits: u32,
    end: Option<&'static str>,
}

impl Service for Parts {
    fn call(&mut self, _cx: &mut Cx, command: &Command<'_>, reply: &mut Reply) {
        self.calls += 1;
        let number = command.arguments.parse().unwrap_or(0);
        match command.name {
            "large" => reply.bytes(&vec![b'l'; number as usize]),
            "panic" => {
                let _ = write!(reply, "half a reply");
                panic!("as it was asked to");
            }
            name => {
                self.left = number;
                self.waits = match name {
                    "waits" => 3,
                    "long" => u32::MAX,
                    _ => 0,
                };
                self.end = match name {
                    "cut" => Some("cut"),
                    "late" => Some("panic"),
                    _ => None,
                };
                reply.bytes(b"begins ");
                reply.stream();
            }
        }
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        if self.waits > 0 {
            self.waits -= 1;
            return Pull::Wait;
        }
        if self.left == 0 {
            return match self.end {
                Some("cut") => Pull::Cut,
                Some(_) => panic!("as it was asked to"),
                None => Pull::End,
            };
        }
        let Some(mut part) = cx.alloc(1000, conn) else { return Pull::Wait };
        assert!(part.append(&[b's'; 1000]));
        self.left -= 1;
        Pull::Part(part)
    }

    fn closed(&mut self, _cx: &mut Cx, _conn: ConnId) {
        self.closed += 1;
    }
}

#[test]
fn the_commands_of_ringway_answer_in_text_and_in_json() {
    assert_eq!(builtin("ping\n"), "pong\n");
    assert_eq!(builtin("j/ping\r\n"), "{\"result\": \"pong\"}\n");
    assert_eq!(builtin("echo  a \"b\" \n"), "a \"b\"\n");
    assert_eq!(builtin("j/echo a \"b\"\n"), "{\"result\": \"a \\\"b\\\"\"}\n");
    assert_eq!(builtin("version\n"), concat!(env!("CARGO_PKG_VERSION"), "\n"));
    assert!(builtin("help\n").lines().any(|line| line.starts_with("ping ")));
    assert!(builtin("j/help\n").starts_with("{\"result\": {\"help\": "));
    assert!(builtin("status\n").lines().any(|line| line == "connections 0"));
    assert!(builtin("j/status\n").contains("\"connections\":0,"));
}

#[test]
fn i6_errors_are_in_the_format_that_was_asked_for() {
    let error = "error: no command `x`; `help` lists those there are\n";
    assert_eq!(builtin("x y\n"), error);
    let error = "{\"error\": \"no command `x`; `help` lists those there are\", \"code\": 404}\n";
    assert_eq!(builtin("j/x y\n"), error);
    assert_eq!(builtin("\n"), "error: no command ``; `help` lists those there are\n");
    assert_eq!(builtin("a\0\n"), "error: the command holds a NUL byte\n");
    let error = "{\"error\": \"the command holds a NUL byte\", \"code\": 400}\n";
    assert_eq!(builtin("j/a\0\n"), error);
}

#[test]
fn i3_a_function_is_a_service_and_is_called_once_for_a_connection() {
    let mut calls = 0;
    let service = |_: &mut Cx, command: &Command<'_>, reply: &mut Reply| {
        calls += 1;
        let _ = write!(reply, "{calls}{}", command.arguments);
    };
    assert_eq!(ask(service, "a b\na c\n"), ("1b".into(), Some(End::Linger)));
    let quiet = |_: &mut Cx, _: &Command<'_>, _: &mut Reply| {};
    assert_eq!(ask(quiet, "a\n"), (String::new(), Some(End::Linger)));
}

#[test]
fn i5_a_reply_of_any_length_comes_whole_and_then_the_close() {
    for bytes in [0usize, 1, 2048, 2049, 16384, 65536, 65537, 131_073, 10_000_000] {
        let (reply, end) = ask(Parts::default(), &format!("large {bytes}\n"));
        assert!(reply.len() == bytes && reply.bytes().all(|b| b == b'l'), "{bytes}");
        assert_eq!(end, Some(End::Linger));
    }
}

#[test]
fn i8_a_reply_of_the_limit_is_sent_and_a_larger_one_is_an_error_that_says_so() {
    let (reply, _) = ask(Parts::default(), &format!("large {IPC_REPLY_BYTES_MAX}\n"));
    assert_eq!(reply.len(), IPC_REPLY_BYTES_MAX);
    let (reply, _) = ask(Parts::default(), &format!("j/large {}\n", IPC_REPLY_BYTES_MAX + 1));
    let error = "{\"error\": \"the reply is larger than 16777216 bytes\", \"code\": 500}\n";
    assert_eq!(reply, error);
}

#[test]
fn i11_a_reply_is_streamed_behind_its_text_and_waits_for_what_is_not_there_yet() {
    for name in ["stream", "waits"] {
        for parts in [0, 1, 16, 17, 1000] {
            let (reply, end) = ask(Parts::default(), &format!("{name} {parts}\n"));
            assert_eq!(reply.len(), "begins ".len() + parts * 1000);
            assert_eq!((&reply[..7], end), ("begins ", Some(End::Linger)));
        }
    }
}

#[test]
fn i5_a_reply_that_cannot_be_whole_is_cut_off_and_never_closed_as_if_it_were() {
    for name in ["cut", "late"] {
        let (reply, end) = ask(Parts::default(), &format!("{name} 1\n"));
        assert_eq!((reply.len(), end), (1007, Some(End::Abort)), "{name}");
    }
}

#[test]
fn i7_a_panic_costs_one_connection_which_hears_of_it() {
    let mut harness = harness(Parts::default());
    let (first, second) = (harness.open(), harness.open());
    harness.receive(first, b"j/panic\n");
    harness.receive(second, b"large 3\n");
    let error = "{\"error\": \"the command `panic` failed: it panicked\", \"code\": 500}\n";
    assert_eq!(harness.sent(first), error.as_bytes(), "and no half of a reply");
    assert_eq!(harness.closed(first), Some(End::Linger));
    assert_eq!(harness.sent(second), b"lll");
    harness.finish();
}

#[test]
fn a_peer_that_goes_in_the_middle_of_a_stream_is_told_to_the_service_once() {
    let mut harness = harness(Parts::default());
    let conn = harness.open();
    harness.receive(conn, b"waits 5\n");
    harness.reset(conn);
    harness.run();
    assert_eq!((harness.handler.service.calls, harness.handler.service.closed), (1, 1));
    let other = harness.open();
    harness.receive(other, b"stream 5\n");
    assert_eq!(harness.closed(other), Some(End::Linger));
    assert_eq!(harness.handler.service.closed, 1, "one that came to its end is not");
    harness.finish();
}

#[test]
fn i3_while_a_reply_is_under_way_no_second_command_is_run_and_no_time_is_over() {
    let mut harness = harness(Parts::default());
    let conn = harness.open();
    harness.receive(conn, b"long 2\n");
    harness.receive(conn, b"large 3\n");
    harness.eof(conn);
    harness.advance(Duration::from_secs(60));
    assert_eq!((harness.handler.service.calls, harness.closed(conn)), (1, None));
    assert_eq!(harness.cx.counters.dropped(Reason::Protocol), 1, "the second");
    harness.drain();
    assert_eq!(harness.closed(conn), None, "whom a reply is owed waits for it");
    harness.handler.service.waits = 0;
    harness.run();
    assert_eq!((harness.sent(conn).len(), harness.closed(conn)), (2007, Some(End::Linger)));
    harness.finish();
}

#[test]
fn where_no_slot_is_free_a_command_runs_once_and_its_reply_comes_later() {
    let mut harness = harness(Parts::default());
    let conn = harness.open();
    harness.starve(true);
    harness.receive(conn, b"large 100000\n");
    harness.advance(Duration::from_secs(5));
    assert_eq!(harness.handler.service.calls, 1);
    harness.starve(false);
    harness.run();
    assert_eq!(harness.sent(conn).len(), 100_000);
    assert_eq!((harness.handler.service.calls, harness.closed(conn)), (1, Some(End::Linger)));
    harness.finish();
}

#[test]
fn where_no_large_slot_is_free_small_ones_serve() {
    let mut harness = harness(Parts::default());
    let most = harness.cx.pool.slot_bytes_max();
    let pool = harness.cx.pool.clone();
    let hoard: Vec<Buf> = std::iter::from_fn(|| pool.alloc(most)).collect();
    let conn = harness.open();
    harness.receive(conn, b"large 100000\n");
    assert_eq!(harness.sent(conn).len(), 100_000);
    drop(hoard);
    harness.finish();
}

#[test]
fn the_room_of_a_reply_is_used_again() {
    let mut harness = harness(Parts::default());
    let room = harness.handler.scratch.as_ptr();
    for _ in 0..3 {
        let conn = harness.open();
        harness.receive(conn, b"large 60000\n");
        assert_eq!(harness.handler.scratch.as_ptr(), room);
    }
    assert_eq!(harness.cx.counters.dropped(Reason::Protocol), 0);
    harness.finish();
}
