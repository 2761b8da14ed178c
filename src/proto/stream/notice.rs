//! The payloads of KEEPALIVE, CLOSE and ERROR packets.

use super::wire::{Reader, Writer};
use super::{Code, Fault};
use crate::limits::STREAM_TEXT_BYTES_MAX;

/// Bytes of an ERROR's payload before its text.
pub(super) const ERROR_BYTES: usize = 4;

const PING: u8 = 0;
const PONG: u8 = 1;

/// A question whether the peer is there, or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Whether it is an answer.
    pub pong: bool,
    /// The same in both.
    pub token: u64,
    /// The number of the key of the last packet that came on channel 0.
    pub epoch: u32,
}

impl Probe {
    /// Reads a payload.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let pong = match reader.u8()? {
            PING => false,
            PONG => true,
            _ => return Err(Fault::Control),
        };
        let probe = Self { pong, token: reader.u64()?, epoch: reader.u32()? };
        reader.end().map(|()| probe)
    }

    /// Writes the payload.
    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        out.u8(if self.pong { PONG } else { PING });
        out.u64(self.token);
        out.u32(self.epoch);
    }
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close<'a> {
    /// As a number.
    pub code: Code,
    /// As a line for a person.
    pub text: &'a str,
}

impl<'a> Close<'a> {
    /// Reads a payload.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let code = Code::from_wire(reader.u16()?);
        Ok(Self { code, text: text(reader)? })
    }

    /// Writes the payload.
    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        out.u16(self.code.to_wire());
        out.bytes(cut(self.text).as_bytes());
    }
}

/// What is wrong with a channel or, where it is 0, with the stream, which ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error<'a> {
    /// As a number.
    pub code: Code,
    /// The channel.
    pub ch: u16,
    /// As a line for a person.
    pub text: &'a str,
}

impl<'a> Error<'a> {
    /// Reads a payload.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let (code, ch) = (Code::from_wire(reader.u16()?), reader.u16()?);
        Ok(Self { code, ch, text: text(reader)? })
    }

    /// Writes the payload.
    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        out.u16(self.code.to_wire());
        out.u16(self.ch);
        out.bytes(cut(self.text).as_bytes());
    }
}

fn text(reader: Reader<'_>) -> Result<&str, Fault> {
    let bytes = reader.rest();
    if bytes.len() > STREAM_TEXT_BYTES_MAX {
        return Err(Fault::Text);
    }
    std::str::from_utf8(bytes).map_err(|_| Fault::Text)
}

/// As much of a text as a packet may carry.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(STREAM_TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(encode: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = [0; 300];
        let mut writer = Writer::new(&mut out);
        encode(&mut writer);
        let len = writer.len();
        out[..len].to_vec()
    }

    #[test]
    fn the_golden_bytes_of_a_probe_are_read_and_written() {
        let probe = Probe { pong: true, token: 0x0807_0605_0403_0201, epoch: 0x0c0b_0a09 };
        let bytes = [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        assert_eq!(written(|out| probe.encode(out)), bytes);
        assert_eq!(Probe::decode(&bytes), Ok(probe));
        assert_eq!(Probe::decode(&bytes[..12]), Err(Fault::PayloadLength));
        assert_eq!(Probe::decode(&[&bytes[..], &[0]].concat()), Err(Fault::PayloadLength));
        assert_eq!(Probe::decode(&[2; 13]), Err(Fault::Control));
    }

    #[test]
    fn the_golden_bytes_of_an_end_are_read_and_written() {
        let close = Close { code: Code::Limit, text: "öd" };
        let bytes = [10, 0, 0xc3, 0xb6, b'd'];
        assert_eq!(written(|out| close.encode(out)), bytes);
        assert_eq!(Close::decode(&bytes), Ok(close));
        let error = Error { code: Code::UnknownChannel, ch: 0x0201, text: "x" };
        let bytes = [8, 0, 1, 2, b'x'];
        assert_eq!(written(|out| error.encode(out)), bytes);
        assert_eq!(Error::decode(&bytes), Ok(error));
        assert_eq!(Close::decode(&bytes[..1]), Err(Fault::PayloadLength));
        assert_eq!(Error::decode(&bytes[..3]), Err(Fault::PayloadLength));
    }

    #[test]
    fn a_text_of_the_longest_size_is_taken_and_none_past_it() {
        let mut bytes = vec![0; 2 + STREAM_TEXT_BYTES_MAX];
        assert!(Close::decode(&bytes).is_ok());
        bytes.push(0);
        assert_eq!(Close::decode(&bytes), Err(Fault::Text));
        assert_eq!(Close::decode(&[0, 0, 0xc3]), Err(Fault::Text), "half a character");
    }

    #[test]
    fn a_longer_text_is_cut_between_characters() {
        let text = "ö".repeat(200);
        assert_eq!(cut(&text).len(), 256);
        let odd = format!("x{text}");
        assert_eq!(cut(&odd).len(), 255);
        let bytes = written(|out| Close { code: Code::None, text: &odd }.encode(out));
        assert!(Close::decode(&bytes).is_ok());
    }
}
