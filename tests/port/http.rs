//! Requests that a program answers.

use std::thread;

use ringway::attach::{Message, Queue};
use ringway::mem::{Trust, kind};
use ringway::pipeline::chain::http1::{BODY, HEAD};
use ringway::port::ResponseMeta;

use crate::common::{Server, Start, pattern};
use crate::program::{Program, serve_client};

fn start() -> Server {
    Start::new().listener("http", "").limited("handler = \"port:app\"").start()
}

/// Serves `client` with a program that answers like this.
fn serve(
    trust: Trust,
    answer: impl FnMut(&mut Queue, Message),
    client: impl FnOnce(&Server) + Send,
) {
    serve_client(start(), trust, answer, client);
}

/// Answers with `fields` and `body` as one message.
fn respond(queue: &mut Queue, request: &Message, status: u16, fields: &str, body: &[u8]) {
    queue.respond(request, status, fields, body);
}

fn both(answer: impl Fn(&mut Queue, Message) + Copy, client: impl Fn(&Server) + Copy + Send) {
    for trust in [Trust::Shared, Trust::Isolated] {
        serve(trust, answer, client);
    }
}

#[test]
fn a_request_reaches_the_program_whole_and_its_response_the_client() {
    let answer = |queue: &mut Queue, message: Message| {
        if message.kind != HEAD {
            return;
        }
        assert!(message.bytes().starts_with(b"GET /a?b HTTP/1.1\r\nHost: a\r\n"));
        respond(queue, &message, 200, "Content-Type: text/x\r\nX-Y: z\r\n", b"hello");
    };
    both(answer, |server| {
        let mut client = server.connect();
        for _ in 0..100 {
            let response = client.get("/a?b");
            let head = "HTTP/1.1 200 OK\r\nDate: DATE\r\nContent-Length: 5\r\n\
                        Content-Type: text/x\r\nX-Y: z\r\n\r\n";
            assert_eq!(response.dated(), format!("{head}hello"));
        }
    });
}

#[test]
fn field_lines_of_a_response_are_as_long_as_a_port_takes() {
    let answer = |queue: &mut Queue, message: Message| {
        if message.kind == HEAD {
            let bytes = usize::from(ResponseMeta::FIELDS_BYTES_MAX) - "X: \r\n".len();
            respond(queue, &message, 200, &format!("X: {}\r\n", "x".repeat(bytes)), b"hello");
        }
    };
    both(answer, |server| {
        let mut client = server.connect();
        let requests = 20;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(requests));
        for _ in 0..requests {
            let response = client.response();
            assert_eq!((response.status(), response.field("x").unwrap().len()), (200, 8186));
            assert_eq!(response.body, b"hello");
        }
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let answer = |queue: &mut Queue, message: Message| {
        if message.kind == HEAD {
            let target = message.bytes().split(|&b| b == b' ').nth(1).unwrap().to_vec();
            respond(queue, &message, 200, "", &target);
        }
    };
    both(answer, |server| {
        let mut client = server.connect();
        let requests: String =
            (0..200).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        client.send(requests);
        for n in 0..200 {
            assert_eq!(client.response().body, format!("/{n}").into_bytes());
        }
    });
}

#[test]
fn a_body_reaches_the_program_and_a_streamed_one_the_client() {
    let answer = |queue: &mut Queue, mut message: Message| match message.kind {
        HEAD => {
            let mut head = queue.alloc(message.conn, 1).expect("a slot");
            head.respond(&message, 200, 0, false);
            // Sent with the first part of the body: a response that has begun wants no more of it.
            STASH.with_borrow_mut(|stash| stash.push((message.conn, head, Vec::new())));
        }
        BODY => STASH.with_borrow_mut(|stash| {
            let at = stash.iter().position(|(conn, ..)| *conn == message.conn).unwrap();
            let last = message.meta == 1;
            message.meta = 0;
            stash[at].2.push(message);
            if !last {
                return;
            }
            let (conn, head, parts) = stash.swap_remove(at);
            let request = head.number;
            queue.send(head);
            for mut part in parts {
                part.number = request;
                queue.send(part);
            }
            let mut end = Message::marker(conn, BODY);
            (end.number, end.meta) = (request, 1);
            queue.send(end);
        }),
        _ => {}
    };
    both(answer, |server| {
        let mut client = server.connect();
        for bytes in [1, 1000, 100_000] {
            let body = pattern(bytes, bytes as usize);
            client
                .send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n"));
            client.send(&body);
            assert_eq!(client.head().field("transfer-encoding"), Some("chunked"));
            let mut back = Vec::new();
            loop {
                let size = client.line();
                let size = usize::from_str_radix(&size, 16).unwrap();
                back.extend(client.receive(size));
                assert_eq!(client.receive(2), b"\r\n");
                if size == 0 {
                    break;
                }
            }
            assert!(back == body);
        }
    });
}

thread_local! {
    static STASH: std::cell::RefCell<Vec<(ringway::mem::ConnId, Message, Vec<Message>)>> =
        const { std::cell::RefCell::new(Vec::new()) };
}

#[test]
fn while_nobody_is_attached_requests_are_refused_with_a_word_when_to_come_back() {
    let server = start();
    let mut client = server.connect();
    let response = client.get("/");
    assert_eq!((response.status(), response.field("retry-after")), (503, Some("1")));
    assert_eq!(client.get("/").status(), 503, "and the connection goes on");
    drop(client);
    server.drain();
}

#[test]
fn a_request_whose_program_ends_is_answered_and_the_next_program_gets_the_next_one() {
    let server = start();
    let mut client = server.connect();
    let program = Program::attach(&server, "app", Trust::Shared);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut port = program.port;
    let mut taken = None;
    crate::common::wait_until(|| {
        taken = port.queues()[0].receive();
        taken.is_some()
    });
    // What it was lent comes home though it never gives it back.
    drop(program.kept);
    assert_eq!(client.response().status(), 502);
    let mut next = Program::attach(&server, "app", Trust::Isolated);
    thread::scope(|scope| {
        let asked = scope.spawn(|| client.get("/"));
        let answer = |queue: &mut Queue, message: Message| {
            if message.kind == HEAD {
                respond(queue, &message, 200, "", b"next");
            }
        };
        next.serve(answer, || asked.is_finished());
        assert_eq!(asked.join().unwrap().body, b"next");
    });
    drop((client, next, taken, port));
    server.drain();
}

#[test]
fn what_a_program_may_not_say_is_a_500_or_ends_it() {
    let answer = |queue: &mut Queue, message: Message| {
        if message.kind == HEAD {
            respond(queue, &message, 200, "X: a\r\nContent-Length: 9\r\n", b"hello");
        }
    };
    both(answer, |server| assert_eq!(server.connect().get("/").status(), 500));
    let server = start();
    let mut program = Program::attach(&server, "app", Trust::Isolated);
    program.port.queues()[0].send(Message::marker(ringway::mem::ConnId::NONE, kind::OPEN));
    program.port.queues()[0].flush();
    crate::common::wait_until(|| !program.port.is_alive());
    server.drain();
}
