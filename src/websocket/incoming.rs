//! What has come: bytes that wait to be looked at, and the message that is being put together of them.

use std::io;

use super::Socket;
use crate::limits::{WEBSOCKET_CLIENT_AHEAD_BYTES, WEBSOCKET_CLIENT_PLAIN_BYTES};
use crate::proto::websocket::{
    CONTROL_BYTES_MAX, CloseCode, Config, Connection, Deflate, Event, Fault, Inflater, Kind,
};
use crate::time::Instant;

/// Something that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The message in `Incoming::message`.
    Message(Kind),
    /// Its payload is in the connection.
    Ping,
    /// Its payload is in `Incoming::pong`.
    Pong,
    Close(Option<CloseCode>),
}

/// The receiving half.
pub(super) struct Incoming {
    /// Received; what lies from `start` to `end` has not been looked at.
    room: Box<[u8]>,
    start: usize,
    end: usize,
    /// The peer has ended its side.
    pub ended: bool,
    inflater: Option<Box<Inflater>>,
    /// Where what is decompressed goes first.
    plain: Box<[u8]>,
    /// The message that is coming, or that came last.
    pub message: Vec<u8>,
    /// It is whole: the next one begins anew.
    is_whole: bool,
    pub pong: Vec<u8>,
}

impl Incoming {
    /// Behind a handshake, with what came behind its head.
    pub fn new(deflate: Option<Deflate>, ahead: &[u8]) -> Self {
        let mut room = vec![0; WEBSOCKET_CLIENT_AHEAD_BYTES.max(ahead.len())].into_boxed_slice();
        room[..ahead.len()].copy_from_slice(ahead);
        let inflater = deflate.map(|deflate| Inflater::new(deflate.server_no_context_takeover));
        let plain_bytes = if inflater.is_some() { WEBSOCKET_CLIENT_PLAIN_BYTES } else { 0 };
        Self {
            room,
            start: 0,
            end: ahead.len(),
            ended: false,
            inflater: inflater.map(Box::new),
            plain: vec![0; plain_bytes].into_boxed_slice(),
            message: Vec::new(),
            is_whole: false,
            pong: Vec::with_capacity(CONTROL_BYTES_MAX),
        }
    }

    /// Whether more may be received before something is looked at.
    pub fn has_room(&self) -> bool {
        !self.ended && (self.start > 0 || self.end < self.room.len())
    }

    /// Receives what is there, once; `false`: nothing is.
    pub fn fill(&mut self, socket: &mut Socket) -> io::Result<bool> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.room.len() {
            self.room.copy_within(self.start.., 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        assert!(self.end < self.room.len(), "the caller saw that there is room");
        let Some(count) = socket.receive(&mut self.room[self.end..])? else { return Ok(false) };
        self.ended = count == 0;
        self.end += count;
        Ok(true)
    }

    /// Looks at what has come, up to the next thing that is whole; `None`: there is none.
    pub fn next(
        &mut self,
        end: &mut Connection,
        config: &Config,
        now: Instant,
    ) -> Result<Option<News>, Fault> {
        while self.start < self.end {
            let step = end.receive(config, now, &mut self.room[self.start..self.end])?;
            let from = self.start;
            self.start += step.consumed;
            match step.event {
                None => {}
                Some(Event::Ping(_)) => return Ok(Some(News::Ping)),
                Some(Event::Pong) => {
                    self.pong.clear();
                    self.pong.extend_from_slice(end.control_payload());
                    return Ok(Some(News::Pong));
                }
                Some(Event::Close(code)) => return Ok(Some(News::Close(code))),
                Some(Event::Data(data)) => {
                    if std::mem::take(&mut self.is_whole) {
                        self.message.clear();
                    }
                    let range = from + data.range.start..from + data.range.end;
                    if data.compressed {
                        let most = config.limits.message_bytes;
                        self.inflate(end, data.kind, most, range, data.last)?;
                    } else {
                        self.message.extend_from_slice(&self.room[range]);
                    }
                    if data.last {
                        self.is_whole = true;
                        return Ok(Some(News::Message(data.kind)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Decompresses a piece of a message to the end of what there is of it.
    fn inflate(
        &mut self,
        end: &mut Connection,
        kind: Kind,
        most: u64,
        range: std::ops::Range<usize>,
        last: bool,
    ) -> Result<(), Fault> {
        let inflater = self.inflater.as_mut().expect("compression was agreed on");
        let (mut input, plain) = (&self.room[range], &mut self.plain[..]);
        loop {
            let progress =
                inflater.inflate(most, input, last, plain).inspect_err(|&fault| end.fail(fault))?;
            input = &input[progress.consumed..];
            let made = &plain[..progress.written];
            end.take_inflated(inflater, kind, made, last && progress.done)?;
            self.message.extend_from_slice(made);
            if progress.done {
                return Ok(());
            }
        }
    }
}
