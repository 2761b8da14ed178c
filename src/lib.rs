//! ringway: a poll-mode userspace dataplane for Linux.
//!
//! Threads pinned to cores poll io_uring (or epoll, where that is forbidden), move bursts of buffers through a fixed chain of protocol
//! stages, and hand the messages to a handler. The kernel keeps TCP/IP: no special network card, no
//! driver binding, no root at run time. Linux 6.1 or newer.
//!
//! # The one-way flow
//!
//! ```text
//!          ┌──────────────── lcore: one pinned thread, run to completion ────────────────┐
//! socket → │ rx_burst → pipeline.ingress → handler.process → pipeline.egress → tx_burst │ → socket
//!          └─────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Every arrow is a burst, and each step has one contract: *take from the input until it is empty or
//! the output is full; pass each buf on, or drop it with a counted [`Reason`](counters::Reason)*.
//! What finds no room stays where it is, and the step before it stops in turn. Data-path functions
//! return counts; they do not block, and they do not ask the heap.
//!
//! # The words
//!
//! | word | type | meaning |
//! |---|---|---|
//! | lcore | [`Lcore`](lcore::Lcore) | a thread pinned to its cores, running the poll loop; it owns its io_uring or epoll, connections and timers |
//! | mempool | [`Mempool`](mem::Mempool) | slots of fixed sizes in one shared segment, one pool per NUMA node |
//! | buf | [`Buf`](mem::Buf) | an owned range of bytes in a slot; ranges of one slot share it by count |
//! | marker | [`mem::kind`] | a buf without bytes: a connection opened, ended, is to be closed |
//! | burst | [`Burst`](mem::Burst) | up to [`BURST_MAX`](limits::BURST_MAX) bufs in order: the unit that moves |
//! | listener | [`Listener`](lcore::Listener) | a transport, a pipeline and a handler; its protocol is fixed, never detected |
//! | pipeline | [`Pipeline`](pipeline::Pipeline) | the chain of one protocol: bytes to messages and back |
//! | handler | [`Handler`](pipeline::Handler) | the middle: messages in, replies out |
//! | dataplane | [`Dataplane`](dataplane::Dataplane) | the pools and lcores of a running instance |
//!
//! # A protocol of your own
//!
//! ```no_run
//! use ringway::config::{Config, CoreMap};
//! use ringway::dataplane::{Builder, Protocol};
//! use ringway::mem::{Buf, Burst, kind};
//! use ringway::pipeline::{Cx, Handler, Pipeline, chain};
//!
//! /// Sends every byte back, letters in upper case, in the slot it was received into.
//! struct Shout;
//!
//! impl Handler for Shout {
//!     fn process(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
//!         while !output.is_full()
//!             && let Some(mut buf) = input.pop()
//!         {
//!             match buf.kind() {
//!                 kind::DATA => buf.bytes_mut().expect("a sole owner").make_ascii_uppercase(),
//!                 kind::EOF => buf = Buf::marker(buf.conn(), kind::CLOSE),
//!                 _ => continue,
//!             }
//!             output.push(buf).expect("room was checked");
//!         }
//!     }
//! }
//!
//! # fn main() -> ringway::error::Result<()> {
//! let listener = "[[listener]]\naddress = '127.0.0.1:7000'\ntransport = 'tcp'\nprotocol = 'shout'";
//! let dataplane = Builder::new(Config::from_toml(listener, "example")?, CoreMap::single(0))
//!     .protocol("shout", |context| {
//!         let pipeline = Pipeline::Raw(chain::Raw::new(context.slots));
//!         Ok(Protocol { pipeline, handler: Box::new(Shout) })
//!     })
//!     .start()?;
//! # std::thread::park();
//! dataplane.drain();
//! println!("{}", dataplane.join());
//! # Ok(())
//! # }
//! ```
//!
//! HTTP endpoints need less: see [`handler::http::Service`]; files of a directory are one line ([`handler::http::Files`],
//! [`handler::http::Upload`]). A protocol with framing of its own is a
//! [`Chain`](pipeline::Chain), served as [`Pipeline::Custom`](pipeline::Pipeline::Custom).
//!
//! # The modules
//!
//! | module | holds |
//! |---|---|
//! | [`dataplane`] | builds, starts and stops an instance; the protocols a listener can name |
//! | [`control`] | the control socket of a running instance: what it tells, how it is changed and stopped |
//! | [`admin`] | metrics, health and a dashboard over HTTP |
//! | [`lcore`] | the poll loop; how other threads reach it |
//! | [`handler`] | handlers that come along: echo, HTTP services, files over HTTP, commands |
//! | [`transport`] | TCP and Unix sockets and UDP over io_uring or epoll; [`Sim`](transport::Sim), a network in memory for tests |
//! | [`pipeline`] | chains of stages, sessions, [`Handler`](pipeline::Handler); writes from other threads and groups ([`pipeline::write`]) |
//! | [`proto`] | protocol cores without I/O: HTTP/1.1, files over it, WebSocket, streams, command lines |
//! | [`mem`] | segments, pools, bufs, bursts |
//! | [`ring`] | lock-free rings and the doorbell of a sleeper |
//! | [`offload`] | work that takes long, done off the lcore |
//! | [`mailbox`] | how threads post to an lcore |
//! | [`ipc`] | commands and replies over a Unix socket, for programs beside the dataplane |
//! | [`stream`] | streams between nodes for programs that wait: messages, files, who may talk to whom |
//! | [`websocket`] | a WebSocket client for programs that wait |
//! | [`config`] | the configuration file, core maps |
//! | [`counters`], [`time`] | what an lcore counts; clock and timer wheel |
//! | [`sys`] | system calls: io_uring, epoll, mappings, sockets, affinity, topology |
//! | [`testing`], [`blocking`] | for tests and tools: mocks; a connection that waits |
//! | [`error`], [`limits`], [`sync`] | start-up errors; every bound; the door to atomics |
//!
//! Data-path failures are never [`error::Error`]: that type is for start-up, and names what failed,
//! why, and what mends it.

/// The examples in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(not(loom))]
pub mod admin;
#[cfg(not(loom))]
pub mod attach;
#[cfg(not(loom))]
pub mod blocking;
pub mod error;
pub mod limits;
pub mod mailbox;
pub mod mem;
pub mod offload;
pub mod ring;
pub mod sync;

#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
pub mod control;
#[cfg(not(loom))]
pub mod counters;
#[cfg(not(loom))]
pub mod dataplane;
#[cfg(not(loom))]
pub mod handler;
#[cfg(not(loom))]
pub mod ipc;
#[cfg(not(loom))]
pub mod lcore;
#[cfg(not(loom))]
pub mod pipeline;
#[cfg(not(loom))]
pub mod port;
pub mod proto;
#[cfg(not(loom))]
pub mod stream;
#[cfg(not(loom))]
pub mod sys;
#[cfg(not(loom))]
pub mod testing;
#[cfg(not(loom))]
pub mod time;
#[cfg(not(loom))]
pub mod transport;
#[cfg(not(loom))]
pub mod websocket;
