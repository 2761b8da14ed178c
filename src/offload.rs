//! Work that takes long leaves the lcore: over rings to the threads of a pool, and back (G-9). Nothing
//! here knows what the work is, nor how an lcore is woken.
//!
//! A handler asks with [`Cx::offload`](crate::pipeline::Cx::offload), keeps the [`Task`], and is told that it
//! is done by its connection's [`WAKE`](crate::mem::kind::WAKE); an HTTP service answers
//! [`Reply::Later`](crate::handler::http::Reply::Later) and gives the response when it is
//! [`woken`](crate::handler::http::Service::woken):
//!
//! ```
//! use std::collections::HashMap;
//!
//! use ringway::handler::http::{Reply, Request, Response, Service};
//! use ringway::mem::ConnId;
//! use ringway::offload::{CancelToken, Order, Task};
//! use ringway::pipeline::Cx;
//!
//! /// `GET /50000` hashes something so many times.
//! #[derive(Default)]
//! struct Hasher {
//!     tasks: HashMap<ConnId, Task<u64>>,
//! }
//!
//! fn hash(rounds: u64, cancel: &CancelToken) -> u64 {
//!     let mut hash = 0xcbf2_9ce4_8422_2325;
//!     for round in 0..rounds {
//!         if cancel.is_cancelled() {
//!             break; // nobody waits for it any more
//!         }
//!         hash = (hash ^ round).wrapping_mul(0x0100_0000_01b3);
//!     }
//!     hash
//! }
//!
//! impl Service for Hasher {
//!     fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
//!         let number = std::str::from_utf8(&request.path()[1..]).ok();
//!         let Some(rounds) = number.and_then(|text| text.parse().ok()) else {
//!             return Response::text(400, "ask for /ROUNDS\n").into();
//!         };
//!         let work = move |cancel: &CancelToken| hash(rounds, cancel);
//!         match cx.offload.spawn(request.conn(), Order::Any, work) {
//!             Ok(task) => {
//!                 self.tasks.insert(request.conn(), task);
//!                 Reply::Later
//!             }
//!             Err(_full) => Response::text(503, "busy\n").into(),
//!         }
//!     }
//!
//!     fn woken(&mut self, _cx: &mut Cx, conn: ConnId) -> Option<Response> {
//!         let result = self.tasks.get_mut(&conn)?.poll()?; // a wake may come without a reason
//!         self.tasks.remove(&conn);
//!         Some(match result {
//!             Ok(hash) => Response::text(200, format!("{hash:016x}\n")),
//!             Err(failed) => Response::text(500, format!("{failed}\n")),
//!         })
//!     }
//!
//!     fn closed(&mut self, _cx: &mut Cx, conn: ConnId) {
//!         self.tasks.remove(&conn); // which cancels it
//!     }
//! }
//! ```
//!
//! # What work may do
//!
//! Anything that a thread may: it may block and allocate. It has no [`Cx`](crate::pipeline::Cx), and nothing
//! that an lcore owns.
//!
//! It may fill bufs: `cx.pool.clone()` goes along, and [`Mempool::alloc`](crate::mem::Mempool::alloc) works on any
//! thread. There it takes slots from the pool's shared ring, past the lcores' caches, for a thread of the pool has
//! none of its own ([`CacheClaim`](crate::mem::CacheClaim)); so it leaves none behind that an lcore would miss. The buf is
//! the task's result, or part of it; whoever drops it gives the slot back. Where the pool is empty, work has to
//! end and say so: slots come back from the lcores, and an lcore may be waiting for it.
//!
//! ```
//! # use ringway::mem::{Buf, ConnId};
//! # use ringway::offload::{Full, Order, Task};
//! # use ringway::pipeline::Cx;
//! use std::fs::File;
//! use std::io;
//! use std::os::unix::fs::FileExt;
//!
//! /// Reads a part of `file` off the lcore; an error is `OutOfMemory` where no slot was free.
//! fn read_part(cx: &Cx, conn: ConnId, file: File, at: u64) -> Option<Task<io::Result<Buf>>> {
//!     let pool = cx.pool.clone();
//!     let work = move |_: &_| {
//!         let mut buf = pool.alloc(16 * 1024).ok_or(io::ErrorKind::OutOfMemory)?;
//!         let read = file.read_at(buf.spare_mut().expect("nobody shares it"), at)?;
//!         buf.grow(read);
//!         buf.set_conn(conn);
//!         Ok(buf)
//!     };
//!     cx.offload.spawn(conn, Order::Connection, work).ok()
//! }
//! ```
//!
//! # What becomes of a task
//!
//! | | `poll` gives | counted as |
//! |---|---|---|
//! | the queue was full, or the pool had stopped | no task: [`Full`] with the work | `offload_refused` |
//! | done | `Ok` | `offload_done` |
//! | panicked | [`Failed::Panicked`] | `offload_panicked` |
//! | cancelled, or dropped, before it was done | [`Failed::Cancelled`] | `offload_cancelled` |
//! | the lcore ended or the pool stopped before | [`Failed::Stopped`] | `offload_cancelled` |
//!
//! `offloaded` counts all that were taken; once none is under way it is the sum of the other three.

#[cfg(not(loom))]
mod cancel;
#[cfg(not(loom))]
mod end;
#[cfg(not(loom))]
mod lcore;
#[cfg(not(loom))]
mod pool;
pub mod queues;
#[cfg(not(loom))]
mod task;
#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(not(loom))]
pub use self::{
    cancel::CancelToken,
    lcore::{Full, Offload, Order},
    pool::{Options, Place, Pool},
    task::{Failed, Task},
};
