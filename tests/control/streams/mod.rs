//! Sessions of streams as `streams` shows them.

mod asked;
mod counts;
mod peer;
mod shown;
mod traces;
