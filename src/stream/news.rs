//! What a driver tells the program.

use std::time::Instant;

use super::lane::Arrived;
use super::session::Session;
use super::state::{ChannelState, Key, State};
use crate::proto::stream::Code;

/// What the program is to be told at the next exchange.
pub(super) enum News {
    Opened {
        key: Key,
        number: u16,
    },
    Refused {
        key: Key,
        code: Code,
    },
    /// The peer opened one.
    Offered {
        key: Key,
        number: u16,
        channel_type: u8,
    },
    Message {
        key: Key,
        message: Arrived,
    },
    /// Credit waits for the program to take what is there, or does not any more.
    Withheld {
        key: Key,
        withheld: bool,
    },
    /// Messages of so many bytes are sealed.
    Sent {
        key: Key,
        messages: usize,
        bytes: usize,
    },
    Shut {
        key: Key,
    },
    Closed {
        key: Key,
    },
    Closing,
    Connected(Box<Session>),
    /// A message, or a piece of one, has moved.
    Active,
}

impl News {
    /// Puts it where the program finds it.
    pub(super) fn tell(self, state: &mut State) {
        match self {
            Self::Offered { key, number, channel_type } => {
                let channel = state.channel(key);
                (channel.is_open, channel.number) = (true, number);
                channel.channel_type = channel_type;
                state.unaccepted.push_back(key);
            }
            Self::Opened { key, .. }
            | Self::Refused { key, .. }
            | Self::Message { key, .. }
            | Self::Withheld { key, .. }
            | Self::Sent { key, .. }
            | Self::Shut { key } => self.tell_channel(state, key),
            Self::Closed { key } => close(state, key),
            Self::Closing => state.closing = true,
            Self::Connected(session) => state.session = Some(*session),
            Self::Active => {
                state.session.iter_mut().for_each(|session| session.last_activity = Instant::now());
            }
        }
    }

    /// Tells what is about one channel, if the program still has that.
    fn tell_channel(self, state: &mut State, key: Key) {
        let Some(channel) = state.channels.get_mut(&key) else { return };
        match self {
            Self::Opened { number, .. } => (channel.is_open, channel.number) = (true, number),
            Self::Refused { code, .. } => channel.refused = Some(code),
            Self::Message { message, .. } => channel.inbox.push_back(message),
            Self::Withheld { withheld, .. } => channel.is_withheld = withheld,
            Self::Sent { messages, bytes, .. } => sent(channel, messages, bytes),
            Self::Shut { .. } => channel.is_shut = true,
            _ => {}
        }
        if channel.is_dropped && channel.refused.is_some() {
            state.channels.remove(&key);
        }
    }
}

fn sent(channel: &mut ChannelState, messages: usize, bytes: usize) {
    channel.unsent -= messages;
    channel.unsent_bytes -= bytes;
}

fn close(state: &mut State, key: Key) {
    let Some(channel) = state.channels.get_mut(&key) else { return };
    (channel.is_shut, channel.is_over) = (true, true);
    // One that was never accepted has ended because its peer is done with it.
    let unaccepted = state.unaccepted.iter().position(|other| *other == key);
    if channel.is_dropped || unaccepted.is_some() {
        state.channels.remove(&key);
    }
    unaccepted.and_then(|at| state.unaccepted.remove(at));
}
