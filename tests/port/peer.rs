//! A process that is a listener's peer: it opens connections, and the handler answers.

use std::thread;
use std::time::Duration;

use ringway::attach::{Message, Queue};
use ringway::counters::{Counter, Reason};
use ringway::mem::{ConnId, Trust, kind};
use ringway::port::kind::CUT;

use crate::common::{Server, Start, pattern, wait_until};
use crate::program::{Program, echo};

/// Bytes of a small slot.
const PIECE: usize = 2048;

/// One connection of a program that is a peer.
pub struct Stream {
    pub conn: ConnId,
    pub heard: Vec<u8>,
    /// It has ended: `true` where it was cut off.
    pub ended: Option<bool>,
}

impl Stream {
    /// Opens one on the first queue; `None`: it was refused.
    pub fn open(program: &mut Program) -> Option<Self> {
        let queue = &mut program.port.queues()[0];
        let number = queue.connect();
        queue.flush();
        loop {
            match queue.receive() {
                Some(word) if word.number == number => {
                    let opened = word.kind == kind::OPEN;
                    assert!(opened || word.kind == kind::CLOSED && word.meta == CUT);
                    let conn = word.conn;
                    return opened.then_some(Self { conn, heard: Vec::new(), ended: None });
                }
                Some(_) => {}
                None => thread::yield_now(),
            }
        }
    }

    /// Takes what has come for it.
    pub fn pump(&mut self, queue: &mut Queue) {
        while let Some(message) = queue.receive() {
            if message.conn != self.conn {
                continue;
            }
            assert_eq!(self.ended, None, "nothing follows the end");
            match message.kind {
                kind::DATA => self.heard.extend(message.bytes()),
                kind::CLOSED => self.ended = Some(message.meta == CUT),
                other => panic!("a peer is told no kind {other}"),
            }
        }
        queue.flush();
    }

    /// Sends what there is room for; how much.
    pub fn send(&self, queue: &mut Queue, bytes: &[u8]) -> usize {
        let mut sent = 0;
        for piece in bytes.chunks(PIECE) {
            let Some(mut message) = queue.alloc(self.conn, piece.len()) else { break };
            assert!(message.append(piece));
            queue.send(message);
            sent += piece.len();
        }
        queue.flush();
        sent
    }

    pub fn say(&self, queue: &mut Queue, kind: u8) {
        queue.send(Message::marker(self.conn, kind));
        queue.flush();
    }

    /// Sends all of it and hears until `done`.
    pub fn talk(
        &mut self,
        program: &mut Program,
        bytes: &[u8],
        mut done: impl FnMut(&Self) -> bool,
    ) {
        let (queue, mut at) = (&mut program.port.queues()[0], 0);
        while at < bytes.len() || !done(self) {
            at += self.send(queue, &bytes[at..]);
            self.pump(queue);
            thread::yield_now();
        }
    }
}

fn start(protocol: &str) -> Server {
    Start::new().peer("feed", protocol).start()
}

