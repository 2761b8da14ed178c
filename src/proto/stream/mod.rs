//! Multiplexed streams: many channels of messages over one connection between two nodes (D-1 to D-22).
//!
//! [`Connection`] is one end of it, over a byte stream or datagrams. Every packet has a [`Header`]; what is
//! written before and behind it is in the files of this directory, one noun each:
//!
//! | packet | payload |
//! |---|---|
//! | DATA | a message, a [`Fragment`] header and a piece of one, or a [list](List) of short ones |
//! | CONTROL | a part of the handshake ([`secure::messages`]), or a [`Word`] about a channel |
//! | KEEPALIVE | a [`Probe`] |
//! | CLOSE, ERROR | a [`Close`], an [`Error`] |
//!
//! A message is compressed, then cut, then each piece is encrypted where it lies.

mod batch;
mod channel;
pub mod compress;
mod config;
mod connection;
mod control;
mod credit;
mod epoch;
mod event;
mod fault;
mod fragment;
mod header;
mod keepalive;
mod notice;
#[cfg(test)]
mod pair;
mod rate;
mod reassembly;
mod rtt;
pub mod secure;
mod sequence;
mod statistics;
mod table;
mod wire;

pub use batch::{Batch, LENGTH_BYTES, List, Messages};
pub use config::{ChannelTypes, Config, Mode, Role, VERSION, channel_type};
pub use connection::{
    ChannelDump, Connection, HEADROOM_BYTES, Phase, SharedTrust, TAILROOM_BYTES, TRANSMIT_BYTES_MAX,
};
pub use control::{Control, Word, op};
pub use event::{Cause, Data, Dropped, Event, Received, Refused};
pub use fault::{Code, Fault};
pub use fragment::{FRAGMENT_BYTES, Fragment, Piece, Pieces};
pub use header::{
    Flags, Framing, HEADER_BYTES, Header, PAYLOAD_BYTES_MAX, PacketType, deframe, is_batch,
    is_probe,
};
pub use notice::{Close, Error, Probe};
pub use rate::Rate;
pub use reassembly::{Part, Place, Reassembly, Step};
pub use rtt::Rtt;
pub use statistics::{ChannelStatistics, Count, Statistics};
