//! Messages on their way out: cut, framed and sealed where they lie.

use std::ops::Range;

use super::Connection;
use crate::limits::STREAM_BLOCKED_REPEAT_NS;
use crate::proto::stream::batch::{Batch, LENGTH_BYTES};
use crate::proto::stream::channel::Channel;
use crate::proto::stream::event::Refused;
use crate::proto::stream::fragment::{FRAGMENT_BYTES, Fragment, Piece, Pieces};
use crate::proto::stream::header::{Flags, HEADER_BYTES, Header, PacketType};
use crate::proto::stream::secure::aead::TAG_BYTES;
use crate::proto::stream::table::Slot;
use crate::time::Instant;

/// Room that a piece needs before it.
pub const HEADROOM_BYTES: usize = HEADER_BYTES + FRAGMENT_BYTES;

/// Room that it needs behind it.
pub const TAILROOM_BYTES: usize = TAG_BYTES;

/// What the bytes of a piece are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As the application has them.
    Plain,
    Compressed,
    /// A list of messages, which have so many bytes.
    List(usize),
}

impl Form {
    const fn of(compressed: bool) -> Self {
        if compressed { Self::Compressed } else { Self::Plain }
    }

    fn flags(self) -> Flags {
        let compressed = Flags::NONE.with(Flags::COMPRESSED, self == Self::Compressed);
        compressed.with(Flags::BATCHED, matches!(self, Self::List(_)))
    }
}

/// Where the bytes of a piece are.
enum Place<'a> {
    /// Where they are to be sealed.
    Here(Range<usize>),
    Elsewhere(&'a [u8]),
}

impl Place<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Here(payload) => payload.len(),
            Self::Elsewhere(bytes) => bytes.len(),
        }
    }

    /// Where they are to be sealed: behind their headers.
    fn target(&self, piece: Piece) -> Range<usize> {
        match self {
            Self::Here(payload) => payload.clone(),
            Self::Elsewhere(bytes) => {
                let head = if piece.is_whole() { HEADER_BYTES } else { HEADROOM_BYTES };
                head..head + bytes.len()
            }
        }
    }
}

impl Connection {
    /// Cuts a message of so many bytes, compressed already where it is, into pieces that each fit a
    /// packet. All of them are to be sent, in order and with no other message of the channel in between.
    pub fn pieces(&self, message_bytes: u32) -> Pieces {
        let tag = if self.encrypted { TAG_BYTES } else { 0 };
        let whole = (self.config.packet_bytes - HEADER_BYTES - tag) as u32;
        Pieces::new(message_bytes, whole, whole - FRAGMENT_BYTES as u32)
    }

    /// Packets that may be sent on a channel now. With none the peer is told that there is more, and
    /// [`Event::ChannelWritable`](super::Event::ChannelWritable) follows.
    pub fn may_send(&mut self, now: Instant, channel: u16) -> u64 {
        if !self.is_open() {
            return 0;
        }
        let Some((slot, channel)) = self.table.get_mut(channel) else { return 0 };
        if !channel.is_writable() {
            return 0;
        }
        let left = channel.may_send();
        if left == 0 {
            self.block(now, slot);
        }
        left
    }

    /// Whether messages may be sent on a channel, once there is credit.
    pub fn is_writable(&self, channel: u16) -> bool {
        self.is_open() && self.table.get(channel).is_some_and(|channel| channel.is_writable())
    }

    /// Whether messages of a channel may be compressed.
    #[inline]
    pub fn compresses(&self, channel: u16) -> bool {
        self.compressed && self.table.get(channel).is_some_and(|channel| channel.may_compress)
    }

    /// Makes a packet of a piece that lies at `payload` in `room`: headers go before it and a tag behind it,
    /// so there has to be [`HEADROOM_BYTES`] and [`TAILROOM_BYTES`] of room. Gives where the packet lies.
    /// What was refused is as it was.
    ///
    /// # Panics
    /// When the piece is not the next of those that [`pieces`](Self::pieces) gave, or has another length, when there is no
    /// room, or when it is compressed where that was not agreed.
    #[inline]
    pub fn seal(
        &mut self,
        now: Instant,
        channel: u16,
        piece: Piece,
        compressed: bool,
        room: &mut [u8],
        payload: Range<usize>,
    ) -> Result<Range<usize>, Refused> {
        self.seal_from(now, channel, piece, Form::of(compressed), room, Place::Here(payload))
    }

    /// Bytes that the list of a [batch](Self::seal_batch) may have: it is never cut.
    #[inline]
    pub fn batch_bytes_max(&self) -> usize {
        let tag = if self.encrypted { TAG_BYTES } else { 0 };
        self.config.packet_bytes - HEADER_BYTES - tag
    }

