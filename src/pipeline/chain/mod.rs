//! One chain per protocol: its sans-IO core from `proto`, put to work on bursts.

pub mod http1;
mod raw;

pub use http1::Http1;
pub use raw::Raw;
