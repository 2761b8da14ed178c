//! Ten thousand connections on one lcore, and floods of those that mean no good: everyone honest is
//! served, and nothing is left behind (G-4, G-5).

#[path = "../common/mod.rs"]
mod common;

mod aborted;
mod command;
mod floods;
mod thousands;
