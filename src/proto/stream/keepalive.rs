//! Is the peer still there (D-10)? It is asked where the stream was silent, and given up when it has not
//! answered three times. Where there is traffic, it is asked now and then how long a round trip takes
//! (D-16); nothing follows from an answer that does not come.

use super::rtt::Rtt;
use crate::limits::{STREAM_KEEPALIVES_MAX, STREAM_MEASURE_PERIODS};
use crate::time::Instant;

/// The watch over one stream.
#[derive(Debug, Clone, Copy)]
pub struct Keepalive {
    /// Nanoseconds of silence before the peer is asked; 0: never.
    period_ns: u64,
    received: Instant,
    sent: Instant,
    /// When it was asked last and has not been heard since, and how often it was.
    asked: Option<(Instant, u32)>,
    /// A ping is to be sent.
    due: bool,
    /// Of the last ping: when, or when the watch began, and whether its answer is still to come.
    token: u64,
    token_at: Instant,
    awaited: bool,
    /// What it took.
    pub rtt: Rtt,
}

/// What is to be done after some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Alive,
    /// The peer is to be asked.
    Ask,
    /// It did not answer often enough.
    Dead,
}

impl Keepalive {
    /// A watch that begins now.
    pub const fn new(period_ns: u64, now: Instant) -> Self {
        Self {
            period_ns,
            received: now,
            sent: now,
            asked: None,
            due: false,
            token: 0,
            token_at: now,
            awaited: false,
            rtt: Rtt::new(),
        }
    }

    /// The peer was heard.
    #[inline]
    pub fn on_received(&mut self, now: Instant) {
        self.received = now;
        self.asked = None;
    }

    /// Something was sent.
    #[inline]
    pub fn on_sent(&mut self, now: Instant) {
        self.sent = now;
    }

    /// When the peer was heard last.
    pub const fn received(&self) -> Instant {
        self.received
    }

    /// When something was sent last.
    pub const fn sent(&self) -> Instant {
        self.sent
    }

    /// When to look again.
    pub fn next_at(&self) -> Option<Instant> {
        if self.period_ns == 0 || self.due {
            return None;
        }
        Some(self.silent_at().min(self.measure_at()))
    }

    /// When the peer has been silent for too long.
    fn silent_at(&self) -> Instant {
        match self.asked {
            Some((at, _)) => at.after_ns(self.period_ns),
            None => self.quiet_at(),
        }
    }

    /// When a round trip is to be measured again. Silence is asked about before that, so it is traffic that
    /// goes on until then; and one ping it is, whether or not its pong comes.
    fn measure_at(&self) -> Instant {
        self.token_at.after_ns(self.period_ns.saturating_mul(STREAM_MEASURE_PERIODS))
    }

    /// Silence in both directions is looked into after a period. Where only the peer is silent, while we
    /// send, after three: a peer that gets enough may have nothing to say.
    fn quiet_at(&self) -> Instant {
        let both = self.received.max(self.sent).after_ns(self.period_ns);
        let peer = self.received.after_ns(self.period_ns * u64::from(STREAM_KEEPALIVES_MAX));
        both.min(peer)
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Instant) -> Verdict {
        if self.next_at().is_none_or(|at| at > now) {
            return Verdict::Alive;
        }
        self.due = true;
        if self.silent_at() > now {
            return Verdict::Ask;
        }
        let times = self.asked.map_or(0, |(_, times)| times);
        if times == STREAM_KEEPALIVES_MAX {
            return Verdict::Dead;
        }
        self.asked = Some((now, times + 1));
        Verdict::Ask
    }

    /// Asks for a ping whatever was said: to measure, or to learn how far the peer is.
    pub fn ask(&mut self) {
        self.due = true;
    }

    /// Whether a ping is to be sent.
    pub const fn is_due(&self) -> bool {
        self.due
    }

    /// A ping goes: its token.
    pub fn ping(&mut self, now: Instant) -> u64 {
        self.due = false;
        self.token += 1;
        self.token_at = now;
        self.awaited = true;
        self.token
    }

