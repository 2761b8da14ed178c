//! What becomes of a packet that has come. Nothing of it counts before it is known to be the peer's.

use super::{Connection, State};
use crate::proto::stream::batch::List;
use crate::proto::stream::epoch::{Opened, ReceiveKey};
use crate::proto::stream::event::{Data, Dropped, Received};
use crate::proto::stream::fragment::{FRAGMENT_BYTES, Fragment};
use crate::proto::stream::header::{Flags, HEADER_BYTES, Header, PacketType};
use crate::proto::stream::reassembly::{Part, Step};
use crate::proto::stream::sequence::{Arrival, ReceiveSequence};
use crate::proto::stream::table::Slot;
use crate::proto::stream::{Control, Fault, notice, op};
use crate::time::Instant;

/// Bytes that say how large a compressed message is.
const ORIGINAL_SIZE_BYTES: usize = 4;

/// Why a packet is not known to be the peer's next.
enum Unproved {
    Old,
    Fault(Fault),
}

/// A packet that is the peer's.
struct Proved {
    number: u64,
    opened: Opened,
}

impl Connection {
    /// Takes one whole packet, decrypts it where it lies, and says what it is. Where it is no packet of the
    /// peer's, what is in it afterwards is of no use.
    ///
    /// A fault ends the stream: [`poll_transmit`](Self::poll_transmit) tells the peer, and
    /// [`Event::Closed`](super::Event::Closed) follows. Over datagrams that takes a packet that the peer has sealed; what
    /// anybody could have sent is dropped and counted.
    pub fn handle_packet(&mut self, now: Instant, packet: &mut [u8]) -> Result<Received, Fault> {
        let received = self.receive(now, packet);
        if let Err(fault) = received {
            self.fail(fault);
        }
        received
    }

    #[inline]
    fn receive(&mut self, now: Instant, packet: &mut [u8]) -> Result<Received, Fault> {
        let Some((head, body)) = packet.split_first_chunk_mut::<HEADER_BYTES>() else {
            return self.unproved(Fault::PacketLength);
        };
        let header = match Header::decode(head) {
            Ok(header) if header.size as usize == body.len() => header,
            Ok(_) => return self.unproved(Fault::PacketLength),
            Err(fault) => return self.unproved(fault),
        };
        match self.state {
            State::Open(_) if header.packet_type == PacketType::Data => {
                self.receive_data(now, header, head, body)
            }
            State::Open(_) => self.receive_notice(now, header, head, body),
            State::Greeting(_) => self.receive_greeting(now, header, body),
            State::Over => Ok(Received::Dropped(Dropped::Over)),
        }
    }

    /// Whether a number that is not the next shows that somebody has taken packets away or repeated them:
    /// the peer seals each once, and nothing below loses any.
    #[inline]
    fn is_seamless(&self) -> bool {
        self.encrypted && !self.is_datagram()
    }

    /// A packet is wrong, and nothing shows that the peer has sent it.
    #[cold]
    pub(super) fn unproved(&mut self, fault: Fault) -> Result<Received, Fault> {
        if !self.is_datagram() && !self.is_over() {
            return Err(fault);
        }
        let (count, dropped) = match fault {
            Fault::Forged => (&mut self.statistics.forged, Dropped::Forged),
            _ => (&mut self.statistics.malformed, Dropped::Malformed),
        };
        *count += 1;
        Ok(Received::Dropped(dropped))
    }

    #[inline]
    fn receive_data(
        &mut self,
        now: Instant,
        header: Header,
        head: &[u8; HEADER_BYTES],
        body: &mut [u8],
    ) -> Result<Received, Fault> {
        let (encrypted, seamless) = (self.encrypted, self.is_seamless());
        let Some((slot, channel)) = self.table.get_mut(header.ch_id) else {
            return self.receive_unknown(header);
        };
        if channel.opening {
            return self.receive_early();
        }
        let key = channel.keys.as_mut().map(|keys| &mut keys.receive);
        let proved = match prove(encrypted, seamless, key, &channel.receive, header, head, body) {
            Ok(proved) => proved,
            Err(unproved) => return self.drop_data(slot, unproved),
        };
        let part = self.check_data(slot, header, proved.number, &body[..proved.opened.len])?;
        if !self.table.at(slot).window.has_room() {
            return Ok(self.drop_crowded(slot));
        }
        self.take_data(now, slot, header, proved, part)
    }

    /// Whether the peer may say this now, and what it is.
    #[inline]
    fn check_data(
        &mut self,
        slot: Slot,
        header: Header,
        number: u64,
        body: &[u8],
    ) -> Result<Part, Fault> {
        let has_ended = !self.is_datagram() && self.ending.is_heard();
        let channel = self.table.at(slot);
        channel.window.check(number)?;
        if has_ended || channel.peer_last.is_some_and(|last| number >= last) {
            return Err(Fault::ChannelEnded);
        }
        if header.flags.has(Flags::COMPRESSED) && !(self.compressed && channel.may_compress) {
            return Err(Fault::Compression);
        }
        if header.flags.has(Flags::BATCHED) && !self.batched {
            return Err(Fault::Batch);
        }
        part(header.flags, body, self.config.message_bytes_max)
    }

