//! Why a stream cannot be had, or has ended, or does not do now what is asked of it.

use std::fmt;
use std::time::Duration;

use super::Address;
use crate::proto::stream::secure::identity::NodeAddress;
use crate::proto::stream::{Cause, Code, Fault};

/// Why a call on a stream failed. Those that say something about the stream itself are final; those
/// about one call ([`is_final`](Self::is_final) tells) leave it as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Nothing could be reached, or listened on.
    Setup(crate::error::Error),
    /// The stream is over.
    Ended(Box<End>),
    /// The peer does not want the channel.
    Refused(Code),
    /// The channel was closed from here, or by [`cancel`](super::Channel::cancel).
    Closed,
    /// The listener or the pool was stopped.
    Stopped,
    /// It took too long. What was asked for was not done.
    TimedOut(Duration),
    /// There is no room for it now (D-6).
    Full,
    /// The next message is larger than the room for it; it stays where it is (D-7).
    TooSmall {
        /// Bytes of the message.
        needed: usize,
    },
    /// The message is larger than may be sent.
    TooLarge {
        /// Bytes of the message.
        bytes: usize,
        /// Bytes that it may have.
        bytes_max: usize,
    },
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Where its peer was.
    pub address: String,
    /// Who its peer was, where that was proved.
    pub peer: Option<NodeAddress>,
    /// Who this end is.
    pub own: NodeAddress,
    /// Whether the handshake had been whole.
    pub was_connected: bool,
    /// Why.
    pub why: Why,
    /// What the peer said about it.
    pub text: String,
}

/// Why a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// By the rules of the stream.
    Cause(Cause),
    /// The connection below failed.
    Connection(String),
    /// This end gave it up.
    Aborted,
}

impl Error {
    /// Whether the stream, or the channel, will not do what was asked later either.
    pub fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::TimedOut(_) | Self::Full | Self::TooSmall { .. } | Self::TooLarge { .. }
        )
    }

    /// How the stream ended, if that is it.
    pub fn end(&self) -> Option<&End> {
        match self {
            Self::Ended(end) => Some(end),
            _ => None,
        }
    }

    pub(super) fn setup(address: &Address, why: impl fmt::Display, remedy: &str) -> Self {
        let what = format!("open a stream to {address}");
        Self::Setup(crate::error::Error::new(what, why, remedy))
    }
}

impl End {
    /// Whether both ends closed it in order.
    pub fn is_orderly(&self) -> bool {
        matches!(self.why, Why::Cause(Cause::Closed(Code::None)))
    }

    fn why(&self) -> String {
        match &self.why {
            Why::Connection(why) => format!("the connection failed: {why}"),
            Why::Aborted => "this end gave it up".to_owned(),
            Why::Cause(Cause::Closed(Code::None)) => "it was closed".to_owned(),
            Why::Cause(Cause::Closed(code)) => format!("the peer closed it ({code:?})"),
            Why::Cause(Cause::Abandoned) => "it was given up before it was connected".to_owned(),
            Why::Cause(Cause::Peer(code)) => format!("the peer refused it ({code:?})"),
            Why::Cause(Cause::Fault(Fault::NotTrusted)) => match self.peer {
                Some(peer) => format!("node {peer} is not trusted here"),
                None => "the peer is not trusted here".to_owned(),
            },
            Why::Cause(Cause::Fault(fault)) => format!("the peer broke a rule: {}", fault.name()),
        }
    }

    /// What an operator can do.
    fn remedy(&self) -> String {
        match &self.why {
            Why::Cause(Cause::Fault(Fault::NotTrusted)) => {
                "if it is who you mean, add that address to those you know".to_owned()
            }
            Why::Cause(Cause::Peer(Code::Unauthorised)) => {
                format!("add this node, {}, to those that the peer knows", self.own)
            }
            Why::Cause(
                Cause::Peer(Code::Features | Code::Version)
                | Cause::Fault(Fault::Features | Fault::Version),
            ) => "give both ends the same version and the same of plain and encrypted".to_owned(),
            Why::Cause(Cause::Peer(Code::TooLarge)) => {
                "send it in parts, or let the peer take larger messages".to_owned()
            }
            Why::Cause(Cause::Fault(Fault::Forged | Fault::Sequence)) => {
                "somebody between the two changed what was sent: connect again over another network"
                    .to_owned()
            }
            Why::Cause(Cause::Fault(Fault::HandshakeTimeout)) => {
                "see whether a stream listener of ringway is there".to_owned()
            }
            Why::Cause(Cause::Fault(
                Fault::PacketTooLarge | Fault::PacketType | Fault::Flags | Fault::Channel,
            )) if !self.was_connected => {
                "see whether a stream listener of ringway is there, and not another protocol"
                    .to_owned()
            }
            _ => "connect again".to_owned(),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.was_connected { "go on with" } else { "open" };
        write!(f, "cannot {what} the stream with {}: {}", self.address, self.why())?;
        if !self.text.is_empty() {
            write!(f, ", saying \"{}\"", self.text.escape_debug())?;
        }
        write!(f, "; {}", self.remedy())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(error) => error.fmt(f),
            Self::Ended(end) => end.fmt(f),
            Self::Refused(code) => write!(
                f,
                "cannot open the channel: the peer does not take it ({code:?}); ask for a type that \
                 it has registered, and close channels that are done with"
            ),
            Self::Closed => f.write_str("cannot use the channel: it is closed; open another"),
            Self::Stopped => f.write_str("cannot go on: it was stopped; start it again"),
            Self::TimedOut(time) => {
                write!(f, "cannot wait any longer: not done in {time:?}; try again, or wait longer")
            }
            Self::Full => f.write_str("cannot do it now: there is no room; try again later"),
            Self::TooSmall { needed } => write!(
                f,
                "cannot read the message: it has {needed} bytes, and there is less room; give more"
            ),
            Self::TooLarge { bytes, bytes_max } => write!(
                f,
                "cannot send a message of {bytes} bytes: {bytes_max} are allowed; send it in parts"
            ),
        }
    }
}

impl std::error::Error for Error {}

impl From<crate::error::Error> for Error {
    fn from(error: crate::error::Error) -> Self {
        Self::Setup(error)
    }
}
