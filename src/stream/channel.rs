//! One flow of messages of a stream, as the program has it (D-4, D-6, D-7).

use std::sync::Arc;
use std::time::Duration;

use super::callbacks::Callbacks;
use super::error::Error;
use super::lane::Arrived;
use super::state::{ChannelState, Key, Request, Shared, State};
use crate::proto::stream::ChannelDump;

/// A channel of a [`Stream`](super::Stream): messages both ways, in order. Threads may share it. Dropping
/// it closes it: what was sent still goes, and what comes is thrown away.
pub struct Channel {
    shared: Arc<Shared>,
    key: Key,
    number: u16,
    channel_type: u8,
}

impl Channel {
    pub(super) fn new(shared: Arc<Shared>, key: Key, number: u16, channel_type: u8) -> Self {
        Self { shared, key, number, channel_type }
    }

    /// Its number, which both ends know it by.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// What it is for.
    pub fn channel_type(&self) -> u8 {
        self.channel_type
    }

    /// Whether messages can be sent on it.
    pub fn is_active(&self) -> bool {
        let mut state = self.shared.lock();
        state.over().is_none() && !state.closing && {
            let channel = state.channel(self.key);
            channel.is_open && !channel.is_closed && !channel.is_over
        }
    }

    /// Bytes of the largest message that may be sent.
    pub fn message_bytes_max(&self) -> usize {
        self.shared.lock().message_bytes_max
    }

    /// Sends a message. Waits while those before it have no credit and too many of them wait.
    pub fn send(&self, message: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.put(message.into(), None)
    }

    /// The same for at most `timeout`.
    pub fn send_timeout(
        &self,
        message: impl Into<Vec<u8>>,
        timeout: Duration,
    ) -> Result<(), Error> {
        self.put(message.into(), Some(timeout))
    }

    /// Sends a message if there is room for it now, and never waits (D-6): [`Error::Full`] where there is
    /// none.
    pub fn try_send(&self, message: impl Into<Vec<u8>>) -> Result<(), Error> {
        match self.put(message.into(), Some(Duration::ZERO)) {
            Err(Error::TimedOut(_)) => Err(Error::Full),
            outcome => outcome,
        }
    }

    fn put(&self, message: Vec<u8>, timeout: Option<Duration>) -> Result<(), Error> {
        let (shared, bytes) = (&self.shared, message.len());
        let mut message = Some(message);
        shared.wait(timeout, |state| {
            let bytes_max = state.message_bytes_max;
            if bytes > bytes_max {
                return Some(Err(Error::TooLarge { bytes, bytes_max }));
            }
            if let Some(over) = state.over() {
                return Some(Err(over));
            }
            let closing = state.closing;
            let channel = state.channel(self.key);
            if closing || channel.is_closed || channel.is_over || channel.is_cancelled {
                return Some(Err(Error::Closed));
            }
            if !channel.has_room(bytes) {
                return None;
            }
            (channel.unsent, channel.unsent_bytes) =
                (channel.unsent + 1, channel.unsent_bytes + bytes);
            channel.outgoing.extend(message.take());
            state.touch(self.key);
            shared.wake(state);
            Some(Ok(()))
        })
    }

    /// Waits until all that was sent has gone to the connection below.
    pub fn flush(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.shared.wait(timeout, |state| {
            let over = state.over();
            let channel = state.channel(self.key);
            match (channel.unsent, over) {
                (0, _) => Some(Ok(())),
                (_, Some(over)) => Some(Err(over)),
                _ if channel.is_over || channel.is_cancelled => Some(Err(Error::Closed)),
                _ => None,
            }
        })
    }

    /// The next message; waits for it. `None`: the peer has closed the channel, and all it sent was
    /// received.
    pub fn recv(&self) -> Result<Option<Vec<u8>>, Error> {
        self.take(None)
    }

