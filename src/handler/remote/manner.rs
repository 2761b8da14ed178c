//! What passes between a chain and the process at a port, for each of the chains whose messages go there as
//! they are.

use super::push;
use crate::limits::{PORT_SESSION_WINDOW_BUFS, PORT_WINDOW_BUFS};
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::chain::stream::{
    CLOSING, CONNECTED, CONSUMED, ENDED, GOODBYE, MESSAGE, MessageMeta, OPEN_CHANNEL, OPENED,
    OPENING, REFUSED, REKEY, SHUT, SHUT_CHANNEL, TORN, WRITABLE,
};
use crate::port;
use crate::proto::stream::Code;

const _: () = assert!(
    MESSAGE == port::kind::MESSAGE
        && OPEN_CHANNEL == port::kind::OPEN_CHANNEL
        && SHUT_CHANNEL == port::kind::OPEN_CHANNEL + 1
        && GOODBYE == port::kind::GOODBYE
        && CONSUMED == port::kind::CONSUMED
        && REKEY == port::kind::REKEY
        && MessageMeta::FIRST == port::meta::FIRST
        && MessageMeta::LAST == port::meta::LAST
        && MessageMeta::GOES_ON == port::meta::GOES_ON,
    "a port's kinds are the chain's"
);

/// Of what kind the messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Bytes of connections, as they come.
    Bytes,
    /// Messages of channels of streams.
    Streams,
}

/// What becomes of something that the chain says.
pub(super) enum Word {
    /// It is the first that the process hears of a connection.
    Begins,
    /// It goes to the process.
    Goes,
    /// The chain has said it to itself.
    Back,
    /// It is nothing to the process.
    Nothing,
}

impl Manner {
    /// What becomes of something of this kind that the chain says.
    #[inline]
    pub(super) fn hear(self, kind: u8) -> Word {
        match (self, kind) {
            (Self::Bytes, kind::OPEN) | (Self::Streams, CONNECTED) => Word::Begins,
            // What wakes it comes from the process, and by another way.
            (_, kind::WAKE) => Word::Nothing,
            (Self::Bytes, _) => Word::Goes,
            (Self::Streams, kind::OPEN | kind::EOF | WRITABLE) => Word::Nothing,
            (
                Self::Streams,
                kind::CLOSED
                | kind::FLUSHED
                | MESSAGE
                | OPENING
                | OPENED
                | REFUSED
                | SHUT
                | ENDED
                | TORN
                | CLOSING,
            ) => Word::Goes,
            (Self::Streams, _) => Word::Back,
        }
    }

    /// Whether it may be said of a connection that has not begun: of one that never became a session.
    pub(super) fn may_be_unknown(self, kind: u8) -> bool {
        self == Self::Streams && kind == kind::CLOSED
    }

    /// What a connection is told for which there is no process.
    pub(super) fn refusal(self, conn: ConnId) -> Buf {
        match self {
            Self::Bytes => Buf::marker(conn, kind::CLOSE),
            Self::Streams => goodbye(conn),
        }
    }

    /// What a connection is told whose process is gone.
    pub(super) fn bereft(self, conn: ConnId) -> Buf {
        match self {
            Self::Bytes => Buf::marker(conn, kind::ABORT),
            Self::Streams => goodbye(conn),
        }
    }

    /// Has more of a connection received, or no more. Of a stream credit sees to it: its peer gets none for
    /// what the process has not taken.
    pub(super) fn receive(self, conn: ConnId, more: bool, output: &mut Burst) {
        if self == Self::Bytes {
            let kind = if more { kind::RESUME } else { kind::PAUSE };
            push(output, Buf::marker(conn, kind));
        }
    }

    /// What a connection that no process has says that it wants an answer to.
    pub(super) fn answer_for_nobody(self, message: &Buf, output: &mut Burst) {
        if self == Self::Streams && message.kind() == CLOSING {
            push(output, goodbye(message.conn()));
        }
    }

    /// Whether the process passes bytes with it.
    #[inline]
    pub(super) fn is_message(self, kind: u8) -> bool {
        match self {
            Self::Bytes => kind == kind::DATA,
            Self::Streams => kind == MESSAGE,
        }
    }

    /// Messages of one connection that may be on their way out.
    pub(super) fn window_bufs(self) -> u32 {
        match self {
            Self::Bytes => PORT_WINDOW_BUFS,
            Self::Streams => PORT_SESSION_WINDOW_BUFS,
        }
    }

    /// Makes what the process says of a message what the chain takes, whatever it says; its channel.
    #[inline]
    pub(super) fn admit(self, message: &mut Buf) -> u16 {
        match self {
            Self::Bytes => 0,
            Self::Streams => {
                let channel = MessageMeta::of(message).channel;
                message.set_kind(MESSAGE, MessageMeta::whole(channel).to_meta());
                channel
            }
        }
    }

    /// Whether the process may say it beside its messages.
    pub(super) fn may_say(self, kind: u8) -> bool {
        match self {
            Self::Bytes => matches!(kind, kind::CLOSE | kind::ABORT),
            Self::Streams => matches!(
                kind,
                OPEN_CHANNEL | SHUT_CHANNEL | GOODBYE | CONSUMED | REKEY | kind::ABORT
            ),
        }
    }

    /// Asks whether `bufs` messages of a channel are out.
    pub(super) fn question(self, conn: ConnId, channel: u16, bufs: u16) -> Buf {
        let mut flush = Buf::marker(conn, kind::FLUSH);
        flush.set_kind(kind::FLUSH, u32::from(channel) | u32::from(bufs) << 16);
        flush
    }

    /// How many messages an answer to that says are out, and how the process is told.
    pub(super) fn credit(self, flushed: &Buf) -> (u16, Buf) {
        let bufs = (flushed.meta() >> 16) as u16;
        let mut word = Buf::marker(flushed.conn(), port::kind::CREDIT);
        match self {
            Self::Bytes => word.set_kind(port::kind::CREDIT, bufs.into()),
            Self::Streams => word.set_kind(kind::FLUSHED, flushed.meta()),
        }
        (bufs, word)
    }
}

fn goodbye(conn: ConnId) -> Buf {
    let mut word = Buf::marker(conn, GOODBYE);
    word.set_kind(GOODBYE, Code::Internal.to_wire().into());
    word
}
