//! An access log that no lcore waits for.

use std::io::Write;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Middleware;
use crate::error::{Error, Result};
use crate::handler::http::{Body, Ctx, Reply, Response};
use crate::limits::{HTTP_LOG_LINES, HTTP_LOG_TARGET_BYTES, HTTP_REQUEST_ID_BYTES_MAX};
use crate::mem::ConnId;
use crate::ring::mpmc;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// How often the writer looks for lines while there are none.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Where access logs are written: by a thread of its own, so that no lcore waits for a disk. Dropping it writes what is
/// left.
///
/// ```
/// use ringway::handler::http::middleware::{AccessLog, Log};
/// use ringway::handler::http::{Ctx, Router};
///
/// # fn main() -> ringway::error::Result<()> {
/// let log = AccessLog::to(std::io::stdout())?;
/// let lines = log.lines(); // for the routers of all lcores
/// let router = move || Router::new().layer(Log::new(&lines)).get("/", |_: &mut Ctx<'_>| "hello");
/// # drop(router);
/// # Ok(())
/// # }
/// ```
///
/// A line is `seconds-since-1970 lcore:slot method target status bytes microseconds [request id]`; bytes are `-` where
/// they are not known beforehand. A target is cut off after [`HTTP_LOG_TARGET_BYTES`], and what is no visible ASCII in
/// it is a `?`.
pub struct AccessLog {
    lines: Lines,
    writer: Option<JoinHandle<()>>,
}

/// The way to an [`AccessLog`], for layers.
#[derive(Clone)]
pub struct Lines(Arc<Shared>);

struct Shared {
    ring: mpmc::Ring<Line>,
    /// Lines for which there was no room.
    lost: AtomicU64,
    over: AtomicBool,
}

/// One request.
struct Line {
    unix_seconds: u64,
    conn: ConnId,
    method: [u8; 8],
    target: [u8; HTTP_LOG_TARGET_BYTES],
    target_bytes: u8,
    status: u16,
    bytes: Option<u64>,
    time_ns: u64,
    id: [u8; HTTP_REQUEST_ID_BYTES_MAX],
    id_bytes: u8,
}

const _: () = assert!(HTTP_LOG_TARGET_BYTES <= u8::MAX as usize);

impl AccessLog {
    /// One that is written to `to`.
    pub fn to(to: impl Write + Send + 'static) -> Result<Self> {
        let ring = mpmc::Ring::new(HTTP_LOG_LINES);
        let shared = Shared { ring, lost: AtomicU64::new(0), over: AtomicBool::new(false) };
        let lines = Lines(Arc::new(shared));
        let theirs = lines.clone();
        let writer = thread::Builder::new().name("access-log".to_owned());
        let writer = writer.spawn(move || theirs.write(to)).map_err(|error| {
            Error::new("start the access log's thread", error, "raise the limit `ulimit -u`")
        })?;
        Ok(Self { lines, writer: Some(writer) })
    }

    /// The way to it.
    pub fn lines(&self) -> Lines {
        self.lines.clone()
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.lines.0.over.store(true, Ordering::Release);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Lines {
    /// Lines that were lost because the writer was behind.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    fn push(&self, line: Line) {
        if self.0.ring.enqueue(line).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write(&self, mut to: impl Write) {
        let mut text = String::new();
        loop {
            // Asked first: what was put in before the end is written.
            let over = self.0.over.load(Ordering::Acquire);
            // No more than there is room for in the ring, or lcores that are faster would never let it come to writing.
            for _ in 0..HTTP_LOG_LINES {
                let Some(line) = self.0.ring.dequeue() else { break };
                line.write(&mut text);
            }
            let is_behind = !self.0.ring.is_empty();
            if !text.is_empty() && to.write_all(text.as_bytes()).and_then(|()| to.flush()).is_err()
            {
                self.0.lost.fetch_add(text.lines().count() as u64, Ordering::Relaxed);
            }
            text.clear();
            match (is_behind, over) {
                (true, _) => {}
                (false, true) => return,
                (false, false) => thread::sleep(LOOK_EVERY),
            }
        }
    }
}

impl Line {
    fn write(&self, text: &mut String) {
        let visible = |bytes: &[u8]| -> String {
            let of = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' };
            bytes.iter().map(of).collect()
        };
        let method = self.method.split(|byte| *byte == 0).next().unwrap_or_default();
        let target = visible(&self.target[..self.target_bytes.into()]);
        let bytes = self.bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
        *text += &format!(
            "{} {}:{} {} {target} {} {bytes} {}",
            self.unix_seconds,
            self.conn.lcore(),
            self.conn.slot(),
            visible(method),
            self.status,
            self.time_ns / 1000
        );
        if self.id_bytes > 0 {
            text.push(' ');
            text.push_str(&visible(&self.id[..self.id_bytes.into()]));
        }
        text.push('\n');
    }
}

/// Writes a line for each response to an [`AccessLog`].
pub struct Log {
    lines: Lines,
}

impl Log {
    /// A layer before that log.
    pub fn new(lines: &Lines) -> Self {
        Self { lines: lines.clone() }
    }
}

impl Middleware for Log {
    fn enter(&self, ctx: &mut Ctx<'_>) -> Option<Reply> {
        ctx.began = ctx.cx.exact_now();
        None
    }

    fn respond(&self, ctx: &mut Ctx<'_>, response: &mut Response) {
        let (name, whole) = (ctx.method_name(), ctx.target());
        let (mut method, mut target) = ([0; 8], [0; HTTP_LOG_TARGET_BYTES]);
        method.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
        target.iter_mut().zip(whole).for_each(|(to, from)| *to = *from);
        let mut id = [0; HTTP_REQUEST_ID_BYTES_MAX];
        let mut room = &mut id[..];
        let told = ctx.request_id().map(|id| write!(room, "{id}"));
        let left = room.len();
        debug_assert!(!matches!(told, Some(Err(_))), "a name that is longer was not kept");
        let bytes = match response.body() {
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::Buf(buf) => Some(buf.len() as u64),
            Body::Stream(bytes) | Body::Parts(_, bytes) => *bytes,
            _ => None,
        };
        self.lines.push(Line {
            unix_seconds: ctx.cx.unix_seconds,
            conn: ctx.conn(),
            method,
            target,
            target_bytes: whole.len().min(HTTP_LOG_TARGET_BYTES) as u8,
            status: response.status(),
            bytes,
            time_ns: ctx.cx.exact_now().ns_since(ctx.began),
            id,
            id_bytes: (HTTP_REQUEST_ID_BYTES_MAX - left) as u8,
        });
    }
}
