//! Requests of one connection that are with a program at the same time.

use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use ringway::attach::{Message, Queue};
use ringway::counters::Counter;
use ringway::limits::PORT_AHEAD_MAX;
use ringway::mem::{Trust, kind};
use ringway::pipeline::chain::http1::HEAD;

use crate::common::{Client, Server, Start, wait_until};
use crate::program::Program;

/// A listener with a port, and one without.
pub fn start(settings: &str) -> Server {
    let start = Start::new().listener("http", settings).limited("handler = \"port:app\"");
    start.listener("http", "").start()
}

fn get(target: impl std::fmt::Display) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// The target of a request.
pub fn target(head: &Message) -> String {
    let request = head.request().expect("a head");
    String::from_utf8(request.target().to_vec()).unwrap()
}

/// Takes heads until there are `count`.
fn take(program: &mut Program, heads: &mut Vec<Message>, count: usize) {
    wait_until(|| {
        pump(program, heads);
        heads.len() >= count
    });
}

pub fn pump(program: &mut Program, into: &mut Vec<Message>) {
    for queue in program.port.queues() {
        while let Some(message) = queue.receive() {
            into.push(message);
        }
        queue.flush();
    }
}

/// What comes within a while in which all that can come has.
fn settle(program: &mut Program, heads: &mut Vec<Message>) {
    let end = Instant::now() + Duration::from_millis(200);
    while Instant::now() < end {
        pump(program, heads);
        thread::yield_now();
    }
}

fn answer(program: &mut Program, head: &Message) {
    let body = target(head);
    program.port.queues()[0].respond(head, 200, "", body.as_bytes());
    program.port.queues()[0].flush();
}

/// Returns when the dataplane has heard all that the program said.
fn sync(server: &Server, program: &mut Program) {
    let (mut client, mut heads) = (server.connect(), Vec::new());
    client.send(get("/sync"));
    take(program, &mut heads, 1);
    answer(program, &heads[0]);
    assert_eq!(client.response().body, b"/sync");
    client.reset();
}

pub fn begin(queue: &mut Queue, head: &Message) {
    let mut response = Message::marker(head.conn, 0);
    response.respond(head, 200, 0, false);
    queue.send(response);
}

/// The body of the next response, which comes in chunks.
pub fn chunked(client: &mut Client) -> Vec<u8> {
    assert_eq!(client.head().field("transfer-encoding"), Some("chunked"));
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(&client.line(), 16).unwrap();
        body.extend(client.receive(size));
        assert_eq!(client.receive(2), b"\r\n");
        if size == 0 {
            return body;
        }
    }
}

#[test]
fn as_many_as_the_limit_are_with_the_program_and_their_answers_come_in_order() {
    for trust in [Trust::Shared, Trust::Isolated] {
        let server = start("");
        let mut program = Program::attach(&server, "app", trust);
        let mut client = server.connect();
        let all = PORT_AHEAD_MAX as usize + 20;
        client.send((0..all).map(|n| get(format!("/{n}"))).collect::<String>());
        let mut heads = Vec::new();
        let most = PORT_AHEAD_MAX as usize + 1; // the first has its turn
        take(&mut program, &mut heads, most);
        settle(&mut program, &mut heads);
        assert_eq!(heads.len(), most);
        for (n, head) in heads.iter().enumerate() {
            assert_eq!(target(head), format!("/{n}"));
        }
        for head in heads.drain(..).rev() {
            answer(&mut program, &head);
        }
        take(&mut program, &mut heads, all - most);
        for head in heads.drain(..).rev() {
            answer(&mut program, &head);
        }
        for n in 0..all {
            assert_eq!(client.response().body, format!("/{n}").into_bytes());
        }
        drop((client, program));
        server.drain();
    }
}

