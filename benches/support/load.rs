//! A load generator over io_uring: one thread, connections that stay, a fixed number of requests in flight on
//! each, which leave in one send. Every reply is checked. Requests are GET, or what they are said to be.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};
use ringway::mem::mask;
use ringway::proto::websocket::{Config, Connection, Event, Role};

use super::buf_ring::BufRing;
use super::stats::Histogram;

/// What is asked for.
pub const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Bytes of a reply that are compared, from its start: `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// How long a server may keep all connections waiting.
const STALLED: Duration = Duration::from_secs(5);

/// Receive buffers: all of them lie in L2.
const BUFFERS: u16 = 128;
const BUFFER_BYTES: usize = 4096;

const RECV: u64 = 1 << 63;

/// When a run sends no more.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After so long.
    Time(Duration),
    /// After about so many requests: what is in flight on a connection goes out at once.
    Requests(u64),
}

/// How the client waits for replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Asleep in the kernel: the share of time that it was not says whether it was the bottleneck.
    Block,
    /// By looking all the time: a latency without the time it takes to wake the client.
    Spin,
}

/// What a run found.
pub struct Outcome {
    /// Replies that came.
    pub replies: u64,
    /// Replies that were not the one expected, connections that ended, operations that failed.
    pub errors: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// CPU time of the client's thread.
    pub cpu: Duration,
    /// System calls of the client.
    pub enters: u64,
    /// From the sending of a request, with all others that left in the same send, to its reply.
    pub latency: Histogram,
}

impl Outcome {
    /// Replies per second.
    pub fn rate(&self) -> f64 {
        self.replies as f64 / self.elapsed.as_secs_f64()
    }

    /// The share of the time that the client's thread ran.
    pub fn busy_share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

/// One connection.
struct Conn {
    /// Bytes that came of the current reply.
    at: usize,
    /// Replies that are still to come.
    due: u64,
    sent: Instant,
    /// Where it is one.
    socket: Connection,
}

impl Conn {
    fn new() -> Self {
        let socket = Connection::new(Role::Client, false, ringway::time::Instant::from_ns(0));
        Self { at: 0, due: 0, sent: Instant::now(), socket }
    }
}

/// What every request is answered with.
pub struct Reply {
    bytes: Vec<u8>,
    kind: Shape,
}

enum Shape {
    /// The bytes as the server sends them. Those between status and body may change, as a date does.
    Bytes { body: usize },
    /// The payload of a message.
    Message(Config),
}

/// Connections to one server, kept between runs.
pub struct Load {
    // Goes first: the kernel lets go of the buffers.
    ring: IoUring,
    buffers: BufRing,
    conns: Vec<Conn>,
    _streams: Vec<TcpStream>,
    requests: Vec<u8>,
    depth: u64,
    wait: Wait,
    reply: Reply,
    /// Connections with replies to come.
    waiting: usize,
    replies: u64,
    errors: u64,
    enters: u64,
    latency: Histogram,
}

impl Load {
    /// Opens `connections` on which `depth` requests will be in flight.
    pub fn new(address: SocketAddr, connections: usize, depth: usize, wait: Wait) -> Self {
        let reply = one_reply(address);
        let streams = super::connect(address, connections, || ());
        Self::over(streams, GET, reply, depth, wait)
    }

    /// The same with other requests and replies, over connections that are open.
    pub fn over(
        streams: Vec<TcpStream>,
        request: &[u8],
        reply: Reply,
        depth: usize,
        wait: Wait,
    ) -> Self {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(8192)
            .build(1024)
            .expect("an io_uring");
        let files: Vec<RawFd> = streams.iter().map(AsRawFd::as_raw_fd).collect();
        ring.submitter().register_files(&files).expect("registered files");
        let buffers = BufRing::new(&ring, BUFFERS, BUFFER_BYTES);
        let mut load = Self {
            ring,
            buffers,
            conns: streams.iter().map(|_| Conn::new()).collect(),
            _streams: streams,
            requests: request.repeat(depth),
            depth: depth as u64,
            wait,
            reply,
            waiting: 0,
            replies: 0,
            errors: 0,
            enters: 0,
            latency: Histogram::default(),
        };
        (0..load.conns.len()).for_each(|index| load.arm(index));
        load
    }

    /// Bytes of one reply.
    pub fn reply_bytes(&self) -> usize {
        self.reply.bytes.len()
    }

    /// Sends and receives until `until`, and then until nothing is in flight.
    pub fn run(&mut self, until: Until) -> Outcome {
        (self.replies, self.errors, self.enters) = (0, 0, 0);
        let (start, cpu) = (Instant::now(), thread_cpu_time());
        (0..self.conns.len()).for_each(|index| self.send(index, start));
        let mut requests = self.conns.len() as u64 * self.depth;
        let mut batch = Vec::with_capacity(256);
        while self.waiting > 0 {
            self.enter();
            batch.extend(self.ring.completion().take(batch.capacity()));
            let now = Instant::now();
            for cqe in batch.drain(..) {
                let Some(index) = self.complete(&cqe, now) else { continue };
                let more = match until {
                    Until::Time(time) => now - start < time,
                    Until::Requests(wanted) => requests < wanted,
                };
                if more {
                    requests += self.depth;
                    self.send(index, now);
                }
            }
        }
        Outcome {
            replies: self.replies,
            errors: self.errors,
            elapsed: start.elapsed(),
            cpu: thread_cpu_time() - cpu,
            enters: self.enters,
            latency: std::mem::take(&mut self.latency),
        }
    }

    /// Submits, and waits for a completion.
    fn enter(&mut self) {
        if self.wait == Wait::Block {
            let patience = Timespec::from(STALLED);
            let arguments = SubmitArgs::new().timespec(&patience);
            self.enters += 1;
            let entered = self.ring.submitter().submit_with_args(1, &arguments);
            entered.expect("the server stalled");
            return;
        }
        let start = Instant::now();
        loop {
            let sq = self.ring.submission();
            let due = !sq.is_empty() || sq.taskrun();
            drop(sq);
            if due {
                self.enters += 1;
                self.ring.submit().expect("enter");
            }
            if !self.ring.completion().is_empty() {
                return;
            }
            assert!(start.elapsed() < STALLED, "the server stalled");
        }
    }

    fn submit(&mut self, entry: &Entry) {
        // SAFETY: what an entry points to, the requests and the lent buffers, lives as long as the
        // ring, and is not written to.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.enters += 1;
            self.ring.submit().expect("enter");
        }
    }

    fn arm(&mut self, index: usize) {
        let entry = opcode::RecvMulti::new(Fixed(index as u32), 0).build();
        self.submit(&entry.user_data(RECV | index as u64));
    }

    /// Sends all that is to be in flight on a connection at once.
    fn send(&mut self, index: usize, now: Instant) {
        let (from, bytes) = (self.requests.as_ptr(), self.requests.len() as u32);
        let entry = opcode::Send::new(Fixed(index as u32), from, bytes)
            .flags(libc::MSG_WAITALL)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(index as u64);
        self.submit(&entry);
        let conn = &mut self.conns[index];
        (conn.due, conn.sent) = (self.depth, now);
        self.waiting += 1;
    }

    /// Returns the connection whose last reply came.
    fn complete(&mut self, cqe: &cqueue::Entry, now: Instant) -> Option<usize> {
        let index = (cqe.user_data() & !RECV) as usize;
        let received = cqe.user_data() & RECV != 0;
        let bytes = cqe.result();
        let starved = received && bytes == -libc::ENOBUFS;
        if bytes <= 0 && !starved {
            self.errors += 1;
            self.give_up(index);
            return None;
        }
        let whole = cqueue::buffer_select(cqe.flags()).map(|id| {
            let whole = self.take(index, id, bytes as usize, now);
            self.buffers.give(id);
            whole
        });
        if received && !cqueue::more(cqe.flags()) {
            self.arm(index);
        }
        whole.unwrap_or(false).then_some(index)
    }

    /// A connection that failed has nothing to come any more.
    fn give_up(&mut self, index: usize) {
        self.waiting -= usize::from(self.conns[index].due > 0);
        self.conns[index].due = 0;
    }

    /// Checks what came on a connection; returns whether it was all that was to come.
    fn take(&mut self, index: usize, id: u16, bytes: usize, now: Instant) -> bool {
        let conn = &mut self.conns[index];
        let (replies, wrong) = self.reply.take(conn, &mut self.buffers.buffer_mut(id)[..bytes]);
        let ended = conn.due > 0 && replies >= conn.due;
        self.errors += u64::from(wrong || replies > conn.due);
        conn.due = conn.due.saturating_sub(replies);
        self.replies += replies;
        self.waiting -= usize::from(ended);
        self.latency.add((now - conn.sent).as_nanos() as u64, replies);
        ended
    }
}

impl Reply {
    /// A message of a WebSocket, in one frame or in several.
    pub fn message(payload: Vec<u8>) -> Self {
        Self { bytes: payload, kind: Shape::Message(Config::new(mask)) }
    }

    /// Replies that end in what came on a connection, and whether any of it was wrong.
    fn take(&self, conn: &mut Conn, mut rest: &mut [u8]) -> (u64, bool) {
        let (mut replies, mut wrong) = (0, false);
        while !rest.is_empty() {
            let (bytes, taken) = match &self.kind {
                Shape::Bytes { body } => {
                    let part = rest.len().min(self.bytes.len() - conn.at);
                    wrong |= !self.agrees(conn.at, &rest[..part], *body);
                    (part, part)
                }
                Shape::Message(config) => {
                    let step =
                        conn.socket.receive(config, ringway::time::Instant::from_ns(0), rest);
                    let Ok(step) = step else { return (replies, true) };
                    let range = match step.event {
                        Some(Event::Data(data)) => data.range,
                        None => 0..0,
                        Some(_) => return (replies, true),
                    };
                    let part = &rest[range];
                    let expected = self.bytes.get(conn.at..conn.at + part.len());
                    wrong |= expected != Some(part);
                    (part.len(), step.consumed)
                }
            };
            conn.at += bytes;
            rest = &mut rest[taken..];
            if conn.at == self.bytes.len() {
                conn.at = 0;
                replies += 1;
            }
        }
        (replies, wrong)
    }

    /// Whether `part`, which lies `at` bytes into a reply, has its status and body.
    fn agrees(&self, at: usize, part: &[u8], body: usize) -> bool {
        let same = |from: usize, to: usize| {
            let (from, to) = (from.max(at), to.min(at + part.len()));
            from >= to || part[from - at..to - at] == self.bytes[from..to]
        };
        same(0, STATUS_BYTES) && same(body, self.bytes.len())
    }
}

/// What the server answers to one request, which has to be a 200.
fn one_reply(address: SocketAddr) -> Reply {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(STALLED)).expect("a timeout");
    stream.write_all(GET).expect("sent");
    let (mut bytes, mut got) = (vec![0; 4096], 0);
    loop {
        let read = match stream.read(&mut bytes[got..]) {
            // A ring of this thread that is being taken down can interrupt it.
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            read => read.expect("a reply"),
        };
        match read {
            0 => panic!("{address} closed the connection, or its reply is too long"),
            more => got += more,
        }
        let Some(end) = bytes[..got].windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|n| n.trim().parse().ok()).expect("a content-length");
        let body = end + 4;
        if got >= body + length {
            assert!(got == body + length, "more than one reply to one request");
            bytes.truncate(got);
            return Reply { bytes, kind: Shape::Bytes { body } };
        }
    }
}

/// CPU time of the calling thread.
fn thread_cpu_time() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("getrusage");
    let micros = |t: nix::sys::time::TimeVal| t.tv_sec() * 1_000_000 + t.tv_usec();
    Duration::from_micros((micros(usage.user_time()) + micros(usage.system_time())) as u64)
}
