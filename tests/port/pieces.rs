//! Messages that are larger than any slot of an isolated process: they reach it in pieces, and hold
//! nobody up.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use ringway::attach::Attachment;
use ringway::handler::http::{Http, PortService};
use ringway::handler::{Manner, Remote, Unattended};
use ringway::limits::{BLOCK_BYTES, PORT_STALL_NS};
use ringway::mem::{Buf, ClassSize, ConnId, Ledger, Mempool, PortSegment, Side, Trust, kind};
use ringway::pipeline::chain::http1::{BODY, HEAD, Settings};
use ringway::pipeline::{Handler, Pipeline, chain};
use ringway::port::{Grant, Lifeline, Offer, PortIndex, PortTable, Queue, Role};
use ringway::ring::doorbell::Doorbell;
use ringway::sys::mapping::Request;
use ringway::testing::{Harness, SLOTS};

use crate::common::pattern;

/// Slots of the process: three large ones for messages.
const OWN: [ClassSize; 2] =
    [ClassSize { slot_bytes: 2048, slots: 16 }, ClassSize { slot_bytes: 16384, slots: 4 }];

const LARGE: usize = OWN[1].slot_bytes as usize;

/// The first port of a table.
pub fn port() -> PortIndex {
    PortTable::default().add("app", 0).unwrap()
}

/// Attaches an isolated process at the harness's only port.
pub fn attach<H: Handler>(harness: &mut Harness<H>) -> Attachment {
    let segment = PortSegment::create("ringway-test-pieces", Trust::Isolated, 1, &OWN).unwrap();
    let segment = Arc::new(segment);
    let (event, bell) = (Doorbell::event().unwrap(), Doorbell::event().unwrap());
    let (rung, own) = (event.try_clone().unwrap(), bell.try_clone().unwrap());
    let ends = segment.ends(0, Side::Primary, rung, own).unwrap();
    let ledger = Ledger::of_segment(harness.cx.pool.clone(), segment.clone(), 0);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let queue = Queue::new(ends, ledger, Arc::new(Lifeline::new(ours)));
    let port = harness.cx.ports.add("app", 0).unwrap();
    harness.cx.ports.attach(port, queue);
    let grant = Grant { trust: Trust::Isolated, role: Role::Handler, queues: vec![None] };
    let segment = segment.try_clone_fd().unwrap();
    let offer = Offer { grant, segment, pools: Vec::new(), event, bells: vec![bell] };
    Attachment::accept(offer, theirs).unwrap()
}

/// `bytes` in a block, of a pool of its own, which has to outlive them.
pub fn block(bytes: &[u8]) -> (Mempool, Buf) {
    let request = Request { no_huge: true, ..Request::new("ringway-test-pieces", 0) };
    let size = ClassSize { slot_bytes: BLOCK_BYTES, slots: 1 };
    let pool = Mempool::create(&request, &[size], None).unwrap();
    let mut buf = pool.alloc(bytes.len()).unwrap();
    assert!(buf.append(bytes));
    (pool, buf)
}

/// All bytes of messages of `wanted` that the process gets, and their metas; it gives each slot back at
/// once.
fn collect<H: Handler>(
    harness: &mut Harness<H>,
    process: &mut Attachment,
    wanted: u8,
    bytes: usize,
) -> (Vec<u8>, Vec<u32>) {
    let (mut got, mut metas) = (Vec::new(), Vec::new());
    while got.len() < bytes {
        let before = got.len();
        let queue = &mut process.queues()[0];
        while let Some(message) = queue.receive() {
            if message.kind == wanted {
                assert!(message.bytes().len() <= LARGE);
                got.extend_from_slice(message.bytes());
                metas.push(message.meta);
            }
        }
        assert!(got.len() > before, "it goes on as long as the process takes what comes");
        queue.flush();
        harness.run();
    }
    (got, metas)
}

