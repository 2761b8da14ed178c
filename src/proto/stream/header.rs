//! The 12 bytes in front of each packet: what they may say, and where a packet ends.

use super::Fault;
use crate::limits::STREAM_PACKET_BYTES_MAX;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 12;

/// Most bytes after a header.
pub const PAYLOAD_BYTES_MAX: usize = STREAM_PACKET_BYTES_MAX - HEADER_BYTES;

/// Where each field lies.
mod field {
    use std::ops::Range;

    pub const SIZE: Range<usize> = 0..4;
    pub const TYPE: usize = 4;
    pub const SEQ_ID: Range<usize> = 5..9;
    pub const CH_ID: Range<usize> = 9..11;
    pub const FLAGS: usize = 11;
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// A message of a channel, or a piece of one.
    Data = 1,
    /// Handshake, channels, credit.
    Control = 2,
    /// Is the peer there?
    Keepalive = 3,
    /// The orderly end.
    Close = 4,
    /// A fault, of a channel or of the stream.
    Error = 5,
}

impl PacketType {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Control => "control",
            Self::Keepalive => "keepalive",
            Self::Close => "close",
            Self::Error => "error",
        }
    }

    const fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Data),
            2 => Some(Self::Control),
            3 => Some(Self::Keepalive),
            4 => Some(Self::Close),
            5 => Some(Self::Error),
            _ => None,
        }
    }
}

/// What was done to a packet's message, in the order in which it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

impl Flags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The message begins with its original size and goes on as an LZ4 block.
    pub const COMPRESSED: Self = Self(1);
    /// The payload ends in a tag.
    pub const ENCRYPTED: Self = Self(2);
    /// The payload begins with a fragment header.
    pub const FRAGMENTED: Self = Self(4);
    /// The lowest bit of the number of the key.
    pub const KEY_PHASE: Self = Self(8);

    /// The payload is a list of messages.
    pub const BATCHED: Self = Self(16);

    const ALL: u8 = 31;
    /// Those that say what the payload of DATA is.
    const OF_DATA: u8 = Self::COMPRESSED.0 | Self::FRAGMENTED.0 | Self::BATCHED.0;

    /// Whether all of `other`'s are set.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and `other`'s, where `wanted`.
    #[inline]
    #[must_use]
    pub const fn with(self, other: Self, wanted: bool) -> Self {
        Self(if wanted { self.0 | other.0 } else { self.0 })
    }

    /// As they go over the wire.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// A packet's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes after the header, the tag among them.
    pub size: u32,
    /// What the packet is.
    pub packet_type: PacketType,
    /// The lower half of its number on the channel.
    pub seq_id: u32,
    /// The channel; 0 is the stream's own.
    pub ch_id: u16,
    /// What was done to the message.
    pub flags: Flags,
}

impl Header {
    /// Reads a header and checks all that can be told from it alone.
    #[inline]
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Fault> {
        let size = size(bytes)?;
        let packet_type = PacketType::from_wire(bytes[field::TYPE]).ok_or(Fault::PacketType)?;
        let seq_id = u32::from_le_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        let ch_id = u16::from_le_bytes([bytes[9], bytes[10]]);
        let flags = Flags(bytes[field::FLAGS]);
        if flags.0 & !Flags::ALL != 0 {
            return Err(Fault::Flags);
        }
        // Messages, and what is done to them, are the other channels' alone.
        let is_data = matches!(packet_type, PacketType::Data);
        if is_data != (ch_id != 0) {
            return Err(Fault::Channel);
        }
        let of_data = flags.0 & Flags::OF_DATA;
        if !is_data && of_data != 0 || flags.has(Flags::BATCHED) && of_data != Flags::BATCHED.0 {
            return Err(Fault::Flags);
        }
        // Only what is encrypted has a key.
        if flags.has(Flags::KEY_PHASE) && !flags.has(Flags::ENCRYPTED) {
            return Err(Fault::Flags);
        }
        Ok(Self { size, packet_type, seq_id, ch_id, flags })
    }

    /// As it goes over the wire.
    #[inline]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[field::SIZE].copy_from_slice(&self.size.to_le_bytes());
        bytes[field::TYPE] = self.packet_type as u8;
        bytes[field::SEQ_ID].copy_from_slice(&self.seq_id.to_le_bytes());
        bytes[field::CH_ID].copy_from_slice(&self.ch_id.to_le_bytes());
        bytes[field::FLAGS] = self.flags.0;
        bytes
    }
}

/// Whether a packet says that it is a ping or a pong: of those it matters when exactly they pass.
#[inline]
pub fn is_probe(packet: &[u8]) -> bool {
    packet.get(field::TYPE) == Some(&(PacketType::Keepalive as u8))
}

/// Whether a packet says that it is a batch of messages: room for all of them has to be there before it is opened.
#[inline]
pub fn is_batch(packet: &[u8]) -> bool {
    packet.get(field::FLAGS).is_some_and(|flags| flags & Flags::BATCHED.0 != 0)
}

