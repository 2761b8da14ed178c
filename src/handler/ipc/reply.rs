//! What a service answers.

use std::fmt;

use super::exchange::{Exchange, Source};
use crate::limits::IPC_REPLY_BYTES_MAX;
use crate::mem::{Buf, ConnId};
use crate::proto::ipc::{write_error, write_json_string};

/// The reply to one command: what is written to it ([`fmt::Write`], so that `write!` serves), and what
/// is streamed behind that. Nothing is sent before the service returns, so that a failure can still
/// take the place of what was written.
#[derive(Debug)]
pub struct Reply {
    conn: ConnId,
    json: bool,
    text: Vec<u8>,
    streams: bool,
    failed: bool,
}

impl Reply {
    /// An empty one, which uses the room of `text`.
    pub(super) fn new(conn: ConnId, json: bool, mut text: Vec<u8>) -> Self {
        text.clear();
        Self { conn, json, text, streams: false, failed: false }
    }

    /// The connection that it goes to: what [`Service::pull`](super::Service::pull) is asked for.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Adds bytes of any kind. Past [`IPC_REPLY_BYTES_MAX`] the reply turns into an error that says
    /// so: stream a longer one.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        if bytes.len() > IPC_REPLY_BYTES_MAX - self.text.len() {
            let why = format_args!("the reply is larger than {IPC_REPLY_BYTES_MAX} bytes");
            return self.fail(500, why);
        }
        self.text.extend_from_slice(bytes);
    }

    /// Adds `text` as a JSON string, with its quotes.
    pub fn json_string(&mut self, text: &str) {
        // Past the limit it is an error already.
        let _ = write_json_string(self, text);
    }

    /// Makes it an error in the standard format, in place of what was written and would be: in JSON
    /// where the command asked for that. Codes are those of HTTP, such as 404 for a command that does
    /// not exist.
    pub fn fail(&mut self, code: u16, message: impl fmt::Display) {
        if self.failed {
            return;
        }
        self.failed = true;
        self.streams = false;
        self.text.clear();
        let written = write_error(&mut Raw(&mut self.text), self.json, &message.to_string(), code);
        debug_assert!(written.is_ok(), "a vector takes all");
    }

    /// What follows is for [`Service::pull`](super::Service::pull) to give, as room comes.
    pub fn stream(&mut self) {
        self.streams = !self.failed;
    }

    pub(super) fn into_exchange(self) -> Exchange {
        let source = if self.streams { Source::Service } else { Source::Text };
        Exchange { source, flushes: 0, text: self.text, sent: 0 }
    }
}

impl fmt::Write for Reply {
    /// An error once the reply is one: what is written then is lost.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        if self.failed { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The text without its bound.
struct Raw<'a>(&'a mut Vec<u8>);

impl fmt::Write for Raw<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// What a service gives when there is room for more of a streamed reply.
#[derive(Debug)]
pub enum Pull {
    /// The next bytes.
    Part(Buf),
    /// Nothing now; ask again. It is asked in every pass, which keeps the lcore awake.
    Wait,
    /// No more: the reply is whole.
    End,
    /// It cannot be made whole: the connection is cut off.
    Cut,
}
