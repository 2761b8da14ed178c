//! The 2 to 14 bytes in front of each frame (RFC 6455 §5.2): what they may say whoever sends them. What
//! they may say at a moment of a connection is in `connection`.

use std::ops::Deref;

use super::{Fault, Kind};

/// Longest header: two bytes, eight of length, four of a mask.
pub const HEADER_BYTES_MAX: usize = 14;

/// Most payload of a control frame (§5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Longest reason of a close: what its code leaves of that.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// What the first two bytes hold beside opcode and length.
mod bit {
    pub const FIN: u8 = 0x80;
    pub const RSV: u8 = 0x70;
    pub const OPCODE: u8 = 0x0f;
    pub const CONTROL: u8 = 0x08;
    pub const MASK: u8 = 0x80;
    pub const LENGTH: u8 = 0x7f;
}

/// Lengths that say that the length follows, in two bytes or in eight.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// The bit that says that a message is compressed (RFC 7692 §7.2.1).
pub const RSV1: u8 = 0x40;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// More of the message that was begun.
    Continuation = 0,
    /// The beginning of a text.
    Text = 1,
    /// The beginning of any other data.
    Binary = 2,
    /// The end.
    Close = 8,
    /// Is the peer there?
    Ping = 9,
    /// It is.
    Pong = 10,
}

impl Opcode {
    const fn from_wire(byte: u8) -> Option<Self> {
        match byte & bit::OPCODE {
            0 => Some(Self::Continuation),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }

    /// Whether it is about the connection, and so may stand between the frames of a message.
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 & bit::CONTROL != 0
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with this frame.
    pub fin: bool,
    /// The reserved bits, where they lie in the first byte: [`RSV1`] and the two below.
    pub rsv: u8,
    /// What the frame is.
    pub opcode: Opcode,
    /// What the payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// Bytes after the header, below 2⁶³.
    pub payload_bytes: u64,
}

/// The header of a whole message in a frame that is shorter than 126 bytes and masked.
pub(super) struct ShortHeader {
    pub kind: Kind,
    pub payload_bytes: u8,
    pub key: [u8; 4],
}

impl ShortHeader {
    pub const BYTES: usize = 6;
}

/// What some bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// A header, and how long it is.
    Whole(Header, usize),
    /// Part of one: so many bytes have to be there before more can be told.
    Need(usize),
}

impl Header {
    /// Reads the header at the front of `bytes`, which may end within it or go on with anything. What can be
    /// told from its first two bytes alone is not put off until the rest is there.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Decoded, Fault> {
        let Some(&[first, second]) = bytes.first_chunk() else { return Ok(Decoded::Need(2)) };
        let opcode = Opcode::from_wire(first).ok_or(Fault::ReservedOpcode)?;
        let (fin, short) = (first & bit::FIN != 0, second & bit::LENGTH);
        if opcode.is_control() {
            if !fin {
                return Err(Fault::ControlFragmented);
            }
            if short > CONTROL_BYTES_MAX as u8 {
                return Err(Fault::ControlTooLong);
            }
        }
        let length_end = 2 + length_bytes(short);
        let is_masked = second & bit::MASK != 0;
        let end = length_end + if is_masked { 4 } else { 0 };
        let Some(header) = bytes.get(..end) else { return Ok(Decoded::Need(end)) };
        let payload_bytes = payload_bytes(short, &header[2..length_end])?;
        let mask = header[length_end..].first_chunk().copied();
        let header = Self { fin, rsv: first & bit::RSV, opcode, mask, payload_bytes };
        Ok(Decoded::Whole(header, end))
    }

    /// What most of what clients send begins with: the header of a whole message in a short frame. `None`: it is
    /// something else, or nothing that may be sent.
    #[inline]
    pub(super) fn decode_short(bytes: &[u8]) -> Option<ShortHeader> {
        const TEXT: u8 = bit::FIN | Opcode::Text as u8;
        const BINARY: u8 = bit::FIN | Opcode::Binary as u8;
        let &[first @ (TEXT | BINARY), second, a, b, c, d] = bytes.first_chunk()? else {
            return None;
        };
        let payload_bytes = second ^ bit::MASK;
        let is_short = payload_bytes < LENGTH_16;
        let kind = if first == TEXT { Kind::Text } else { Kind::Binary };
        is_short.then_some(ShortHeader { kind, payload_bytes, key: [a, b, c, d] })
    }

    /// As it goes over the wire.
    ///
    /// # Panics
    /// When the payload has 2⁶³ bytes or more.
    #[inline]
    pub fn encode(&self) -> Encoded {
        let mut bytes = [0; HEADER_BYTES_MAX];
        let len = self.write(&mut bytes) as u8;
        Encoded { bytes, len }
    }

    /// The same to where it is to lie; returns how long it is.
    ///
    /// # Panics
    /// When the payload has 2⁶³ bytes or more.
    #[inline]
    pub fn write(&self, bytes: &mut [u8; HEADER_BYTES_MAX]) -> usize {
        assert!(self.payload_bytes >> 63 == 0, "no frame is that long");
        let fin = if self.fin { bit::FIN } else { 0 };
        let mask = if self.mask.is_some() { bit::MASK } else { 0 };
        bytes[0] = fin | self.rsv & bit::RSV | self.opcode as u8;
        let len = match self.payload_bytes {
            short @ 0..126 => {
                bytes[1] = mask | short as u8;
                2
            }
            medium @ 126..0x1_0000 => {
                bytes[1] = mask | LENGTH_16;
                bytes[2..4].copy_from_slice(&(medium as u16).to_be_bytes());
                4
            }
            long => {
                bytes[1] = mask | LENGTH_64;
                bytes[2..10].copy_from_slice(&long.to_be_bytes());
                10
            }
        };
        let Some(mask) = self.mask else { return len };
        bytes[len..len + 4].copy_from_slice(&mask);
        len + 4
    }
}

