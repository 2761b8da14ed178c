//! Handles of connections and groups of them (G-8, G-16): over real sockets, on two lcores, and in a crowd on a simulated
//! network.

#[path = "../common/mod.rs"]
mod common;
#[path = "../rig/mod.rs"]
mod rig;

mod bed;
mod crowd;
mod handles;
mod members;
mod slow;
