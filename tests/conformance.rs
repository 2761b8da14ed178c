//! The contract of `Transport`, sentence by sentence, over every transport there is.

#[path = "conformance/bed.rs"]
mod bed;
#[path = "conformance/claims.rs"]
mod claims;
mod common;
#[path = "conformance/network.rs"]
mod network;
#[path = "conformance/receiving.rs"]
mod receiving;
#[path = "conformance/sending.rs"]
mod sending;
