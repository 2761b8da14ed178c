//! Streams between nodes, for programs that wait: many channels of messages over one connection, each
//! end of which has proved who it is.

mod address;
mod bell;
mod callbacks;
mod channel;
mod client;
mod driver;
mod error;
pub mod file;
mod handle;
mod lane;
mod link;
mod listener;
mod options;
mod outbox;
mod policy;
mod pool;
mod reader;
mod session;
mod state;
mod trust;

pub use address::Address;
pub use callbacks::{Callbacks, Notice, PacketIn, PacketOut};
pub use channel::Channel;
pub use client::Client;
pub use error::{End, Error, Why};
pub use handle::{ChannelOptions, Stream};
pub use listener::Listener;
pub use options::Options;
pub use policy::Policy;
pub use pool::Pool;
pub use session::{Session, SessionId};
pub use trust::{Anyone, Only};

pub use crate::proto::stream::secure::identity::{Identity, NodeAddress, PublicKey, Trust};
pub use crate::proto::stream::secure::trust::{FirstUse, KnownNodes, Pin};
pub use crate::proto::stream::{
    Cause, ChannelDump, ChannelStatistics, ChannelTypes, Code, Count, Fault, Rtt, SharedTrust,
    Statistics, channel_type,
};