    /// Takes what may come, and says where it belongs.
    #[inline]
    fn take_data(
        &mut self,
        now: Instant,
        slot: Slot,
        header: Header,
        proved: Proved,
        part: Part,
    ) -> Result<Received, Fault> {
        let Proved { number, opened } = proved;
        let compressed = header.flags.has(Flags::COMPRESSED);
        let channel = self.table.at(slot);
        let lost = channel.receive.accept(number);
        let step = channel.reassembly.take(part, compressed, lost > 0);
        channel.window.receive(number, step.place.is_some());
        channel.pace.take(now, opened.len as u32);
        channel.statistics.received.add(part.bytes() as usize);
        channel.statistics.lost += lost;
        channel.statistics.torn += u64::from(step.torn);
        channel.wants.credit |= opened.turned;
        let is_due = channel.wants.credit || channel.window.is_due();

        self.pace.take(now, opened.len as u32);
        self.statistics.received.add(part.bytes() as usize);
        self.statistics.lost += lost;
        self.statistics.torn += u64::from(step.torn);
        self.on_proved(now);
        if is_due {
            self.update_credit(now, slot);
        }
        self.place(header, opened.len, part.count(), step)
    }

    /// What a piece is to the application.
    #[inline]
    fn place(&self, header: Header, len: usize, count: u8, step: Step) -> Result<Received, Fault> {
        let channel = header.ch_id;
        let place = match step.place {
            // Where nothing is lost, the peer has made a mistake.
            _ if step.torn && !self.is_datagram() => return Err(Fault::Fragment),
            None if !self.is_datagram() => return Err(Fault::Fragment),
            None if step.torn => return Ok(Received::Torn { channel }),
            None => return Ok(Received::Dropped(Dropped::Orphan)),
            Some(place) => place,
        };
        let is_piece = header.flags.has(Flags::FRAGMENTED);
        let start = HEADER_BYTES + if is_piece { FRAGMENT_BYTES } else { 0 };
        Ok(Received::Data(Data {
            channel,
            range: start..HEADER_BYTES + len,
            count,
            first: place.first,
            last: place.last,
            compressed: header.flags.has(Flags::COMPRESSED),
            message_bytes: place.message_bytes,
        }))
    }

    /// DATA of a channel that the peer has not yet said is open. Over datagrams it has overtaken that.
    #[cold]
    fn receive_early(&mut self) -> Result<Received, Fault> {
        if !self.is_datagram() {
            return Err(Fault::ChannelEnded);
        }
        self.statistics.unknown += 1;
        Ok(Received::Dropped(Dropped::Unknown))
    }

    #[cold]
    fn drop_data(&mut self, slot: Slot, unproved: Unproved) -> Result<Received, Fault> {
        let statistics = &mut self.table.at(slot).statistics;
        match unproved {
            Unproved::Old => {
                statistics.replayed += 1;
                self.statistics.replayed += 1;
                Ok(Received::Dropped(Dropped::Replayed))
            }
            Unproved::Fault(fault) => {
                statistics.forged += u64::from(fault == Fault::Forged);
                self.unproved(fault)
            }
        }
    }

    /// What was taken for lost, and given credit for again, has come after all.
    #[cold]
    fn drop_crowded(&mut self, slot: Slot) -> Received {
        self.table.at(slot).statistics.crowded += 1;
        self.statistics.crowded += 1;
        Received::Dropped(Dropped::Crowded)
    }

    /// DATA of a channel that is not open, any more perhaps. Who has sent it is not known.
    #[cold]
    fn receive_unknown(&mut self, header: Header) -> Result<Received, Fault> {
        if header.flags.has(Flags::ENCRYPTED) != self.encrypted {
            return self.unproved(wrong_protection(self.encrypted));
        }
        self.statistics.unknown += 1;
        if !self.is_datagram() {
            self.answer(super::Answer::Unknown { ch: header.ch_id })?;
        }
        Ok(Received::Dropped(Dropped::Unknown))
    }

