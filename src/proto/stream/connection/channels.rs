//! Channels as the application opens, feeds and closes them (D-4, D-21).

use super::{Connection, Event};
use crate::limits::STREAM_WINDOW_PACKETS_MIN;
use crate::proto::stream::channel::{Beginning, Channel, Shut};
use crate::proto::stream::config::Mode;
use crate::proto::stream::credit::Window;
use crate::proto::stream::epoch::Keys;
use crate::proto::stream::event::Refused;
use crate::proto::stream::rate::Pace;
use crate::proto::stream::table::Slot;
use crate::time::Instant;

impl Connection {
    /// Asks the peer for a channel of a type, whose messages may be compressed or not, and gives its
    /// number. [`Event::ChannelOpened`] or [`Event::ChannelRefused`] follows; no message can be sent before.
    pub fn open_channel(
        &mut self,
        now: Instant,
        channel_type: u8,
        may_compress: bool,
    ) -> Result<u16, Refused> {
        if !self.is_open() || self.ending.is_heard() {
            return Err(Refused::NotConnected);
        }
        if self.table.is_full() || !self.has_incarnations() {
            return Err(Refused::TooMany);
        }
        let (id, incarnation) = (self.take_number(), self.take_incarnation());
        let accepted_as = 0;
        self.add_channel(
            now,
            Beginning { id, incarnation, accepted_as, channel_type, may_compress, ours: true },
        );
        Ok(id)
    }

    /// Sends no more messages on a channel, behind those that were sealed. What the peer has to say still
    /// comes, until it closes as well: then [`Event::ChannelClosed`] follows.
    pub fn close_channel(&mut self, channel: u16) -> Result<(), Refused> {
        let (slot, channel) = self.table.get_mut(channel).ok_or(Refused::NotOpen)?;
        if channel.shut != Shut::No {
            return Err(Refused::NotOpen);
        }
        channel.shut = Shut::Wanted;
        channel.wants.blocked = false;
        if !channel.opening {
            channel.repeat = Default::default();
            channel.wants.shut = true;
            self.pending.insert(slot);
        }
        Ok(())
    }

    /// The application has done with so many packets of a channel, and the peer may send others.
    pub fn consume(&mut self, now: Instant, channel: u16, packets: u32) {
        let target = self.window_target(self.table.len());
        if let Some((slot, channel)) = self.table.get_mut(channel) {
            channel.window.aim(target);
            channel.window.consume(packets);
            if channel.window.is_due() {
                self.update_credit(now, slot);
            }
        }
    }

    /// Whether there is a channel of this number.
    pub fn has_channel(&self, channel: u16) -> bool {
        self.table.get(channel).is_some()
    }

    /// Says how many packets may be under way on all channels together, those of other sessions among them, of which
    /// there are `others`: each has its part from the next credit on, and no fewer than
    /// [`STREAM_WINDOW_PACKETS_MIN`]. What was allowed before stands.
    #[inline]
    pub fn set_window_budget(&mut self, packets: u32, others: usize) {
        (self.window_budget, self.other_channels) = (packets, others);
    }

    /// Packets that may be under way on a channel now.
    pub fn window_now(&self) -> u32 {
        self.window_target(self.table.len()).min(self.config.window_packets)
    }

    /// Packets that may be under way on a channel where there are so many of ours.
    fn window_target(&self, own: usize) -> u32 {
        let channels = (self.other_channels + own).clamp(1, u32::MAX as usize) as u32;
        (self.window_budget / channels).max(STREAM_WINDOW_PACKETS_MIN)
    }

    /// Channels that there are, whether or not both ends know of them.
    pub fn channel_count(&self) -> usize {
        self.table.len()
    }

    /// Takes a new key for what is sent on a channel (0: the stream's own) as soon as may be: with the next
    /// packet, unless the peer has not yet shown that it has the last one.
    pub fn rekey(&mut self, channel: u16) -> Result<(), Refused> {
        let keys = match channel {
            0 => self.keys.as_mut(),
            _ => self.table.get_mut(channel).and_then(|(_, channel)| channel.keys.as_mut()),
        };
        keys.ok_or(Refused::NotOpen)?.send.want();
        Ok(())
    }

