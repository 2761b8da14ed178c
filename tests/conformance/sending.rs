//! What a transport does with bufs: sends them in order, holds back, drops and counts.

use std::sync::mpsc;

use ringway::counters::{Counter, Reason};
use ringway::lcore::Written;
use ringway::limits::TX_HIGH_BUFS;
use ringway::mem::kind::{ABORT, CLOSE, CLOSED, FLUSH, FLUSHED, OPEN};
use ringway::mem::{Buf, Burst, ConnId};
use ringway::transport::Transport;

use crate::bed::{Bed, each, each_of_all};
use crate::network::Heard;

/// Bytes that tell where in the stream they stand: 16-bit numbers of the blocks they are in.
const BLOCK: usize = 1024;

/// Blocks of which no two in a row are equal, as slices of a few slots.
fn blocks(bed: &Bed, conn: ConnId) -> Vec<Buf> {
    (0..97u8).map(|n| bed.buf(conn, &[n; BLOCK])).collect()
}

fn check_blocks(bytes: &[u8]) {
    for (at, block) in bytes.chunks(BLOCK).enumerate() {
        let n = (at % 97) as u8;
        assert!(block.iter().all(|&byte| byte == n), "block {at} is out of order");
    }
}

#[test]
fn close_lets_out_what_was_sent_before_it() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        let blocks = blocks(bed, conn);
        for chunk in blocks.chunks(60) {
            bed.say(chunk.iter().map(|block| block.slice(0, BLOCK)));
        }
        bed.say([bed.marker(conn, CLOSE)]);
        let (bytes, end) = bed.hear_out(&mut *far);
        assert_eq!((bytes.len(), end), (97 * BLOCK, Heard::Finished));
        check_blocks(&bytes);
        far.finish();
        bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
        assert_eq!(bed.markers(conn), [OPEN, CLOSED], "after our last, the peer's is ours to take");
    });
}

#[test]
fn what_comes_after_close_is_dropped_and_counted() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        bed.say([bed.buf(conn, b"last"), bed.marker(conn, CLOSE), bed.buf(conn, b"too late")]);
        assert_eq!(bed.dropped(Reason::AfterClose), 1);
        assert_eq!(bed.hear_out(&mut *far).0, b"last");
    });
}

#[test]
fn a_peer_that_sends_after_our_last_gets_no_answer_and_is_not_heard() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        bed.say([Buf::linger(conn)]);
        assert_eq!(bed.hear_out(&mut *far).1, Heard::Finished);
        far.send(b"but");
        far.finish();
        bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
        assert_eq!(bed.bytes(), b"");
        // Where there is nothing to linger for, its connection is gone by then.
        let dropped = [Reason::Lingering, Reason::StaleConnection].map(|why| bed.dropped(why));
        assert!(dropped.iter().sum::<u64>() > 0);
    });
}

#[test]
fn a_peer_that_never_closes_is_closed_when_patience_ends() {
    each_of_all(|bed| {
        let (_far, conn) = bed.open();
        bed.say([Buf::linger(conn)]);
        bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
    });
}

/// Sends until the transport takes no more, with the peer not reading; returns the blocks taken.
fn fill(bed: &mut Bed, conn: ConnId) -> usize {
    let blocks = blocks(bed, conn);
    let (mut burst, mut next, mut idle) = (Burst::new(), 0, 0);
    while idle < 200 {
        while !burst.is_full() {
            burst.push(blocks[next % 97].slice(0, BLOCK)).unwrap();
            next += 1;
        }
        let taken = bed.tx(&mut burst);
        idle = if taken == 0 { idle + 1 } else { 0 };
        bed.pass();
    }
    next - burst.len()
}

