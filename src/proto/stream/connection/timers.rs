//! What time alone brings about.

use super::{Connection, State};
use crate::proto::stream::Fault;
use crate::proto::stream::channel::Shut;
use crate::proto::stream::keepalive::Verdict;
use crate::time::Instant;

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if nothing else happens before. Traffic only puts it
    /// off, so whoever has it set need not set it anew with each packet.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Over => None,
            State::Greeting(greeting) => Some(greeting.next_at()),
            State::Open(_) => {
                let keepalive = self.keepalive.next_at();
                let times = [keepalive, self.repeat_at, self.pace_at, self.ending.next_at()];
                times.into_iter().flatten().min()
            }
        }
    }

    /// Time has passed. Called too early or too often, it does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Err(fault) = self.on_time(now) {
            self.fail(fault);
        }
    }

    /// Measures a round trip now, whatever was said or not.
    pub fn ping(&mut self) {
        if matches!(self.state, State::Open(_)) {
            self.keepalive.ask();
        }
    }

    /// Whether one waits to be sent. The time that [`poll_transmit`](Self::poll_transmit) is then told is where the
    /// round trip begins, and that of [`handle_packet`](Self::handle_packet) where it ends.
    pub fn is_ping_due(&self) -> bool {
        self.keepalive.is_due()
    }

    fn on_time(&mut self, now: Instant) -> Result<(), Fault> {
        match &mut self.state {
            State::Over => return Ok(()),
            State::Greeting(greeting) => return greeting.on_time(now),
            State::Open(_) => {}
        }
        self.ending.on_time(now)?;
        if self.keepalive.on_time(now) == Verdict::Dead {
            return Err(Fault::Silent);
        }
        if self.repeat_at.is_some_and(|at| at <= now) {
            self.repeat_words(now);
        }
        if self.pace_at.is_some_and(|at| at <= now) {
            self.give_credit(now);
        }
        Ok(())
    }

    /// Says again what was not answered.
    fn repeat_words(&mut self, now: Instant) {
        let mut next = None;
        for (slot, channel) in self.table.iter_mut() {
            let Some(at) = channel.repeat.at else { continue };
            if at > now {
                next = Some(next.map_or(at, |next| at.min(next)));
                continue;
            }
            channel.repeat.at = None;
            channel.wants.open |= channel.opening;
            channel.wants.shut |= channel.shut == Shut::Sent;
            channel.wants.blocked |= channel.allowance.is_blocked() && channel.is_writable();
            if channel.has_words() {
                self.pending.insert(slot);
            }
        }
        self.repeat_at = next;
    }

    /// Gives the credit that waited for the buckets.
    fn give_credit(&mut self, now: Instant) {
        let mut next = None;
        for (slot, channel) in self.table.iter_mut().filter(|(_, channel)| channel.paced) {
            let at = self.pace.ready_at(now).max(channel.pace.ready_at(now));
            if at > now {
                next = Some(next.map_or(at, |next| at.min(next)));
                continue;
            }
            channel.paced = false;
            if channel.window.is_due() && channel.peer_last.is_none() {
                channel.wants.credit = true;
                self.pending.insert(slot);
            }
        }
        self.pace_at = next;
    }
}
