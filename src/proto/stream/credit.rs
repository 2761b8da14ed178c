//! Flow control of a channel (D-21): how far a sender may go, and when a receiver lets it go further.
//!
//! A limit is the number of the first packet that may not be sent. It only rises, and each packet about
//! it says all, so one that is lost or comes twice does no harm.

use std::mem;

use super::Fault;
use super::sequence::extend;

/// What the peer has allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowance {
    limit: u64,
    blocked: bool,
}

impl Allowance {
    /// Packets that may still be sent when `next` is the number of the next.
    #[inline]
    pub const fn left(&self, next: u64) -> u64 {
        self.limit.saturating_sub(next)
    }

    /// The number of the first packet that may not be sent.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Somebody wants to send, and may not. Whether that is news.
    pub fn block(&mut self) -> bool {
        !mem::replace(&mut self.blocked, true)
    }

    /// Whether somebody waits to be allowed.
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The peer says how far we may go. Whether somebody who waited may go on.
    pub fn raise(&mut self, limit: u32) -> bool {
        let limit = extend(self.limit, limit);
        if limit <= self.limit {
            return false;
        }
        self.limit = limit;
        mem::take(&mut self.blocked)
    }
}

/// What we have allowed the peer, and what the application has yet to consume.
///
/// When it is raised, the limit is as far from what has come as there is room beside what waits for the
/// application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Packets that may be under way or wait, at most.
    packets: u32,
    /// So many are aimed at now: what was allowed before is not taken back.
    target: u32,
    /// What the peer was told.
    limit: u64,
    /// Numbers before it have come, or never will.
    settled: u64,
    /// Packets that the application has and has not consumed.
    unconsumed: u32,
    /// The peer waits for more.
    asked: bool,
    /// It has not heard of the limit.
    behind: bool,
}

impl Window {
    /// A window of so many packets, all of which the peer may send at once.
    pub const fn new(packets: u32) -> Self {
        let limit = packets as u64;
        let target = packets;
        Self { packets, target, limit, settled: 0, unconsumed: 0, asked: false, behind: false }
    }

    /// The same of which the peer may send so many at once, and aims at no more.
    pub fn aimed_at(self, target: u32) -> Self {
        let mut window = self;
        window.aim(target);
        Self { limit: window.limit.min(window.target.into()), ..window }
    }

    /// Aims at so many packets from here on, from 1 up to the window's own number.
    #[inline]
    pub fn aim(&mut self, target: u32) {
        self.target = target.clamp(1, self.packets);
    }

    /// The same of which it may send none before it is told so.
    pub const fn closed(packets: u32) -> Self {
        Self { limit: 0, ..Self::new(packets) }
    }

    /// The number of the first packet that may not come.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Packets that the application has and has not consumed.
    pub const fn unconsumed(&self) -> u32 {
        self.unconsumed
    }

    /// Checks that a packet may come.
    #[inline]
    pub const fn check(&self, number: u64) -> Result<(), Fault> {
        if number < self.limit { Ok(()) } else { Err(Fault::Flow) }
    }

    /// Whether there is room for a packet: always, but where what was taken for lost came after all.
    #[inline]
    pub const fn has_room(&self) -> bool {
        self.unconsumed < self.packets
    }

    /// A packet has come, and goes to the application if it is `delivered`.
    #[inline]
    pub fn receive(&mut self, number: u64, delivered: bool) {
        self.settled = self.settled.max(number + 1);
        self.unconsumed += u32::from(delivered);
    }

    /// The application has consumed packets; more than it has is all.
    #[inline]
    pub fn consume(&mut self, packets: u32) {
        self.unconsumed = self.unconsumed.saturating_sub(packets);
    }

    /// The peer waits, having sent all before `limit`: what of it has not come is lost, or late.
    pub fn ask(&mut self, limit: u32) -> Result<(), Fault> {
        let limit = extend(self.limit, limit);
        if limit > self.limit {
            return Err(Fault::Flow);
        }
        self.settled = self.settled.max(limit);
        self.asked = true;
        self.behind = limit < self.limit;
        Ok(())
    }

    /// Whether the peer is to be told of a new limit: half the window is free, or it waits and there is
    /// more, or has not heard of the last. Told too often it would cost a packet for each one, too late
    /// it would stand still.
    #[inline]
    pub const fn is_due(&self) -> bool {
        let more = self.possible() - self.limit;
        self.behind || more > 0 && (self.asked || more * 2 >= self.target as u64)
    }

    /// Raises the limit as far as there is room.
    pub fn grant(&mut self) -> u64 {
        self.limit = self.possible();
        self.asked = false;
        self.behind = false;
        self.limit
    }

