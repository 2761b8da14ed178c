//! Accepting over the kernel when the kernel is short of something.

use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
use ringway::counters::Counter;
use ringway::limits::ACCEPTS_IN_FLIGHT;
use ringway::sys::uring::Cqe;
use ringway::transport::{Token, Transport};

use crate::bed::each;

/// The operation of a `Tcp`'s accepts.
const ACCEPT: u8 = 1;

/// An operation whose completion `Tcp` ignores.
const CANCEL: u8 = 6;

#[test]
fn an_accept_that_fails_for_want_of_anything_is_counted_and_tried_again() {
    each(|bed| {
        if !bed.network.is_of_the_kernel() {
            return;
        }
        for (failures, errno) in [EMFILE, ENFILE, ENOBUFS, ENOMEM].into_iter().enumerate() {
            let index = bed.index;
            let token = |op, place| Token::new(op, index, place as u32, 0);
            // The kernel's own accepts end first, so that the failure is the last word.
            for place in 0..ACCEPTS_IN_FLIGHT {
                let (target, cancel) = (token(ACCEPT, place), token(CANCEL, place));
                bed.cancel(target.user_data(), cancel.user_data());
            }
            let failed = Cqe { result: -errno, ..Cqe::default() };
            bed.transport.complete(bed.rig.lcore.io(), token(ACCEPT, 0), &failed);
            assert_eq!(bed.rig.count(Counter::AcceptFailures), failures as u64 + 1);
            let (mut far, conn) = bed.open();
            far.send(b"x");
            bed.until("it is served", |bed| bed.bytes().len() == failures + 1);
            bed.transport.close(bed.rig.lcore.io(), conn);
            bed.until("it is gone", |bed| bed.transport.connections() == 0);
        }
    });
}
