//! Bodies of requests and responses that a program takes and gives part by part.

use std::io::Read;
use std::thread;
use std::time::Duration;

use ringway::attach::{Message, Queue};
use ringway::counters::Counter;
use ringway::mem::{Trust, kind};
use ringway::pipeline::chain::http1::{BODY, HEAD, TRAILERS};

use crate::common::{Client, Server, Start, pattern, wait_until};
use crate::program::{Program, serve_client};

fn start(settings: &str) -> Server {
    Start::new().listener("http", settings).limited("handler = \"port:app\"").start()
}

/// Serves `client` with a program that answers like this.
fn serve(
    settings: &str,
    trust: Trust,
    answer: impl FnMut(&mut Queue, Message),
    client: impl FnOnce(&Server) + Send,
) {
    serve_client(start(settings), trust, answer, client);
}

fn both(mut answer: impl FnMut(&mut Queue, Message), client: impl Fn(&Server) + Copy + Send) {
    for trust in [Trust::Shared, Trust::Isolated] {
        serve("", trust, &mut answer, client);
    }
}

fn begin(queue: &mut Queue, head: &Message) {
    let mut response = Message::marker(head.conn, 0);
    response.respond(head, 200, 0, false);
    queue.send(response);
}

/// Reads the chunks of a body, whose ends come with what follows them.
#[derive(Default)]
struct Chunks {
    open: bool,
}

impl Chunks {
    /// The next; an empty one is the end of the body.
    fn next(&mut self, client: &mut Client) -> Vec<u8> {
        if self.open {
            assert_eq!(client.receive(2), b"\r\n");
        }
        let size = usize::from_str_radix(&client.line(), 16).unwrap();
        self.open = size > 0;
        if !self.open {
            assert_eq!(client.receive(2), b"\r\n");
        }
        client.receive(size)
    }
}

/// Begins its response with the head of the request, and sends back what comes.
fn echo(queue: &mut Queue, mut message: Message) {
    match message.kind {
        HEAD => begin(queue, &message),
        BODY => {
            // The same bytes, from the same slot.
            message.kind = BODY;
            queue.send(message);
        }
        _ => {}
    }
}

const CHUNKED: &str = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn a_program_streams_back_while_it_receives() {
    both(echo, |server| {
        let mut client = server.connect();
        for _ in 0..3 {
            client.send(CHUNKED);
            assert_eq!(client.head().field("transfer-encoding"), Some("chunked"));
            let mut chunks = Chunks::default();
            // Each part is back before the next is sent.
            for n in 0..200usize {
                let part = pattern(n as u64, 1 + n * 7);
                client.send(format!("{:x}\r\n", part.len())).send(&part).send("\r\n");
                let mut back = Vec::new();
                while back.len() < part.len() {
                    back.extend(chunks.next(&mut client));
                }
                assert!(back == part);
            }
            client.send("0\r\n\r\n");
            assert_eq!(chunks.next(&mut client), b"");
        }
        // One that waits for leave to send gets it with the beginning of the response.
        let head =
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        assert_eq!(client.send(head).head().status(), 100);
        assert_eq!(client.head().status(), 200);
        client.send("abc");
        let mut chunks = Chunks::default();
        assert_eq!(chunks.next(&mut client), b"abc");
        assert_eq!(chunks.next(&mut client), b"");
    });
}

#[test]
fn a_large_body_passes_through_a_program_both_ways_at_once() {
    both(echo, |server| {
        let mut client = server.connect();
        let body = pattern(9, 900_000);
        let head =
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        client.send(head);
        let mut writer = client.stream().try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| std::io::Write::write_all(&mut writer, &body).unwrap());
            client.head();
            let (mut back, mut chunks) = (Vec::new(), Chunks::default());
            loop {
                match chunks.next(&mut client) {
                    end if end.is_empty() => break,
                    part => back.extend(part),
                }
            }
            assert!(back == body);
        });
    });
}

