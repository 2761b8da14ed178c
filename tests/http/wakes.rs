//! Streams with nothing to give, which other threads wake.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use ringway::config::IdleMode;
use ringway::counters::Counter;
use ringway::dataplane::Protocol;
use ringway::handler::http::{Body, Pull, Reply, Request, Response, Service};
use ringway::lcore::Handle;
use ringway::mem::ConnId;
use ringway::pipeline::Cx;
use ringway::sync::AtomicUsize;

use crate::common::{Client, Server, Start, wait_until};

/// Sends a full stop for each event.
struct Events {
    happened: Arc<AtomicUsize>,
    /// By connection slot: those that were sent.
    sent: Vec<usize>,
    began: mpsc::Sender<ConnId>,
}

impl Service for Events {
    fn call(&mut self, _cx: &mut Cx, request: &Request<'_>) -> Reply {
        self.sent[request.conn().slot() as usize] = self.happened.load(Ordering::Acquire);
        self.began.send(request.conn()).unwrap();
        Response::new(200, Body::Stream(None)).into()
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let sent = &mut self.sent[conn.slot() as usize];
        if *sent == self.happened.load(Ordering::Acquire) {
            return if cx.draining { Pull::End } else { Pull::Wait };
        }
        let Some(mut part) = cx.alloc(1, conn) else { return Pull::Busy };
        assert!(part.append(b"."));
        *sent += 1;
        Pull::Part(part)
    }
}

struct Bed {
    server: Server,
    happened: Arc<AtomicUsize>,
    conns: mpsc::Receiver<ConnId>,
}

impl Bed {
    fn start(idle: IdleMode) -> Self {
        let happened = Arc::<AtomicUsize>::default();
        let (began, conns) = mpsc::channel();
        let theirs = happened.clone();
        let builder = Start::new().listener("events", "").idle(idle).builder();
        let builder = builder.protocol("events", move |context| {
            let sent = vec![0; context.slots as usize];
            let (happened, began) = (theirs.clone(), began.clone());
            Protocol::http(context, Events { happened, sent, began })
        });
        Self { server: Server::run(builder), happened, conns }
    }

    /// A peer whose stream has begun, and its connection.
    fn listen(&self) -> (Client, ConnId) {
        let mut client = self.server.connect();
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().status(), 200);
        (client, self.conns.recv().unwrap())
    }

    fn handle(&self, conn: ConnId) -> Handle {
        self.server.plane().handle(conn.lcore().into())
    }
}

/// Wakes until there was room for it.
fn wake(handle: &Handle, conn: ConnId) {
    while handle.wake(conn).is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn an_lcore_sleeps_while_its_streams_wait() {
    for idle in [IdleMode::Sleep, IdleMode::Adaptive] {
        let bed = Bed::start(idle);
        let streams: Vec<_> = (0..3).map(|_| bed.listen()).collect();
        let before = bed.server.count(Counter::Sleeps);
        wait_until(|| bed.server.count(Counter::Sleeps) > before + 2);
        drop(streams);
        bed.server.drain();
    }
}

#[test]
fn each_wake_is_heard_however_the_lcore_idles() {
    for idle in [IdleMode::Sleep, IdleMode::Adaptive, IdleMode::Busy] {
        let bed = Bed::start(idle);
        let (mut client, conn) = bed.listen();
        let (mut other, _) = bed.listen();
        let handle = bed.handle(conn);
        for _ in 0..1_000 {
            bed.happened.fetch_add(1, Ordering::Release);
            wake(&handle, conn);
            assert_eq!(client.receive(1), b".");
        }
        let still = bed.listen().1;
        wake(&handle, still);
        drop(client);
        wake(&handle, conn); // of a connection that is gone, or soon will be
        other.finish();
        drop(other);
        bed.server.drain();
    }
}

#[test]
fn more_wakes_at_a_time_than_the_mailbox_holds_are_heard_as_well() {
    const EVENTS: usize = 5_000;
    let bed = Bed::start(IdleMode::Sleep);
    let mut peers: Vec<_> = (0..4).map(|_| bed.listen()).collect();
    let conns: Vec<_> = peers.iter().map(|(_, conn)| *conn).collect();
    let (handle, happened) = (bed.handle(conns[0]), &bed.happened);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..EVENTS {
                    happened.fetch_add(1, Ordering::Release);
                    conns.iter().for_each(|&conn| wake(&handle, conn));
                }
            });
        }
    });
    for (client, _) in &mut peers {
        assert_eq!(client.receive(2 * EVENTS), vec![b'.'; 2 * EVENTS]);
    }
    drop(peers);
    bed.server.drain();
}
