//! A service that has its work done off the lcore: hashes, parts of a file, and what does not end well.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ringway::handler::http::{Body, Reply, Request, Response, Service};
use ringway::mem::{Buf, ConnId};
use ringway::offload::{CancelToken, Failed, Order, Task};
use ringway::pipeline::Cx;

/// Bytes of a part of a file.
pub const PART_BYTES: usize = 16 * 1024;

/// What the work is for.
pub enum Done {
    Text(String),
    Part(Option<Buf>),
}

/// `/hash/N` hashes N times; `/part/AT` gives a part of the file; `/block` lasts until the test lets it go
/// on, or it is cancelled; `/panic` panics.
pub struct Hasher {
    tasks: HashMap<ConnId, Task<Done>>,
    pub file: Option<Arc<File>>,
    begun: mpsc::Sender<CancelToken>,
}

impl Hasher {
    /// And where its tokens come that block, as they begin.
    pub fn new() -> (Self, mpsc::Receiver<CancelToken>) {
        let (begun, begins) = mpsc::channel();
        (Self::telling(begun), begins)
    }

    pub fn telling(begun: mpsc::Sender<CancelToken>) -> Self {
        Self { tasks: HashMap::new(), file: None, begun }
    }
}

pub fn hash(rounds: u64) -> String {
    let round = |hash: u64, n: u64| (hash ^ n).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    format!("{:016x}", (0..rounds).fold(0xcbf2_9ce4_8422_2325, round))
}

fn part(pool: &ringway::mem::Mempool, file: &File, conn: ConnId, at: u64) -> Option<Buf> {
    let mut buf = pool.alloc(PART_BYTES)?;
    let read = file.read_at(buf.spare_mut()?, at).ok()?;
    buf.grow(read);
    buf.set_conn(conn);
    Some(buf)
}

impl Service for Hasher {
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        let conn = request.conn();
        let path = std::str::from_utf8(request.path()).unwrap().to_owned();
        let (pool, file, begun) = (cx.pool.clone(), self.file.clone(), self.begun.clone());
        let work = move |cancel: &CancelToken| match path.rsplit_once('/') {
            Some(("/hash", rounds)) => Done::Text(hash(rounds.parse().unwrap())),
            Some(("/part", at)) => {
                Done::Part(part(&pool, &file.unwrap(), conn, at.parse().unwrap()))
            }
            Some(("", "block")) => {
                let _ = begun.send(cancel.clone());
                while !cancel.is_cancelled() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Done::Text(String::new())
            }
            _ => panic!("as the test wants"),
        };
        match cx.offload.spawn(conn, Order::Connection, work) {
            Ok(task) => {
                self.tasks.insert(conn, task);
                Reply::Later
            }
            Err(_full) => Response::text(503, "busy").into(),
        }
    }

    fn woken(&mut self, _cx: &mut Cx, conn: ConnId) -> Option<Response> {
        let result = self.tasks.get_mut(&conn)?.poll()?;
        self.tasks.remove(&conn);
        Some(match result {
            Ok(Done::Text(text)) => Response::text(200, text),
            Ok(Done::Part(Some(part))) => Response::new(200, Body::Buf(part)),
            Ok(Done::Part(None)) => Response::text(503, "no slot"),
            Err(Failed::Panicked) => Response::text(500, "panicked"),
            Err(failed) => Response::text(503, failed.to_string()),
        })
    }

    fn closed(&mut self, _cx: &mut Cx, conn: ConnId) {
        self.tasks.remove(&conn);
    }
}
