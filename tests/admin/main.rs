//! The admin listener as scrapers, probes, people with curl, and those with bad intentions meet it.

#[path = "../common/mod.rs"]
mod common;
mod prometheus;

mod bed;
mod hostile;
mod library;
mod process;
mod start;
