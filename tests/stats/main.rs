//! What is counted and measured of a dataplane, as those see it who look (A-12, D-16): in the process, beside it, and
//! after it has died.

#[path = "../common/mod.rs"]
mod common;

mod beside;
mod hanging;
mod measured;
