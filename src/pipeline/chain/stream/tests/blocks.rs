//! Compressed messages that become larger than a large slot, where blocks are few.

use std::time::Duration;

use super::*;
use crate::limits::{
    BLOCK_BYTES, LARGE_SLOT_BYTES, SMALL_SLOT_BYTES, STREAM_SLOT_RETRY_NS, STREAM_SLOT_WAIT_NS,
};
use crate::mem::{Buf, ClassSize, Mempool};
use crate::sys::mapping::Request;

/// Bytes of a message that fits no large slot.
const LONG: usize = 200_000;

fn long_config() -> Config {
    Config { message_bytes_max: 1 << 20, ..config(Mode::Stream, ENCRYPT | COMPRESS) }
}

/// One whose pool has so many blocks.
fn harness_with(blocks: u32, config: Config) -> Harness<Streams<Echo>> {
    let size = |slot_bytes, slots| ClassSize { slot_bytes, slots };
    let sizes =
        [size(SMALL_SLOT_BYTES, 256), size(LARGE_SLOT_BYTES, 32), size(BLOCK_BYTES, blocks)];
    let request = Request { no_huge: true, ..Request::new("test", 0) };
    let pool = Mempool::create(&request, &sizes, None).unwrap();
    let share = Share::one_in(8, [256, 32, blocks, 0]);
    let chain = Stream::new(SLOTS, Settings { share, ..settings(config) });
    Harness::build_on(pool, |_| (Pipeline::Stream(Box::new(chain)), Streams::new(Echo::default())))
}

/// Takes all blocks.
fn hoard(harness: &Harness<Streams<Echo>>) -> Vec<Buf> {
    std::iter::from_fn(|| harness.cx.pool.alloc(BLOCK_BYTES as usize)).collect()
}

fn wait(harness: &mut Harness<Streams<Echo>>, ns: u64) {
    harness.advance(Duration::from_nanos(ns));
}

/// Bytes that are packed to 16 KiB, which is more than a packet of these tests has, or to less than one.
fn bodies() -> [Vec<u8>; 2] {
    let mut long: Vec<u8> = vec![b'x'; LONG];
    let mut n = 7u32;
    for byte in &mut long[..16_000] {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (n >> 24) as u8;
    }
    [vec![b'x'; LONG], long]
}

#[test]
fn a_message_waits_for_a_block_and_its_session_alone_with_it() {
    for body in bodies() {
        for cut in [usize::MAX, 333] {
            let config = long_config();
            let mut harness = harness_with(2, config);
            let mut peer = Peer::connect(&mut harness, config, cut);
            let mut other = Peer::connect(&mut harness, config, usize::MAX);
            let (to, from) = (peer.open(&mut harness), other.open(&mut harness));
            let hoard = hoard(&harness);
            peer.send(&mut harness, to, &body);
            for n in 0..20 {
                peer.send(&mut harness, to, &message(n, 300));
            }
            peer.connection.close_channel(to).unwrap();
            peer.pump(&mut harness);
            assert!(peer.heard.is_empty() && harness.paused(peer.conn));
            wait(&mut harness, STREAM_SLOT_WAIT_NS / 2);
            other.send(&mut harness, from, b"others go on");
            other.pump(&mut harness);
            assert_eq!(other.heard.len(), 1);
            drop(hoard);
            wait(&mut harness, 2 * STREAM_SLOT_RETRY_NS);
            peer.pump(&mut harness);
            peer.pump(&mut harness);
            assert!(!harness.paused(peer.conn));
            assert_eq!(peer.heard.len(), 21);
            assert!(peer.heard[0].1 == body);
            for n in 0..20 {
                assert_eq!(peer.heard[n + 1].1, message(n, 300));
            }
            assert!(peer.events.contains(&Event::ChannelClosed { channel: to }));
            harness.finish();
        }
    }
}

#[test]
fn a_message_that_finds_no_block_for_five_seconds_ends_its_session_and_not_before() {
    for body in bodies() {
        let config = Config { keepalive_ns: 100_000_000, ..long_config() };
        let mut harness = harness_with(2, config);
        let mut peer = Peer::connect(&mut harness, config, usize::MAX);
        let channel = peer.open(&mut harness);
        let hoard = hoard(&harness);
        peer.send(&mut harness, channel, &body);
        peer.send(&mut harness, channel, b"behind it");
        // Though it looks as if the peer were silent.
        wait(&mut harness, STREAM_SLOT_WAIT_NS - 1);
        assert_eq!(harness.closed(peer.conn), None);
        wait(&mut harness, 1 + STREAM_SLOT_RETRY_NS);
        assert_eq!(harness.closed(peer.conn), Some(End::Linger));
        drop(hoard);
        harness.finish();
    }
}

#[test]
fn messages_that_need_more_blocks_than_there_are_arrive_one_after_the_other() {
    let ([_, body], config) = (bodies(), long_config());
    let mut harness = harness_with(2, config);
    let mut peers: Vec<Peer> =
        (0..6).map(|_| Peer::connect(&mut harness, config, usize::MAX)).collect();
    let channels: Vec<u16> = peers.iter_mut().map(|peer| peer.open(&mut harness)).collect();
    // The first pieces of all, then the others.
    let packets: Vec<Vec<u8>> = peers
        .iter_mut()
        .zip(&channels)
        .map(|(peer, &channel)| peer.packets(&harness, channel, &body))
        .collect();
    for (peer, packets) in peers.iter_mut().zip(&packets) {
        peer.say(&mut harness, &packets[..PACKET]);
    }
    for (peer, packets) in peers.iter_mut().zip(&packets) {
        peer.say(&mut harness, &packets[PACKET..]);
    }
    for _ in 0..40 {
        wait(&mut harness, STREAM_SLOT_RETRY_NS);
        peers.iter_mut().for_each(|peer| peer.pump(&mut harness));
    }
    for (peer, channel) in peers.iter().zip(channels) {
        assert!(peer.heard == [(channel, body.clone())], "{:?}", harness.closed(peer.conn));
    }
    harness.finish();
}

#[test]
fn what_comes_while_a_session_is_held_leaves_slots_to_others() {
    let config = long_config();
    let mut harness = harness_with(2, config);
    let mut peer = Peer::connect(&mut harness, config, usize::MAX);
    let mut other = Peer::connect(&mut harness, config, usize::MAX);
    let from = other.open(&mut harness);
    let channel = peer.open(&mut harness);
    let hoard = hoard(&harness);
    let [body, _] = bodies();
    peer.send(&mut harness, channel, &body);
    // It goes on although it is not received from: a transport has some under way.
    for _ in 0..256 {
        harness.receive(peer.conn, [0; SMALL_SLOT_BYTES as usize]);
    }
    assert_eq!(harness.closed(peer.conn), Some(End::Linger));
    other.send(&mut harness, from, b"others go on");
    other.pump(&mut harness);
    assert_eq!(other.heard.len(), 1);
    drop(hoard);
    harness.finish();
}
