//! Pipelines of any requests, which a program answers in any order, against an oracle that knows what each
//! peer is to read.

use std::thread;

use ringway::attach::{Message, Queue};
use ringway::counters::Counter;
use ringway::mem::Trust;
use ringway::pipeline::chain::http1::HEAD;

use crate::common::Client;
use crate::pipelining::{begin, chunked, pump, start, target};
use crate::program::Program;

/// A generator that a seed begins (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// One request of the random test: its bytes, and what the oracle knows of its answer.
fn request(random: &mut Random, n: usize) -> (String, String, &'static str) {
    // Some are longer than what may be sent before any is out.
    let size = if random.below(20) == 0 { 120_000 } else { random.below(4000) };
    let fields = format!("Host: a\r\nX-Fill: {}\r\n", "x".repeat(random.below(400)));
    let body = "b".repeat(random.below(3000));
    let (line, body, form) = match random.below(9) {
        8 => (format!("HEAD /parts/{n}/{size}"), None, "head alone"),
        0 => (format!("HEAD /whole/{n}/{}", size % 4000), None, "head"),
        1 => (format!("POST /parts/{n}/{size}"), Some(body), "parts"),
        2 => (format!("DELETE /whole/{n}/{}", size % 4000), None, "whole"),
        3 | 4 => (format!("GET /parts/{n}/{size}"), None, "parts"),
        _ => (format!("GET /whole/{n}/{}", size % 4000), None, "whole"),
    };
    let length =
        body.as_ref().map_or(String::new(), |b| format!("Content-Length: {}\r\n", b.len()));
    let bytes = format!("{line} HTTP/1.1\r\n{fields}{length}\r\n{}", body.unwrap_or_default());
    let size = if line.contains("/whole/") { size % 4000 } else { size };
    (bytes, text_of(n, size), form)
}

fn text_of(n: usize, size: usize) -> String {
    format!("{n}:{}", "y".repeat(size))
}

/// What the program has in its hands: a request, and what of its answer is still to be sent.
struct Hand {
    head: Message,
    text: String,
    begun: bool,
}

impl Hand {
    fn of(head: Message) -> Self {
        let words: Vec<String> = target(&head).split('/').map(str::to_owned).collect();
        let text = text_of(words[2].parse().unwrap(), words[3].parse().unwrap());
        Self { head, text, begun: false }
    }

    /// Says something more of the answer; whether it is whole then.
    fn go_on(&mut self, queue: &mut Queue, random: &mut Random) -> bool {
        if target(&self.head).starts_with("/whole") {
            queue.respond(&self.head, 200, "X: y\r\n", self.text.as_bytes());
            return true;
        }
        if !self.begun {
            self.begun = true;
            begin(queue, &self.head);
            return false;
        }
        let bytes = (1 + random.below(700)).min(self.text.len());
        let Some(mut part) = queue.alloc_for(&self.head, bytes) else { return false };
        assert!(part.append(&self.text.as_bytes()[..bytes]));
        self.text.drain(..bytes);
        part.part_of(&self.head, self.text.is_empty());
        queue.send(part);
        self.text.is_empty()
    }
}

#[test]
fn whatever_order_a_program_answers_in_each_peer_reads_what_an_oracle_knows() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = seed.unwrap_or_else(now) | 1;
    println!("SEED={seed}");
    for (round, trust) in [Trust::Shared, Trust::Isolated].into_iter().enumerate() {
        let mut random = Random(seed.wrapping_add(2 * round as u64));
        let server = start("");
        let mut program = Program::attach(&server, "app", trust);
        let scripts: Vec<Vec<_>> = (0..6)
            .map(|_| (0..1 + random.below(120)).map(|n| request(&mut random, n)).collect())
            .collect();
        thread::scope(|scope| {
            let clients: Vec<_> = scripts
                .iter()
                .map(|script| scope.spawn(|| play(&mut server.connect(), script)))
                .collect();
            let mut hands: Vec<Hand> = Vec::new();
            while !clients.iter().all(|client| client.is_finished()) {
                let mut came = Vec::new();
                pump(&mut program, &mut came);
                came.retain(|message| message.kind == HEAD);
                hands.extend(came.into_iter().map(Hand::of));
                let queue = &mut program.port.queues()[0];
                for _ in 0..random.below(60) {
                    let Some(bound) = Some(hands.len()).filter(|len| *len > 0) else { break };
                    let index = random.below(bound);
                    if hands[index].go_on(queue, &mut random) {
                        hands.swap_remove(index);
                    }
                }
                queue.flush();
                thread::yield_now();
            }
            clients.into_iter().for_each(|client| client.join().unwrap());
        });
        assert_eq!(server.count(Counter::PortFaults), 0);
        drop(program);
        server.drain();
    }
}

/// Sends all requests in one go, and compares what comes with what the oracle knows.
fn play(client: &mut Client, script: &[(String, String, &'static str)]) {
    let mut writer = client.stream().try_clone().unwrap();
    let bytes: String = script.iter().map(|(bytes, ..)| bytes.as_str()).collect();
    thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut writer, bytes.as_bytes()).unwrap());
        for (n, (_, text, form)) in script.iter().enumerate() {
            let body = match *form {
                "parts" => chunked(client),
                "head alone" => {
                    assert_eq!(client.head().field("transfer-encoding"), Some("chunked"));
                    continue;
                }
                "head" => {
                    let length = client.head().field("content-length").unwrap().to_owned();
                    assert_eq!(length, text.len().to_string(), "{n}");
                    continue;
                }
                _ => client.response().body,
            };
            assert!(body == text.as_bytes(), "{n}: {}", String::from_utf8_lossy(&body));
        }
    });
}
