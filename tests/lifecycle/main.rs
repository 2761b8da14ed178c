//! How a dataplane starts, ends and is steered from outside its lcores, in this process and as the
//! real command.

#[path = "../common/mod.rs"]
mod common;

mod adopt;
mod command;
mod custom;
mod drain;
mod refusals;
mod spread;
mod swap;
mod write;
