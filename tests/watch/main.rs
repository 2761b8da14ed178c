//! `ringway trace` and `ringway capture` against running instances: what they show, who may see what, and that nothing
//! of them stays, however they end.

#[path = "../common/mod.rs"]
mod common;
#[path = "../control/streams/peer.rs"]
#[allow(dead_code)] // not all of it is used here
mod peer;

mod access;
mod bed;
mod captures;
mod ends;
mod inside;
mod reader;
mod traces;
