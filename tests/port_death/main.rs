//! Processes at ports that are killed or stopped at any moment, and dataplanes that are: whatever was
//! lent is home, nobody else notices, and who comes next is served (P-4, P-5).
//!
//! `RINGWAY_STORM` says how many kills the storm has; without it, as many as fit.

#[path = "../common/mod.rs"]
mod common;

mod child;
mod kills;
mod pipe;
mod primary;
mod steps;
mod stopped;
