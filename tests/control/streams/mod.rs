//! Sessions of streams as `streams` shows them.

mod asked;
mod counts;
mod shown;
mod traces;
