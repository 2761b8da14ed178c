//! What one peer is to be sent and does not fit now: it goes as the peer takes what is before it.

use std::collections::VecDeque;
use std::fmt;

use super::Out;
use crate::limits::{
    HTTP_PULL_BYTES, LARGE_SLOT_BYTES, WEBSOCKET_OUTGOING_BYTES_MAX, WEBSOCKET_OUTGOING_MAX,
};
use crate::mem::{ConnId, kind};
use crate::pipeline::Cx;
use crate::pipeline::chain::websocket::{MESSAGE, MessageMeta, alloc};
use crate::proto::websocket::{CLOSE_REASON_BYTES_MAX, CloseCode, HEADER_BYTES_MAX, Kind};

/// Longest piece that leaves in one slot.
const PIECE_BYTES_MAX: usize = LARGE_SLOT_BYTES as usize - HEADER_BYTES_MAX;

/// Room that is kept for the words about what waits: that the peer is read from again, that it is not since the next waits,
/// and that it is to be told when all is out.
const WORDS: usize = 3;

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// More than [`WEBSOCKET_OUTGOING_BYTES_MAX`] or [`WEBSOCKET_OUTGOING_MAX`] messages would wait for this peer, or more
    /// than [`WEBSOCKET_HELD_BYTES_MAX`](crate::limits::WEBSOCKET_HELD_BYTES_MAX) for all.
    Full,
    /// It was told to close.
    Closing,
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too much waits for this peer",
            Self::Closing => "this WebSocket closes",
        })
    }
}

impl std::error::Error for NotSent {}

/// What waits for one peer.
#[derive(Default)]
pub(super) struct Outgoing {
    queue: VecDeque<Waiting>,
    /// Of messages in it.
    bytes: usize,
    /// We are to be told when all that was said is out.
    flushing: bool,
    closing: bool,
}

enum Waiting {
    /// A message, of which so many bytes are said.
    Message(Kind, Vec<u8>, usize),
    Ping,
    Close(CloseCode, Box<str>),
}

impl Outgoing {
    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it was told to close.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Says no more but what waits: it closes by another's word.
    pub fn end(&mut self) {
        self.closing = true;
    }

    /// Sends a message, or has it wait, where no more than `spare` bytes do then beside what does now.
    pub fn send(
        &mut self,
        cx: &Cx,
        conn: ConnId,
        kind: Kind,
        bytes: &[u8],
        spare: usize,
        out: &mut Out<'_>,
    ) -> Result<(), NotSent> {
        if self.closing {
            return Err(NotSent::Closing);
        }
        let fits = self.queue.is_empty() && out.room() > WORDS && bytes.len() <= PIECE_BYTES_MAX;
        if fits && out.send_copy(cx, conn, kind, bytes) {
            return Ok(());
        }
        if bytes.len() > spare.min(WEBSOCKET_OUTGOING_BYTES_MAX - self.bytes)
            || self.queue.len() >= WEBSOCKET_OUTGOING_MAX
        {
            return Err(NotSent::Full);
        }
        self.bytes += bytes.len();
        self.wait(cx, conn, Waiting::Message(kind, bytes.to_vec(), 0), out);
        Ok(())
    }

    /// Asks whether the peer is there, behind all that waits.
    pub fn ping(&mut self, cx: &Cx, conn: ConnId, out: &mut Out<'_>) {
        let asks = matches!(self.queue.back(), Some(Waiting::Ping));
        if self.closing || asks {
            return;
        }
        if self.queue.is_empty() && out.room() > WORDS {
            out.ping(conn);
        } else {
            self.wait(cx, conn, Waiting::Ping, out);
        }
    }

    /// Closes behind all that waits.
    pub fn close(
        &mut self,
        cx: &Cx,
        conn: ConnId,
        code: CloseCode,
        reason: &str,
        out: &mut Out<'_>,
    ) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        if self.queue.is_empty() && out.room() > WORDS {
            out.close_with(cx, conn, code, reason);
        } else {
            let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
            self.wait(cx, conn, Waiting::Close(code, reason.into()), out);
        }
    }

    fn wait(&mut self, cx: &Cx, conn: ConnId, waiting: Waiting, out: &mut Out<'_>) {
        let is_first = self.queue.is_empty();
        self.queue.push_back(waiting);
        if is_first {
            // Who does not take answers asks nothing more.
            out.pause(conn, true);
            self.pump(cx, conn, out);
        }
    }

    /// All that was said is out.
    pub fn flushed(&mut self, cx: &Cx, conn: ConnId, out: &mut Out<'_>) {
        if std::mem::replace(&mut self.flushing, false) {
            self.pump(cx, conn, out);
        }
    }

    /// Says what there is room for.
    fn pump(&mut self, cx: &Cx, conn: ConnId, out: &mut Out<'_>) {
        let mut left = HTTP_PULL_BYTES;
        while !self.queue.is_empty() && left > 0 && out.room() > WORDS {
            match self.say_one(cx, conn, out) {
                Some(bytes) => left = left.saturating_sub(bytes),
                None => break,
            }
        }
        if self.queue.is_empty() {
            out.pause(conn, false);
        } else if !std::mem::replace(&mut self.flushing, true) {
            out.flush(conn);
        }
    }

    /// Says the first, or a piece of it; `None`: there is no slot.
    fn say_one(&mut self, cx: &Cx, conn: ConnId, out: &mut Out<'_>) -> Option<usize> {
        let mut said = 0;
        let done = match self.queue.front_mut()? {
            Waiting::Ping => {
                out.ping(conn);
                true
            }
            Waiting::Close(code, reason) => {
                out.close_with(cx, conn, *code, reason);
                true
            }
            Waiting::Message(of, bytes, at) => {
                let piece = &bytes[*at..bytes.len().min(*at + PIECE_BYTES_MAX)];
                let mut buf = alloc(cx, conn, *of, piece.len())?;
                let fits = buf.append(piece);
                debug_assert!(fits, "it was allocated for it");
                let first = *at == 0;
                *at += piece.len();
                said = piece.len();
                let last = *at == bytes.len();
                let meta = MessageMeta { first, last, ..MessageMeta::whole(*of) };
                buf.set_kind(MESSAGE, meta.to_meta());
                out.send(buf);
                last
            }
        };
        if done && let Some(Waiting::Message(_, bytes, _)) = self.queue.pop_front() {
            self.bytes -= bytes.len();
        }
        Some(said)
    }
}

const _: () = assert!(kind::FLUSH < MESSAGE, "flushes are the transport's");