#[test]
fn a_block_of_a_raw_connection_is_cut_and_comes_in_order() {
    let mut pools = Vec::new();
    let mut harness =
        Harness::new(Remote::new(Manner::Bytes, SLOTS, port(), Unattended::Refuse, PORT_STALL_NS));
    let mut process = attach(&mut harness);
    let (conn, other) = (harness.open(), harness.open());
    for bytes in [LARGE + 1, 2 * LARGE, BLOCK_BYTES as usize] {
        let sent = pattern(bytes as u64, bytes);
        let (pool, block) = block(&sent);
        harness.receive_buf(conn, block);
        pools.push(pool);
        // Another connection is served meanwhile, and what comes behind the block waits for it.
        harness.receive(other, b"other");
        harness.receive(conn, b"behind");
        let queue = &mut process.queues()[0];
        let mut got = Vec::new();
        let mut other_came = false;
        while !other_came {
            let message = queue.receive().expect("the other's word is there");
            match (message.kind, message.conn) {
                (kind::DATA, from) if from == other => other_came = true,
                (kind::DATA, _) => got.extend_from_slice(message.bytes()),
                _ => {}
            }
        }
        queue.flush();
        harness.run();
        let left = bytes + b"behind".len() - got.len();
        got.extend(collect(&mut harness, &mut process, kind::DATA, left).0);
        assert!(got[..bytes] == sent && got[bytes..] == *b"behind", "{bytes} bytes");
    }
    drop(process);
    harness.finish();
}

#[test]
fn a_block_of_a_body_is_cut_and_the_last_piece_alone_ends_it() {
    let mut pools = Vec::new();
    let mut settings = Settings::for_slots(256, 64);
    settings.limits.body_bytes = BLOCK_BYTES.into();
    let service = PortService::new(SLOTS, port(), 1_000_000_000, PORT_STALL_NS);
    let mut harness = Harness::build(|_| {
        let chain = chain::Http1::new(SLOTS, settings);
        (Pipeline::Http1(Box::new(chain)), Http::new(SLOTS, service))
    });
    let mut process = attach(&mut harness);
    let conn = harness.open();
    for bytes in [LARGE + 1, 2 * LARGE, BLOCK_BYTES as usize] {
        let sent = pattern(bytes as u64, bytes);
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n");
        harness.receive(conn, head);
        let queue = &mut process.queues()[0];
        let request = std::iter::from_fn(|| queue.receive()).find(|m| m.kind == HEAD).unwrap();
        let (pool, block) = block(&sent);
        harness.receive_buf(conn, block);
        pools.push(pool);
        let (got, metas) = collect(&mut harness, &mut process, BODY, bytes);
        assert!(got == sent, "{bytes} bytes");
        let (last, before) = metas.split_last().unwrap();
        assert!(*last == 1 && before.iter().all(|meta| *meta == 0), "{metas:?}");
        process.queues()[0].respond(&request, 200, "", format!("{bytes}").as_bytes());
        process.queues()[0].flush();
        harness.run();
        let replies = String::from_utf8_lossy(harness.sent(conn)).into_owned();
        assert!(replies.ends_with(&format!("\r\n\r\n{bytes}")), "{replies}");
    }
    drop(process);
    harness.finish();
}

#[test]
fn room_in_a_ring_that_was_full_is_as_good_as_a_word() {
    let mut harness =
        Harness::new(Remote::new(Manner::Bytes, SLOTS, port(), Unattended::Refuse, PORT_STALL_NS));
    let mut process = attach(&mut harness);
    let queue = harness.cx.ports.queue(port()).unwrap();
    let word = || Buf::marker(ConnId::NONE, kind::CLOSED);
    while queue.send(word(), 0).is_ok() {}
    queue.flush();
    assert!(!queue.has_input(), "there is no room yet");
    assert!(process.queues()[0].receive().is_some());
    // Its index moves with a burst.
    while process.queues()[0].receive().is_some() {}
    assert!(queue.has_input());
    queue.flush();
    assert!(queue.has_input(), "the room may have come behind the last look");
    queue.flush();
    assert!(!queue.has_input(), "nobody wants it");
    drop(process);
    harness.finish();
}