    /// A pong has come. Only that of the last ping measures anything.
    pub fn on_pong(&mut self, now: Instant, token: u64) {
        if self.awaited && token == self.token {
            self.awaited = false;
            self.rtt.add(now.ns_since(self.token_at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: u64 = 3_000;

    fn at(ns: u64) -> Instant {
        Instant::from_ns(ns)
    }

    fn watch() -> Keepalive {
        Keepalive::new(PERIOD, at(0))
    }

    #[test]
    fn the_peer_is_asked_after_a_period_of_silence_and_not_before() {
        let mut watch = watch();
        assert_eq!(watch.next_at(), Some(at(3000)));
        assert_eq!(watch.on_time(at(2999)), Verdict::Alive);
        assert_eq!(watch.on_time(at(3000)), Verdict::Ask);
        assert!(watch.is_due());
        assert_eq!(watch.ping(at(3000)), 1);
        assert!(!watch.is_due());
    }

    #[test]
    fn traffic_either_way_puts_it_off() {
        let mut watch = watch();
        watch.on_sent(at(2000));
        assert_eq!(watch.on_time(at(4999)), Verdict::Alive);
        watch.on_received(at(4000));
        assert_eq!(watch.on_time(at(6999)), Verdict::Alive);
        assert_eq!(watch.on_time(at(7000)), Verdict::Ask);
    }

    #[test]
    fn a_peer_that_is_sent_to_and_says_nothing_is_asked_after_three_periods() {
        let mut watch = watch();
        (0..9).for_each(|i| watch.on_sent(at(1000 * i)));
        assert_eq!(watch.on_time(at(8999)), Verdict::Alive);
        assert_eq!(watch.on_time(at(9000)), Verdict::Ask);
    }

    #[test]
    fn three_questions_without_an_answer_are_the_end() {
        let mut watch = watch();
        for i in 1..=3 {
            assert_eq!(watch.on_time(at(PERIOD * i)), Verdict::Ask);
            watch.ping(at(PERIOD * i));
            watch.on_sent(at(PERIOD * i));
        }
        assert_eq!(watch.on_time(at(PERIOD * 4 - 1)), Verdict::Alive);
        assert_eq!(watch.on_time(at(PERIOD * 4)), Verdict::Dead);
    }

    #[test]
    fn whatever_comes_is_an_answer() {
        let mut watch = watch();
        (1..=3).for_each(|i| {
            watch.on_time(at(PERIOD * i));
            watch.ping(at(PERIOD * i));
        });
        watch.on_received(at(11_000));
        assert_eq!(watch.on_time(at(13_999)), Verdict::Alive);
        assert_eq!(watch.on_time(at(14_000)), Verdict::Ask);
    }

    #[test]
    fn a_pong_measures_its_own_ping_once() {
        let mut watch = watch();
        let first = watch.ping(at(10));
        let second = watch.ping(at(20));
        watch.on_pong(at(25), first);
        assert_eq!(watch.rtt.count(), 0);
        watch.on_pong(at(27), second);
        watch.on_pong(at(29), second);
        assert_eq!((watch.rtt.count(), watch.rtt.last_ns()), (1, 7));
    }

    #[test]
    fn under_traffic_a_round_trip_is_measured_once_in_ten_periods_and_is_no_question() {
        let mut watch = watch();
        let mut pings = Vec::new();
        for second in 1..=70 {
            let now = at(1000 * second);
            watch.on_received(now);
            watch.on_sent(now);
            if watch.on_time(now) == Verdict::Ask {
                assert_eq!(watch.asked, None, "it is not held against the peer");
                watch.ping(now);
                pings.push(second);
            }
        }
        assert_eq!(pings, [30, 60], "though no pong came");
    }

    #[test]
    fn without_a_period_nobody_is_asked() {
        let mut watch = Keepalive::new(0, at(0));
        assert_eq!((watch.next_at(), watch.on_time(at(u64::MAX))), (None, Verdict::Alive));
    }
}