    /// How far the limit could be.
    #[inline]
    const fn possible(&self) -> u64 {
        let room = self.target.saturating_sub(self.unconsumed) as u64;
        let possible = self.settled + room;
        if possible > self.limit { possible } else { self.limit }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_limit_only_rises_and_wakes_whoever_waits_once() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.left(0), 0);
        assert!(allowance.block() && !allowance.block());
        assert!(!allowance.raise(0));
        assert!(allowance.raise(5));
        assert_eq!((allowance.left(0), allowance.left(5), allowance.left(6)), (5, 0, 0));
        assert!(!allowance.raise(4) && !allowance.raise(5) && allowance.limit() == 5);
        assert!(!allowance.raise(6), "nobody waits");
    }

    #[test]
    fn limits_go_on_over_the_wrap_of_the_wire() {
        let mut allowance = Allowance { limit: u64::from(u32::MAX), blocked: true };
        assert!(allowance.raise(2));
        assert_eq!(allowance.limit(), (1 << 32) + 2);
        assert!(!allowance.raise(u32::MAX));
    }

    #[test]
    fn the_last_packet_of_the_credit_may_come_and_none_past_it() {
        let window = Window::new(4);
        assert_eq!((window.check(3), window.check(4)), (Ok(()), Err(Fault::Flow)));
    }

    #[test]
    fn credit_is_due_when_half_the_window_is_free_again() {
        let mut window = Window::new(4);
        (0..4).for_each(|number| window.receive(number, true));
        assert!(!window.is_due());
        window.consume(1);
        assert!(!window.is_due());
        window.consume(1);
        assert!(window.is_due());
        assert_eq!(window.grant(), 6);
        assert!(!window.is_due());
        window.consume(7);
        assert_eq!((window.unconsumed(), window.grant()), (0, 8), "it had no more than two");
    }

    #[test]
    fn a_window_that_aims_lower_takes_nothing_back_and_grants_less_until_it_aims_higher() {
        let mut window = Window::new(8);
        window.aim(2);
        (0..8).for_each(|number| window.receive(number, true));
        assert_eq!((window.check(7), window.limit()), (Ok(()), 8));
        window.consume(7);
        assert!(window.is_due(), "half of two");
        assert_eq!(window.grant(), 9, "one waits, and one may come");
        window.aim(0);
        assert_eq!(window.grant(), 9, "it aims at one at least");
        window.aim(100);
        assert_eq!(window.grant(), 15, "and at no more than it is for");
        let fresh = Window::new(8).aimed_at(3);
        assert_eq!((fresh.check(2), fresh.check(3)), (Ok(()), Err(Fault::Flow)));
        assert_eq!(Window::closed(8).aimed_at(3).limit(), 0);
    }

    #[test]
    fn who_asks_is_answered_as_soon_as_there_is_one_more() {
        let mut window = Window::new(4);
        (0..4).for_each(|number| window.receive(number, true));
        window.ask(4).unwrap();
        assert!(!window.is_due());
        window.consume(1);
        assert!(window.is_due());
        assert_eq!(window.grant(), 5);
        assert!(!window.is_due());
        window.ask(4).unwrap();
        assert!(window.is_due(), "it has not heard of the fifth");
        assert_eq!(window.grant(), 5);
        assert_eq!(window.ask(6), Err(Fault::Flow), "it never had so much");
    }

    #[test]
    fn what_was_lost_is_credited_when_its_sender_asks() {
        let mut window = Window::new(4);
        window.receive(1, true);
        window.ask(4).unwrap();
        assert_eq!(window.grant(), 7, "three are free, one waits");
    }

    proptest! {
        /// A sender that goes as far as it may, a network that loses, an application that takes its time.
        #[test]
        fn a_sender_never_stands_still_for_good_and_what_waits_fits_the_window(
            packets in 1u32..9,
            steps in prop::collection::vec((0u32..4, any::<bool>()), 1..300),
        ) {
            let (mut window, mut allowance) = (Window::new(packets), Allowance::default());
            allowance.raise(packets);
            let mut next = 0;
            for (consumed, lost) in steps {
                if allowance.left(next) > 0 {
                    prop_assert!(window.check(next).is_ok());
                    if !lost {
                        prop_assert!(window.has_room());
                        window.receive(next, true);
                    }
                    next += 1;
                } else {
                    window.ask(allowance.limit() as u32).unwrap();
                }
                window.consume(consumed);
                prop_assert!(window.unconsumed() <= packets);
                if window.is_due() {
                    allowance.raise(window.grant() as u32);
                }
                prop_assert!(allowance.left(next) > 0 || window.unconsumed() > 0 || next > 0);
            }
            window.consume(packets);
            window.ask(allowance.limit() as u32).unwrap();
            allowance.raise(window.grant() as u32);
            prop_assert_eq!(allowance.left(allowance.limit() - u64::from(packets)), u64::from(packets));
            prop_assert!(allowance.left(next) > 0);
        }
    }
}
