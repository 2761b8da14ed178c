//! What a transport says of itself is what it does.

use ringway::counters::Counter;
use ringway::transport::Transport;

use crate::bed::{each, each_of_all};

//
#[test]
fn zero_copy_is_claimed_by_those_alone_that_copy_nothing() {
    each(|bed| {
        let (mut far, _conn) = bed.open();
        bed.keep();
        far.send(b"where do you lie?");
        bed.until("the bytes", |bed| bed.bytes() == b"where do you lie?");
        let features = bed.transport.features(bed.rig.lcore.io());
        let copies = ["sim", "shm, isolated"].contains(&bed.network.name());
        assert_eq!(features.zero_copy, !copies);
        for buf in bed.kept().iter().filter(|buf| !buf.is_empty()) {
            let address = buf.bytes().as_ptr() as usize;
            assert!(bed.pool_range.contains(&address), "bytes lie in the pool that all share");
            assert_eq!(buf.capacity(), 2048);
        }
        let copied = bed.rig.count(Counter::CopiedBytes);
        let payload = "where do you lie?".len() as u64;
        // `Sim` stands for a kernel, whose copies are not ours.
        assert_eq!(copied, if bed.network.name() == "shm, isolated" { payload } else { 0 });
    });
}

//
#[test]
fn numa_and_system_are_what_they_are() {
    each_of_all(|bed| {
        let features = bed.transport.features(bed.rig.lcore.io());
        assert_eq!(features.numa_aware, bed.rig.pool.numa_node().is_some());
        assert_eq!(features.os.is_empty(), bed.network.name() == "sim");
        assert!(features.lock_free && features.shared_memory);
    });
}

//
#[test]
fn what_claims_batching_sends_a_burst_in_fewer_operations() {
    each_of_all(|bed| {
        let (mut far, conn) = bed.open();
        assert!(bed.transport.features(bed.rig.lcore.io()).batching);
        let before = bed.rig.count(Counter::Sends);
        bed.say((0..50).map(|_| bed.buf(conn, b"twenty bytes of text")).collect::<Vec<_>>());
        let mut heard = Vec::new();
        bed.until("all is heard", |_| {
            far.read(&mut heard);
            heard.len() == 1000
        });
        assert!(bed.rig.count(Counter::Sends) - before < 5);
        assert_eq!(bed.rig.count(Counter::TxBufs), 50);
    });
}

#[test]
fn connections_are_counted_while_they_last() {
    each_of_all(|bed| {
        assert_eq!(bed.transport.connections(), 0);
        let (_one, one) = bed.open();
        let (_two, two) = bed.open();
        assert_eq!(bed.transport.connections(), 2);
        assert!(bed.transport.owns(one) && bed.transport.owns(two));
        assert!(one.slot() < bed.transport.slots() && two.slot() < bed.transport.slots());
        assert_eq!((one.lcore(), two.lcore()), (3, 3), "the id names the lcore");
        bed.transport.close(bed.rig.lcore.io(), one);
        bed.until("one is gone", |bed| bed.transport.connections() == 1);
        assert!(!bed.transport.owns(one) && bed.transport.owns(two));
    });
}