/// The size that a header begins with.
#[inline]
fn size(bytes: &[u8; HEADER_BYTES]) -> Result<u32, Fault> {
    let size = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    if size as usize > PAYLOAD_BYTES_MAX {
        return Err(Fault::PacketTooLarge);
    }
    Ok(size)
}

/// Where the packet ends that some bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// It is whole, and has so many bytes with its header.
    Whole(usize),
    /// It is not: so many bytes have to be there before more can be told.
    Need(usize),
}

/// Looks at the packet at the front of `bytes`, which may go on with more. A fault ends the stream: there
/// is nothing by which the next packet could be found. The rest of a packet whose header is wrong is not
/// waited for.
#[inline]
pub fn deframe(bytes: &[u8]) -> Result<Framing, Fault> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(Framing::Need(HEADER_BYTES));
    };
    let len = HEADER_BYTES + size(header)? as usize;
    if bytes.len() < len {
        Header::decode(header)?;
        return Ok(Framing::Need(len));
    }
    Ok(Framing::Whole(len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATA: [u8; 12] = [0x34, 0x12, 0, 0, 1, 0x78, 0x56, 0x34, 0x12, 0xcd, 0xab, 0b1111];

    #[test]
    fn the_golden_bytes_are_read_and_written() {
        let header = Header {
            size: 0x1234,
            packet_type: PacketType::Data,
            seq_id: 0x1234_5678,
            ch_id: 0xabcd,
            flags: Flags(15),
        };
        assert_eq!(header.encode(), DATA);
        assert_eq!(Header::decode(&DATA), Ok(header));
    }

    #[test]
    fn a_packet_of_the_largest_size_is_taken_and_none_past_it() {
        let mut bytes = DATA;
        bytes[..4].copy_from_slice(&16_372u32.to_le_bytes());
        assert_eq!(Header::decode(&bytes).map(|header| header.size), Ok(16_372));
        assert_eq!(deframe(&bytes), Ok(Framing::Need(16_384)));
        assert_eq!(deframe(&[&bytes[..], &[0; 16_372]].concat()), Ok(Framing::Whole(16_384)));
        bytes[..4].copy_from_slice(&16_373u32.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(Fault::PacketTooLarge));
        assert_eq!(deframe(&bytes), Err(Fault::PacketTooLarge));
    }

    #[test]
    fn the_rest_of_a_packet_that_is_none_is_not_waited_for() {
        let mut bytes = DATA;
        bytes[4] = 9;
        assert_eq!(deframe(&bytes), Err(Fault::PacketType));
        assert_eq!(deframe(&bytes[..11]), Ok(Framing::Need(12)));
    }

    #[test]
    fn what_no_version_says_is_a_fault() {
        let with = |at: usize, byte: u8| {
            let mut bytes = DATA;
            bytes[at] = byte;
            Header::decode(&bytes).map(|_| ())
        };
        assert_eq!(with(4, 0), Err(Fault::PacketType));
        assert_eq!(with(4, 6), Err(Fault::PacketType));
        assert_eq!(with(11, 32), Err(Fault::Flags));
        assert_eq!((with(11, 16), with(11, 16 + 2 + 8)), (Ok(()), Ok(())), "a batch");
        assert_eq!(with(11, 16 + 1), Err(Fault::Flags), "a compressed batch");
        assert_eq!(with(11, 16 + 4), Err(Fault::Flags), "a batch in pieces");
        assert_eq!(with(11, 8), Err(Fault::Flags), "a phase without encryption");
        assert_eq!(with(4, 2), Err(Fault::Channel), "CONTROL on a channel");
        let mut control = DATA;
        (control[4], control[9], control[10]) = (2, 0, 0);
        assert_eq!(Header::decode(&control), Err(Fault::Flags), "CONTROL is not compressed");
        control[11] = 16;
        assert_eq!(Header::decode(&control), Err(Fault::Flags), "nor a batch");
        control[11] = 2;
        assert!(Header::decode(&control).is_ok());
        control[4] = 1;
        assert_eq!(Header::decode(&control), Err(Fault::Channel), "DATA on channel 0");
    }

    #[test]
    fn a_packet_is_whole_when_its_last_byte_is_there_and_what_follows_does_not_matter() {
        let packet = [&[3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0][..], b"abc", b"more"].concat();
        for len in 0..packet.len() {
            let expected = match len {
                0..12 => Framing::Need(12),
                12..15 => Framing::Need(15),
                _ => Framing::Whole(15),
            };
            assert_eq!(deframe(&packet[..len]), Ok(expected), "{len}");
        }
    }

    proptest! {
        #[test]
        fn a_header_that_is_taken_is_written_as_it_was_read(bytes: [u8; 12], small: bool) {
            let mut bytes = bytes;
            if small {
                (bytes[2], bytes[3], bytes[4], bytes[11]) = (0, 0, bytes[4] % 6, bytes[11] % 32);
            }
            if let Ok(header) = Header::decode(&bytes) {
                prop_assert_eq!(header.encode(), bytes);
            }
        }
    }
}
