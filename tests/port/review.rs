//! Findings of a review, each as a test that fails until it is mended.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use ringway::attach::{Message, Queue};
use ringway::counters::Counter;
use ringway::mem::{Trust, kind};
use ringway::pipeline::chain::http1::{BODY, HEAD};

use crate::common::{Client, Server, Start, pattern, uninterrupted, wait_until};
use crate::program::{Program, echo};

/// The first listener has a port, the second has none.
fn beside(protocol: &str) -> Server {
    let start = Start::new().listener(protocol, "").limited("handler = \"port:app\"");
    start.listener("http", "").start()
}

#[test]
fn a_program_that_makes_its_eventfds_blocking_does_not_stop_an_lcore() {
    let server = beside("http");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let ports = server.plane().ports();
    let (offer, kept) = ports.attach("app", Some(Trust::Isolated), 1, ours).unwrap();
    for event in offer.bells.iter().chain([&offer.event]) {
        fcntl(event, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    }
    thread::sleep(Duration::from_millis(300));
    let served = thread::spawn({
        let address = server.address(1);
        move || Client::connect(address).get("/").status()
    });
    thread::sleep(Duration::from_secs(3));
    let answered = served.is_finished();
    if !answered {
        // Lets the lcore go, so that the test ends.
        for bell in &offer.bells {
            fcntl(bell, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
            nix::unistd::write(bell, &1u64.to_ne_bytes()).unwrap();
        }
    }
    drop((kept, theirs));
    assert!(answered, "the lcore hangs in read(2) of an eventfd that the process shares");
}

#[test]
fn a_program_that_pauses_goes_on_with_a_fast_client() {
    let server = beside("raw");
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let sent = pattern(7, 8_000_000);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let client = server.connect();
            let mut writer = client.stream().try_clone().unwrap();
            let sent = &sent;
            scope.spawn(move || {
                let _ = writer.write_all(sent);
                let _ = writer.shutdown(std::net::Shutdown::Write);
            });
            let mut back = Vec::new();
            let outcome = (&mut client.stream()).read_to_end(&mut back);
            (outcome.is_ok(), back.len())
        });
        thread::sleep(Duration::from_millis(500));
        let start = Instant::now();
        program.serve(echo, || client.is_finished());
        let took = start.elapsed();
        let alive = program.port.is_alive();
        let (whole, bytes) = client.join().unwrap();
        assert!(
            whole && bytes == sent.len() && alive,
            "{bytes} bytes after {took:?}, alive: {alive}"
        );
    });
}

fn parts(queue: &mut Queue, head: &Message, status: u16, count: usize, bytes: usize, last: bool) {
    let mut response = Message::marker(head.conn, 0);
    response.respond(head, status, 0, false);
    queue.send(response);
    for n in 0..count {
        let Some(mut part) = queue.alloc(head.conn, bytes) else { return };
        assert!(part.append(&vec![b'x'; bytes]));
        (part.kind, part.number, part.meta) =
            (BODY, head.number, u32::from(last && n + 1 == count));
        queue.send(part);
    }
}

#[test]
fn a_later_connection_is_not_lost_with_a_refused_response_of_an_earlier_one() {
    let server = beside("http");
    let mut program = Program::attach(&server, "app", Trust::Isolated);
    let answer = |queue: &mut Queue, message: Message| {
        if message.kind == HEAD {
            parts(queue, &message, 99, 20, 10, false);
        }
    };
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let mut client = server.connect();
            assert_eq!(client.get("/").status(), 500);
            client.wait_for_the_end();
        });
        program.serve(answer, || asked.is_finished());
        asked.join().unwrap();
    });
    server.wait_for_no_connections();
    let mut next = server.connect();
    wait_until(|| server.plane().status().connections() == 1);
    drop(program);
    thread::sleep(Duration::from_millis(200));
    next.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    next.stream().set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut first = [0; 12];
    let outcome = (&mut next.stream()).read_exact(&mut first);
    assert!(outcome.is_ok(), "the connection is dead: {outcome:?}");
}