    /// The same of all channels, and of the stream's own. What is not encrypted has no keys to take.
    pub fn rekey_all(&mut self) {
        let numbers: Vec<u16> = self.channels().map(|dump| dump.channel).collect();
        for channel in numbers.into_iter().chain([0]) {
            let _ = self.rekey(channel);
        }
    }

    /// Whether a channel's number is one that we open.
    pub(super) fn is_own_number(&self, ch: u16) -> bool {
        ch % 2 == self.next_channel % 2
    }

    /// The next number that is not open; there are more than may be open.
    fn take_number(&mut self) -> u16 {
        loop {
            let ch = self.next_channel;
            self.next_channel = match ch.checked_add(2) {
                Some(next) => next,
                None if ch % 2 == 1 => 1,
                None => 2,
            };
            if self.table.find(ch).is_none() {
                return ch;
            }
        }
    }

    /// Whether another incarnation can be taken: none comes back.
    pub(super) fn has_incarnations(&self) -> bool {
        self.incarnation < u32::MAX
    }

    /// The next incarnation of ours. Whether it was for a channel that we open or for one that we accept,
    /// no other is under it.
    pub(super) fn take_incarnation(&mut self) -> u32 {
        self.incarnation += 1;
        self.incarnation
    }

    pub(super) fn add_channel(&mut self, now: Instant, beginning: Beginning) -> Slot {
        let target = self.window_target(self.table.len() + 1);
        // Or whoever has used up its rate would open a channel for each window more.
        let window = match self.pace.ready_at(now) > now {
            true => Window::closed(self.config.window_packets),
            false => Window::new(self.config.window_packets).aimed_at(target),
        };
        let pace = Pace::new(self.config.channel_rate, now);
        let slot = self.table.insert(Channel::new(beginning, window, pace));
        self.pending.insert(slot);
        self.statistics.opened += 1;
        slot
    }

    /// Makes the keys of a channel whose two incarnations are known.
    pub(super) fn make_keys(&mut self, slot: Slot) {
        let Some(session) = self.session.as_ref().filter(|_| self.encrypted) else { return };
        let channel = self.table.at(slot);
        let incarnations = channel.incarnations();
        channel.keys = Some(Keys::new(&session.traffic, self.direction, channel.id, incarnations));
    }

    /// Tells the peer of more credit, now or when the buckets have filled.
    pub(super) fn update_credit(&mut self, now: Instant, slot: Slot) {
        let session = &self.pace;
        let channel = self.table.at(slot);
        if channel.peer_last.is_some() || channel.opening {
            return;
        }
        let at = session.ready_at(now).max(channel.pace.ready_at(now));
        // A word that is due for another reason, such as a new key, gives no credit meanwhile either.
        channel.paced = at > now && (channel.wants.credit || channel.window.is_due());
        if channel.paced {
            self.pace_at = Some(self.pace_at.map_or(at, |before| before.min(at)));
        } else {
            channel.wants.credit |= channel.window.is_due();
        }
        if channel.wants.credit {
            self.pending.insert(slot);
        }
    }

    /// A channel is over in both directions.
    pub(super) fn close_slot(&mut self, slot: Slot) {
        let channel = self.remove(slot).id;
        self.events.push_back(Event::ChannelClosed { channel });
    }

    /// Takes a channel out, with what it still waited for.
    pub(super) fn remove(&mut self, slot: Slot) -> Channel {
        self.pending.remove(slot);
        let channel = self.table.remove(slot);
        if self.config.mode == Mode::Datagram {
            let last = channel.peer_last.unwrap_or(channel.receive.next());
            self.statistics.lost += last - channel.receive.next();
        }
        self.statistics.torn += u64::from(channel.reassembly.is_open());
        channel
    }
}
