//! Messages of megabytes in one piece, where the dataplane has blocks.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use ringway::attach::{Message, Queue};
use ringway::counters::Counter;
use ringway::limits::{BLOCK_BYTES, LARGE_SLOT_BYTES};
use ringway::mem::{ConnId, Trust, kind};
use ringway::pipeline::chain::http1::HEAD;

use crate::common::{Server, Start, pattern, uninterrupted, wait_until};
use crate::peer::Stream;
use crate::program::{Program, echo};

const BYTES: usize = BLOCK_BYTES as usize;
const LARGE: usize = LARGE_SLOT_BYTES as usize;

fn start(protocol: &str, blocks: u32) -> Server {
    let start = Start::new().listener(protocol, "").limited("handler = \"port:app\"");
    start.tables(&format!("[mempool]\nblocks = {blocks}\n")).start()
}

/// A block of the next supply that comes.
fn block(queue: &mut Queue, conn: ConnId, bytes: usize) -> Message {
    let mut message = None;
    wait_until(|| {
        let said = queue.receive();
        assert!(said.is_none_or(|m| m.kind == kind::CLOSED), "nothing is asked meanwhile");
        queue.flush();
        message = queue.alloc(conn, bytes);
        message.is_some()
    });
    message.unwrap()
}

/// Sends `bytes` in one message on the connection that something has come from.
fn send(queue: &mut Queue, conn: ConnId, bytes: &[u8]) {
    let mut message = block(queue, conn, bytes.len());
    assert!(message.append(bytes));
    queue.send(message);
    queue.flush();
}

#[test]
fn a_block_reaches_the_client_whole_and_uncopied_and_comes_home() {
    let server = start("raw", 4);
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let sent = [pattern(1, BYTES), pattern(2, BYTES), pattern(3, LARGE + 1)];
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut client = server.connect();
            client.send("go");
            sent.iter().all(|bytes| client.receive(bytes.len()) == *bytes)
        });
        let answer = |queue: &mut Queue, message: Message| {
            if message.kind == kind::DATA {
                sent.iter().for_each(|bytes| send(queue, message.conn, bytes));
            }
        };
        program.serve(answer, || client.is_finished());
        assert!(client.join().unwrap());
    });
    assert_eq!(server.count(Counter::CopiedBytes), 0);
    drop(program);
    server.drain();
}

#[test]
fn nothing_is_larger_than_a_block_nor_than_a_slot_where_there_are_none() {
    for (blocks, trust, most) in [
        (4, Trust::Shared, BYTES),
        (1, Trust::Shared, BYTES),
        (0, Trust::Shared, LARGE),
        (4, Trust::Isolated, LARGE),
    ] {
        let server = start("raw", blocks);
        let mut program = Program::attach(&server, "app", trust);
        let queue = &mut program.port.queues()[0];
        assert_eq!(queue.slot_bytes_max(), most);
        let mut message = block(queue, ConnId::NONE, most);
        assert_eq!(message.spare_mut().len(), most);
        assert!(queue.alloc(ConnId::NONE, most + 1).is_none());
        drop((message, program));
        server.drain();
    }
}

#[test]
fn what_a_smaller_slot_holds_takes_no_block() {
    let server = start("raw", 4);
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let queue = &mut program.port.queues()[0];
    let one = block(queue, ConnId::NONE, BYTES);
    drop(one);
    let mut taken = vec![block(queue, ConnId::NONE, LARGE)];
    // However long one waits: 64 small slots and 8 large ones are lent empty.
    while let Some(message) = queue.alloc(ConnId::NONE, 1) {
        taken.push(message);
    }
    assert_eq!(taken.len(), 72);
    assert!(queue.alloc(ConnId::NONE, LARGE).is_none());
    taken.push(block(queue, ConnId::NONE, LARGE + 1));
    drop((taken, program));
    server.drain();
}