#[test]
fn a_pipeline_without_end_is_never_short_of_requests_ahead() {
    let server = start("");
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let mut client = server.connect();
    const ALL: usize = 2000;
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let mut writer = client.stream().try_clone().unwrap();
            let sender = scope.spawn(move || {
                let bytes = (0..ALL).map(|n| get(format!("/{n}"))).collect::<String>();
                std::io::Write::write_all(&mut writer, bytes.as_bytes()).unwrap();
            });
            for n in 0..ALL {
                assert_eq!(client.response().body, format!("/{n}").into_bytes());
            }
            sender.join().unwrap();
        });
        let (mut heads, mut answered, mut deepest) = (Vec::new(), 0, 0);
        while answered < ALL {
            pump(&mut program, &mut heads);
            deepest = deepest.max(heads.len());
            // Behind one there is always another, until the last.
            if heads.len() > 1 || answered + heads.len() == ALL {
                answered += heads.len();
                heads.drain(..).rev().for_each(|head| answer(&mut program, &head));
            }
        }
        asked.join().unwrap();
        assert!(deepest > 1);
    });
    drop((client, program));
    server.drain();
}

#[test]
fn what_is_not_safe_or_has_a_body_is_with_the_program_alone() {
    let server = start("");
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let mut client = server.connect();
    let head = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let mut stream = [get("/0"), head("HEAD /1", ""), head("DELETE /2", ""), get("/3")].concat();
    stream += &head("POST /4", "Content-Length: 0\r\n");
    stream += &(head("GET /5", "Content-Length: 3\r\n") + "abc");
    stream += &(get("/6") + &head("OPTIONS /7", "") + &head("CONNECT a:8", "") + &get("/9"));
    client.send(stream);
    let together: [&[&str]; 7] =
        [&["/0", "/1"], &["/2"], &["/3"], &["/4"], &["/5"], &["/6", "/7"], &["a:8"]];
    for expected in together {
        let mut messages = Vec::new();
        take(&mut program, &mut messages, expected.len());
        settle(&mut program, &mut messages);
        messages.retain(|message| message.kind == HEAD);
        assert_eq!(messages.iter().map(target).collect::<Vec<_>>(), expected);
        messages.iter().rev().for_each(|head| answer(&mut program, head));
    }
    for n in [0, 1, 2, 3, 4, 5, 6, 7] {
        let response = if n == 1 { client.head() } else { client.response() };
        let length = (if n == 1 { 2 } else { response.body.len() }).to_string();
        assert_eq!((response.status(), response.field("content-length")), (200, Some(&*length)));
    }
    drop((client, program));
    server.stop();
}

#[test]
fn a_program_that_dies_leaves_each_request_an_answer_and_what_was_answered_its_own() {
    for trust in [Trust::Shared, Trust::Isolated] {
        let server = start("");
        let mut program = Program::attach(&server, "app", trust);
        let mut client = server.connect();
        client.send((0..10).map(|n| get(format!("/{n}"))).collect::<String>());
        let mut heads = Vec::new();
        take(&mut program, &mut heads, 10);
        answer(&mut program, &heads[3]);
        answer(&mut program, &heads[7]);
        // A stream that was begun, and whose turn had not come, has not been seen by anybody.
        begin(&mut program.port.queues()[0], &heads[5]);
        sync(&server, &mut program);
        drop((heads, program));
        for n in 0..10 {
            let response = client.response();
            let expected = if matches!(n, 3 | 7) { 200 } else { 502 };
            assert_eq!(response.status(), expected, "{n}");
        }
        assert_eq!(client.get("/").status(), 503, "and the connection goes on");
        drop(client);
        server.drain();
    }
}

#[test]
fn each_request_has_its_own_time_from_its_turn_on() {
    let server = start("answer_timeout_ms = 700");
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let mut client = server.connect();
    client.send((0..4).map(|n| get(format!("/{n}"))).collect::<String>());
    let mut heads = Vec::new();
    take(&mut program, &mut heads, 4);
    answer(&mut program, &heads[2]);
    for expected in [504, 504, 200, 504] {
        assert_eq!(client.response().status(), expected);
    }
    let mut closed = Vec::new();
    take(&mut program, &mut closed, 3);
    let numbers = |of: &[Message]| of.iter().map(|m| m.number).collect::<Vec<_>>();
    assert!(closed.iter().all(|message| message.kind == kind::CLOSED));
    assert_eq!(numbers(&closed), [heads[0].number, heads[1].number, heads[3].number]);
    assert_eq!(server.count(Counter::Timeouts), 3);
    // What it says of them too late is for nobody, and harms nobody.
    answer(&mut program, &heads[0]);
    client.send(get("/next"));
    let mut next = Vec::new();
    take(&mut program, &mut next, 1);
    answer(&mut program, &next[0]);
    assert_eq!(client.response().body, b"/next");
    drop((client, program, heads, closed, next));
    server.drain();
}

