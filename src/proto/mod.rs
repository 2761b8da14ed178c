//! The protocol cores, sans-IO: bytes in, decisions and ranges out.
//!
//! A core knows no buf, ring, clock or socket; time, where it matters, is an argument. It never
//! borrows from its input and never allocates: what it finds it returns as offsets into the bytes
//! it was given, and a stage turns those into sub-bufs of the same slot.

#[cfg(not(loom))]
pub mod files;
pub mod http1;
pub mod ipc;
pub mod pcapng;
#[cfg(not(loom))]
pub mod stream;
#[cfg(not(loom))]
pub mod websocket;
