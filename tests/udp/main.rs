//! Datagrams over real sockets (D-22, G-17): what comes back, from where, in what order, and what becomes of
//! what does not fit.

mod addresses;
mod bounds;
#[path = "../common/mod.rs"]
mod common;
mod echo;
mod ecn;
mod peer;
mod port;
mod refusals;
mod starved;
mod stopping;
mod trains;
mod unsent;
