//! `ringway top` as people and scripts meet it: real instances, real terminals.

#[path = "../common/mod.rs"]
mod common;

mod bed;
mod once;
mod terminal;
mod tmux;
