//! For the tests of whoever builds on ringway: an [`App`] around a router, a [`Harness`] around any handler and its
//! chain, and a [`Scripted`] transport under a listener. No thread, no socket, no kernel.
//!
//! Whole networks with faults that follow a seed are [`transport::Sim`](crate::transport::Sim)'s.
//!
//! | what a program is built on | what stands in for it |
//! |---|---|
//! | [`http::Router`](crate::handler::http::Router), its layers and handlers | [`App::get`], [`App::request`]; [`App::begin`] for what is answered later |
//! | WebSockets of a router | [`App::websocket`]: a [`Peer`] that says and hears |
//! | [`Handler`](crate::pipeline::Handler), [`Chain`](crate::pipeline::Chain) | [`Harness`]: what arrives, however it is cut ([`receive_cut`](Harness::receive_cut)), and what was sent |
//! | [`Transport`](crate::transport::Transport) (A-1, A-2) | [`Scripted`]: features, arrivals, sends that take a part, resets, each as a [`Script`] says |
//! | a pool that is empty (ENOBUFS) | [`Harness::starve`]; [`Mempool::small`](crate::mem::Mempool::small) of so many slots |
//! | peers that reset, half-close, close | [`Harness::reset`], [`Harness::eof`], [`Harness::closed`] |
//! | time ([`time`](crate::time), A-14) | [`Harness::advance`]; [`Clock::by_hand`](crate::time::Clock::by_hand) |
//! | the offload pool ([`offload`](crate::offload), A-9, G-9) | [`Harness::run_offloaded`]: on the calling thread, when it is told |
//! | other threads: wakes, handles, groups ([`pipeline::write`](crate::pipeline::write), G-8, G-16) | [`Harness::wake`]; the others work as they are |
//! | an lcore's loop (A-3) | [`Lcore::poll_once`](crate::lcore::Lcore::poll_once) over a [`Scripted`] transport |
//! | a dataplane that stops (A-16) | [`Harness::drain`] |
//! | values on connections and messages (A-8) | `harness.cx.extensions`, as they are |
//! | bufs that are lost | the drop of a [`Harness`], [`Harness::finish`] |

mod app;
mod beside;
mod harness;
mod peer;
mod scripted;

pub use app::{Answer, App};
pub use harness::{Harness, SLOTS};
pub use peer::{Heard, Peer};
pub use scripted::{Script, Scripted};

use crate::mem::{Buf, kind};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Our side closed it, behind all that it had sent.
    Close,
    /// The same, with time for the peer to read it.
    Linger,
    /// Our side gave it up at once.
    Abort,
    /// The peer was gone.
    Reset,
    /// It never began: nobody accepted it.
    Refused,
}

impl End {
    /// The end that a buf on its way to the peer asks for.
    fn asked_for(buf: &Buf) -> Option<Self> {
        match (buf.kind(), buf.meta()) {
            (kind::CLOSE, kind::LINGER) => Some(Self::Linger),
            (kind::CLOSE, _) => Some(Self::Close),
            (kind::ABORT, _) => Some(Self::Abort),
            _ => None,
        }
    }
}
