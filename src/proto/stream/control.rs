//! What the two ends say about their channels: the payloads of CONTROL packets after the handshake.

use super::Fault;
use super::wire::{Reader, Writer};

/// The first byte of a CONTROL payload.
pub mod op {
    /// The initiator's first word.
    pub const HELLO: u8 = 0x01;
    /// The responder's.
    pub const REPLY: u8 = 0x02;
    /// The initiator's proof.
    pub const AUTH: u8 = 0x03;
    /// The responder's consent.
    pub const READY: u8 = 0x04;
    /// Say HELLO again, with this cookie.
    pub const RETRY: u8 = 0x05;
    /// Opens a channel.
    pub const OPEN: u8 = 0x10;
    /// It is open.
    pub const OPENED: u8 = 0x11;
    /// It is not wanted.
    pub const REFUSED: u8 = 0x12;
    /// No more messages from here.
    pub const SHUT: u8 = 0x13;
    /// There is no such channel any more.
    pub const GONE: u8 = 0x14;
    /// How far the peer may go.
    pub const CREDIT: u8 = 0x15;
    /// There is more to say than credit for it.
    pub const BLOCKED: u8 = 0x16;
}

/// A flag of OPEN: messages may be compressed.
const MAY_COMPRESS: u8 = 1;

/// A word about a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// The channel's number.
    pub ch: u16,
    /// Which of the channels that had the number.
    pub incarnation: u32,
    /// What is said.
    pub word: Word,
}

/// What is said about a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It is to be opened.
    Open {
        /// What it is for.
        channel_type: u8,
        /// Whether its messages may be compressed.
        may_compress: bool,
        /// Packets that the other end may send.
        credit: u32,
    },
    /// It is open.
    Opened {
        /// The incarnation that whoever says it has chosen: its own key comes of it.
        own: u32,
        /// Packets that the other end may send.
        credit: u32,
    },
    /// It is not wanted.
    Refused {
        /// Why, as a [`Code`](super::Code).
        code: u16,
    },
    /// No more messages come from here.
    Shut {
        /// The number after the last packet.
        last: u32,
    },
    /// There is no such channel any more, and nothing is to come.
    Gone,
    /// How far the other end may go.
    Credit {
        /// The number of the first packet that may not be sent.
        limit: u32,
        /// The number of the key of the last packet that came.
        epoch: u32,
    },
    /// There is more to send than credit for it.
    Blocked {
        /// Where the credit ended.
        limit: u32,
    },
}

impl Word {
    const fn op(self) -> u8 {
        match self {
            Self::Open { .. } => op::OPEN,
            Self::Opened { .. } => op::OPENED,
            Self::Refused { .. } => op::REFUSED,
            Self::Shut { .. } => op::SHUT,
            Self::Gone => op::GONE,
            Self::Credit { .. } => op::CREDIT,
            Self::Blocked { .. } => op::BLOCKED,
        }
    }
}

