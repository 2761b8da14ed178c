//! What a transport of datagrams promises in place of a stream.

use ringway::counters::{Counter, Reason};
use ringway::mem::Burst;
use ringway::mem::kind::{ABORT, CLOSE, CLOSED, OPEN};
use ringway::transport::Transport;

use crate::bed::each_of_datagrams;

#[test]
fn a_buf_is_a_datagram_both_ways() {
    each_of_datagrams(|bed| {
        let (mut far, conn) = bed.open();
        bed.keep();
        let sizes = [1, 2, 700, 700, 1, 5000, 5000, 4999];
        for (n, bytes) in sizes.into_iter().enumerate() {
            far.send(&vec![n as u8; bytes]);
        }
        let all: usize = sizes.iter().sum();
        bed.until("all are heard", |bed| bed.bytes().len() == all);
        let kept = bed.kept();
        let heard: Vec<usize> = kept.iter().map(|buf| buf.len()).collect();
        assert_eq!(heard, sizes);
        let mut back = Vec::new();
        bed.say(kept);
        bed.until("all come back", |_| {
            far.read(&mut back);
            back.len() == all
        });
        let expected: Vec<u8> =
            sizes.iter().enumerate().flat_map(|(n, bytes)| vec![n as u8; *bytes]).collect();
        assert!(back == expected, "each in its order");
        assert_eq!(bed.markers(conn), [OPEN]);
    });
}

//
#[test]
fn what_is_heard_lies_in_the_pool_as_the_kernel_left_it() {
    each_of_datagrams(|bed| {
        let (mut far, _conn) = bed.open();
        bed.keep();
        far.send(b"where do you lie?");
        bed.until("the bytes", |bed| bed.bytes() == b"where do you lie?");
        assert!(bed.transport.features(bed.rig.lcore.io()).zero_copy);
        let slots = bed.rig.pool.sizes().into_iter().map(|size| size.slot_bytes as usize);
        let slots: Vec<usize> = slots.collect();
        assert!(bed.kept().iter().all(|buf| slots.contains(&buf.capacity())));
        assert_eq!(bed.rig.count(Counter::CopiedBytes), 0);
    });
}

#[test]
fn a_datagram_that_no_slot_holds_is_dropped_whole_and_counted() {
    each_of_datagrams(|bed| {
        let (mut far, _conn) = bed.open();
        // This pool's largest slots are of 16 KiB, with the kernel's own words in them.
        let room = bed.train_bytes();
        far.send(&vec![1; room]);
        far.send(&vec![2; room + 1]);
        far.send(&[3; 10]);
        bed.until("the others are heard", |bed| bed.bytes().len() == room + 10);
        assert_eq!(bed.dropped(Reason::Truncated), 1);
        assert!(!bed.bytes().contains(&2), "none of it is heard");
    });
}

#[test]
fn close_lets_out_what_was_sent_before_it_and_drops_what_comes_after() {
    each_of_datagrams(|bed| {
        let (mut far, conn) = bed.open();
        bed.say([bed.buf(conn, b"last"), bed.marker(conn, CLOSE), bed.buf(conn, b"too late")]);
        assert_eq!(bed.dropped(Reason::AfterClose), 1);
        bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
        let mut heard = Vec::new();
        bed.until("it is heard", |_| {
            far.read(&mut heard);
            heard == b"last"
        });
        assert_eq!(bed.markers(conn), [OPEN, CLOSED]);
    });
}

#[test]
fn abort_drops_what_was_not_sent() {
    each_of_datagrams(|bed| {
        let (mut far, conn) = bed.open();
        let mut burst = Burst::new();
        (0..30).for_each(|_| burst.push(bed.buf(conn, b"never")).unwrap());
        burst.push(bed.marker(conn, ABORT)).unwrap();
        // Without a flush in between: nothing of it is out when the end comes.
        bed.transport.tx_burst(bed.rig.lcore.io(), &mut burst);
        bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
        bed.passes(5);
        assert_eq!(bed.dropped(Reason::Unsent), 30);
        let mut heard = Vec::new();
        far.read(&mut heard);
        assert!(heard.is_empty());
    });
}

