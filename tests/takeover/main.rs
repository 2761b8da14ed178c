//! One instance takes over from another, as an operator and the clients of both meet it: real processes, under load,
//! and with each of the two killed wherever that may be.

#[path = "../common/mod.rs"]
mod common;

mod bed;
mod control;
mod crossed;
mod deaths;
mod engines;
mod hanging;
mod leftovers;
mod listeners;
mod load;
mod ports;
mod pretender;
mod shared;
