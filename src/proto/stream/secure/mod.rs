//! What makes a stream private: who the peers are, the handshake between them, the keys that it
//! yields, and the cipher that they are for.
//!
//! No randomness is made here and no clock is read: whoever owns the connection hands in both.

pub mod aead;
pub mod cookie;
pub mod handshake;
pub mod identity;
pub mod keys;
pub mod messages;
pub mod trust;