#[test]
fn the_only_block_comes_home_with_the_end_of_who_had_it() {
    let server = start("raw", 1);
    for _ in 0..3 {
        let mut program = Program::attach(&server, "app", Trust::Shared);
        let held = block(&mut program.port.queues()[0], ConnId::NONE, BYTES);
        let Program { port, kept } = program;
        drop(kept);
        wait_until(|| server.plane().ports().list()[0].1.is_none());
        drop((held, port));
    }
    server.drain();
}

#[test]
fn a_client_that_reads_slowly_gets_all_of_a_block_and_one_that_does_not_is_given_up() {
    let start = Start::new().listener("raw", "").limited("handler = \"port:app\"");
    let start = start.limited("write_timeout_ms = 1000");
    let server = start.tables("[mempool]\nblocks = 2\n").start();
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let sent = pattern(5, BYTES);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut deaf = server.connect();
            deaf.send("a");
            wait_until(|| server.count(Counter::StalledPeers) == 1);
            let mut slow = server.connect();
            slow.send("b");
            let (mut got, mut part) = (Vec::new(), vec![0; 256 * 1024]);
            while got.len() < BYTES {
                let count = uninterrupted(|| slow.stream().read(&mut part)).unwrap();
                got.extend_from_slice(&part[..count]);
                thread::sleep(Duration::from_millis(20));
            }
            got
        });
        let answer = |queue: &mut Queue, message: Message| {
            if message.kind == kind::DATA {
                send(queue, message.conn, &sent);
            }
        };
        program.serve(answer, || client.is_finished());
        assert!(client.join().unwrap() == sent);
    });
    assert!(server.count(Counter::ShortSends) > 0, "no socket takes a block at once");
    drop(program);
    server.drain();
}

#[test]
fn a_program_echoes_while_another_client_waits_for_a_block() {
    let server = start("raw", 4);
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let sent = pattern(8, BYTES);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let (mut deaf, mut brisk) = (server.connect(), server.connect());
            deaf.send("block");
            for number in 0..300 {
                let word = pattern(number, 100);
                assert!(brisk.send(&word).receive(100) == word);
            }
            deaf.receive(BYTES)
        });
        let mut asked = None;
        let answer = |queue: &mut Queue, message: Message| {
            if message.kind == kind::DATA && message.bytes() == b"block" {
                asked = Some(message.conn);
            } else {
                echo(queue, message);
            }
            // The block that is lent empty may come after the first words.
            if let Some(mut block) = asked.and_then(|conn| queue.alloc(conn, BYTES)) {
                assert!(block.append(&sent));
                queue.send(block);
                asked = None;
            }
        };
        program.serve(answer, || client.is_finished());
        assert!(client.join().unwrap() == sent);
    });
    drop(program);
    server.drain();
}

#[test]
fn a_response_is_as_large_as_a_block_with_its_fields() {
    const FIELDS: &str = "X-Size: block\r\n";
    let server = start("http", 4);
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let body = pattern(9, BYTES - FIELDS.len());
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut client = server.connect();
            for _ in 0..3 {
                let response = client.get("/");
                assert_eq!((response.status(), response.field("x-size")), (200, Some("block")));
                assert!(response.body == body);
            }
            client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            let length = (BYTES - FIELDS.len()).to_string();
            assert_eq!(client.head().field("content-length"), Some(&*length));
            assert_eq!(client.get("/").body.len(), body.len(), "and the connection goes on");
        });
        let answer = |queue: &mut Queue, message: Message| {
            if message.kind == HEAD {
                let larger = [&body[..], b"x"].concat();
                let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    queue.respond(&message, 200, FIELDS, &larger);
                }));
                let why = refused.unwrap_err().downcast::<String>().unwrap();
                assert!(why.contains("4194305 bytes fits no slot"), "{why}");
                queue.respond(&message, 200, FIELDS, &body);
            }
        };
        program.serve(answer, || client.is_finished());
        client.join().unwrap();
    });
    assert_eq!(server.count(Counter::CopiedBytes), 0);
    drop(program);
    server.drain();
}

