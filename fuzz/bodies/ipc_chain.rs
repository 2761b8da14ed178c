//! What must hold of the chain of the line protocol and its handler, whatever happens in which order.
//! The fuzz target and `tests/fuzz_corpus.rs` share it.

use ringway::handler::Ipc;
use ringway::handler::ipc::{Command, Pull, Reply, Service};
use ringway::limits::IPC_COMMAND_BYTES_MAX;
use ringway::mem::ConnId;
use ringway::pipeline::chain::ipc::Settings;
use ringway::pipeline::{Cx, Pipeline, chain};
use ringway::testing::{End, Harness, SLOTS};
use std::time::Duration;

/// Connections that a list of operations can name.
const CONNS: usize = 4;

/// What peers say, beside bytes of any kind.
const WORDS: [&str; 14] = [
    "text\n",
    "j/text\r\n",
    "large\n",
    "stream\n",
    "fail\n",
    "j/fail\n",
    "panic\n",
    "cut\n",
    "te",
    "j/",
    "\n",
    "\0\n",
    "\r",
    "stream\ntext\n",
];

/// Bufs that may wait in front of the chain: fewer than the pool has, which may be starved.
const WAITING_MAX: usize = 100;

const LARGE_BYTES: usize = 100_000;
const PARTS: u32 = 30;

/// Replies that are known by their end.
struct Replies {
    /// Parts that each connection is still to get.
    parts: [u32; SLOTS as usize],
    cut: [bool; SLOTS as usize],
    /// The connection in each slot that has said its command.
    served: [ConnId; SLOTS as usize],
}

impl Service for Replies {
    fn call(&mut self, _cx: &mut Cx, command: &Command<'_>, reply: &mut Reply) {
        let slot = reply.conn().slot() as usize;
        assert_ne!(self.served[slot], reply.conn(), "a connection has one command");
        self.served[slot] = reply.conn();
        match command.name {
            "large" => reply.bytes(&[b'-'; LARGE_BYTES]),
            "stream" | "cut" => {
                self.parts[slot] = PARTS;
                self.cut[slot] = command.name == "cut";
                reply.stream();
                return;
            }
            "fail" => return reply.fail(500, "as it was asked to"),
            "panic" => std::panic::resume_unwind(Box::new("as it was asked to")),
            // A peer's words could begin like any other answer: this mark tells them apart.
            name => {
                reply.bytes(b"=");
                reply.bytes(name.as_bytes());
            }
        }
        reply.bytes(b"end\n");
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let slot = conn.slot() as usize;
        if self.parts[slot] == 0 {
            return if self.cut[slot] { Pull::Cut } else { Pull::End };
        }
        let Some(mut part) = cx.alloc(4, conn) else { return Pull::Wait };
        self.parts[slot] -= 1;
        let last = self.parts[slot] == 0 && !self.cut[slot];
        assert!(part.append(if last { b"end\n" } else { b"part" }));
        Pull::Part(part)
    }
}

/// Each byte is an operation and its argument, some with bytes of their own behind them.
pub fn check(bytes: &[u8]) {
    let chain = chain::Ipc::new(SLOTS, Settings::for_slots(64, 64));
    let service = Replies {
        parts: [0; SLOTS as usize],
        cut: [false; SLOTS as usize],
        served: [ConnId::NONE; SLOTS as usize],
    };
    let handler = Ipc::new(SLOTS, service);
    let mut harness = Harness::build(|_| (Pipeline::Ipc(Box::new(chain)), handler));
    let mut conns: Vec<ConnId> = Vec::new();
    let (mut current, mut rest) = (0, bytes);
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let argument = usize::from(first & 31);
        if conns.len() <= current {
            conns.push(harness.open());
            current = conns.len() - 1;
        }
        let conn = conns[current];
        if harness.waiting() > WAITING_MAX {
            harness.starve(false);
            harness.run();
        }
        match first >> 5 {
            0 => {
                let (raw, after) = rest.split_at(rest.len().min(argument + 1));
                harness.receive(conn, raw);
                rest = after;
            }
            1 => harness.receive(conn, WORDS[argument % WORDS.len()]),
            2 => harness.receive_cut(conn, WORDS[argument % WORDS.len()], 1),
            3 => current = argument % CONNS,
            4 if argument > 15 => {
                let filler = vec![b' '; IPC_COMMAND_BYTES_MAX - argument];
                harness.receive_cut(conn, filler, 2048);
            }
            4 => harness.starve(argument % 2 == 1),
            5 if argument == 0 => harness.eof(conn),
            5 if argument == 1 => harness.reset(conn),
            6 => harness.advance(Duration::from_secs(argument as u64)),
            _ if argument == 31 => harness.drain(),
            _ => harness.run(),
        }
    }
    harness.starve(false);
    // What waited for a slot goes on now.
    (0..64).for_each(|_| harness.run());
    assert_eq!(harness.waiting(), 0, "there are slots enough");
    conns.iter().for_each(|&conn| check_reply(harness.sent(conn), harness.closed(conn)));
    harness.finish();
}

/// A reply is whole where the connection is closed behind it, and there is none where it was not.
fn check_reply(sent: &[u8], end: Option<End>) {
    let is_error = sent.starts_with(b"error: ") || sent.starts_with(b"{\"error\": \"");
    match end {
        Some(End::Linger) if is_error => {
            assert_eq!(sent.iter().filter(|b| **b == b'\n').count(), 1)
        }
        Some(End::Linger) => {
            let bytes = match sent.first() {
                Some(b'-') => LARGE_BYTES + 4,
                Some(b'p') => 4 * PARTS as usize,
                first => {
                    assert_eq!(first, Some(&b'='), "an answer that nobody gave");
                    sent.len()
                }
            };
            assert!(sent.ends_with(b"end\n") && sent.len() == bytes, "it is whole");
        }
        Some(End::Abort) => assert_eq!(sent.len(), 4 * PARTS as usize, "it was cut"),
        Some(End::Close) | None => assert!(sent.is_empty(), "nobody was answered"),
        Some(End::Reset) => {}
        Some(End::Refused) => unreachable!("nobody refuses here"),
    }
}
