//! Multiplexed streams: many channels of messages over one connection between two nodes.

mod credit;
mod fault;
mod fragment;
mod header;
mod keepalive;
mod rate;
mod reassembly;
mod rtt;
pub mod secure;
mod sequence;

pub use credit::{Allowance, Window};
pub use fault::{Code, Fault};
pub use fragment::{FRAGMENT_BYTES, Fragment, Piece, Pieces};
pub use header::{Flags, Framing, HEADER_BYTES, Header, PAYLOAD_BYTES_MAX, PacketType, deframe};
pub use keepalive::{Keepalive, Verdict};
pub use rate::{Pace, Rate};
pub use reassembly::{Part, Place, Reassembly, Step};
pub use rtt::Rtt;
pub use sequence::{Arrival, ReceiveSequence, SendSequence};
