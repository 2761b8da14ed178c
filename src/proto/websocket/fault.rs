//! What a peer can do wrong on a connection, each with the close code that it is told.

use super::CloseCode;

/// A rule that a peer has broken, or a time that it has let pass. It ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fault {
    /// A reserved bit without an extension that says what it means there (RFC 6455 §5.2).
    ReservedBits,
    /// An opcode that nothing defines (§5.2).
    ReservedOpcode,
    /// A control frame that is not whole by itself (§5.5).
    ControlFragmented,
    /// A control frame with more than 125 bytes (§5.5).
    ControlTooLong,
    /// A length in more bytes than it needs (§5.2).
    LengthNotMinimal,
    /// A length with its highest bit set (§5.2).
    LengthTooLarge,
    /// A client's frame without a mask (§5.1).
    NotMasked,
    /// A server's frame with one (§5.1).
    Masked,
    /// A continuation of no message (§5.4).
    NothingToContinue,
    /// Another message before the end of the one that was begun (§5.4).
    Interleaved,
    /// A frame past [`Limits::frame_bytes`](super::Limits::frame_bytes).
    FrameTooLarge,
    /// A message past [`Limits::message_bytes`](super::Limits::message_bytes).
    MessageTooLarge,
    /// A message in more frames than [`Limits::fragments`](super::Limits::fragments).
    TooManyFragments,
    /// A text that is not UTF-8 (§8.1).
    Text,
    /// A close frame with one byte (§5.5.1).
    CloseLength,
    /// A close code that nobody may send (§7.4).
    CloseCode,
    /// A close reason that is not UTF-8 (§5.5.1).
    CloseReason,
    /// A compressed message that does not decompress (RFC 7692 §7.2.2).
    Deflate,
    /// A compressed message for which there is no memory now.
    Busy,
    /// Nothing came after a ping.
    PongTimeout,
    /// The peer did not answer a close. Nobody is told.
    CloseTimeout,
}

impl Fault {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::ReservedBits,
        Self::ReservedOpcode,
        Self::ControlFragmented,
        Self::ControlTooLong,
        Self::LengthNotMinimal,
        Self::LengthTooLarge,
        Self::NotMasked,
        Self::Masked,
        Self::NothingToContinue,
        Self::Interleaved,
        Self::FrameTooLarge,
        Self::MessageTooLarge,
        Self::TooManyFragments,
        Self::Text,
        Self::CloseLength,
        Self::CloseCode,
        Self::CloseReason,
        Self::Deflate,
        Self::Busy,
        Self::PongTimeout,
        Self::CloseTimeout,
    ];

    /// What the peer is told; `None`: nothing.
    pub const fn code(self) -> Option<CloseCode> {
        match self {
            Self::CloseTimeout => None,
            Self::Text | Self::CloseReason | Self::Deflate => Some(CloseCode::INVALID_DATA),
            Self::FrameTooLarge | Self::MessageTooLarge => Some(CloseCode::TOO_BIG),
            Self::TooManyFragments => Some(CloseCode::POLICY),
            Self::PongTimeout => Some(CloseCode::INTERNAL),
            Self::Busy => Some(CloseCode::TRY_LATER),
            _ => Some(CloseCode::PROTOCOL),
        }
    }

    /// The same in words, short enough for a close reason.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bits",
            Self::ReservedOpcode => "reserved opcode",
            Self::ControlFragmented => "fragmented control frame",
            Self::ControlTooLong => "control frame too long",
            Self::LengthNotMinimal => "length not minimal",
            Self::LengthTooLarge => "length too large",
            Self::NotMasked => "not masked",
            Self::Masked => "masked",
            Self::NothingToContinue => "nothing to continue",
            Self::Interleaved => "message not ended",
            Self::FrameTooLarge => "frame too large",
            Self::MessageTooLarge => "message too large",
            Self::TooManyFragments => "too many fragments",
            Self::Text => "text is not UTF-8",
            Self::CloseLength => "close frame of one byte",
            Self::CloseCode => "close code",
            Self::CloseReason => "close reason is not UTF-8",
            Self::Deflate => "compressed data",
            Self::Busy => "too many compressed messages at once",
            Self::PongTimeout => "no answer to a ping",
            Self::CloseTimeout => "no answer to a close",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_number_and_a_name_of_its_own() {
        for (number, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, number);
            let same = Fault::ALL.iter().filter(|other| other.name() == fault.name());
            assert_eq!(same.count(), 1, "{fault:?}");
            assert!(fault.name().len() <= 123);
        }
    }
}
