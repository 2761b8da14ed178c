//! One chain per protocol: its sans-IO core from `proto`, put to work on bursts.

mod framed;
pub mod http1;
pub mod ipc;
mod pack;
mod raw;
mod stash;
pub mod stream;
pub mod websocket;

pub use framed::{Cut, Framed, Framing, Malformed};
pub use http1::Http1;
pub use ipc::Ipc;
pub use raw::Raw;
pub use stash::StashBounds;
pub use stream::Stream;
pub use websocket::WebSocket;
