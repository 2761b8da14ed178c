//! What is said on a channel of files, byte by byte. All integers are little-endian.
//!
//! | message | op | then |
//! |---|---|---|
//! | PUT | 1 | size u64, mode u32, SHA-256 32, name |
//! | GET | 2 | offset u64, name |
//! | READY | 3 | offset u64 |
//! | HAVE | 4 | size u64, mode u32, SHA-256 32 |
//! | CHUNK | 5 | offset u64, bytes |
//! | ACK | 6 | offset u64 |
//! | DONE | 7 | |
//! | FAIL | 8 | text |

use super::FileError;

/// Bytes of a CHUNK before those of the file.
pub(super) const CHUNK_HEAD_BYTES: usize = 9;

/// What a file is, as its sender says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) size: u64,
    /// Its permissions.
    pub(super) mode: u32,
    pub(super) sha256: [u8; 32],
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Put { description: Description, name: &'a str },
    Get { offset: u64, name: &'a str },
    Ready { offset: u64 },
    Have { description: Description },
    Chunk { offset: u64, bytes: &'a [u8] },
    Ack { offset: u64 },
    Done,
    Fail { text: &'a str },
}

impl<'a> Message<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, FileError> {
        Self::read(bytes).ok_or(FileError::Protocol)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&op, rest) = bytes.split_first()?;
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let (message, rest) = match op {
            1 => {
                let (description, name) = Description::read(rest)?;
                (Self::Put { description, name: text(name)? }, &[][..])
            }
            2 => {
                let (offset, name) = number(rest)?;
                (Self::Get { offset, name: text(name)? }, &[][..])
            }
            3 => number(rest).map(|(offset, rest)| (Self::Ready { offset }, rest))?,
            4 => Description::read(rest)
                .map(|(description, rest)| (Self::Have { description }, rest))?,
            5 => number(rest).map(|(offset, bytes)| (Self::Chunk { offset, bytes }, &[][..]))?,
            6 => number(rest).map(|(offset, rest)| (Self::Ack { offset }, rest))?,
            7 => (Self::Done, rest),
            8 => (Self::Fail { text: text(rest)? }, &[][..]),
            _ => return None,
        };
        rest.is_empty().then_some(message)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let numbered =
            |op: u8, number: u64, bytes: &[u8]| [&[op][..], &number.to_le_bytes(), bytes].concat();
        match self {
            Self::Put { description, name } => description.write(1, name.as_bytes()),
            Self::Get { offset, name } => numbered(2, *offset, name.as_bytes()),
            Self::Ready { offset } => numbered(3, *offset, &[]),
            Self::Have { description } => description.write(4, &[]),
            Self::Chunk { offset, bytes } => numbered(5, *offset, bytes),
            Self::Ack { offset } => numbered(6, *offset, &[]),
            Self::Done => vec![7],
            Self::Fail { text } => [&[8], text.as_bytes()].concat(),
        }
    }
}

impl Description {
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (size, rest) = number(bytes)?;
        let (mode, rest) = rest.split_first_chunk()?;
        let (sha256, rest) = rest.split_first_chunk()?;
        Some((Self { size, mode: u32::from_le_bytes(*mode), sha256: *sha256 }, rest))
    }

    fn write(&self, op: u8, rest: &[u8]) -> Vec<u8> {
        let (size, mode) = (self.size.to_le_bytes(), self.mode.to_le_bytes());
        [&[op][..], &size, &mode, &self.sha256, rest].concat()
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_bytes_are_read_and_written() {
        let description =
            Description { size: 0x0807_0605_0403_0201, mode: 0x0c0b_0a09, sha256: [0xee; 32] };
        let eight = [1, 2, 3, 4, 5, 6, 7, 8];
        let offset = description.size;
        let described = [&eight[..], &[9, 10, 11, 12], &[0xee; 32]].concat();
        let cases: [(Message<'_>, Vec<u8>); 8] = [
            (
                Message::Put { description, name: "ö" },
                [&[1], &described[..], "ö".as_bytes()].concat(),
            ),
            (Message::Get { offset, name: "a/b" }, [&[2], &eight[..], b"a/b"].concat()),
            (Message::Ready { offset }, [&[3], &eight[..]].concat()),
            (Message::Have { description }, [&[4], &described[..]].concat()),
            (Message::Chunk { offset, bytes: b"xy" }, [&[5], &eight[..], b"xy"].concat()),
            (Message::Ack { offset }, [&[6], &eight[..]].concat()),
            (Message::Done, vec![7]),
            (Message::Fail { text: "no" }, vec![8, b'n', b'o']),
        ];
        for (message, bytes) in cases {
            assert_eq!(message.encode(), bytes);
            assert_eq!(Message::decode(&bytes), Ok(message));
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [&[][..], &[0], &[9], &[3, 0], &[7, 0], &[1, 0, 0], &[8, 0xff], &[6; 10]] {
            assert_eq!(Message::decode(bytes), Err(FileError::Protocol), "{bytes:?}");
        }
    }
}
