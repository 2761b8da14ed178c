//! A pipe between two processes through the dataplane, of which one is killed while bytes are under way.

use std::time::Duration;

use nix::sys::signal::Signal;
use ringway::attach::{Attachment, Message, Queue};
use ringway::counters::Counter;
use ringway::mem::{ConnId, Trust, kind};

use crate::child::Child;
use crate::common::{Start, pattern, wait_until};
use crate::kills::Bed;

/// Connections that the feeding process has at a time.
const STREAMS: u32 = 4;

/// Bytes that it sends on each before it opens another in its place, unless it is closed before.
const BYTES: usize = 50_000;

/// One of its connections.
struct Stream {
    number: u32,
    conn: ConnId,
    sent: usize,
    heard: usize,
    ended: bool,
}

impl Stream {
    fn open(queue: &mut Queue) -> Self {
        Self { number: queue.connect(), conn: ConnId::NONE, sent: 0, heard: 0, ended: false }
    }

    fn on(&mut self, message: &Message, bytes: &[u8]) {
        match message.kind {
            kind::OPEN => self.conn = message.conn,
            kind::DATA => {
                let heard = message.bytes();
                assert!(bytes[self.heard..].starts_with(heard), "what comes is what was sent");
                self.heard += heard.len();
            }
            kind::CLOSED => self.ended = true,
            other => panic!("a peer is told no kind {other}"),
        }
    }

    fn send(&mut self, queue: &mut Queue, bytes: &[u8]) {
        if self.conn == ConnId::NONE {
            return;
        }
        let left = &bytes[self.sent..];
        let piece = &left[..left.len().min(1500)];
        if piece.is_empty() {
            return;
        }
        let Some(mut message) = queue.alloc(self.conn, piece.len()) else { return };
        assert!(message.append(piece));
        queue.send(message);
        self.sent += piece.len();
        if self.sent == bytes.len() {
            queue.send(Message::marker(self.conn, kind::EOF));
        }
    }
}

/// What the feeding process does until it is killed, or the dataplane ends.
pub fn feed(port: &mut Attachment) {
    let bytes = pattern(9, BYTES);
    let mut streams: Vec<Stream> =
        (0..STREAMS).map(|_| Stream::open(&mut port.queues()[0])).collect();
    loop {
        let queue = &mut port.queues()[0];
        while let Some(message) = queue.receive() {
            let of = |stream: &&mut Stream| {
                stream.conn == message.conn || stream.number == message.number
            };
            if let Some(stream) = streams.iter_mut().find(of) {
                stream.on(&message, &bytes);
            }
        }
        for stream in &mut streams {
            if stream.ended {
                *stream = Stream::open(queue);
            }
            stream.send(queue, &bytes);
        }
        queue.flush();
        if port.wait(Some(Duration::from_millis(1))).is_err() {
            return;
        }
    }
}

#[test]
fn either_end_of_a_pipe_may_be_killed_at_any_moment() {
    for trust in [Trust::Shared, Trust::Isolated] {
        let start = Start::new().listener("http", "");
        let start = start.peer("feed", "raw").limited("handler = \"port:end\"");
        let bed = Bed::serve(start);
        let begin = |port| {
            let mut child = Child::start(&bed.socket, port, trust, "");
            child.wait_for("attached");
            child
        };
        let mut ends = [begin("feed"), begin("end")];
        let mut direct = bed.server.connect();
        for round in 0..16 {
            let before = bed.server.count(Counter::TxBufs);
            // Bytes go round: at least one connection is whole and on.
            wait_until(|| bed.server.count(Counter::TxBufs) > before + 20);
            let which = round % 2;
            let name = ["feed", "end"][which];
            ends[which].signal(Signal::SIGKILL);
            bed.wait_until_free(name);
            if name == "feed" {
                // All but the one that asks beside them.
                wait_until(|| bed.server.plane().status().connections() == 1);
            }
            assert_eq!(direct.get("/health").status(), 200, "others do not notice");
            ends[which] = begin(name);
        }
        drop((ends, direct));
        bed.wait_until_free("feed");
        bed.wait_until_free("end");
        bed.server.wait_for_no_connections();
        assert_eq!(bed.server.count(Counter::PortFaults), 0);
        bed.server.drain();
    }
}
