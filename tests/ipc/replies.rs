//! Replies of any length, to peers of any patience (I-5, I-7, I-11).

use ringway::counters::Counter;
use ringway::handler::ipc::{Command, Pull, Reply, Service};
use ringway::mem::ConnId;
use ringway::pipeline::Cx;

use crate::bed::{Bed, Peer, Trials, Wish, large};
use crate::common::wait_until;

const MEGABYTES_10: usize = 10_000_000;

#[test]
fn i5_a_reply_of_10_mb_arrives_whole() {
    let bed = Bed::serving(&Wish::default(), || Trials);
    let reply = bed.connect().send(format!("large {MEGABYTES_10}\n")).reply();
    assert!(reply == large(MEGABYTES_10), "{} bytes came", reply.len());
    bed.stop();
}

#[test]
fn i5_a_peer_that_has_ended_its_side_gets_the_whole_reply_as_well() {
    let bed = Bed::serving(&Wish::default(), || Trials);
    let reply = bed.connect().send(format!("large {MEGABYTES_10}\n")).finish().reply();
    assert!(reply == large(MEGABYTES_10), "{} bytes came", reply.len());
    bed.stop();
}

#[test]
fn i7_a_handler_that_panics_costs_one_connection() {
    let bed = Bed::serving(&Wish::default(), || Trials);
    let mut waiting = bed.connect();
    let error = "error: the command `panic` failed: it panicked\n";
    for _ in 0..3 {
        assert_eq!(bed.ask("panic\n"), error);
    }
    assert_eq!(waiting.send("ping\n").reply(), b"pong\n");
    bed.stop();
}

#[test]
fn a_client_that_never_reads_holds_up_nobody_and_is_given_up() {
    let wish = Wish { keys: "write_timeout_ms = 1000".to_owned(), ..Wish::default() };
    let bed = Bed::serving(&wish, || Trials);
    // So many that their windows take more large slots than there are.
    let never: Vec<Peer> = (0..60)
        .map(|_| {
            let mut peer = bed.connect();
            peer.send(format!("large {MEGABYTES_10}\n"));
            peer
        })
        .collect();
    for _ in 0..100 {
        assert_eq!(bed.ask("ping\n"), "pong\n");
        let reply = bed.connect().send("large 200000\n").reply();
        assert!(reply == large(200_000), "{} bytes came", reply.len());
    }
    let stalled = never.len() as u64;
    wait_until(|| bed.count(Counter::StalledPeers) == stalled);
    for mut peer in never {
        assert!(peer.reply().len() < MEGABYTES_10, "it was not whole");
        assert!(peer.is_cut_off(), "and the peer can tell");
    }
    bed.stop();
}

/// Counts up, a line at a time, as far as it is asked.
struct Count {
    next: u32,
    last: u32,
}

impl Service for Count {
    fn call(&mut self, _cx: &mut Cx, command: &Command<'_>, reply: &mut Reply) {
        (self.next, self.last) = (0, command.arguments.parse().unwrap());
        reply.stream();
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        if self.next == self.last {
            return Pull::End;
        }
        let Some(mut part) = cx.alloc(2048, conn) else { return Pull::Wait };
        while self.next < self.last && part.append(format!("{}\n", self.next).as_bytes()) {
            self.next += 1;
        }
        Pull::Part(part)
    }
}

#[test]
fn i11_a_streamed_reply_arrives_whole_and_in_order() {
    let bed = Bed::serving(&Wish::default(), || Count { next: 0, last: 0 });
    let reply = String::from_utf8(bed.connect().send("count 1000000\n").reply()).unwrap();
    assert!(reply.lines().map(str::parse).eq((0..1_000_000u32).map(Ok)));
    bed.stop();
}