#[test]
fn a_client_that_reads_slowly_costs_no_other_its_response() {
    let server = beside("http");
    let mut program = Program::attach(&server, "app", Trust::Shared);
    // A program that streams as fast as it gets slots.
    let mut streams: Vec<Message> = Vec::new();
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let mut slow = server.connect();
            slow.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
            thread::sleep(Duration::from_millis(1500));
            let quick = server.connect();
            let mut quick_stream = quick.stream();
            quick_stream.write_all(b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            quick_stream.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
            let answered = quick_stream.read_exact(&mut [0; 12]).is_ok();
            drop(slow);
            answered
        });
        while !asked.is_finished() {
            for queue in program.port.queues() {
                while let Some(message) = queue.receive() {
                    if message.kind != HEAD {
                        continue;
                    }
                    if message.bytes().starts_with(b"GET /quick") {
                        queue.respond(&message, 200, "", b"quick");
                        continue;
                    }
                    let mut response = Message::marker(message.conn, 0);
                    response.respond(&message, 200, 0, false);
                    queue.send(response);
                    streams.push(message);
                }
                for stream in &streams {
                    while let Some(mut part) = queue.alloc(stream.conn, 2000) {
                        assert!(part.append(&[b'x'; 2000]));
                        (part.kind, part.number) = (BODY, stream.number);
                        queue.send(part);
                    }
                }
                queue.flush();
            }
        }
        streams.clear();
        assert!(asked.join().unwrap(), "all supplies wait for the slow client");
    });
}

#[test]
fn a_program_hears_and_is_heard_of_every_connection_that_waited() {
    let start = Start::new().listener("raw", "").limited("handler = \"port:app\"");
    let server = start.limited("unattended = \"park\"").start();
    let mut clients = Vec::new();
    for _ in 0..600 {
        let mut client = server.connect();
        client.send("x");
        clients.push(client);
    }
    thread::sleep(Duration::from_millis(500));
    let mut program = Program::attach(&server, "app", Trust::Shared);
    // All that may be lent is.
    thread::sleep(Duration::from_millis(500));
    let (mut opened, mut ended) = (0, 0);
    let closes = |queue: &mut Queue, message: Message| {
        opened += usize::from(message.kind == kind::OPEN);
        if message.kind == kind::OPEN {
            queue.send(Message::marker(message.conn, kind::CLOSE));
        }
    };
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            for client in &clients {
                client.stream().set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                let closed = match uninterrupted(|| client.stream().read(&mut [0; 1])) {
                    Ok(0) => true,
                    Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
                    _ => false,
                };
                ended += usize::from(closed);
            }
        });
        program.serve(closes, || served.is_finished());
    });
    assert_eq!((opened, ended), (600, 600), "each was opened, and each was closed");
}

#[test]
fn a_program_that_thinks_long_about_many_requests_is_not_cut_off() {
    let server = beside("http");
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let mut clients: Vec<Client> = (0..500).map(|_| server.connect()).collect();
    let (mut waiting, start) = (Vec::new(), Instant::now());
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    // It takes all that it is sent, at once.
    while start.elapsed() < Duration::from_secs(12) {
        for queue in program.port.queues() {
            while let Some(message) = queue.receive() {
                waiting.push(message);
            }
            queue.flush();
        }
        thread::sleep(Duration::from_millis(1));
    }
    assert!(program.port.is_alive(), "cut off with {} requests in its hands", waiting.len());
}

#[test]
fn fields_that_are_legal_are_sent_whatever_they_are_sent_behind() {
    let server = beside("http");
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let fields = format!("X-Long: {}\r\n", "y".repeat(3000));
    let answer = |queue: &mut Queue, message: Message| {
        if message.kind == HEAD {
            queue.respond(&message, 200, &fields, b"body");
        }
    };
    thread::scope(|scope| {
        let asked = scope.spawn(|| server.connect().get("/").status());
        program.serve(answer, || asked.is_finished());
        assert_eq!(asked.join().unwrap(), 200);
    });
}