    /// Makes a packet of short messages that were [put](Batch::put) behind each other in `room`: it comes to the
    /// front, and takes [`TAILROOM_BYTES`] behind them. It is one packet in everything that counts packets. One
    /// message alone goes as it would have gone by itself.
    ///
    /// # Panics
    /// When there is no message, no room, or it was not agreed; when the list has more than
    /// [`batch_bytes_max`](Self::batch_bytes_max), or a message of the channel has begun and not ended.
    #[inline]
    pub fn seal_batch(
        &mut self,
        now: Instant,
        channel: u16,
        batch: &Batch,
        room: &mut [u8],
    ) -> Result<Range<usize>, Refused> {
        assert!(self.batched && batch.messages() > 0, "{batch:?}");
        let (mut form, mut bytes) = (Form::List(batch.message_bytes()), batch.bytes());
        if batch.messages() == 1 {
            let message = HEADER_BYTES + LENGTH_BYTES..HEADER_BYTES + bytes;
            (form, bytes) = (Form::Plain, message.len());
            room.copy_within(message, HEADER_BYTES);
        }
        let place = Place::Here(HEADER_BYTES..HEADER_BYTES + bytes);
        self.seal_from(now, channel, Piece::whole(bytes as u32), form, room, place)
    }

    /// The same of a piece that lies elsewhere: the packet comes to the front of `room`. Where it is sealed, that
    /// takes no pass over its bytes more than [`seal`](Self::seal).
    ///
    /// # Panics
    /// As `seal` does.
    #[inline]
    pub fn seal_copy(
        &mut self,
        now: Instant,
        channel: u16,
        piece: Piece,
        compressed: bool,
        room: &mut [u8],
        bytes: &[u8],
    ) -> Result<Range<usize>, Refused> {
        self.seal_from(now, channel, piece, Form::of(compressed), room, Place::Elsewhere(bytes))
    }

    #[inline]
    fn seal_from(
        &mut self,
        now: Instant,
        channel: u16,
        piece: Piece,
        form: Form,
        room: &mut [u8],
        place: Place<'_>,
    ) -> Result<Range<usize>, Refused> {
        if !self.is_open() {
            return Err(Refused::NotConnected);
        }
        let (slot, channel) = self.table.get_mut(channel).ok_or(Refused::NotOpen)?;
        if !channel.is_writable() {
            return Err(Refused::NotOpen);
        }
        if channel.may_send() == 0 {
            self.block(now, slot);
            return Err(Refused::NoCredit);
        }
        let len = place.len();
        assert!(piece.len as usize == len, "{piece:?}, and {len} bytes");
        let may_compress = self.compressed && channel.may_compress;
        assert!(form != Form::Compressed || may_compress, "it was not agreed");
        debug_assert!(channel.keys.is_some() == self.encrypted, "nothing goes in the clear");
        channel.send_piece(piece);
        let message_bytes = if let Form::List(bytes) = form { bytes } else { len };
        channel.statistics.sent.add(message_bytes);
        self.statistics.sent.add(message_bytes);
        self.keepalive.on_sent(now);
        let rekey_packets = self.config.rekey_packets;
        let packet = frame(channel, piece, form, room, place, rekey_packets);
        assert!(packet.len() <= self.config.packet_bytes, "{piece:?} does not fit a packet");
        Ok(packet)
    }

    /// Somebody has more to say than credit for it.
    #[cold]
    fn block(&mut self, now: Instant, slot: Slot) {
        let is_datagram = self.is_datagram();
        let channel = self.table.at(slot);
        if channel.allowance.block() {
            channel.wants.blocked = true;
            self.pending.insert(slot);
        }
        if is_datagram && self.table.at(slot).repeat.at.is_none() {
            self.repeat(slot, now.after_ns(STREAM_BLOCKED_REPEAT_NS));
        }
    }

    /// Looks again at what a channel has said, at a time.
    pub(super) fn repeat(&mut self, slot: Slot, at: Instant) {
        self.table.at(slot).repeat.at = Some(at);
        self.repeat_at = Some(self.repeat_at.map_or(at, |before| before.min(at)));
    }
}

/// Puts headers before a piece and, where the channel has keys, a tag behind it.
#[inline]
fn frame(
    channel: &mut Channel,
    piece: Piece,
    form: Form,
    room: &mut [u8],
    place: Place<'_>,
    rekey_packets: u64,
) -> Range<usize> {
    let number = channel.send.take();
    let mut flags = form.flags();
    let payload = place.target(piece);
    let (mut start, mut end) = (payload.start, payload.end);
    if !piece.is_whole() {
        let Piece { offset, len: frag_size, message: full_size } = piece;
        start -= FRAGMENT_BYTES;
        let head = Fragment { frag_size, offset, full_size }.encode();
        room[start..payload.start].copy_from_slice(&head);
        flags = flags.with(Flags::FRAGMENTED, true);
    }
    if let Some(keys) = &mut channel.keys {
        keys.send.turn(number, rekey_packets);
        flags = flags.with(keys.send.flags(), true);
        end += TAG_BYTES;
    }
    let (size, seq_id) = ((end - start) as u32, number as u32);
    let header = Header { size, packet_type: PacketType::Data, seq_id, ch_id: channel.id, flags };
    let head = header.encode();
    match (&channel.keys, place) {
        (Some(keys), Place::Elsewhere(bytes)) => {
            keys.send.seal_copy(number, &head, &mut room[start..end], payload.start - start, bytes);
        }
        (Some(keys), Place::Here(_)) => {
            let tag = keys.send.seal(number, &head, &mut room[start..payload.end]);
            room[payload.end..end].copy_from_slice(&tag);
        }
        (None, Place::Elsewhere(bytes)) => room[payload].copy_from_slice(bytes),
        (None, Place::Here(_)) => {}
    }
    room[start - HEADER_BYTES..start].copy_from_slice(&head);
    start - HEADER_BYTES..end
}
