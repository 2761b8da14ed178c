//! What passes through a port to another process.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ringway::attach::{Attachment, Queue};
use ringway::counters::Counter;
use ringway::mem::{ConnId, Trust, kind};
use ringway::sync::AtomicU64;

use crate::common::{Server, Start, wait_until};
use crate::{ALLOCATIONS, REQUESTS, allocations, cost_of_asking};

/// Serves 10,000 exchanges through a program at a port, and checks what its thread and the lcore have
/// allocated, and how many bytes were copied in each.
fn serves_through_a_port(protocol: &str, trust: Trust, copied: u64, send: &[u8], bytes: usize) {
    let server = Start::new().listener(protocol, "").limited("handler = \"port:app\"").start();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (offer, kept) = server.plane().ports().attach("app", Some(trust), 1, ours).unwrap();
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (told, stopping) = (done.clone(), stop.clone());
    let program = std::thread::spawn(move || {
        let mut port = Attachment::accept(offer, theirs).unwrap();
        let (mut served, mut before) = (0, 0);
        while stopping.load(Ordering::Relaxed) == 0 {
            for queue in port.queues() {
                while let Some(message) = queue.receive() {
                    if message.request().is_some() {
                        queue.respond(&message, 200, "", b"0123456789");
                    } else if message.kind == kind::DATA {
                        queue.send(message);
                    } else {
                        continue;
                    }
                    served += 1;
                    if served == 500 {
                        before = ALLOCATIONS.get();
                    }
                }
                queue.flush();
            }
            std::thread::yield_now();
        }
        told.store(ALLOCATIONS.get() - before, Ordering::Relaxed);
    });
    let mut client = server.connect();
    let mut exchange = || client.send(send).receive(bytes).len();
    (0..500).for_each(|_| assert_eq!(exchange(), bytes));
    let asking = cost_of_asking(&server);
    let (before, copied_before) = (allocations(&server), server.count(Counter::CopiedBytes));
    (0..REQUESTS).for_each(|_| assert_eq!(exchange(), bytes));
    let allocated = allocations(&server) - before - asking;
    let each = (server.count(Counter::CopiedBytes) - copied_before) / REQUESTS;
    stop.store(1, Ordering::Relaxed);
    program.join().unwrap();
    let by_program = done.load(Ordering::Relaxed);
    println!(
        "{protocol} {trust:?}: {allocated} + {by_program} allocations, {each} bytes copied each"
    );
    assert_eq!((allocated, by_program, each), (0, 0, copied), "{protocol} {trust:?}");
    drop((kept, client));
    server.stop();
}

#[test]
fn what_passes_through_a_port_allocates_nothing_on_either_side_a_15() {
    serves_through_a_port("raw", Trust::Shared, 0, &[7; 1000], 1000);
    // There and back.
    serves_through_a_port("raw", Trust::Isolated, 2000, &[7; 1000], 1000);
    // A small body is copied behind its head.
    let get = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let head =
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 10\r\n\r\n";
    serves_through_a_port("http", Trust::Shared, 10, get, head.len() + 10);
}

/// Attaches a program to a port, and gives it to `body` on a thread of its own.
fn with_program<T: Send + 'static>(
    server: &Server,
    port: &str,
    trust: Trust,
    body: impl FnOnce(Attachment) -> T + Send + 'static,
) -> (std::thread::JoinHandle<T>, ringway::dataplane::Attachment) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (offer, kept) = server.plane().ports().attach(port, Some(trust), 1, ours).unwrap();
    (std::thread::spawn(move || body(Attachment::accept(offer, theirs).unwrap())), kept)
}

/// Sends 1000 bytes on `conn`, and waits until they are back.
fn round_trip(queue: &mut Queue, conn: ConnId) {
    let (mut sent, mut heard) = (false, 0);
    while heard < 1000 {
        if !sent && let Some(mut message) = queue.alloc(conn, 1000) {
            assert!(message.append(&[7; 1000]));
            queue.send(message);
            sent = true;
        }
        queue.flush();
        match queue.receive() {
            Some(message) => heard += message.bytes().len(),
            None => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_pipe_between_two_processes_allocates_nothing_on_any_side_a_15() {
    for (trust, copies) in [(Trust::Shared, 0), (Trust::Isolated, 4)] {
        let start = Start::new().peer("feed", "raw").limited("handler = \"port:app\"");
        let server = start.start();
        let stop = Arc::new(AtomicU64::new(0));
        let stopping = stop.clone();
        let (app, _kept) = with_program(&server, "app", trust, move |mut port| {
            while stopping.load(Ordering::Relaxed) == 0 {
                let queue = &mut port.queues()[0];
                while let Some(message) = queue.receive() {
                    if message.kind == kind::DATA {
                        queue.send(message);
                    }
                }
                queue.flush();
                std::thread::yield_now();
            }
        });
        // It says when it is warm, and goes on when it hears so.
        let phase = Arc::new(AtomicU64::new(0));
        let told = phase.clone();
        let (feed, _kept) = with_program(&server, "feed", trust, move |mut port| {
            let queue = &mut port.queues()[0];
            queue.connect();
            queue.flush();
            let conn = loop {
                match queue.receive() {
                    Some(opened) if opened.kind == kind::OPEN => break opened.conn,
                    _ => std::thread::yield_now(),
                }
            };
            (0..500).for_each(|_| round_trip(queue, conn));
            told.store(1, Ordering::Release);
            while told.load(Ordering::Acquire) != 2 {
                std::thread::yield_now();
            }
            let before = ALLOCATIONS.get();
            (0..REQUESTS).for_each(|_| round_trip(queue, conn));
            let allocated = ALLOCATIONS.get() - before;
            told.store(3, Ordering::Release);
            while told.load(Ordering::Acquire) != 4 {
                std::thread::yield_now();
            }
            allocated
        });
        wait_until(|| phase.load(Ordering::Acquire) == 1);
        let asking = cost_of_asking(&server);
        let (before, copied) = (allocations(&server), server.count(Counter::CopiedBytes));
        phase.store(2, Ordering::Release);
        wait_until(|| phase.load(Ordering::Acquire) == 3);
        let allocated = allocations(&server) - before - asking;
        let each = (server.count(Counter::CopiedBytes) - copied) / REQUESTS;
        phase.store(4, Ordering::Release);
        let by_feed = feed.join().unwrap();
        stop.store(1, Ordering::Relaxed);
        app.join().unwrap();
        println!("{trust:?}: {allocated} + {by_feed} allocations, {each} bytes copied each");
        assert_eq!((allocated, by_feed, each), (0, 0, copies * 1000), "{trust:?}");
        server.stop();
    }
}