#[test]
fn a_broken_rule_and_the_end_of_a_peer_are_heard_behind_the_answers() {
    for broken in [true, false] {
        let server = start("");
        let mut program = Program::attach(&server, "app", Trust::Shared);
        let mut client = server.connect();
        client.send((0..5).map(|n| get(format!("/{n}"))).collect::<String>());
        if broken {
            client.send("GET / HTTP/1.1\r\n\r\n");
        } else {
            client.finish();
        }
        let mut heads = Vec::new();
        take(&mut program, &mut heads, 5);
        thread::sleep(Duration::from_millis(50));
        heads.iter().rev().for_each(|head| answer(&mut program, head));
        for n in 0..5 {
            assert_eq!(client.response().body, format!("/{n}").into_bytes());
        }
        if broken {
            assert_eq!(client.response().status(), 400);
        }
        client.wait_for_the_end();
        drop((client, program, heads));
        server.drain();
    }
}

#[test]
fn a_request_that_closes_and_one_of_http_1_0_are_the_last_that_are_answered() {
    for last in
        ["GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET /2 HTTP/1.0\r\n\r\n"]
    {
        let server = start("");
        let mut program = Program::attach(&server, "app", Trust::Shared);
        let mut client = server.connect();
        client.send(get("/0") + &get("/1") + last + &get("/3"));
        let mut heads = Vec::new();
        take(&mut program, &mut heads, 3);
        settle(&mut program, &mut heads);
        assert_eq!(heads.len(), 3);
        heads.iter().rev().for_each(|head| answer(&mut program, head));
        for n in 0..3 {
            let response = client.response();
            assert_eq!(response.body, format!("/{n}").into_bytes());
            assert_eq!(response.field("connection"), (n == 2).then_some("close"));
        }
        client.wait_for_the_end();
        drop((client, program, heads));
        server.drain();
    }
}

#[test]
fn a_peer_that_resets_takes_its_requests_along_and_what_came_early_goes_home() {
    for trust in [Trust::Shared, Trust::Isolated] {
        let server = start("");
        let mut program = Program::attach(&server, "app", trust);
        let mut client = server.connect();
        client.send((0..10).map(|n| get(format!("/{n}"))).collect::<String>());
        let mut heads = Vec::new();
        take(&mut program, &mut heads, 10);
        answer(&mut program, &heads[4]);
        begin(&mut program.port.queues()[0], &heads[5]);
        sync(&server, &mut program);
        client.reset();
        let mut closed = Vec::new();
        take(&mut program, &mut closed, 9);
        assert!(closed.iter().all(|message| message.kind == kind::CLOSED));
        assert!(closed.iter().all(|message| message.number != heads[4].number));
        server.wait_for_no_connections();
        drop((program, heads, closed));
        server.drain();
    }
}

#[test]
fn a_response_that_streams_ahead_of_its_turn_costs_no_other_its_slots() {
    for trust in [Trust::Shared, Trust::Isolated] {
        let server = start("");
        let mut program = Program::attach(&server, "app", trust);
        let mut client = server.connect();
        client.send(get("/slow") + &get("/stream") + &get("/behind"));
        let mut heads = Vec::new();
        take(&mut program, &mut heads, 3);
        answer(&mut program, &heads[2]);
        begin(&mut program.port.queues()[0], &heads[1]);
        let (mut sent, mut refused) = (0, false);
        let mut send = |program: &mut Program, sent: &mut u32, all: bool| {
            let queue = &mut program.port.queues()[0];
            while *sent < 400
                && let Some(mut part) = if all {
                    queue.alloc(heads[1].conn, 1000)
                } else {
                    queue.alloc_for(&heads[1], 1000)
                }
            {
                assert!(part.append(&[*sent as u8; 1000]));
                *sent += 1;
                part.part_of(&heads[1], *sent == 400);
                queue.send(part);
            }
            refused |= *sent < 400;
            queue.flush();
        };
        // As much as a program is to make ahead, and then some more.
        send(&mut program, &mut sent, false);
        assert!(sent < 64, "{sent} parts ahead");
        for _ in 0..20 {
            send(&mut program, &mut sent, true);
            thread::sleep(Duration::from_millis(2));
            assert!(program.port.queues()[0].receive().is_none());
        }
        let mut beside = server.connect();
        beside.send(get("/beside"));
        let mut other = Vec::new();
        take(&mut program, &mut other, 1);
        answer(&mut program, &other[0]);
        assert_eq!(beside.response().body, b"/beside");
        answer(&mut program, &heads[0]);
        thread::scope(|scope| {
            let read = scope.spawn(|| {
                assert_eq!(client.response().body, b"/slow");
                let body = chunked(&mut client);
                assert_eq!(client.response().body, b"/behind");
                body
            });
            while !read.is_finished() {
                assert!(program.port.queues()[0].receive().is_none());
                send(&mut program, &mut sent, false);
            }
            let body = read.join().unwrap();
            assert!(body.chunks(1000).enumerate().all(|(n, part)| part == [n as u8; 1000]));
            assert_eq!(body.len(), 400_000);
        });
        assert!(refused);
        drop((client, beside, program, heads, other));
        server.drain();
    }
}