#[test]
fn a_body_goes_on_in_blocks() {
    let server = start("http", 4);
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let parts = [pattern(1, BYTES), pattern(2, BYTES)];
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut client = server.connect();
            client.stream().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert_eq!(client.head().field("transfer-encoding"), Some("chunked"));
            let mut back = Vec::new();
            loop {
                let size = usize::from_str_radix(&client.line(), 16).unwrap();
                back.extend(client.receive(size));
                assert_eq!(client.receive(2), b"\r\n");
                if size == 0 {
                    return back;
                }
            }
        });
        let answer = |queue: &mut Queue, request: Message| {
            if request.kind != HEAD {
                return;
            }
            let mut head = queue.alloc(request.conn, 1).expect("a slot");
            head.respond(&request, 200, 0, false);
            queue.send(head);
            for (index, bytes) in parts.iter().enumerate() {
                let mut part = block(queue, request.conn, BYTES);
                assert!(part.append(bytes));
                part.part_of(&request, index == 1);
                queue.send(part);
                queue.flush();
            }
        };
        program.serve(answer, || client.is_finished());
        assert!(client.join().unwrap() == parts.concat());
    });
    drop(program);
    server.drain();
}

/// A listener whose peer is a process, and whose handler is another.
fn pipe() -> Server {
    let start = Start::new().peer("feed", "raw").limited("handler = \"port:app\"");
    start.tables("[mempool]\nblocks = 8\n").start()
}

#[test]
fn a_block_goes_through_a_pipe_whole_and_in_pieces_to_who_has_no_such_slots() {
    for (trust, copies) in [(Trust::Shared, 0), (Trust::Isolated, 2)] {
        let server = pipe();
        let mut app = Program::attach(&server, "app", trust);
        let mut largest = 0;
        thread::scope(|scope| {
            let feeding = scope.spawn(|| {
                let mut feed = Program::attach(&server, "feed", Trust::Shared);
                let mut stream = Stream::open(&mut feed).unwrap();
                let queue = &mut feed.port.queues()[0];
                for round in 0..3 {
                    let sent = pattern(round, BYTES);
                    let mut message = queue.alloc(stream.conn, BYTES);
                    while message.is_none() {
                        stream.pump(queue);
                        message = queue.alloc(stream.conn, BYTES);
                    }
                    let mut message = message.unwrap();
                    assert!(message.append(&sent));
                    queue.send(message);
                    while stream.heard.len() < BYTES {
                        stream.pump(queue);
                        thread::yield_now();
                    }
                    assert!(std::mem::take(&mut stream.heard) == sent);
                }
            });
            let answer = |queue: &mut Queue, message: Message| {
                largest = largest.max(message.bytes().len());
                echo(queue, message);
            };
            app.serve(answer, || feeding.is_finished());
            feeding.join().unwrap();
        });
        assert_eq!(largest, if trust == Trust::Shared { BYTES } else { LARGE });
        assert_eq!(server.count(Counter::CopiedBytes), copies * 3 * BYTES as u64);
        drop(app);
        server.wait_for_no_connections();
        server.drain();
    }
}

#[test]
fn an_isolated_peer_hears_blocks_in_pieces_and_goes_on() {
    let server = pipe();
    let mut app = Program::attach(&server, "app", Trust::Shared);
    let sent = pattern(4, BYTES);
    thread::scope(|scope| {
        let feeding = scope.spawn(|| {
            let mut feed = Program::attach(&server, "feed", Trust::Isolated);
            let mut stream = Stream::open(&mut feed).unwrap();
            for _ in 0..3 {
                stream.talk(&mut feed, b"go", |stream| stream.heard.len() == BYTES);
                assert!(std::mem::take(&mut stream.heard) == sent);
            }
        });
        let answer = |queue: &mut Queue, message: Message| {
            if message.kind == kind::DATA {
                send(queue, message.conn, &sent);
            }
        };
        app.serve(answer, || feeding.is_finished());
        feeding.join().unwrap();
    });
    drop(app);
    server.wait_for_no_connections();
    server.drain();
}