/// Bytes of the length behind the first two.
#[inline]
const fn length_bytes(short: u8) -> usize {
    match short {
        LENGTH_64 => 8,
        LENGTH_16 => 2,
        _ => 0,
    }
}

/// The length, whose shortest form alone is legal.
#[inline]
fn payload_bytes(short: u8, long: &[u8]) -> Result<u64, Fault> {
    let (bytes, least) = match *long {
        [] => return Ok(short.into()),
        [a, b] => (u16::from_be_bytes([a, b]).into(), u64::from(LENGTH_16)),
        [a, b, c, d, e, f, g, h] => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 0x1_0000),
        _ => unreachable!("a length has two bytes or eight"),
    };
    if bytes >> 63 != 0 {
        return Err(Fault::LengthTooLarge);
    }
    if bytes < least { Err(Fault::LengthNotMinimal) } else { Ok(bytes) }
}

/// A header as it goes over the wire, to be put before its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl Deref for Encoded {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(fin: bool, opcode: Opcode, mask: Option<[u8; 4]>, payload_bytes: u64) -> Header {
        Header { fin, rsv: 0, opcode, mask, payload_bytes }
    }

    // W-8: the headers of RFC 6455 §5.7.
    #[test]
    fn the_golden_bytes_are_read_and_written() {
        let key = Some([0x37, 0xfa, 0x21, 0x3d]);
        let cases: [(&[u8], Header); 7] = [
            (&[0x81, 0x05], header(true, Opcode::Text, None, 5)),
            (&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d], header(true, Opcode::Text, key, 5)),
            (&[0x01, 0x03], header(false, Opcode::Text, None, 3)),
            (&[0x80, 0x02], header(true, Opcode::Continuation, None, 2)),
            (&[0x89, 0x05], header(true, Opcode::Ping, None, 5)),
            (&[0x82, 0x7e, 0x01, 0x00], header(true, Opcode::Binary, None, 256)),
            (&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], header(true, Opcode::Binary, None, 65_536)),
        ];
        for (bytes, header) in cases {
            assert_eq!(Header::decode(bytes), Ok(Decoded::Whole(header, bytes.len())));
            assert_eq!(&*header.encode(), bytes);
        }
    }

    #[test]
    fn the_edges_of_each_form_of_the_length_are_exact() {
        for (payload_bytes, len) in
            [(0, 2), (125, 2), (126, 4), (127, 4), (65_535, 4), (65_536, 10), (u64::MAX >> 1, 10)]
        {
            let header = header(true, Opcode::Binary, None, payload_bytes);
            assert_eq!(header.encode().len(), len);
            assert_eq!(Header::decode(&header.encode()), Ok(Decoded::Whole(header, len)));
        }
        let cases: [(&[u8], Fault); 5] = [
            (&[0x82, 126, 0, 125], Fault::LengthNotMinimal),
            (&[0x82, 126, 0, 0], Fault::LengthNotMinimal),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Fault::LengthNotMinimal),
            (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], Fault::LengthTooLarge),
            (&[0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0], Fault::LengthTooLarge),
        ];
        for (bytes, fault) in cases {
            assert_eq!(Header::decode(bytes), Err(fault), "{bytes:x?}");
        }
    }

    #[test]
    fn what_no_sender_may_say_is_found_in_the_first_two_bytes() {
        for opcode in (3..8).chain(11..16) {
            assert_eq!(Header::decode(&[0x80 | opcode, 0x80]), Err(Fault::ReservedOpcode));
        }
        for opcode in 8..11 {
            assert_eq!(Header::decode(&[opcode, 0x80]), Err(Fault::ControlFragmented));
            assert_eq!(Header::decode(&[0x80 | opcode, 0xfe]), Err(Fault::ControlTooLong));
            assert_eq!(Header::decode(&[0x80 | opcode, 0x7f]), Err(Fault::ControlTooLong));
            assert_eq!(Header::decode(&[0x80 | opcode, 0xfd]), Ok(Decoded::Need(6)));
        }
    }

    fn any_header() -> impl Strategy<Value = Header> {
        let opcodes =
            vec![Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Ping, Opcode::Close];
        let len = prop_oneof![0u64..126, 126u64..65_536, 65_536u64..1 << 63];
        let opcode = prop::sample::select(opcodes);
        (any::<bool>(), 0u8..8, opcode, any::<Option<[u8; 4]>>(), len).prop_map(
            |(fin, rsv, opcode, mask, len)| {
                let control = opcode.is_control();
                let payload_bytes = if control { len % 126 } else { len };
                Header { fin: fin || control, rsv: rsv << 4, opcode, mask, payload_bytes }
            },
        )
    }

    proptest! {
        // W-8
        #[test]
        fn a_header_is_read_as_it_was_written_and_not_before_it_is_whole(header in any_header()) {
            let wire = header.encode();
            for len in 0..wire.len() {
                let Ok(Decoded::Need(need)) = Header::decode(&wire[..len]) else {
                    return Err(TestCaseError::fail(format!("{len} of {wire:x?}")));
                };
                prop_assert!(len < need && need <= wire.len());
            }
            let whole = Decoded::Whole(header, wire.len());
            prop_assert_eq!(Header::decode(&wire), Ok(whole));
            prop_assert_eq!(Header::decode(&[&*wire, b"more"].concat()), Ok(whole));
        }

        #[test]
        fn bytes_that_are_a_header_are_written_as_they_were_read(bytes: [u8; 14]) {
            if let Ok(Decoded::Whole(header, len)) = Header::decode(&bytes) {
                prop_assert_eq!(&*header.encode(), &bytes[..len]);
            }
        }
    }
}
