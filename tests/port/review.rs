//! Findings of a review, each as a test that fails until it is mended.
#![allow(unsafe_code)] // a hostile process keeps to no rule

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use ringway::attach::{Message, Queue};
use ringway::mem::{ConnId, Trust, kind};
use ringway::pipeline::chain::http1::{BODY, HEAD};
use ringway::port::kind as words;

use crate::common::{Client, Server, Start, pattern, wait_until};
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
        assert!(whole && bytes == sent.len() && alive, "{bytes} bytes after {took:?}, alive: {alive}");
    });
}

#[test]
fn a_program_that_sends_markers_without_end_does_not_hold_an_lcore() {
    use std::sync::atomic::{AtomicU32, Ordering};

    use ringway::mem::Descriptor;
    use ringway::ring::{LINE_BYTES, spsc};

    let server = beside("raw");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let ports = server.plane().ports();
    let (offer, kept) = ports.attach("app", Some(Trust::Isolated), 1, ours).unwrap();
    let file = std::fs::File::from(offer.segment.try_clone().unwrap());
    let map = memmap2::MmapRaw::map_raw(&file).unwrap();
    let ring_bytes = spsc::bytes_for::<Descriptor>(1024).unwrap().next_multiple_of(LINE_BYTES);
    let up = 4096 + 2 * LINE_BYTES + ring_bytes;
    let base = map.as_mut_ptr();
    // Every descriptor of the ring gives no slot back; then the index alone runs.
    let nothing: [u32; 8] = [0, 0, 0, u32::MAX, 0, 0, 0, words::RETURN.into()];
    let first = up + ring_bytes - 1024 * 32;
    for n in 0..1024 {
        unsafe { base.add(first + n * 32).cast::<[u32; 8]>().write(nothing) };
    }
    let tail = unsafe { &*base.add(up + spsc::TAIL_OFFSET).cast::<AtomicU32>() };
    let head = unsafe { &*base.add(up + spsc::HEAD_OFFSET).cast::<AtomicU32>() };
    thread::scope(|scope| {
        let address = server.address(1);
        let start = Instant::now();
        let mut asked = None;
        while start.elapsed() < Duration::from_secs(5) {
            for _ in 0..10_000 {
                let at = head.load(Ordering::Relaxed);
                tail.store(at.wrapping_add(1024), Ordering::Release);
            }
            let asked = asked.get_or_insert_with(|| {
                scope.spawn(move || Client::connect(address).get("/").status())
            });
            if asked.is_finished() {
                break;
            }
        }
        let held = start.elapsed() >= Duration::from_secs(5);
        asked.unwrap().join().unwrap();
        let alive = { let mut fds = [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&theirs), nix::poll::PollFlags::POLLIN)]; nix::poll::poll(&mut fds, 0u8).unwrap() == 0 };
        assert!(!held && alive, "held: {held}, alive: {alive}; {}", head.load(Ordering::Relaxed));
    });
    drop((kept, theirs));
}

fn parts(queue: &mut Queue, head: &Message, status: u16, count: usize, bytes: usize, last: bool) {
    let mut response = Message::marker(head.conn, 0);
    response.respond(head, status, 0, false);
    queue.send(response);
    for n in 0..count {
        let Some(mut part) = queue.alloc(head.conn, bytes) else { return };
        assert!(part.append(&vec![b'x'; bytes]));
        (part.kind, part.number, part.meta) = (BODY, head.number, u32::from(last && n + 1 == count));
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
                let closed = match (&mut client.stream()).read(&mut [0; 1]) {
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
fn a_slow_client_gets_all_of_a_streamed_body_whose_head_had_some() {
    const PART: usize = 13_200;
    const PARTS: usize = 900;
    let server = beside("http");
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let mut stream: Option<(ConnId, u32, usize)> = None;
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let client = server.connect();
            let mut socket = client.stream();
            socket.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
            let (mut all, mut room) = (0, vec![0; 65536]);
            loop {
                match socket.read(&mut room) {
                    Ok(0) => return Ok(all),
                    Ok(count) => all += count,
                    Err(e) => return Err((all, e)),
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        while !asked.is_finished() {
            for queue in program.port.queues() {
                while let Some(message) = queue.receive() {
                    if message.kind == HEAD {
                        let mut response = queue.alloc(message.conn, 1).expect("a slot");
                        assert!(response.append(b"x"));
                        response.respond(&message, 200, 0, false);
                        queue.send(response);
                        stream = Some((message.conn, message.number, 0));
                    }
                }
                if let Some((conn, number, sent)) = &mut stream {
                    while *sent < PARTS
                        && let Some(mut part) = queue.alloc(*conn, PART)
                    {
                        assert!(part.append(&[b'x'; PART]));
                        *sent += 1;
                        (part.kind, part.number) = (BODY, *number);
                        part.meta = u32::from(*sent == PARTS);
                        queue.send(part);
                    }
                }
                queue.flush();
            }
        }
        let outcome = asked.join().unwrap();
        let got = outcome.as_ref().map(|all| *all > PART * PARTS);
        assert!(matches!(got, Ok(true)), "cut off: {outcome:?}");
    });
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
    let mut heads = Vec::new();
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            for client in &mut clients {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            }
            clients.iter().filter(|client| {
                client.stream().set_read_timeout(Some(Duration::from_secs(3))).unwrap();
                (&mut client.stream()).read(&mut [0; 12]).is_ok_and(|n| n > 0)
            }).count()
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
        while !asked.is_finished() {
            let _ = program.port.wait(Some(Duration::from_secs(20)));
            for queue in program.port.queues() {
                while queue.receive().is_some() {}
            }
        }
        assert_eq!(asked.join().unwrap(), 1500);
    });
}
