//! `ringway trace` and `ringway capture` against running instances: what they show, who may see what, and that nothing
//! of them stays, however they end.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod bed;
mod captures;
mod ends;
mod inside;
mod reader;
mod traces;