impl Control {
    /// Reads a payload, which has to end where the word does.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let op = reader.u8()?;
        let (ch, incarnation) = (reader.u16()?, reader.u32()?);
        if ch == 0 {
            return Err(Fault::ChannelNumber);
        }
        let word = Self::word(op, &mut reader)?;
        reader.end()?;
        Ok(Self { ch, incarnation, word })
    }

    fn word(op: u8, reader: &mut Reader<'_>) -> Result<Word, Fault> {
        Ok(match op {
            op::OPEN => {
                let (channel_type, flags) = (reader.u8()?, reader.u8()?);
                if flags & !MAY_COMPRESS != 0 {
                    return Err(Fault::Control);
                }
                let may_compress = flags & MAY_COMPRESS != 0;
                Word::Open { channel_type, may_compress, credit: reader.u32()? }
            }
            op::OPENED => Word::Opened { own: reader.u32()?, credit: reader.u32()? },
            op::REFUSED => Word::Refused { code: reader.u16()? },
            op::SHUT => Word::Shut { last: reader.u32()? },
            op::GONE => Word::Gone,
            op::CREDIT => Word::Credit { limit: reader.u32()?, epoch: reader.u32()? },
            op::BLOCKED => Word::Blocked { limit: reader.u32()? },
            _ => return Err(Fault::Control),
        })
    }

    /// Writes the payload.
    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        out.u8(self.word.op());
        out.u16(self.ch);
        out.u32(self.incarnation);
        match self.word {
            Word::Open { channel_type, may_compress, credit } => {
                out.u8(channel_type);
                out.u8(if may_compress { MAY_COMPRESS } else { 0 });
                out.u32(credit);
            }
            Word::Opened { own, credit } => {
                out.u32(own);
                out.u32(credit);
            }
            Word::Refused { code } => out.u16(code),
            Word::Shut { last } => out.u32(last),
            Word::Gone => {}
            Word::Credit { limit, epoch } => {
                out.u32(limit);
                out.u32(epoch);
            }
            Word::Blocked { limit } => out.u32(limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(word: Word) -> Vec<u8> {
        let mut out = [0; 32];
        let mut writer = Writer::new(&mut out);
        Control { ch: 0x0201, incarnation: 0x0605_0403, word }.encode(&mut writer);
        let len = writer.len();
        out[..len].to_vec()
    }

    #[test]
    fn the_golden_bytes_are_read_and_written() {
        let open = Word::Open { channel_type: 0x11, may_compress: true, credit: 0x0d0c_0b0a };
        let words: [(Word, &[u8]); 7] = [
            (open, &[0x10, 1, 2, 3, 4, 5, 6, 0x11, 1, 10, 11, 12, 13]),
            (
                Word::Opened { own: 0x0a09_0807, credit: 9 },
                &[0x11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 9, 0, 0, 0],
            ),
            (Word::Refused { code: 10 }, &[0x12, 1, 2, 3, 4, 5, 6, 10, 0]),
            (Word::Shut { last: 7 }, &[0x13, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0]),
            (Word::Gone, &[0x14, 1, 2, 3, 4, 5, 6]),
            (
                Word::Credit { limit: 64, epoch: 1 },
                &[0x15, 1, 2, 3, 4, 5, 6, 64, 0, 0, 0, 1, 0, 0, 0],
            ),
            (Word::Blocked { limit: 64 }, &[0x16, 1, 2, 3, 4, 5, 6, 64, 0, 0, 0]),
        ];
        for (word, bytes) in words {
            assert_eq!(encode(word), bytes);
            let control = Control { ch: 0x0201, incarnation: 0x0605_0403, word };
            assert_eq!(Control::decode(bytes), Ok(control));
            assert_eq!(Control::decode(&bytes[..bytes.len() - 1]), Err(Fault::PayloadLength));
            assert_eq!(Control::decode(&[bytes, &[0]].concat()), Err(Fault::PayloadLength));
        }
    }

    #[test]
    fn words_that_mean_nothing_are_faults() {
        assert_eq!(Control::decode(&[]), Err(Fault::PayloadLength));
        assert_eq!(Control::decode(&[0x14, 0, 0, 3, 4, 5, 6]), Err(Fault::ChannelNumber));
        for op in [0, 1, 5, 0x0f, 0x17, 0xff] {
            assert_eq!(Control::decode(&[op, 1, 0, 1, 0, 0, 0]), Err(Fault::Control), "{op}");
        }
        let flags = [0x10, 1, 2, 3, 4, 5, 6, 0x11, 2, 10, 11, 12, 13];
        assert_eq!(Control::decode(&flags), Err(Fault::Control));
    }

    proptest! {
        #[test]
        fn a_word_that_is_taken_is_written_as_it_was_read(
            op in 0x0fu8..0x18, rest in prop::collection::vec(any::<u8>(), 6..15),
        ) {
            let bytes = [&[op], &rest[..]].concat();
            if let Ok(control) = Control::decode(&bytes) {
                let mut out = [0; 32];
                let mut writer = Writer::new(&mut out);
                control.encode(&mut writer);
                let len = writer.len();
                prop_assert_eq!(&out[..len], &bytes[..]);
            }
        }
    }
}
