//! A stream as the program has it (D-2).

use std::sync::Arc;
use std::time::Duration;

use super::channel::Channel;
use super::error::Error;
use super::session::Session;
use super::state::{Key, Request, Shared};
use crate::proto::stream::secure::identity::NodeAddress;
use crate::proto::stream::{ChannelDump, Code, Statistics};

/// How long the driver of a stream may take to answer.
const DRIVER_TIMEOUT: Duration = Duration::from_secs(10);

/// A stream: many channels with one peer, whose identity was proved and accepted before there was
/// anything to have. Threads may share it. Dropping it closes it in order, but does not wait; channels
/// of it that are still there can receive what had come.
pub struct Stream {
    shared: Arc<Shared>,
    address: String,
}

/// How a channel is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelOptions {
    /// Whether its messages may be compressed where that pays.
    pub may_compress: bool,
    /// How long the peer may take to answer.
    pub timeout: Duration,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self { may_compress: true, timeout: Duration::from_secs(10) }
    }
}

impl Stream {
    /// Waits until the handshake is whole.
    pub(super) fn connected(shared: Arc<Shared>, address: String) -> Result<Self, Error> {
        shared.wait(None, |state| match state.over() {
            Some(over) => Some(Err(over)),
            None => state.session.is_some().then_some(Ok(())),
        })?;
        Ok(Self { shared, address })
    }

    /// The session, as it stands (D-3).
    pub fn session(&self) -> Session {
        self.shared.lock().session.expect("there is a stream once there is a session")
    }

    /// The node at the other end.
    pub fn peer(&self) -> NodeAddress {
        self.session().node()
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it is over datagrams, of which some may be lost.
    pub fn is_datagram(&self) -> bool {
        self.session().is_datagram
    }

    /// Whether it goes on: messages can be sent and channels opened.
    pub fn is_active(&self) -> bool {
        let state = self.shared.lock();
        state.end.is_none() && !state.closing && !state.is_gone
    }

    /// What was counted (D-16).
    pub fn statistics(&self) -> Statistics {
        self.shared.lock().statistics
    }

    /// How its channels stand (D-17).
    pub fn channels(&self) -> Result<Vec<ChannelDump>, Error> {
        dumps(&self.shared)
    }

    /// Opens a channel, and waits for the peer's consent.
    pub fn open(&self, channel_type: u8, options: ChannelOptions) -> Result<Channel, Error> {
        let key = self.ask_for_channel(channel_type, options.may_compress)?;
        let opened = self.shared.wait(Some(options.timeout), |state| {
            let over = state.over();
            let channel = state.channel(key);
            match (channel.refused, over) {
                _ if channel.is_open => Some(Ok(channel.number)),
                (Some(code), _) => Some(Err(Error::Refused(code))),
                (None, Some(over)) => Some(Err(over)),
                (None, None) => None,
            }
        });
        let channel = |number| Channel::new(self.shared.clone(), key, number, channel_type);
        match opened {
            Ok(number) => Ok(channel(number)),
            Err(error) => {
                // What was asked for is closed should it come about.
                drop(channel(0));
                Err(error)
            }
        }
    }

    fn ask_for_channel(&self, channel_type: u8, may_compress: bool) -> Result<Key, Error> {
        let mut state = self.shared.lock();
        if let Some(over) = state.over() {
            return Err(over);
        }
        if state.closing {
            return Err(Error::Closed);
        }
        let key = state.add(channel_type);
        state.requests.push(Request::Open { key, channel_type, may_compress });
        self.shared.wake(&mut state);
        Ok(key)
    }

    /// The next channel that the peer opens; waits for it.
    pub fn accept(&self) -> Result<Channel, Error> {
        self.accept_within(None)
    }

    /// The same for at most `timeout`; zero never waits.
    pub fn accept_timeout(&self, timeout: Duration) -> Result<Channel, Error> {
        self.accept_within(Some(timeout))
    }

    fn accept_within(&self, timeout: Option<Duration>) -> Result<Channel, Error> {
        self.shared.wait(timeout, |state| {
            let Some(key) = state.unaccepted.pop_front() else { return state.over().map(Err) };
            let channel = state.channel(key);
            let (number, channel_type) = (channel.number, channel.channel_type);
            Some(Ok(Channel::new(self.shared.clone(), key, number, channel_type)))
        })
    }

    /// Has a new key taken for each channel, as soon as may be.
    pub fn rekey(&self) {
        self.shared.ask(Request::Rekey);
    }

    /// Closes it in order, and waits for that: what was sent goes first, what the peer had to say still
    /// comes, and neither may take longer than the close timeout. Whoever waits to send gets an error.
    /// May be called often and by many threads (D-1).
    pub fn close(&self) -> Result<(), Error> {
        self.begin_to_close(Code::None, "");
        self.wait_for_end()?;
        let end = self.shared.lock().end.clone();
        match end {
            Some(end) if !end.is_orderly() => Err(Error::Ended(Box::new((*end).clone()))),
            _ => Ok(()),
        }
    }

    /// The same with a reason for the peer, and without waiting.
    pub fn begin_to_close(&self, code: Code, text: &str) {
        let mut state = self.shared.lock();
        if !std::mem::replace(&mut state.closing, true) {
            state.requests.push(Request::Close { code, text: text.to_owned() });
            self.shared.wake(&mut state);
            drop(state);
            self.shared.announce();
        }
    }

    /// Ends it at once. Whoever waits for something on it gets an error.
    pub fn abort(&self) {
        self.shared.lock().closing = true;
        self.shared.ask(Request::Abort);
    }

    /// Waits until it is over, whoever ends it.
    pub fn wait_for_end(&self) -> Result<(), Error> {
        self.shared.wait(None, |state| state.is_gone.then_some(Ok(())))
    }

    /// Why it is over, if it is.
    pub fn end(&self) -> Option<Error> {
        self.shared.lock().over()
    }
}

/// How all channels stand, from the driver.
pub(super) fn dumps(shared: &Arc<Shared>) -> Result<Vec<ChannelDump>, Error> {
    let before = {
        let mut state = shared.lock();
        state.requests.push(Request::Dump);
        shared.wake(&mut state);
        state.dumped
    };
    shared.wait(Some(DRIVER_TIMEOUT), |state| {
        if state.dumped > before {
            return Some(Ok(state.dumps.clone()));
        }
        state.over().map(Err)
    })
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.begin_to_close(Code::None, "");
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({} at {})", self.peer(), self.address)
    }
}