#[test]
fn a_connection_that_the_program_gives_up_ahead_of_its_turn_ends_in_its_turn() {
    for word in [kind::ABORT, kind::CLOSE] {
        let server = start("");
        let mut program = Program::attach(&server, "app", Trust::Shared);
        let mut client = server.connect();
        client.send((0..4).map(|n| get(format!("/{n}"))).collect::<String>());
        let mut heads = Vec::new();
        take(&mut program, &mut heads, 4);
        let mut end = Message::marker(heads[1].conn, word);
        end.number = heads[1].number;
        program.port.queues()[0].send(end);
        answer(&mut program, &heads[2]);
        thread::sleep(Duration::from_millis(50));
        answer(&mut program, &heads[0]);
        let mut rest = Vec::new();
        // What was sent before a cut may be lost with it.
        let _ = (&mut client.stream()).read_to_end(&mut rest);
        let text = String::from_utf8(rest).unwrap();
        assert!(text.is_empty() || text.ends_with("/0") && text.matches("HTTP").count() == 1);
        let mut closed = Vec::new();
        take(&mut program, &mut closed, 1);
        assert_eq!((closed[0].kind, closed[0].number), (kind::CLOSED, heads[3].number));
        drop((client, program, heads, closed));
        server.drain();
    }
}

#[test]
fn a_dataplane_that_drains_waits_for_the_answers_to_a_pipeline() {
    let server = start("");
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let mut client = server.connect();
    client.send((0..6).map(|n| get(format!("/{n}"))).collect::<String>());
    let mut heads = Vec::new();
    take(&mut program, &mut heads, 6);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..6 {
                assert_eq!(client.response().body, format!("/{n}").into_bytes());
            }
            client.wait_for_the_end();
        });
        let drained = scope.spawn(|| server.drain());
        thread::sleep(Duration::from_millis(100));
        heads.drain(..).rev().for_each(|head| answer(&mut program, &head));
        drained.join().unwrap();
    });
}

#[test]
fn an_answer_that_comes_too_late_does_not_disturb_the_next_connection() {
    let start = Start::new().listener("http", "").limited("handler = \"port:app\"");
    let server = start.tables("[dataplane]\nmax_connections = 1\n").start();
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let (mut late, mut heads) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let mut gone = server.connect();
        gone.send(get("/gone"));
        take(&mut program, &mut late, 1);
        gone.reset();
        take(&mut program, &mut late, 2);
        server.wait_for_no_connections();
        // It has the slot of the one before.
        let mut client = server.connect();
        client.send(get("/0") + &get("/1"));
        take(&mut program, &mut heads, 2);
        assert_eq!(heads[0].conn.slot(), late[0].conn.slot());
        answer(&mut program, &late[0]);
        heads.iter().rev().for_each(|head| answer(&mut program, head));
        assert_eq!((client.response().body, client.response().body), (b"/0".into(), b"/1".into()));
        client.reset();
        server.wait_for_no_connections();
        late.clear();
        heads.clear();
    }
    drop(program);
    server.drain();
}
