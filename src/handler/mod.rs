//! Handlers: what is done with messages. They live in the middle of a pipeline, on the lcore.

mod builtin;
mod echo;
pub mod http;
pub mod ipc;
pub mod raw;
mod remote;
mod status;
pub mod stream;
pub mod websocket;

pub use builtin::Builtin;
pub use echo::Echo;
pub use http::Http;
pub use ipc::Ipc;
pub use remote::{Manner, Remote, Unattended};
