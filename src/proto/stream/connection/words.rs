//! What the peer says about channels.

use super::{Answer, Connection, Event};
use crate::limits::STREAM_ANSWERS_MAX;
use crate::proto::stream::channel::{Beginning, Shut};
use crate::proto::stream::control::{Control, Word};
use crate::proto::stream::sequence::extend;
use crate::proto::stream::table::Slot;
use crate::proto::stream::{Code, Fault};
use crate::time::Instant;

impl Connection {
    pub(super) fn on_control(&mut self, now: Instant, control: Control) -> Result<(), Fault> {
        let Control { ch, incarnation, word } = control;
        // Over datagrams it is said on and on where we give no credit: it must not put that off itself.
        if !matches!(word, Word::Blocked { .. }) {
            self.pace.take(now, 0);
        }
        if word == Word::Gone && !self.is_datagram() {
            // Nothing is lost there that it could stand in for; it would end a channel without its SHUT.
            return Err(Fault::Control);
        }
        if let Word::Open { channel_type, may_compress, credit } = word {
            return self.on_open(now, ch, incarnation, (channel_type, may_compress, credit));
        }
        let Some(slot) = self.find(ch, incarnation) else { return self.on_stranger(control) };
        match word {
            Word::Open { .. } => Ok(()),
            Word::Opened { own, credit } => self.on_opened(now, slot, own, credit),
            Word::Refused { code } => self.on_refused(slot, Code::from_wire(code)),
            Word::Shut { last } => self.on_shut(slot, last),
            Word::Gone => {
                self.close_slot(slot);
                Ok(())
            }
            Word::Credit { limit, epoch } => self.on_credit(slot, limit, epoch),
            Word::Blocked { limit } => self.on_blocked(now, slot, limit),
        }
    }

    /// The channel of that number, if it is the one that is meant.
    fn find(&self, ch: u16, incarnation: u32) -> Option<Slot> {
        self.table.get(ch).filter(|channel| channel.incarnation == incarnation)?;
        self.table.find(ch)
    }

    /// A word about a channel that is not there. It may have gone while the word was under way; whoever
    /// waits for us is told.
    fn on_stranger(&mut self, control: Control) -> Result<(), Fault> {
        let Control { ch, incarnation, word } = control;
        let waits = matches!(word, Word::Shut { .. } | Word::Blocked { .. } | Word::Opened { .. });
        match (waits, self.is_datagram()) {
            (false, _) => Ok(()),
            // Where nothing is lost or late, a channel ends with its last word.
            (true, false) => Err(Fault::Control),
            (true, true) => self.answer(Answer::Word { ch, incarnation, word: Word::Gone }),
        }
    }

    fn on_open(
        &mut self,
        now: Instant,
        ch: u16,
        incarnation: u32,
        (channel_type, may_compress, credit): (u8, bool, u32),
    ) -> Result<(), Fault> {
        if self.is_own_number(ch) {
            return Err(Fault::ChannelNumber);
        }
        if let Some(slot) = self.table.find(ch)
            && !self.may_open_again(slot, incarnation)?
        {
            return Ok(());
        }
        if let Some(code) = self.refusal(channel_type) {
            let word = Word::Refused { code: code.to_wire() };
            return self.answer(Answer::Word { ch, incarnation, word });
        }
        let accepted_as = self.take_incarnation();
        let slot = self.add_channel(
            now,
            Beginning { id: ch, incarnation, accepted_as, channel_type, may_compress, ours: false },
        );
        self.make_keys(slot);
        self.update_credit(now, slot);
        self.table.at(slot).allowance.raise(credit);
        self.events.push_back(Event::ChannelOpened { channel: ch, channel_type, by_peer: true });
        Ok(())
    }

    /// The peer opens a number that is open. Over datagrams our answer may have been lost, or the end of
    /// the channel before.
    fn may_open_again(&mut self, slot: Slot, incarnation: u32) -> Result<bool, Fault> {
        if !self.is_datagram() {
            return Err(Fault::ChannelNumber);
        }
        let channel = self.table.at(slot);
        if incarnation > channel.incarnation {
            self.close_slot(slot);
            return Ok(true);
        }
        if incarnation == channel.incarnation {
            channel.wants.open = true;
            self.pending.insert(slot);
        }
        Ok(false)
    }