#[test]
fn a_peer_that_does_not_read_holds_us_up_and_then_gets_everything_in_order() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        let taken = fill(bed, conn);
        far.send(b"paused?");
        bed.passes(50);
        assert!(bed.rig.count(Counter::RxPaused) > 0, "who does not read is not read from");
        let mut heard = Vec::new();
        bed.until("all is heard", |_| {
            assert_eq!(far.read(&mut heard), Heard::Open);
            heard.len() == taken * BLOCK
        });
        check_blocks(&heard);
        bed.until("it is read from again", |bed| bed.bytes() == b"paused?");
        bed.say([bed.buf(conn, b"!")]);
        bed.until("there is room again", |_| {
            far.read(&mut heard);
            heard.len() == taken * BLOCK + 1
        });
    });
}

#[test]
fn a_peer_that_is_owed_many_bufs_is_not_read_from_however_short_they_are() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        let byte = bed.buf(conn, b".");
        let mut said = 0;
        while said <= TX_HIGH_BUFS {
            let mut burst = Burst::new();
            (0..60).for_each(|_| burst.push(byte.slice(0, 1)).unwrap());
            // Without a flush, so that nothing is out yet.
            said += bed.transport.tx_burst(bed.rig.lcore.io(), &mut burst) as u32;
        }
        assert_eq!(bed.rig.count(Counter::RxPaused), 1);
        far.send(b"paused?");
        bed.transport.flush(bed.rig.lcore.io());
        let mut heard = Vec::new();
        bed.until("it is read from again", |bed| {
            far.read(&mut heard);
            heard.len() == said as usize && bed.bytes() == b"paused?"
        });
    });
}

#[test]
fn abort_drops_what_was_not_sent() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        let taken = fill(bed, conn);
        bed.say([bed.marker(conn, ABORT)]);
        bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
        assert!(bed.dropped(Reason::Unsent) > 0);
        let (bytes, _) = bed.hear_out(&mut *far);
        assert!(bytes.len() < taken * BLOCK, "all {taken} blocks came");
        check_blocks(&bytes);
    });
}

#[test]
fn closing_twice_is_no_error() {
    each_of_all(|bed| {
        let (_far, conn) = bed.open();
        let (_other, other) = bed.open();
        bed.say([bed.marker(other, CLOSE), bed.marker(other, CLOSE), bed.marker(conn, ABORT)]);
        for _ in 0..3 {
            bed.transport.close(bed.rig.lcore.io(), conn);
            bed.transport.close(bed.rig.lcore.io(), other);
            bed.pass();
        }
        bed.until("both are gone", |bed| bed.transport.connections() == 0);
        bed.passes(3);
        assert_eq!(bed.markers(conn), [OPEN, CLOSED]);
        assert_eq!(bed.markers(other), [OPEN, CLOSED]);
    });
}

// G-7
#[test]
fn a_buf_for_a_connection_that_is_gone_is_dropped_and_counted() {
    each(|bed| {
        let (_far, old) = bed.open();
        bed.transport.close(bed.rig.lcore.io(), old);
        bed.until("it is gone", |bed| bed.transport.connections() == 0);
        let (mut far, new) = bed.open();
        bed.say([bed.buf(old, b"for the dead"), bed.buf(new, b"for the living")]);
        bed.say([bed.marker(old, CLOSE), bed.marker(old, ABORT)]);
        assert!(bed.dropped(Reason::StaleConnection) >= 1);
        bed.say([bed.marker(new, CLOSE)]);
        assert_eq!(bed.hear_out(&mut *far), (b"for the living".to_vec(), Heard::Finished));
    });
}

// G-8
#[test]
fn a_write_from_elsewhere_is_told_sent_once_it_is_out_and_lost_with_its_connection() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        let (teller, told) = mpsc::channel();
        let write = |bed: &Bed, bytes: &[u8]| {
            let teller = teller.clone();
            let done = Box::new(move |written| teller.send(written).unwrap());
            assert!(bed.rig.handle.write(bed.buf(conn, bytes), Some(done)).is_ok());
        };
        write(bed, b"hello");
        bed.until("it is told", |_| told.try_recv().is_ok_and(|it| it == Written::Sent));
        let mut heard = Vec::new();
        bed.until("it is heard", |_| {
            far.read(&mut heard);
            heard == b"hello"
        });
        fill(bed, conn);
        bed.transport.close(bed.rig.lcore.io(), conn);
        write(bed, b"never");
        bed.until("it is told", |_| told.try_recv().is_ok_and(|it| it == Written::Lost));
    });
}

