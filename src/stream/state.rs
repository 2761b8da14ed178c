//! What the program's threads and a stream's driver share: who waits for what, and what is in between.
//! Every call on a stream or channel is a look at this under its lock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bell::{Alarm, Bell};
use super::callbacks::Callbacks;
use super::error::{End, Error};
use super::lane::Arrived;
use super::session::Session;
use crate::limits::{STREAM_SEND_BYTES, STREAM_SEND_MESSAGES};
use crate::proto::stream::{ChannelDump, Code, Statistics};

/// A channel as the program's side names it: unlike its number on the wire it is never used again.
pub(super) type Key = u64;

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Something changed that somebody may wait for.
    changed: Condvar,
    /// Wakes the driver.
    pub(super) alarm: Alarm,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) session: Option<Session>,
    pub(super) end: Option<Arc<End>>,
    /// Nothing more could be connected to, and why.
    pub(super) failed: Option<Error>,
    /// The stream closes, and takes no more to send.
    pub(super) closing: bool,
    /// The driver is gone, with its socket.
    pub(super) is_gone: bool,
    pub(super) channels: HashMap<Key, ChannelState>,
    next_key: Key,
    /// Channels that the peer opened, and that the program has not taken.
    pub(super) unaccepted: VecDeque<Key>,
    pub(super) requests: Vec<Request>,
    /// Channels whose state the driver has to look at.
    pub(super) touched: Vec<Key>,
    pub(super) statistics: Statistics,
    pub(super) dumps: Vec<ChannelDump>,
    /// How many times the dumps were made.
    pub(super) dumped: u64,
    /// The driver sleeps, or is about to.
    pub(super) is_sleeping: bool,
    pub(super) message_bytes_max: usize,
    pub(super) window_packets: u32,
}

/// What the driver is asked for.
pub(super) enum Request {
    Open {
        key: Key,
        channel_type: u8,
        may_compress: bool,
    },
    Callbacks {
        key: Key,
        callbacks: Callbacks,
    },
    Rekey,
    Dump,
    Close {
        code: Code,
        text: String,
    },
    Abort,
    /// A message does not decompress.
    Broken,
}

/// One channel between the two.
#[derive(Default)]
pub(super) struct ChannelState {
    pub(super) number: u16,
    pub(super) channel_type: u8,
    pub(super) is_open: bool,
    pub(super) refused: Option<Code>,
    /// Sent by the program, not yet seen by the driver.
    pub(super) outgoing: VecDeque<Vec<u8>>,
    /// The same and those that the driver has and that are not sealed.
    pub(super) unsent_bytes: usize,
    pub(super) unsent: usize,
    /// Whole messages.
    pub(super) inbox: VecDeque<Arrived>,
    /// Packets that the program is done with, and the driver does not know of.
    pub(super) consumed: u32,
    /// Credit waits for the inbox to be empty.
    pub(super) is_withheld: bool,
    /// The program sends no more.
    pub(super) is_closed: bool,
    /// The peer sends no more.
    pub(super) is_shut: bool,
    /// Both know.
    pub(super) is_over: bool,
    /// Whoever waits gives up.
    pub(super) is_cancelled: bool,
    /// The program has dropped it: what comes is thrown away.
    pub(super) is_dropped: bool,
    is_touched: bool,
}

impl Shared {
    pub(super) fn new(message_bytes_max: usize, window_packets: u32) -> std::io::Result<Arc<Self>> {
        Ok(Self::with(Alarm::Own(Bell::new()?), message_bytes_max, window_packets))
    }

    pub(super) fn with(alarm: Alarm, message_bytes_max: usize, window_packets: u32) -> Arc<Self> {
        let state = State { message_bytes_max, window_packets, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new(), alarm })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who waits that there is something new.
    pub(super) fn announce(&self) {
        self.changed.notify_all();
    }

    /// Wakes the driver, if it sleeps.
    pub(super) fn wake(&self, state: &mut State) {
        if std::mem::take(&mut state.is_sleeping) {
            self.alarm.ring();
        }
    }

    /// Asks the driver for something.
    pub(super) fn ask(&self, request: Request) {
        let mut state = self.lock();
        if !state.is_gone {
            state.requests.push(request);
            self.wake(&mut state);
        }
    }

    /// Waits until `look` finds something, at most for `timeout`.
    pub(super) fn wait<T>(
        &self,
        timeout: Option<Duration>,
        mut look: impl FnMut(&mut State) -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        let began = Instant::now();
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return found;
            }
            let Some(timeout) = timeout else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(Error::TimedOut(timeout));
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    /// Makes a place for a channel.
    pub(super) fn add(&mut self, channel_type: u8) -> Key {
        self.next_key += 1;
        let channel = ChannelState { channel_type, ..ChannelState::default() };
        self.channels.insert(self.next_key, channel);
        self.next_key
    }

    /// Has the driver look at a channel.
    pub(super) fn touch(&mut self, key: Key) {
        if let Some(channel) = self.channels.get_mut(&key)
            && !std::mem::replace(&mut channel.is_touched, true)
        {
            self.touched.push(key);
        }
    }

    /// The channel, which is there as long as the program has a handle of it.
    pub(super) fn channel(&mut self, key: Key) -> &mut ChannelState {
        self.channels.entry(key).or_default()
    }

    /// Why nothing more can come, if so.
    pub(super) fn over(&self) -> Option<Error> {
        if let Some(failed) = &self.failed {
            return Some(failed.clone());
        }
        self.end.as_ref().map(|end| Error::Ended(Box::new(End::clone(end))))
    }
}

impl ChannelState {
    /// Whether another message of so many bytes may be put in.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let fits = self.unsent_bytes + bytes <= STREAM_SEND_BYTES;
        self.unsent == 0 || fits && self.unsent < STREAM_SEND_MESSAGES
    }

    /// What the driver takes over at a look.
    pub(super) fn untouch(&mut self) {
        self.is_touched = false;
    }
}