    /// Why a channel is not wanted.
    fn refusal(&self, channel_type: u8) -> Option<Code> {
        let is_ending = self.ending.is_asked() || self.ending.is_heard();
        if is_ending || !self.config.types.has(channel_type) {
            return Some(Code::Refused);
        }
        (self.table.is_full() || !self.has_incarnations()).then_some(Code::Limit)
    }

    fn on_opened(&mut self, now: Instant, slot: Slot, own: u32, credit: u32) -> Result<(), Fault> {
        let is_datagram = self.is_datagram();
        let channel = self.table.at(slot);
        if !channel.ours || !channel.opening && !is_datagram {
            return Err(Fault::Control);
        }
        if !channel.opening {
            // What is said again is the same but for its credit.
            if own == channel.accepted_as {
                channel.allowance.raise(credit);
            }
            return Ok(());
        }
        channel.allowance.raise(credit);
        (channel.opening, channel.accepted_as, channel.wants.open) = (false, own, false);
        channel.repeat = Default::default();
        let (channel, channel_type) = (channel.id, channel.channel_type);
        self.make_keys(slot);
        self.update_credit(now, slot);
        self.events.push_back(Event::ChannelOpened { channel, channel_type, by_peer: false });
        if self.table.at(slot).shut == Shut::Wanted {
            self.table.at(slot).wants.shut = true;
            self.pending.insert(slot);
        }
        Ok(())
    }

    fn on_refused(&mut self, slot: Slot, code: Code) -> Result<(), Fault> {
        let channel = self.table.at(slot);
        if !channel.ours || !channel.opening {
            // Over datagrams it may be about a repeated wish.
            return if self.is_datagram() { Ok(()) } else { Err(Fault::Control) };
        }
        let channel = self.remove(slot).id;
        self.events.push_back(Event::ChannelRefused { channel, code });
        Ok(())
    }

    fn on_shut(&mut self, slot: Slot, last: u32) -> Result<(), Fault> {
        let is_datagram = self.is_datagram();
        let channel = self.table.at(slot);
        if channel.opening {
            return if is_datagram { Ok(()) } else { Err(Fault::Control) };
        }
        let next = channel.receive.next();
        let last = extend(next, last);
        let is_news = channel.peer_last.is_none();
        if last > channel.window.limit()
            || last < next
            || !is_datagram && (last != next || !is_news)
            || channel.peer_last.is_some_and(|before| before != last)
        {
            return Err(Fault::Control);
        }
        channel.peer_last = Some(last);
        let (channel, is_over) = (channel.id, channel.shut == Shut::Sent);
        if is_over {
            self.close_slot(slot);
        } else if is_news {
            self.events.push_back(Event::ChannelShut { channel });
        }
        Ok(())
    }

    fn on_credit(&mut self, slot: Slot, limit: u32, epoch: u32) -> Result<(), Fault> {
        let is_datagram = self.is_datagram();
        let channel = self.table.at(slot);
        if channel.opening {
            return if is_datagram { Ok(()) } else { Err(Fault::Control) };
        }
        if let Some(keys) = &mut channel.keys
            && !keys.send.confirm(epoch)
        {
            return Err(Fault::Control);
        }
        if channel.allowance.raise(limit) {
            (channel.wants.blocked, channel.repeat) = (false, Default::default());
            let channel = channel.id;
            self.events.push_back(Event::ChannelWritable { channel });
        }
        Ok(())
    }

    fn on_blocked(&mut self, now: Instant, slot: Slot, limit: u32) -> Result<(), Fault> {
        self.table.at(slot).window.ask(limit)?;
        self.update_credit(now, slot);
        Ok(())
    }

    /// Lets an answer wait.
    pub(super) fn answer(&mut self, answer: Answer) -> Result<(), Fault> {
        if self.answers.len() < STREAM_ANSWERS_MAX {
            self.answers.push_back(answer);
            return Ok(());
        }
        // Over datagrams it will be asked again.
        if self.is_datagram() { Ok(()) } else { Err(Fault::Answers) }
    }
}
