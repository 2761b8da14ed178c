//! What a transport reports: markers and data, in order.

use ringway::counters::Counter;
use ringway::mem::Buf;
use ringway::mem::kind::{CLOSE, CLOSED, EOF, OPEN, PAUSE, RESUME};
use ringway::transport::Transport;

use crate::bed::{each, each_of_all};
use crate::network::Heard;

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n % 251) as u8).collect()
}

#[test]
fn open_comes_before_the_first_byte_eof_after_the_last_and_closed_once_it_is_gone() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        let sent = pattern(30_000);
        let mut at = 0;
        bed.until("all is sent", |_| {
            at += far.send(&sent[at..]);
            at == sent.len()
        });
        far.finish();
        bed.until("EOF", |bed| bed.has_heard(EOF, conn));
        assert_eq!(bed.bytes(), sent);
        assert_eq!(bed.markers(conn), [OPEN, EOF]);
        assert!(bed.transport.owns(conn), "a peer that has said its last is still there");
        bed.say([bed.marker(conn, CLOSE)]);
        bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
        bed.passes(20);
        assert_eq!(bed.markers(conn), [OPEN, EOF, CLOSED]);
        assert!(!bed.transport.owns(conn));
        assert_eq!(bed.transport.connections(), 0);
    });
}

#[test]
fn an_empty_pool_holds_bytes_back_and_loses_none() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        let hoard: Vec<_> = std::iter::from_fn(|| bed.rig.pool.alloc(1)).collect();
        bed.keep();
        let sent = pattern(300_000);
        let mut at = 0;
        bed.until("the transport finds no slot", |bed| {
            at += far.send(&sent[at..]);
            bed.rig.count(Counter::RxStarved) > 0
        });
        assert!(bed.bytes().len() < sent.len());
        drop((hoard, bed.kept()));
        bed.until("all is received", |bed| {
            at += far.send(&sent[at..]);
            bed.bytes().len() == sent.len()
        });
        assert_eq!(bed.bytes(), sent);
        assert_eq!(bed.markers(conn), [OPEN]);
    });
}

#[test]
fn a_peer_that_has_said_its_last_still_gets_its_replies() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        far.send(b"question");
        far.finish();
        bed.until("EOF", |bed| bed.has_heard(EOF, conn));
        bed.say([bed.buf(conn, b"answer"), bed.buf(conn, b" and more"), bed.marker(conn, CLOSE)]);
        assert_eq!(bed.hear_out(&mut *far), (b"answer and more".to_vec(), Heard::Finished));
        bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
    });
}

#[test]
fn a_peer_that_goes_away_is_reported_closed() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        let (_other, other) = bed.open();
        bed.reset(&mut *far, conn);
        bed.until("CLOSED or nothing", |bed| {
            // Where the loss shows only when we write, write.
            bed.say([bed.buf(other, b"x")]);
            bed.has_heard(CLOSED, conn)
        });
        assert_eq!(bed.markers(conn), [OPEN, CLOSED]);
        assert!(bed.transport.owns(other), "the other one stays");
    });
}

// G-7
#[test]
fn a_slot_that_is_used_again_has_another_generation() {
    each(|bed| {
        let mut ids = Vec::new();
        for _ in 0..20 {
            let (mut far, conn) = bed.open();
            ids.push(conn);
            far.finish();
            bed.until("EOF", |bed| bed.has_heard(EOF, conn));
            bed.say([bed.marker(conn, CLOSE)]);
            bed.until("it is gone", |bed| bed.transport.connections() == 0);
        }
        let mut slots: Vec<u32> = ids.iter().map(|id| id.slot()).collect();
        slots.sort_unstable();
        slots.dedup();
        assert!(slots.len() < ids.len(), "no slot was used twice");
        ids.sort_unstable_by_key(|id| (id.slot(), id.generation()));
        ids.dedup();
        assert_eq!(ids.len(), 20, "no id was used twice");
    });
}

// G-7, G-8
#[test]
fn an_id_never_comes_back_with_the_slot_on_another_listener() {
    each_of_all(|bed| {
        let (_far, old) = bed.open();
        let first = bed.index;
        assert!(bed.rig.lcore.unregister(first));
        bed.until("the listener is gone", |bed| bed.rig.lcore.free_index() == Some(first));
        bed.serve_another();
        let (_far, new) = bed.open();
        assert_ne!(old, new);
        assert!(!bed.transport.owns(old), "a late write must not reach a stranger");
    });
}

#[test]
fn who_is_not_accepted_any_more_does_not_disturb_who_is() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        bed.transport.stop_accepting(bed.rig.lcore.io());
        bed.passes(3);
        let mut late = bed.network.connect();
        far.send(b"still here?");
        bed.until("the bytes", |bed| bed.bytes() == b"still here?");
        bed.say([bed.buf(conn, b"yes")]);
        let mut heard = Vec::new();
        bed.until("the answer", |_| {
            assert_eq!(far.read(&mut heard), Heard::Open);
            heard == b"yes"
        });
        bed.passes(20);
        assert_eq!(bed.transport.connections(), 1);
        assert_eq!(late.read(&mut heard), Heard::Reset);
    });
}

