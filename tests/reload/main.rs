//! Changing what a dataplane serves while it does: in this process, and as an operator does it. What stays is not
//! disturbed, and what cannot be done leaves all as it was.

#[path = "../common/mod.rs"]
mod common;

mod bed;
mod engines;
mod hooks;
mod limits;
mod listeners;
mod load;
mod ports;
mod process;
mod refusals;
mod under_load;