fn close(server: Server, program: Program) {
    drop(program);
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn what_a_process_sends_is_echoed_and_copied_by_nobody_who_shares_the_pool() {
    for trust in [Trust::Shared, Trust::Isolated] {
        let server = start("echo");
        let mut program = Program::attach(&server, "feed", trust);
        for round in 0..3 {
            let mut stream = Stream::open(&mut program).unwrap();
            let sent = pattern(round, 3_000_000);
            stream.talk(&mut program, &sent, |stream| stream.heard.len() == sent.len());
            assert!(stream.heard == sent);
            stream.say(&mut program.port.queues()[0], kind::EOF);
            stream.talk(&mut program, b"", |stream| stream.ended.is_some());
            assert_eq!(stream.ended, Some(false));
        }
        let copied = server.count(Counter::CopiedBytes);
        // Up and down once each.
        assert_eq!(copied, if trust == Trust::Shared { 0 } else { 2 * 3 * 3_000_000 });
        assert_eq!(server.count(Counter::Accepted), 3);
        close(server, program);
    }
}

#[test]
fn a_process_speaks_http_to_the_service_of_a_listener() {
    for trust in [Trust::Shared, Trust::Isolated] {
        let server = start("http");
        let mut program = Program::attach(&server, "feed", trust);
        let mut stream = Stream::open(&mut program).unwrap();
        for round in 0..100 {
            stream.heard.clear();
            let get = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
            stream.talk(&mut program, get, |stream| {
                stream.heard.starts_with(b"HTTP/1.1 200 OK\r\n")
                    && stream.heard.windows(4).any(|end| end == b"\r\n\r\n")
            });
            assert!(stream.ended.is_none(), "round {round}");
        }
        let wrong = b"GET / HTTP/1.1\r\n\r\n";
        stream.heard.clear();
        stream.talk(&mut program, wrong, |stream| stream.ended.is_some());
        assert!(stream.heard.starts_with(b"HTTP/1.1 400 "), "a request without Host");
        assert_eq!(stream.ended, Some(false), "the answer came first");
        close(server, program);
    }
}

#[test]
fn two_processes_have_a_pipe_between_them_through_the_dataplane() {
    for (trust, copies) in [(Trust::Shared, 0), (Trust::Isolated, 4)] {
        let start = Start::new().peer("feed", "raw").limited("handler = \"port:app\"");
        let server = start.start();
        let mut app = Program::attach(&server, "app", trust);
        let sent = pattern(5, 2_000_000);
        thread::scope(|scope| {
            let feeding = scope.spawn(|| {
                let mut feed = Program::attach(&server, "feed", trust);
                let mut stream = Stream::open(&mut feed).unwrap();
                stream.talk(&mut feed, &sent, |stream| stream.heard.len() == sent.len());
                stream.say(&mut feed.port.queues()[0], kind::EOF);
                stream.talk(&mut feed, b"", |stream| stream.ended.is_some());
                assert!(stream.heard == sent);
            });
            app.serve(echo, || feeding.is_finished());
            feeding.join().unwrap();
        });
        assert_eq!(server.count(Counter::CopiedBytes), copies * sent.len() as u64);
        close(server, app);
    }
}

#[test]
fn the_connections_of_a_process_that_goes_are_closed_and_all_it_was_lent_is_home() {
    let server = Start::new().peer("feed", "raw").limited("handler = \"port:app\"").start();
    let mut app = Program::attach(&server, "app", Trust::Shared);
    for trust in [Trust::Shared, Trust::Isolated] {
        let mut feed = Program::attach(&server, "feed", trust);
        let streams: Vec<_> = (0..100).map(|_| Stream::open(&mut feed).unwrap()).collect();
        let queue = &mut feed.port.queues()[0];
        streams.iter().take(30).for_each(|stream| assert_eq!(stream.send(queue, b"hello"), 5));
        // Some that it has in hand.
        let taken: Vec<_> = (0..5).filter_map(|_| queue.alloc(streams[0].conn, 1)).collect();
        let (mut opened, mut closed) = (0, 0);
        let mut gone = Some((feed, taken));
        while closed < 100 {
            for queue in app.port.queues() {
                while let Some(message) = queue.receive() {
                    opened += u32::from(message.kind == kind::OPEN);
                    closed += u32::from(message.kind == kind::CLOSED);
                }
                queue.flush();
            }
            if opened == 100 {
                gone.take();
            }
            thread::yield_now();
        }
        assert_eq!(opened, 100);
        server.wait_for_no_connections();
    }
    drop(app);
    server.drain();
}

#[test]
fn a_handler_that_goes_cuts_the_connections_of_the_peer() {
    let server = Start::new().peer("feed", "raw").limited("handler = \"port:app\"").start();
    let mut feed = Program::attach(&server, "feed", Trust::Shared);
    let mut early = Stream::open(&mut feed).unwrap();
    early.talk(&mut feed, b"", |stream| stream.ended.is_some());
    assert_eq!(early.ended, Some(false), "nobody handles it: it is closed");
    assert_eq!(server.count(Counter::PortUnattended), 1);
    let app = Program::attach(&server, "app", Trust::Shared);
    let mut stream = Stream::open(&mut feed).unwrap();
    assert_eq!(stream.send(&mut feed.port.queues()[0], b"hello"), 5);
    wait_until(|| server.count(Counter::RxBufs) == 1);
    drop(app);
    stream.talk(&mut feed, b"", |stream| stream.ended.is_some());
    assert_eq!(stream.ended, Some(true), "it was cut");
    close(server, feed);
}

#[test]
fn connections_beyond_the_bound_wait_and_more_are_refused() {
    const MOST: u32 = 8;
    let tables = format!("[dataplane]\nmax_connections = {MOST}\n");
    let server = Start::new().peer("feed", "echo").tables(&tables).start();
    let mut feed = Program::attach(&server, "feed", Trust::Shared);
    let queue = &mut feed.port.queues()[0];
    // As many as there are slots, as many as may wait, and two.
    let asked: Vec<u32> = (0..MOST + 256 + 2).map(|_| queue.connect()).collect();
    queue.flush();
    let (mut opened, mut refused) = (Vec::new(), Vec::new());
    while opened.len() < asked.len() - 2 {
        queue.flush();
        let Some(word) = queue.receive() else { continue };
        match word.kind {
            kind::OPEN => {
                opened.push(word.number);
                queue.send(Message::marker(word.conn, kind::CLOSE));
            }
            kind::CLOSED if word.conn == ConnId::NONE => refused.push(word.number),
            other => assert_eq!(other, kind::CLOSED),
        }
    }
    assert_eq!(opened, asked[..asked.len() - 2], "in the order in which they were asked for");
    assert_eq!(refused, asked[asked.len() - 2..]);
    close(server, feed);
}

#[test]
fn a_dataplane_that_stops_refuses_new_connections_and_lets_the_others_finish() {
    let server = start("echo");
    let mut feed = Program::attach(&server, "feed", Trust::Shared);
    let mut stream = Stream::open(&mut feed).unwrap();
    // As long as something is under way, it drains.
    let sent = pattern(1, 100_000);
    stream.talk(&mut feed, &sent, |stream| stream.heard.len() == sent.len());
    server.plane().drain();
    stream.talk(&mut feed, b"", |stream| stream.ended.is_some());
    assert_eq!(stream.ended, Some(false));
    drop(feed);
    server.account();
}

#[test]
fn a_process_that_takes_nothing_is_cut_off_after_the_write_timeout() {
    // So few slots that what a process has sent is more than it may be lent of one connection.
    let tables = "[mempool]\nsmall_slots = 128\n";
    let start = Start::new().peer("feed", "echo").limited("write_timeout_ms = 1000");
    let server = start.listener("echo", "").tables(tables).start();
    let mut feed = Program::attach(&server, "feed", Trust::Shared);
    let stream = Stream::open(&mut feed).unwrap();
    let (queue, mut words) = (&mut feed.port.queues()[0], Vec::new());
    while words.len() < 8 {
        assert!(queue.receive().is_none());
        words.extend(queue.alloc(stream.conn, 1));
    }
    for mut word in words {
        assert!(word.append(b"."));
        queue.send(word);
    }
    queue.flush();
    // From here on it looks at nothing.
    wait_until(|| server.count(Counter::PortFaults) == 1);
    server.wait_for_no_connections();
    let mut other = crate::common::Client::connect(server.address(1));
    assert_eq!(other.send("still here").receive(10), b"still here");
    drop(other);
    close(server, feed);
}

#[test]
fn a_connection_that_takes_nothing_is_cut_off_after_the_write_timeout_and_the_others_go_on() {
    let server = Start::new().peer("feed", "echo").limited("write_timeout_ms = 1000").start();
    let mut feed = Program::attach(&server, "feed", Trust::Isolated);
    let mut held = Stream::open(&mut feed).unwrap();
    let mut idle = Stream::open(&mut feed).unwrap();
    for stream in [&held, &idle] {
        stream.say(&mut feed.port.queues()[0], kind::PAUSE);
    }
    assert_eq!(held.send(&mut feed.port.queues()[0], b"held"), 4);
    held.talk(&mut feed, b"", |stream| stream.ended.is_some());
    assert_eq!((held.ended, held.heard.len()), (Some(true), 0));
    assert_eq!(server.count(Counter::StalledPeers), 1);
    idle.say(&mut feed.port.queues()[0], kind::RESUME);
    idle.talk(&mut feed, b"still here", |stream| stream.heard == b"still here");
    assert_eq!(server.count(Counter::PortFaults), 0);
    close(server, feed);
}

#[test]
fn a_process_that_keeps_what_it_is_lent_holds_no_slots_of_the_pool() {
    let start = Start::new().peer("feed", "echo").limited("write_timeout_ms = 1000");
    let tables = "[mempool]\nsmall_slots = 1024\n";
    let server = start.listener("http", "").tables(tables).start();
    let mut feed = Program::attach(&server, "feed", Trust::Isolated);
    let streams: Vec<_> = (0..40).map(|_| Stream::open(&mut feed).unwrap()).collect();
    let (queue, mut kept, mut closed) = (&mut feed.port.queues()[0], Vec::new(), 0);
    // What is echoed lies in the pool, once the process has as much as it may.
    let mut said = 0;
    while closed < streams.len() {
        if said < 4000 {
            said += streams.iter().map(|stream| stream.send(queue, b"more") / 4).sum::<usize>();
        }
        queue.flush();
        while let Some(message) = queue.receive() {
            closed += usize::from(message.kind == kind::CLOSED);
            kept.push(message);
        }
        thread::yield_now();
    }
    let mut other = crate::common::Client::connect(server.address(1));
    assert_eq!(other.get("/health").status(), 200);
    drop((other, kept));
    close(server, feed);
}

#[test]
fn words_for_connections_that_are_gone_are_dropped_and_counted() {
    let server = start("echo");
    let mut feed = Program::attach(&server, "feed", Trust::Shared);
    let mut stream = Stream::open(&mut feed).unwrap();
    stream.say(&mut feed.port.queues()[0], kind::ABORT);
    stream.talk(&mut feed, b"", |stream| stream.ended.is_some());
    let dropped = || server.plane().status().dropped(Reason::StaleConnection);
    assert_eq!(dropped(), 0);
    for (count, kind) in [kind::EOF, kind::CLOSE, kind::ABORT, kind::PAUSE].into_iter().enumerate()
    {
        stream.say(&mut feed.port.queues()[0], kind);
        wait_until(|| dropped() == count as u64 + 1);
    }
    assert_eq!(stream.send(&mut feed.port.queues()[0], b"late"), 4);
    wait_until(|| dropped() == 5);
    close(server, feed);
}

#[test]
fn a_process_that_pauses_a_connection_is_sent_nothing_on_it() {
    let server = start("echo");
    let mut feed = Program::attach(&server, "feed", Trust::Shared);
    let mut held = Stream::open(&mut feed).unwrap();
    let mut free = Stream::open(&mut feed).unwrap();
    held.say(&mut feed.port.queues()[0], kind::PAUSE);
    assert_eq!(held.send(&mut feed.port.queues()[0], b"held"), 4);
    free.talk(&mut feed, b"free", |stream| stream.heard == b"free");
    wait_until(|| server.count(Counter::RxBufs) == 2);
    thread::sleep(Duration::from_millis(20));
    held.pump(&mut feed.port.queues()[0]);
    assert_eq!(held.heard, b"");
    held.say(&mut feed.port.queues()[0], kind::RESUME);
    held.talk(&mut feed, b"", |stream| stream.heard == b"held");
    close(server, feed);
}

#[test]
fn names_of_ports_are_given_once_whatever_they_are_for() {
    let peer = |name| Start::new().peer(name, "echo");
    for start in [
        Start::new().peer("a", "raw").limited("handler = \"port:a\""),
        peer("a").listener("raw", "").limited("handler = \"port:a\""),
        Start::new().listener("raw", "").limited("handler = \"port:a\"").peer("a", "echo"),
    ] {
        let refusal = start.refusal();
        assert!(refusal.contains("port `a`"), "{refusal}");
        assert!(refusal.contains("give each port a name of its own"), "{refusal}");
    }
    let refusal = peer("a b").refusal();
    assert!(refusal.contains("port `a b`") && refusal.contains("no legal name"), "{refusal}");
    let refusal = Start::new().peer("a", "raw").refusal();
    assert!(refusal.contains("nobody would handle its bytes"), "{refusal}");
}

#[test]
fn what_a_process_said_before_its_close_is_heard_though_it_is_paused_meanwhile() {
    let server = Start::new().peer("feed", "raw").limited("handler = \"port:app\"").start();
    let mut app = Program::attach(&server, "app", Trust::Shared);
    let mut feed = Program::attach(&server, "feed", Trust::Shared);
    let stream = Stream::open(&mut feed).unwrap();
    let queue = &mut app.port.queues()[0];
    let mut opened = None;
    wait_until(|| {
        opened = queue.receive();
        opened.is_some()
    });
    let conn = opened.expect("it was waited for").conn;
    let say = |app: &mut Program, kind| {
        app.port.queues()[0].send(Message::marker(conn, kind));
        app.port.queues()[0].flush();
    };
    say(&mut app, kind::PAUSE);
    // What comes behind it finds the pause in force.
    thread::sleep(Duration::from_millis(50));
    assert_eq!(stream.send(&mut feed.port.queues()[0], b"the last"), 8);
    stream.say(&mut feed.port.queues()[0], kind::CLOSE);
    thread::sleep(Duration::from_millis(50));
    say(&mut app, kind::RESUME);
    let (mut heard, mut closed) = (Vec::new(), false);
    while !closed {
        for message in std::iter::from_fn(|| app.port.queues()[0].receive()) {
            heard.extend_from_slice(message.bytes());
            closed |= message.kind == kind::CLOSED;
        }
        app.port.queues()[0].flush();
    }
    assert_eq!(heard, b"the last");
    drop(app);
    close(server, feed);
}