#[test]
fn who_finds_the_house_full_waits_until_somebody_goes() {
    each(|bed| {
        let most = bed.rig.lcore.io().connections_max as usize;
        let mut all: Vec<_> = (0..most).map(|_| bed.open()).collect();
        let _waits = bed.network.connect();
        bed.passes(20);
        assert_eq!(bed.transport.connections(), most);
        let (mut goes, conn) = all.pop().unwrap();
        bed.reset(&mut *goes, conn);
        bed.until("one goes", |bed| bed.has_heard(CLOSED, conn));
        let opened = most + 1;
        bed.until("the other comes", |bed| bed.transport.record().opened == opened);
        bed.passes(20);
        assert_eq!(bed.transport.connections(), most);
    });
}

//
#[test]
fn a_listener_that_comes_to_a_full_lcore_accepts_once_there_is_room() {
    each(|bed| {
        let most = bed.rig.lcore.io().connections_max as usize;
        let mut all: Vec<_> = (0..most).map(|_| bed.open()).collect();
        bed.serve_another();
        let _waits = bed.network.connect();
        bed.passes(20);
        assert_eq!(bed.transport.connections(), 0);
        let (mut goes, conn) = all.pop().unwrap();
        bed.reset(&mut *goes, conn);
        bed.until("the other comes", |bed| bed.transport.connections() == 1);
    });
}

#[test]
fn abort_all_closes_everyone_at_once() {
    each_of_all(|bed| {
        let all: Vec<_> = (0..10).map(|_| bed.open()).collect();
        assert_eq!(bed.transport.connections(), 10);
        bed.transport.abort_all(bed.rig.lcore.io());
        bed.until("all are gone", |bed| bed.transport.connections() == 0);
        bed.passes(3);
        for (_, conn) in &all {
            assert_eq!(bed.markers(*conn), [OPEN, CLOSED]);
        }
    });
}

/// A connection that the kernel accepts in the moment we stop has nobody else to close it.
//
#[test]
fn who_comes_in_the_moment_of_the_stop_is_closed_as_well() {
    each(|bed| {
        for round in 0..20 {
            bed.passes(2);
            let mut far = bed.network.connect();
            if round % 2 == 0 {
                // The kernel's news is there, but we have not read it.
                bed.rig.lcore.poll_once(0);
            }
            let first = bed.index;
            assert!(bed.rig.lcore.unregister(first));
            let mut heard = Vec::new();
            bed.until("the newcomer hears of it", |_| far.read(&mut heard) != Heard::Open);
            bed.until("the listener is gone", |bed| bed.rig.lcore.free_index() == Some(first));
            bed.serve_another();
        }
    });
}

#[test]
fn who_is_paused_is_not_heard_until_it_is_resumed() {
    each_of_all(|bed| {
        let (mut far, conn) = bed.open();
        let (mut other, _) = bed.open();
        for round in 1..=3 {
            // A second one changes nothing.
            bed.say([bed.marker(conn, PAUSE), bed.marker(conn, PAUSE)]);
            bed.passes(5);
            far.send(b"held");
            other.send(b"free");
            bed.until("the other is heard", |bed| bed.bytes().len() == 8 * round - 4);
            bed.passes(20);
            assert_eq!(bed.bytes().len(), 8 * round - 4);
            bed.say([bed.marker(conn, RESUME), bed.marker(conn, RESUME)]);
            bed.until("it is heard", |bed| bed.bytes().len() == 8 * round);
        }
        assert_eq!(bed.bytes(), b"freeheld".repeat(3));
        assert_eq!(bed.rig.count(Counter::RxPaused), 0, "nobody was behind");
    });
}

#[test]
fn pausing_and_resuming_in_one_breath_loses_nothing() {
    each_of_all(|bed| {
        let (mut far, conn) = bed.open();
        let sent = pattern(100_000);
        let mut at = 0;
        bed.until("all is received", |bed| {
            at += far.send(&sent[at..sent.len().min(at + 5000)]);
            let kinds = [PAUSE, RESUME, PAUSE, PAUSE, RESUME];
            bed.say(kinds.map(|kind| bed.marker(conn, kind)));
            bed.bytes().len() == sent.len()
        });
        assert_eq!(bed.bytes(), sent);
        assert_eq!(bed.markers(conn), [OPEN]);
    });
}

#[test]
fn who_is_paused_still_gets_its_replies_and_its_close() {
    each(|bed| {
        for linger in [false, true] {
            let (mut far, conn) = bed.open();
            bed.say([bed.marker(conn, PAUSE)]);
            bed.passes(5);
            let close = if linger { Buf::linger(conn) } else { bed.marker(conn, CLOSE) };
            bed.say([bed.buf(conn, b"bye"), close, bed.marker(conn, PAUSE)]);
            assert_eq!(bed.hear_out(&mut *far), (b"bye".to_vec(), Heard::Finished));
            bed.say([bed.marker(conn, PAUSE)]);
            far.finish();
            bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
            assert_eq!(bed.markers(conn), [OPEN, CLOSED]);
        }
    });
}

#[test]
fn who_goes_away_while_it_is_paused_is_reported_closed_once() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        bed.say([bed.marker(conn, PAUSE)]);
        bed.passes(5);
        bed.reset(&mut *far, conn);
        bed.passes(20);
        bed.say([bed.marker(conn, RESUME)]);
        bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
        bed.say([bed.marker(conn, PAUSE), bed.marker(conn, RESUME)]);
        bed.passes(20);
        assert_eq!(bed.markers(conn), [OPEN, CLOSED]);
    });
}
