//! What a peer can do wrong, each with the code that it is told.

/// Why a stream or channel ended or was refused, as the peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Code {
    /// Nothing is wrong.
    None = 0,
    /// A rule of the wire is broken.
    Protocol = 1,
    /// No version is known to both.
    Version = 2,
    /// One end requires a feature that the other does not offer.
    Features = 3,
    /// The peer is not who it says, or not welcome.
    Unauthorised = 4,
    /// A packet is not what its sender sealed.
    Decrypt = 5,
    /// A message does not decompress.
    Compression = 6,
    /// A packet or message is larger than allowed.
    TooLarge = 7,
    /// No such channel is open.
    UnknownChannel = 8,
    /// More was sent than there was credit for.
    Flow = 9,
    /// There are as many of it as are allowed.
    Limit = 10,
    /// The peer took too long.
    Timeout = 11,
    /// The fault is on the side that tells of it.
    Internal = 12,
    /// It is not wanted.
    Refused = 13,
    /// It comes too fast.
    Rate = 14,
}

impl Code {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::None,
        Self::Protocol,
        Self::Version,
        Self::Features,
        Self::Unauthorised,
        Self::Decrypt,
        Self::Compression,
        Self::TooLarge,
        Self::UnknownChannel,
        Self::Flow,
        Self::Limit,
        Self::Timeout,
        Self::Internal,
        Self::Refused,
        Self::Rate,
    ];

    /// As it goes over the wire.
    pub const fn to_wire(self) -> u16 {
        self as u16
    }

    /// The code of a number. One that is not known yet says no more than that the peer wants no more.
    pub fn from_wire(number: u16) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Refused)
    }
}

/// A rule that a peer has broken. It ends the stream, except over datagrams where nothing proves that
/// they are the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fault {
    /// A packet larger than any.
    PacketTooLarge,
    /// Fewer or more bytes than the header says.
    PacketLength,
    /// No such packet type.
    PacketType,
    /// Flags that are not known, or not of such a packet.
    Flags,
    /// DATA on channel 0, or anything else on another.
    Channel,
    /// A packet in the clear on an encrypted stream.
    NotEncrypted,
    /// An encrypted packet on a stream in the clear.
    NotAgreed,
    /// The tag is not that of the packet.
    Forged,
    /// Sealed packets are missing or come again on a byte stream.
    Sequence,
    /// A payload that is too short or too long for what it is.
    PayloadLength,
    /// A value in a control packet that means nothing, or nothing here.
    Control,
    /// A text that is not UTF-8, or too long.
    Text,
    /// A fragment that does not go on where the one before it ended, or beyond its message.
    Fragment,
    /// A message larger than the receiver takes.
    MessageTooLarge,
    /// A compressed message where that was not agreed, or that is none.
    Compression,
    /// DATA before the channel is open, or behind its end.
    ChannelEnded,
    /// A channel's number that is not the peer's to open.
    ChannelNumber,
    /// A packet past its credit.
    Flow,
    /// More requests than answers could be sent.
    Answers,
    /// Something else than the handshake's next part.
    HandshakeOrder,
    /// A part of the handshake that is malformed.
    HandshakeSyntax,
    /// A handshake with more bytes than any has.
    HandshakeTooLong,
    /// A handshake that took too long.
    HandshakeTimeout,
    /// No version is known to both.
    Version,
    /// A feature is required that is not offered.
    Features,
    /// A proof of who the peer is does not hold.
    Proof,
    /// The peer is known, and not wanted.
    NotTrusted,
    /// The peer did not answer.
    Silent,
    /// The peer did not end what it had to say.
    CloseTimeout,
    /// Short messages in one packet where that was not agreed, or that are no list.
    Batch,
}

impl Fault {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 30] = [
        Self::PacketTooLarge,
        Self::PacketLength,
        Self::PacketType,
        Self::Flags,
        Self::Channel,
        Self::NotEncrypted,
        Self::NotAgreed,
        Self::Forged,
        Self::Sequence,
        Self::PayloadLength,
        Self::Control,
        Self::Text,
        Self::Fragment,
        Self::MessageTooLarge,
        Self::Compression,
        Self::ChannelEnded,
        Self::ChannelNumber,
        Self::Flow,
        Self::Answers,
        Self::HandshakeOrder,
        Self::HandshakeSyntax,
        Self::HandshakeTooLong,
        Self::HandshakeTimeout,
        Self::Version,
        Self::Features,
        Self::Proof,
        Self::NotTrusted,
        Self::Silent,
        Self::CloseTimeout,
        Self::Batch,
    ];

    /// What the peer is told.
    pub const fn code(self) -> Code {
        match self {
            Self::PacketTooLarge | Self::MessageTooLarge => Code::TooLarge,
            Self::Forged | Self::Sequence => Code::Decrypt,
            Self::Compression => Code::Compression,
            Self::Flow => Code::Flow,
            Self::Answers | Self::HandshakeTooLong => Code::Limit,
            Self::HandshakeTimeout | Self::Silent | Self::CloseTimeout => Code::Timeout,
            Self::Version => Code::Version,
            Self::Features => Code::Features,
            Self::Proof | Self::NotTrusted => Code::Unauthorised,
            _ => Code::Protocol,
        }
    }

    /// The same in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PacketTooLarge => "packet too large",
            Self::PacketLength => "packet length",
            Self::PacketType => "packet type",
            Self::Flags => "flags",
            Self::Channel => "channel of this type of packet",
            Self::NotEncrypted => "not encrypted",
            Self::NotAgreed => "encryption was not agreed",
            Self::Forged => "forged",
            Self::Sequence => "packets missing or repeated",
            Self::PayloadLength => "payload length",
            Self::Control => "control packet",
            Self::Text => "text",
            Self::Fragment => "fragment",
            Self::MessageTooLarge => "message too large",
            Self::Compression => "compression",
            Self::ChannelEnded => "channel is not open",
            Self::ChannelNumber => "channel number",
            Self::Flow => "past the credit",
            Self::Answers => "too many requests",
            Self::HandshakeOrder => "order of the handshake",
            Self::HandshakeSyntax => "handshake",
            Self::HandshakeTooLong => "handshake too long",
            Self::HandshakeTimeout => "handshake timed out",
            Self::Version => "no version in common",
            Self::Features => "required feature not offered",
            Self::Proof => "proof of identity",
            Self::NotTrusted => "not trusted",
            Self::Silent => "no answer",
            Self::CloseTimeout => "no CLOSE",
            Self::Batch => "batch of messages",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::limits::STREAM_TEXT_BYTES_MAX;

    #[test]
    fn codes_go_over_the_wire_and_back_and_an_unknown_one_is_a_refusal() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!((code.to_wire(), Code::from_wire(code.to_wire())), (number as u16, code));
        }
        assert_eq!(Code::from_wire(15), Code::Refused);
        assert_eq!(Code::from_wire(u16::MAX), Code::Refused);
    }

    #[test]
    fn each_fault_has_a_code_and_a_name_of_its_own_that_fits_a_packet() {
        let names: HashSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        for (number, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, number);
            assert_ne!(fault.code(), Code::None);
            assert!(fault.name().len() <= STREAM_TEXT_BYTES_MAX);
        }
    }
}