    /// The same for at most `timeout`.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Vec<u8>>, Error> {
        self.take(Some(timeout))
    }

    fn take(&self, timeout: Option<Duration>) -> Result<Option<Vec<u8>>, Error> {
        self.next(timeout, |channel, _| Ok(channel.inbox.pop_front()))
    }

    /// Copies the next message to the front of `out`, and gives its length; waits for it. One for which
    /// there is no room stays where it is (D-7), and the error says how much it needs. `None`: the peer
    /// has closed the channel.
    pub fn read(&self, out: &mut [u8]) -> Result<Option<usize>, Error> {
        self.read_within(out, None)
    }

    /// The same for at most `timeout`; zero never waits.
    pub fn read_timeout(&self, out: &mut [u8], timeout: Duration) -> Result<Option<usize>, Error> {
        self.read_within(out, Some(timeout))
    }

    fn read_within(
        &self,
        out: &mut [u8],
        timeout: Option<Duration>,
    ) -> Result<Option<usize>, Error> {
        let message = self.next(timeout, |channel, cap| {
            // What does not decompress is taken out, which tells.
            let needed = channel.inbox.front().and_then(|message| message.original_bytes(cap));
            match needed {
                Some(needed) if needed > out.len() => Err(Error::TooSmall { needed }),
                _ => Ok(channel.inbox.pop_front()),
            }
        })?;
        Ok(message.map(|bytes| {
            out[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        }))
    }

    /// Waits for a message that `pop` takes, or for the end.
    fn next(
        &self,
        timeout: Option<Duration>,
        mut pop: impl FnMut(&mut ChannelState, usize) -> Result<Option<Arrived>, Error>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let arrived = self.shared.wait(timeout, |state| {
            let cap = state.message_bytes_max;
            let channel = state.channel(self.key);
            if channel.is_cancelled {
                return Some(Err(Error::Closed));
            }
            match pop(channel, cap) {
                Err(error) => return Some(Err(error)),
                Ok(Some(message)) => {
                    self.on_taken(state, message.packets);
                    return Some(Ok(Some((message, cap))));
                }
                Ok(None) => {}
            }
            if channel.is_shut || channel.is_over {
                return Some(Ok(None));
            }
            match state.end.as_deref() {
                // Both had said all they had to say.
                Some(end) if end.is_orderly() => Some(Ok(None)),
                _ => state.over().map(Err),
            }
        })?;
        let Some((message, cap)) = arrived else { return Ok(None) };
        match message.open(cap) {
            Some(bytes) => Ok(Some(bytes)),
            None => self.broken(),
        }
    }

    /// The peer has sent what does not decompress: the stream ends for it.
    #[cold]
    fn broken(&self) -> Result<Option<Vec<u8>>, Error> {
        self.shared.ask(Request::Broken);
        self.shared.wait(None, |state| state.over().map(Err))
    }

    /// The program has a message: the peer may get credit, where it is worth waking the driver.
    fn on_taken(&self, state: &mut State, packets: u32) {
        let window = state.window_packets;
        let channel = state.channel(self.key);
        channel.consumed += packets;
        let is_much = channel.consumed * 4 >= window;
        let is_urgent = is_much || channel.is_withheld && channel.inbox.is_empty();
        state.touch(self.key);
        if is_urgent {
            self.shared.wake(state);
        }
    }

    /// Messages that are there to be received.
    pub fn waiting(&self) -> usize {
        self.shared.lock().channel(self.key).inbox.len()
    }

    /// Sends no more: the peer is told behind what was sent. What it still has to say can be received. Done
    /// more than once, it does nothing (D-1).
    pub fn close(&self) {
        let mut state = self.shared.lock();
        if !std::mem::replace(&mut state.channel(self.key).is_closed, true) {
            state.touch(self.key);
            self.shared.wake(&mut state);
            drop(state);
            self.shared.announce();
        }
    }

    /// Closes it, and ends the waiting of whoever waits on it: they get [`Error::Closed`].
    pub fn cancel(&self) {
        self.close();
        self.shared.lock().channel(self.key).is_cancelled = true;
        self.shared.announce();
    }

    /// Has callbacks called from now on, in place of those before (D-8). Messages that have come and were not
    /// received are shown to them too.
    pub fn set_callbacks(&self, callbacks: Callbacks) {
        self.shared.ask(Request::Callbacks { key: self.key, callbacks });
    }

    /// How it stands; `None`: it is over (D-16, D-17).
    pub fn dump(&self) -> Result<Option<ChannelDump>, Error> {
        let dumps = super::handle::dumps(&self.shared)?;
        Ok(dumps.into_iter().find(|dump| dump.channel == self.number))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let is_gone = state.is_gone;
        let channel = state.channel(self.key);
        (channel.is_closed, channel.is_dropped) = (true, true);
        if channel.is_over || is_gone {
            state.channels.remove(&self.key);
        } else {
            state.touch(self.key);
            self.shared.wake(&mut state);
        }
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Channel({}, type {:#04x})", self.number, self.channel_type)
    }
}
