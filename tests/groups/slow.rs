//! Peers that take less than is written to them.

use std::sync::mpsc;
use std::time::Duration;

use ringway::counters::{Counter, Reason};
use ringway::lcore::Mail;
use ringway::limits::{WRITE_BACKLOG_BYTES_MAX, WRITE_BACKLOG_MESSAGES_MAX};
use ringway::pipeline::write::{Completion, ConnHandle, Message, SlowPolicy, WhenFull, Written};
use ringway::proto::websocket::Kind;

use crate::bed::Bed;
use crate::common::wait_until;
use crate::common::websocket::{Heard, Peer};

const BYTES: usize = 16_000;

fn message(n: u32) -> Vec<u8> {
    let mut message = vec![b'.'; BYTES];
    message[..4].copy_from_slice(&n.to_le_bytes());
    message
}

/// The number of a message that came whole.
fn number(heard: Heard) -> u32 {
    match heard {
        Heard::Message(Kind::Binary, bytes) if bytes.len() == BYTES => {
            u32::from_le_bytes(bytes[..4].try_into().unwrap())
        }
        heard => panic!("{heard:?}"),
    }
}

/// Writes numbered messages to a peer that reads nothing, until `enough`; how many.
fn write_until(handle: &ConnHandle, enough: impl Fn() -> bool) -> u32 {
    for n in 0..5000 {
        wait_until(|| handle.write(Message::Binary(&message(n))).is_ok());
        // So that the lcore keeps up, as far as the peer lets it.
        std::thread::sleep(Duration::from_micros(50));
        if enough() {
            return n + 1;
        }
    }
    panic!("the system's buffers end somewhere");
}

fn numbers(peer: &mut Peer, last: u32) -> Vec<u32> {
    let mut heard = Vec::new();
    while heard.last() != Some(&last) {
        heard.push(number(peer.hear()));
    }
    heard
}

fn policy(bed: &Bed, handle: &ConnHandle, when_full: WhenFull) {
    let policy = SlowPolicy { bytes_max: 1 << 20, messages_max: 5, when_full };
    handle.set_policy(policy).unwrap();
    // It is there once something behind it was done.
    bed.group.publish(Message::Text("behind it"), &[]).unwrap();
}

#[test]
fn a_peer_that_reads_again_gets_all_that_waited_in_order_g_8() {
    let bed = Bed::new(1);
    let (mut peer, handle) = bed.come();
    let waits = || bed.server.count(Counter::WritesBacklogged) >= 20;
    // An lcore that does not run for a moment would find more than may wait.
    let count = write_until(&handle, || {
        settle(&bed);
        waits()
    });
    let last = handle.send(Message::Binary(&message(count))).unwrap();
    assert_eq!(numbers(&mut peer, count), (0..=count).collect::<Vec<_>>());
    assert_eq!(last.wait(), Written::Sent);
    wait_until(|| handle.backlog().messages == 0);
    peer.part();
    bed.end();
}

/// Waits until the lcore has done all that it was asked for before.
fn settle(bed: &Bed) {
    let (told, heard) = mpsc::channel();
    let call = Mail::Call(Box::new(move |_| told.send(()).unwrap()));
    assert!(bed.server.plane().handle(0).post(call).is_ok());
    heard.recv().unwrap();
}

#[test]
fn past_its_limit_the_newest_is_dropped_unless_said_otherwise_g_8() {
    let bed = Bed::new(1);
    let (mut peer, handle) = bed.come();
    let most = WRITE_BACKLOG_BYTES_MAX / (BYTES as u32 + 4);
    assert!(most < WRITE_BACKLOG_MESSAGES_MAX);
    let mut all = Vec::new();
    while bed.server.dropped(Reason::SlowNewest) < 5 {
        all.extend(handle.send(Message::Binary(&message(all.len() as u32))));
        std::thread::sleep(Duration::from_micros(50));
        assert!(all.len() < 5000, "the system's buffers end somewhere");
    }
    settle(&bed);
    assert!(handle.backlog().messages <= most);
    let refused = |one: &Completion| one.outcome() == Some(Written::Refused);
    let dropped = all.iter().filter(|one| refused(one)).count() as u64;
    assert_eq!(bed.server.dropped(Reason::SlowNewest), dropped);
    // All others arrive, in order.
    for (n, one) in all.into_iter().enumerate().filter(|(_, one)| !refused(one)) {
        assert_eq!((number(peer.hear()), one.wait()), (n as u32, Written::Sent));
    }
    wait_until(|| handle.backlog().messages == 0);
    handle.write(Message::Binary(&message(9999))).unwrap();
    assert_eq!(number(peer.hear()), 9999, "it keeps up again");
    peer.part();
    bed.end();
}

#[test]
fn or_the_oldest_and_the_newest_arrive_g_8() {
    let bed = Bed::new(1);
    let (mut peer, handle) = bed.come();
    policy(&bed, &handle, WhenFull::DropOldest);
    assert!(matches!(peer.hear(), Heard::Message(Kind::Text, _)));
    let count = write_until(&handle, || bed.server.dropped(Reason::SlowOldest) >= 10);
    settle(&bed);
    assert!(handle.backlog().messages <= 5);
    let dropped = bed.server.dropped(Reason::SlowOldest) as usize;
    let heard = numbers(&mut peer, count - 1);
    assert_eq!(heard[heard.len() - 5..], ((count - 5)..count).collect::<Vec<_>>());
    assert!(heard.is_sorted() && heard.len() == count as usize - dropped);
    assert_eq!(bed.server.dropped(Reason::SlowNewest), 0);
    peer.part();
    bed.end();
}

#[test]
fn or_the_connection_is_given_up_and_leaves_its_groups_g_8() {
    let bed = Bed::new(1);
    let (mut peer, handle) = bed.come();
    let (mut other, _) = bed.come();
    policy(&bed, &handle, WhenFull::Disconnect);
    for peer in [&mut peer, &mut other] {
        assert!(matches!(peer.hear(), Heard::Message(Kind::Text, _)));
    }
    let mut last = None;
    for n in 0..5000 {
        last = handle.send(Message::Binary(&message(n))).ok();
        if bed.server.count(Counter::SlowDisconnects) == 1 {
            break;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    assert!(matches!(last.unwrap().wait(), Written::Refused | Written::Lost));
    bed.wait_for(1);
    wait_until(|| handle.backlog().messages == 0);
    bed.group.publish(Message::Binary(&message(1)), &[]).unwrap();
    assert_eq!(number(other.hear()), 1);
    drop(peer);
    bed.end();
}

#[test]
fn a_slow_member_delays_nobody_and_its_group_counts_what_it_missed_g_16() {
    let bed = Bed::new(2);
    let (slow, handle) = bed.come();
    let mut all = bed.come_all(4);
    let policy = SlowPolicy { messages_max: 8, ..SlowPolicy::default() };
    handle.set_policy(policy).unwrap();
    let mut publishes = 0;
    while bed.group.counters().dropped == 0 {
        let n = publishes;
        publishes += 1;
        assert!(n < 5000, "the system's buffers end somewhere");
        while bed.group.publish(Message::Binary(&message(n)), &[]).is_err() {
            std::thread::yield_now();
        }
        for (peer, _) in &mut all {
            assert_eq!(number(peer.hear()), n);
        }
    }
    let total = u64::from(publishes) * 5;
    let sum = || {
        let counters = bed.group.counters();
        counters.delivered + counters.dropped
    };
    wait_until(|| sum() == total);
    assert!(handle.backlog().messages <= 8);
    drop(slow);
    bed.wait_for(4);
    wait_until(|| handle.backlog().messages == 0);
    bed.end();
}