#[test]
fn a_flush_is_answered_once_what_was_sent_before_it_is_out() {
    each_of_all(|bed| {
        let (_far, conn) = bed.open();
        bed.say([bed.buf(conn, b"some"), bed.flush(conn, 7), bed.buf(conn, b"more")]);
        bed.say([bed.flush(conn, 0xff_ffff), bed.flush(conn, 9), bed.marker(conn, CLOSE)]);
        bed.until("all are answered", |bed| bed.flushed().len() == 3);
        assert_eq!(bed.flushed(), [7, 0xff_ffff, 9]);
        bed.transport.close(bed.rig.lcore.io(), conn);
        bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
        assert_eq!(bed.markers(conn), [OPEN, FLUSHED, FLUSHED, FLUSHED, CLOSED]);
    });
}

#[test]
fn a_flush_waits_for_a_peer_that_does_not_read() {
    each(|bed| {
        let (mut far, conn) = bed.open();
        let taken = fill(bed, conn);
        let mut heard = Vec::new();
        let mut marker = Burst::new();
        marker.push(bed.flush(conn, 1)).unwrap();
        bed.until("there is room for the marker", |bed| {
            far.read(&mut heard);
            bed.tx(&mut marker);
            marker.is_empty()
        });
        bed.passes(20);
        assert_eq!(bed.flushed(), [0; 0], "most of {taken} blocks are still to be sent");
        bed.until("FLUSHED", |bed| {
            far.read(&mut heard);
            bed.flushed() == [1]
        });
        bed.until("all is heard", |_| {
            far.read(&mut heard);
            heard.len() == taken * BLOCK
        });
    });
}

#[test]
fn a_flush_that_the_connection_does_not_live_to_see_is_not_answered() {
    each_of_all(|bed| {
        let (_far, conn) = bed.open();
        let blocks: Vec<Buf> = (0..30).map(|_| bed.buf(conn, &[0; BLOCK])).collect();
        let io = bed.rig.lcore.io();
        let mut burst = Burst::new();
        blocks.into_iter().for_each(|block| burst.push(block).unwrap());
        burst.push(Buf::marker(conn, FLUSH)).unwrap();
        burst.push(Buf::marker(conn, ABORT)).unwrap();
        // Without a flush in between: nothing of it is out when the end comes.
        bed.transport.tx_burst(io, &mut burst);
        bed.until("CLOSED", |bed| bed.has_heard(CLOSED, conn));
        bed.say([bed.flush(conn, 5)]);
        bed.passes(5);
        assert_eq!(bed.markers(conn), [OPEN, CLOSED]);
        assert_eq!(bed.flushed(), [0; 0]);
    });
}

#[test]
fn any_number_of_flushes_is_answered_in_order_and_receiving_goes_on() {
    const FLUSHES: u32 = 1000;
    each_of_all(|bed| {
        let (mut far, conn) = bed.open();
        let mut burst = Burst::new();
        for meta in 0..FLUSHES {
            burst.push(bed.flush(conn, meta)).unwrap();
            if burst.is_full() || meta == FLUSHES - 1 {
                bed.until("they are taken", |bed| {
                    bed.transport.tx_burst(bed.rig.lcore.io(), &mut burst);
                    burst.is_empty()
                });
            }
        }
        bed.transport.flush(bed.rig.lcore.io());
        bed.until("all are answered", |bed| bed.flushed().len() == FLUSHES as usize);
        assert!(bed.flushed().into_iter().eq(0..FLUSHES));
        far.send(b"go on");
        bed.until("the bytes", |bed| bed.bytes() == b"go on");
    });
}
