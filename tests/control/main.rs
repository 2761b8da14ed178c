//! The control socket and `ringway ctl` as an operator meets them: real processes, their exit codes,
//! and what is left behind.

#[path = "../common/mod.rs"]
mod common;

mod bed;
mod commands;
mod exits;
mod instances;
mod program;
mod stopping;
mod streams;