    /// A packet of channel 0.
    fn receive_notice(
        &mut self,
        now: Instant,
        header: Header,
        head: &[u8; HEADER_BYTES],
        body: &mut [u8],
    ) -> Result<Received, Fault> {
        let is_clear = !header.flags.has(Flags::ENCRYPTED);
        if self.is_datagram() && is_clear && (self.encrypted || is_greeting(header, body)) {
            return Ok(self.on_late_greeting(header, body));
        }
        let (encrypted, seamless) = (self.encrypted, self.is_seamless());
        let key = self.keys.as_mut().map(|keys| &mut keys.receive);
        let Proved { number, opened } =
            match prove(encrypted, seamless, key, &self.receive, header, head, body) {
                Ok(proved) => proved,
                Err(Unproved::Old) => {
                    self.statistics.replayed += 1;
                    return Ok(Received::Dropped(Dropped::Replayed));
                }
                Err(Unproved::Fault(fault)) => return self.unproved(fault),
            };
        self.statistics.lost += self.receive.accept(number);
        self.statistics.received.add(opened.len);
        self.on_proved(now);
        self.on_notice(now, header.packet_type, &body[..opened.len])?;
        Ok(Received::Consumed)
    }

    fn on_notice(
        &mut self,
        now: Instant,
        packet_type: PacketType,
        body: &[u8],
    ) -> Result<(), Fault> {
        match packet_type {
            PacketType::Control => self.on_control(now, Control::decode(body)?)?,
            PacketType::Keepalive => self.on_probe(now, notice::Probe::decode(body)?)?,
            PacketType::Close => self.on_close(notice::Close::decode(body)?),
            PacketType::Error => self.on_error(notice::Error::decode(body)?),
            PacketType::Data => unreachable!("DATA has a channel"),
        }
        Ok(())
    }

    /// The peer was heard, and so knows that the stream is open.
    #[inline]
    fn on_proved(&mut self, now: Instant) {
        self.keepalive.on_received(now);
        if let State::Open(greeting @ Some(_)) = &mut self.state {
            *greeting = None;
        }
    }

    fn on_probe(&mut self, now: Instant, probe: notice::Probe) -> Result<(), Fault> {
        self.pace.take(now, 0);
        if let Some(keys) = &mut self.keys
            && !keys.send.confirm(probe.epoch)
        {
            return Err(Fault::Control);
        }
        if probe.pong {
            self.keepalive.on_pong(now, probe.token);
        } else {
            self.pong = Some(probe.token);
        }
        Ok(())
    }
}

/// Whether a packet is the peer's and new; on a `seamless` stream, the next.
#[inline]
fn prove(
    encrypted: bool,
    seamless: bool,
    key: Option<&mut ReceiveKey>,
    sequence: &ReceiveSequence,
    header: Header,
    head: &[u8; HEADER_BYTES],
    body: &mut [u8],
) -> Result<Proved, Unproved> {
    if header.flags.has(Flags::ENCRYPTED) != encrypted {
        return Err(Unproved::Fault(wrong_protection(encrypted)));
    }
    let number = match sequence.classify(header.seq_id) {
        Arrival::New(number) if !seamless || number == sequence.next() => number,
        Arrival::Old if !seamless => return Err(Unproved::Old),
        _ => return Err(Unproved::Fault(Fault::Sequence)),
    };
    let opened = match key {
        None if !encrypted => Opened { len: body.len(), turned: false },
        // It has none yet, so nothing was sealed with it.
        None => return Err(Unproved::Fault(Fault::Forged)),
        Some(key) => key
            .open(header.flags, number, head, body)
            .map_err(|_| Unproved::Fault(Fault::Forged))?,
    };
    Ok(Proved { number, opened })
}

const fn wrong_protection(encrypted: bool) -> Fault {
    if encrypted { Fault::NotEncrypted } else { Fault::NotAgreed }
}

/// Whether a packet in the clear is a part of a handshake: no other CONTROL begins like one.
fn is_greeting(header: Header, body: &[u8]) -> bool {
    header.packet_type == PacketType::Control
        && body.first().is_some_and(|op| (op::HELLO..=op::RETRY).contains(op))
}

/// What a payload is, and whether it is allowed to be.
#[inline]
fn part(flags: Flags, body: &[u8], message_bytes_max: u32) -> Result<Part, Fault> {
    if flags.has(Flags::BATCHED) {
        return List::decode(body, message_bytes_max).map(Part::Batch);
    }
    let (part, data, first) = if flags.has(Flags::FRAGMENTED) {
        let (head, data) = body.split_first_chunk().ok_or(Fault::PayloadLength)?;
        let fragment = Fragment::decode(head, data.len())?;
        (Part::Piece(fragment), data, fragment.offset == 0)
    } else {
        (Part::Whole(body.len() as u32), body, true)
    };
    if part.message_bytes() > message_bytes_max {
        return Err(Fault::MessageTooLarge);
    }
    if flags.has(Flags::COMPRESSED) && first {
        // Before anybody looks for memory of that size.
        let size = data.first_chunk::<ORIGINAL_SIZE_BYTES>().ok_or(Fault::Compression)?;
        if u32::from_le_bytes(*size) > message_bytes_max {
            return Err(Fault::MessageTooLarge);
        }
    }
    Ok(part)
}
