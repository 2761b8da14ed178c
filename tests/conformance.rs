//! The contract of `Transport`, sentence by sentence, over every transport there is.

#[path = "conformance/accepting.rs"]
mod accepting;
#[path = "conformance/bed.rs"]
mod bed;
#[path = "conformance/claims.rs"]
mod claims;
#[path = "conformance/datagrams.rs"]
mod datagrams;
#[path = "conformance/network.rs"]
mod network;
#[path = "conformance/port.rs"]
mod port;
#[path = "conformance/receiving.rs"]
mod receiving;
mod rig;
#[path = "conformance/sending.rs"]
mod sending;
#[path = "conformance/udp.rs"]
mod udp;
#[path = "conformance/unix.rs"]
mod unix;