// G-7
#[test]
fn who_was_forgotten_is_another_connection_when_it_comes_back() {
    each_of_datagrams(|bed| {
        let (mut far, mut conn) = bed.open();
        for round in 1..=20 {
            bed.say([bed.marker(conn, CLOSE)]);
            bed.until("it is gone", |bed| bed.transport.connections() == 0);
            bed.say([bed.buf(conn, b"for the dead")]);
            assert_eq!(bed.dropped(Reason::StaleConnection), round);
            let opened = bed.transport.record().opened;
            far.send(b"x");
            bed.until("it is back", |bed| bed.transport.record().opened == opened + 1);
            bed.until("it is heard", |bed| bed.bytes().len() == round as usize);
            let again = bed.newest();
            assert_ne!(again, conn);
            assert!(bed.transport.owns(again) && !bed.transport.owns(conn));
            conn = again;
        }
    });
}

#[test]
fn who_finds_the_house_full_is_not_heard_and_disturbs_nobody() {
    each_of_datagrams(|bed| {
        let most = bed.rig.lcore.io().connections_max as usize;
        let mut all: Vec<_> = (0..most).map(|_| bed.open()).collect();
        // All show that they hear us, and so keep their places.
        for (far, conn) in &mut all {
            bed.say([bed.buf(*conn, b"welcome")]);
            far.send(b".");
        }
        let mut heard = vec![b'.'; most];
        bed.until("all have answered", |bed| bed.bytes() == heard);
        let mut stranger = bed.network.connect();
        stranger.send(b"let me in");
        bed.until("it is refused", |bed| bed.dropped(Reason::PeerRefused) == 2);
        all[0].0.send(b"known");
        heard.extend(b"known");
        bed.until("the known one is heard", |bed| bed.bytes() == heard);
        assert_eq!(bed.transport.connections(), most);
        bed.transport.close(bed.rig.lcore.io(), all[0].1);
        stranger.send(b"and now?");
        heard.extend(b"and now?");
        bed.until("there is room", |bed| bed.bytes() == heard);
    });
}

#[test]
fn who_came_first_and_has_not_shown_that_it_hears_us_makes_room() {
    each_of_datagrams(|bed| {
        let most = bed.rig.lcore.io().connections_max as usize;
        let mut all: Vec<_> = (0..most).map(|_| bed.open()).collect();
        // The first has; the second was sent something, and the third has said something: neither is enough.
        let [(first, one), (_, two), (third, three), ..] = &mut all[..] else { unreachable!() };
        bed.say([bed.buf(*one, b"welcome"), bed.buf(*two, b"welcome")]);
        first.send(b"thanks");
        third.send(b" hello");
        bed.until("they are heard", |bed| bed.bytes() == b"thanks hello");
        for (conn, displaced) in [(*two, 1), (*three, 2)] {
            let _stranger = bed.network.connect();
            bed.until("room is made", |bed| bed.rig.count(Counter::PeersDisplaced) == displaced);
            bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
            assert_eq!(bed.transport.connections(), most);
        }
        assert!(bed.transport.owns(*one));
        assert_eq!(bed.dropped(Reason::PeerRefused), 0);
    });
}

#[test]
fn who_is_paused_and_says_too_much_loses_what_is_too_much() {
    each_of_datagrams(|bed| {
        let (mut far, conn) = bed.open();
        bed.say([bed.marker(conn, ringway::mem::kind::PAUSE)]);
        for n in 0..50 {
            far.send(&[n]);
        }
        bed.until("some is dropped", |bed| bed.dropped(Reason::PeerHeld) == 34);
        bed.say([bed.marker(conn, ringway::mem::kind::RESUME)]);
        bed.until("the rest is heard", |bed| bed.bytes().len() == 16);
        assert!(bed.bytes().into_iter().eq(0..16), "the first of them, in order");
    });
}