#[test]
fn a_response_that_ends_before_the_body_does_leaves_a_connection_that_goes_on() {
    let answer = |queue: &mut Queue, message: Message| {
        if message.kind != HEAD {
            return;
        }
        if message.bytes().starts_with(b"GET") {
            return queue.respond(&message, 200, "", b"next");
        }
        begin(queue, &message);
        queue.send(Message::end_of(&message));
    };
    both(answer, |server| {
        let mut client = server.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
        assert_eq!(client.head().status(), 200);
        assert_eq!(Chunks::default().next(&mut client), b"");
        client.send("def");
        assert_eq!(client.get("/").body, b"next");
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 6\r\n\r\nabc",
        );
        assert_eq!(client.head().field("connection"), Some("close"));
        assert_eq!(Chunks::default().next(&mut client), b"");
        client.send("def").wait_for_the_end();
    });
}

#[test]
fn a_peer_that_goes_in_the_middle_of_an_echo_is_told_of_and_leaves_nothing() {
    for trust in [Trust::Shared, Trust::Isolated] {
        let server = start("");
        let mut program = Program::attach(&server, "app", trust);
        let mut client = server.connect();
        client.send(CHUNKED).send("5\r\nhello\r\n");
        let mut closed = false;
        thread::scope(|scope| {
            scope.spawn(|| {
                client.head();
                assert_eq!(Chunks::default().next(&mut client), b"hello");
                client.reset();
            });
            wait_until(|| {
                let queue = &mut program.port.queues()[0];
                while let Some(message) = queue.receive() {
                    closed |= message.kind == kind::CLOSED;
                    echo(queue, message);
                }
                queue.flush();
                closed
            });
        });
        server.wait_for_no_connections();
        drop(program);
        server.drain();
    }
}

#[test]
fn the_trailer_fields_of_a_body_reach_the_program_before_its_last_part() {
    let mut seen: Vec<String> = Vec::new();
    let answer = |queue: &mut Queue, message: Message| match message.kind {
        HEAD => seen.clear(),
        TRAILERS => {
            let fields = message.trailers().expect("trailers");
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            seen.extend(fields.map(|(name, value)| format!("{}={}", text(name), text(value))));
        }
        BODY if message.meta == 1 => queue.respond(&message, 200, "", seen.join(";").as_bytes()),
        _ => {}
    };
    both(answer, |server| {
        let mut client = server.connect();
        client.send(CHUNKED).send("3\r\nabc\r\n0\r\nX-Sum: 12\r\nx-b:  c \r\n\r\n");
        assert_eq!(client.response().body, b"X-Sum=12;x-b=c");
        client.send(CHUNKED).send("3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(client.response().body, b"");
    });
}

#[test]
fn a_program_that_stops_in_the_middle_of_a_response_costs_its_connection_alone() {
    let server = start("answer_timeout_ms = 5000");
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let mut client = server.connect();
    client.send("GET /stops HTTP/1.1\r\nHost: a\r\n\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut heads, mut closed) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let read = scope.spawn(|| {
            client.head();
            assert_eq!(Chunks::default().next(&mut client), b"one");
            let mut rest = Vec::new();
            let _ = (&mut client.stream()).read_to_end(&mut rest);
            rest
        });
        wait_until(|| {
            let queue = &mut program.port.queues()[0];
            while let Some(message) = queue.receive() {
                match message.kind {
                    HEAD if heads.is_empty() => {
                        begin(queue, &message);
                        let mut part = queue.alloc_for(&message, 3).expect("a slot");
                        assert!(part.append(b"one"));
                        part.part_of(&message, false);
                        queue.send(part);
                        heads.push(message.number);
                    }
                    HEAD => heads.push(message.number),
                    kind::CLOSED => closed.push(message.number),
                    _ => {}
                }
            }
            queue.flush();
            closed.len() == 2
        });
        assert_eq!(read.join().unwrap(), b"", "no end of the body");
    });
    assert_eq!(heads, closed, "both are given up");
    assert_eq!((server.count(Counter::Timeouts), program.port.is_alive()), (1, true));
    // A response that goes on in time may take as long as it likes.
    let mut patient = server.connect();
    patient.send("GET /goes-on HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut stream: Option<Message> = None;
    thread::scope(|scope| {
        let read = scope.spawn(|| {
            patient.head();
            let mut chunks = Chunks::default();
            let next = || Some(chunks.next(&mut patient)).filter(|c| !c.is_empty());
            std::iter::from_fn(next).count()
        });
        let mut parts = 0;
        while !read.is_finished() {
            let queue = &mut program.port.queues()[0];
            while let Some(message) = queue.receive() {
                if message.kind == HEAD {
                    begin(queue, &message);
                    stream = Some(message);
                }
            }
            if let Some(head) = stream.as_ref().filter(|_| parts < 12) {
                thread::sleep(Duration::from_millis(500));
                parts += 1;
                let mut part = queue.alloc_for(head, 1).expect("a slot");
                assert!(part.append(b"x"));
                part.part_of(head, parts == 12);
                queue.send(part);
            }
            queue.flush();
        }
        assert_eq!(read.join().unwrap(), 12);
    });
    drop((client, patient, program, stream));
    server.drain();
}

