//! Bodies of responses in blocks of 4 MiB, which a service writes in one piece.

use ringway::counters::Counter;
use ringway::dataplane::Protocol;
use ringway::handler::http::{Body, Pull, Reply, Request, Response, Service};
use ringway::limits::BLOCK_BYTES;
use ringway::mem::{Buf, ConnId};
use ringway::pipeline::Cx;

use crate::common::{Server, Start, pattern};

const BYTES: usize = BLOCK_BYTES as usize;
const PARTS: usize = 5;

/// Answers with a block, or more of them.
#[derive(Default)]
struct Blocks {
    /// Parts of the stream that are made.
    made: usize,
}

fn filled(cx: &mut Cx, seed: usize, bytes: usize, conn: ConnId) -> Option<Buf> {
    let mut block = cx.alloc(bytes, conn)?;
    assert!(block.append(&pattern(seed as u64, bytes)));
    Some(block)
}

impl Service for Blocks {
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        let bytes = match request.path() {
            b"/exact" => BYTES,
            b"/over" => BYTES + 1,
            _ => {
                self.made = 0;
                return Response::new(200, Body::Stream(Some((PARTS * BYTES) as u64))).into();
            }
        };
        match filled(cx, 7, bytes, request.conn()) {
            Some(block) => Response::new(200, Body::Buf(block)).into(),
            None => Response::text(500, "larger than a block\n").into(),
        }
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        if self.made == PARTS {
            return Pull::End;
        }
        let Some(part) = filled(cx, self.made, BYTES, conn) else { return Pull::Busy };
        self.made += 1;
        Pull::Part(part)
    }
}

fn start(blocks: u32) -> Server {
    let start = Start::new().listener("blocks", "");
    let builder = start.tables(&format!("[mempool]\nblocks = {blocks}\n")).builder();
    Server::run(builder.protocol("blocks", |context| Protocol::http(context, Blocks::default())))
}

#[test]
fn a_body_of_a_block_is_sent_whole_from_where_it_lies_and_a_byte_more_is_not_to_be_had() {
    let server = start(1);
    let mut client = server.connect();
    for _ in 0..4 {
        let exact = client.get("/exact");
        assert!(exact.status() == 200 && exact.body == pattern(7, BYTES));
        let over = client.get("/over");
        assert_eq!((over.status(), &*over.body), (500, &b"larger than a block\n"[..]));
    }
    assert_eq!(server.count(Counter::CopiedBytes), 0);
    assert!(server.count(Counter::ShortSends) > 0, "no socket takes a block at once");
    server.drain();
}

#[test]
fn without_blocks_there_is_no_slot_of_that_size() {
    let server = start(0);
    assert_eq!(server.connect().get("/exact").status(), 500);
    server.drain();
}

#[test]
fn a_stream_of_blocks_goes_on_as_they_come_home() {
    let server = start(2);
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().field("content-length"), Some(&*(PARTS * BYTES).to_string()));
        for part in 0..PARTS {
            assert!(client.receive(BYTES) == pattern(part as u64, BYTES), "part {part}");
        }
    }
    server.drain();
}

#[test]
fn a_peer_that_leaves_in_the_middle_of_a_block_leaves_nothing_behind() {
    let server = start(1);
    for _ in 0..3 {
        let mut gone = server.connect();
        gone.send("GET /exact HTTP/1.1\r\nHost: a\r\n\r\n").receive(100_000);
        gone.reset();
        server.wait_for_no_connections();
        assert_eq!(server.connect().get("/exact").status(), 200);
    }
    server.drain();
}