#[test]
fn what_found_no_room_in_the_ring_is_sent_though_the_program_sleeps() {
    let start = Start::new().listener("http", "").limited("handler = \"port:app\"");
    let server = start.tables("[dataplane]\nmax_connections = 2048\n").start();
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let mut clients: Vec<Client> = (0..1500).map(|_| server.connect()).collect();
    let (mut heads, (answered, reads)) = (Vec::new(), mpsc::channel());
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let reads = reads;
            for client in &mut clients {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            }
            reads.recv().unwrap();
            clients
                .iter()
                .filter(|client| {
                    client.stream().set_read_timeout(Some(Duration::from_secs(3))).unwrap();
                    uninterrupted(|| client.stream().read(&mut [0; 12])).is_ok_and(|n| n > 0)
                })
                .count()
        });
        while heads.len() < 1500 {
            for queue in program.port.queues() {
                while let Some(message) = queue.receive() {
                    let mut head = Message::marker(message.conn, 0);
                    head.number = message.number;
                    heads.push(head);
                }
                queue.flush();
            }
        }
        thread::sleep(Duration::from_millis(300));
        for head in &heads {
            program.port.queues()[0].respond(head, 200, "", b"");
        }
        answered.send(()).unwrap();
        while !asked.is_finished() {
            // Longer than the clients have patience.
            let _ = program.port.wait(Some(Duration::from_secs(5)));
            for queue in program.port.queues() {
                while queue.receive().is_some() {}
            }
        }
        assert_eq!(asked.join().unwrap(), 1500);
    });
}

#[test]
fn a_program_whose_responses_are_refused_keeps_no_slots() {
    let start = Start::new().listener("http", "").limited("handler = \"port:app\"");
    let start = start.listener("http", "").tables("[mempool]\nsmall_slots = 2048\n");
    let server = start.start();
    let mut program = Program::attach(&server, "app", Trust::Isolated);
    let answer = |queue: &mut Queue, message: Message| {
        if message.kind == HEAD {
            parts(queue, &message, 99, 50, 10, false);
        }
    };
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            for _ in 0..100 {
                let mut client = server.connect();
                client.stream().set_read_timeout(Some(Duration::from_secs(3))).unwrap();
                client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                let _ = (&mut client.stream()).read_to_end(&mut Vec::new());
            }
            let beside = Client::connect(server.address(1));
            beside.stream().set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            (&mut beside.stream()).write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            (&mut beside.stream()).read_exact(&mut [0; 12]).is_ok()
        });
        program.serve(answer, || asked.is_finished());
        let empty = server.count(Counter::PoolEmpty);
        assert!(asked.join().unwrap() && empty == 0, "found the pool empty {empty} times");
    });
}

#[test]
fn what_a_program_says_to_nobody_does_not_hold_up_the_next_response() {
    let server = beside("http");
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let (mut left, mut stream) = (0, None);
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let mut client = server.connect();
            client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").head();
            thread::sleep(Duration::from_millis(1500));
            client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
            client.stream().set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            let mut all = Vec::new();
            let _ = (&mut client.stream()).read_to_end(&mut all);
            all.len()
        });
        while !asked.is_finished() {
            for queue in program.port.queues() {
                while let Some(message) = queue.receive() {
                    if message.kind == HEAD {
                        parts(queue, &message, 200, 0, 0, false);
                        (left, stream) = (180, Some(message));
                        // Its CLOSED comes before the first part.
                        queue.flush();
                        thread::sleep(Duration::from_millis(100));
                    }
                }
                if let Some(message) = &stream {
                    while left > 0
                        && let Some(mut part) = queue.alloc(message.conn, 10)
                    {
                        assert!(part.append(&[b'x'; 10]));
                        left -= 1;
                        (part.kind, part.number) = (BODY, message.number);
                        part.meta = u32::from(left == 0);
                        queue.send(part);
                    }
                }
                queue.flush();
            }
        }
        stream = None;
        assert!(asked.join().unwrap() > 1800, "the body of the second response");
    });
}