#[test]
fn a_peer_that_is_slow_to_send_is_not_the_programs_fault() {
    let answer = |queue: &mut Queue, message: Message| match message.kind {
        HEAD if message.bytes().starts_with(b"POST /echo") => begin(queue, &message),
        BODY if message.meta == 1 && message.number % 2 == 1 => {
            queue.respond(&message, 200, "", b"")
        }
        BODY => echo(queue, message),
        _ => {}
    };
    serve("answer_timeout_ms = 300", Trust::Shared, answer, |server| {
        let mut client = server.connect();
        let pause = || thread::sleep(Duration::from_millis(1000));
        // The first request waits for the end of its body with its answer.
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
        pause();
        client.send("ab");
        assert_eq!(client.response().status(), 200);
        // The second goes on with it as the body comes.
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n").head();
        let mut chunks = Chunks::default();
        for part in [b"a", b"b"] {
            pause();
            client.send(part);
            assert_eq!(chunks.next(&mut client), part);
        }
        assert_eq!(chunks.next(&mut client), b"");
    });
}

#[test]
fn a_program_that_keeps_the_slots_of_a_body_has_its_time_for_the_answer() {
    let server = start("answer_timeout_ms = 300, max_body_bytes = 100000000");
    let mut program = Program::attach(&server, "app", Trust::Isolated);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
    let mut kept = Vec::new();
    thread::scope(|scope| {
        let mut writer = client.stream().try_clone().unwrap();
        // The refusal ends it in the middle.
        scope
            .spawn(move || std::io::Write::write_all(&mut writer, &vec![b'x'; 50_000_000]).is_ok());
        let refused = scope.spawn(|| {
            assert_eq!(client.response().status(), 504);
            client.reset();
        });
        while !refused.is_finished() {
            kept.extend(std::iter::from_fn(|| program.port.queues()[0].receive()));
            thread::yield_now();
        }
        refused.join().unwrap();
    });
    assert_eq!(server.count(Counter::Timeouts), 1);
    drop((program, kept));
    server.drain();
}

#[test]
fn a_program_that_takes_nothing_is_cut_off_after_the_time_that_is_configured() {
    for protocol in ["http", "raw"] {
        let start = Start::new().listener(protocol, "stall_timeout_ms = 300");
        let start = start.limited("handler = \"port:app\"");
        let server = start.tables("[dataplane]\nmax_connections = 2048\n").start();
        let program = Program::attach(&server, "app", Trust::Shared);
        // More than the ring has room for.
        let mut clients: Vec<Client> = (0..1500).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        wait_until(|| server.count(Counter::PortFaults) == 1 && !program.port.is_alive());
        drop((clients, program));
        server.drain();
    }
}

#[test]
fn limits_on_time_are_refused_past_their_bounds_and_taken_at_them() {
    for (protocol, name) in
        [("http", "stall_timeout_ms"), ("http", "answer_timeout_ms"), ("raw", "stall_timeout_ms")]
    {
        let with = |value: &str| {
            let start = Start::new().listener(protocol, &format!("{name} = {value}"));
            start.limited("handler = \"port:app\"")
        };
        for value in ["0", "-1", "1.5", "\"1\"", "86400001"] {
            let text = with(value).refusal();
            for part in [name, value, "from 1 to 86400000"] {
                assert!(text.contains(part), "{part:?} is not in: {text}");
            }
        }
        with("1").start().stop();
        with("86400000").start().stop();
    }
    let text = Start::new().listener("http", "stall_timeout_ms = 1").refusal();
    assert!(text.contains("it has no setting `stall_timeout_ms`"), "{text}");
}
