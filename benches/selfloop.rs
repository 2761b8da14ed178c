//! The cost of one echo on one thread: the client's part runs on the same thread and is not timed.
//! Our whole lcore beside an io_uring echo written by hand, interleaved round by round.
//!
//! `cargo bench --bench selfloop [-- ROUNDS]`

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Instant;

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode};
use ringway::counters::{Counter, LcoreCounters};
use ringway::dataplane::Tuning;
use ringway::lcore::Lcore;
use ringway::mem::RxOptions;
use ringway::sys::uring::Mode;

/// One server under test: echoes what lies in its sockets until `bytes` more went out.
trait Server {
    fn echo(&mut self, bytes: u64);
}

/// The lcore.
struct Ringway {
    lcore: Lcore,
    counters: std::sync::Arc<LcoreCounters>,
}

impl Server for Ringway {
    fn echo(&mut self, bytes: u64) {
        let target = self.counters.get(Counter::TxBytes) + bytes;
        while self.counters.get(Counter::TxBytes) < target {
            self.lcore.poll_once(usize::MAX);
        }
    }
}

/// The least that an io_uring echo has to do: multishot receive into a provided-buffer ring, one
/// send per completion, the buffer back into the ring when it is out. A buffer holds a message.
struct Bare {
    ring: IoUring,
    entries: Vec<u8>,
    buffers: Vec<u8>,
    buffer_bytes: usize,
    tail: u16,
    _streams: Vec<TcpStream>,
}

const BUFFERS: u16 = 256;
const RECV: u64 = 1 << 63;

impl Bare {
    fn new(streams: Vec<TcpStream>, buffer_bytes: usize) -> Self {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(4096)
            .build(1024)
            .expect("an io_uring");
        let entries = vec![0; usize::from(BUFFERS) * 16 + 4096];
        let buffers = vec![0; usize::from(BUFFERS) * buffer_bytes];
        let mut bare = Self { ring, entries, buffers, buffer_bytes, tail: 0, _streams: streams };
        let base = bare.base() as u64;
        // SAFETY: entries and buffers live as long as the ring does.
        unsafe { bare.ring.submitter().register_buf_ring_with_flags(base, BUFFERS, 0, 0) }
            .expect("a buffer ring");
        (0..BUFFERS).for_each(|id| bare.give(id));
        for index in 0..bare._streams.len() {
            bare.arm(index);
        }
        bare
    }

    fn base(&self) -> *mut u8 {
        self.entries.as_ptr().cast_mut().map_addr(|a| a.next_multiple_of(4096))
    }

    fn arm(&mut self, index: usize) {
        let fd = Fd(self._streams[index].as_raw_fd());
        let entry = opcode::RecvMulti::new(fd, 0).build().user_data(RECV | index as u64);
        // SAFETY: the entry points to no memory but the registered buffers.
        unsafe { self.ring.submission().push(&entry) }.expect("room");
    }

    fn give(&mut self, id: u16) {
        let place = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: the place is within the entries.
        let entry = unsafe { self.base().cast::<BufRingEntry>().add(place) };
        // SAFETY: nobody else writes the entries.
        let entry = unsafe { &mut *entry };
        entry.set_addr(self.buffers.as_ptr() as u64 + u64::from(id) * self.buffer_bytes as u64);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry.
        let tail = unsafe { BufRingEntry::tail(self.base().cast()) };
        // SAFETY: it is an aligned u16 that is only written here.
        let tail = unsafe { std::sync::atomic::AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, std::sync::atomic::Ordering::Release);
    }

    /// Receives go out again as sends; returns the bytes whose send completed.
    fn turn(&mut self) -> u64 {
        let sq = self.ring.submission();
        let due = !sq.is_empty() || sq.taskrun();
        drop(sq);
        if due {
            self.ring.submit_and_wait(0).expect("enter");
        }
        let mut sent = 0;
        let mut batch = [(0, 0, 0); 64];
        let mut count = 0;
        for cqe in self.ring.completion() {
            batch[count] = (cqe.user_data(), cqe.result(), cqe.flags());
            count += 1;
            if count == batch.len() {
                break;
            }
        }
        for &(data, result, flags) in &batch[..count] {
            if data & RECV == 0 {
                sent += result as u64;
                self.give(data as u16);
                continue;
            }
            let index = (data & !RECV) as usize;
            if let Some(id) = cqueue::buffer_select(flags) {
                let fd = Fd(self._streams[index].as_raw_fd());
                let from = self.buffers[usize::from(id) * self.buffer_bytes..].as_ptr();
                let entry = opcode::Send::new(fd, from, result as u32)
                    .flags(libc::MSG_WAITALL)
                    .build()
                    .user_data(id.into());
                // SAFETY: the buffer is given back to the ring only when its send completed.
                unsafe { self.ring.submission().push(&entry) }.expect("room");
            }
            if !cqueue::more(flags) {
                self.arm(index);
            }
        }
        sent
    }
}

impl Server for Bare {
    fn echo(&mut self, bytes: u64) {
        let mut sent = 0;
        while sent < bytes {
            sent += self.turn();
        }
    }
}

/// Clients of one server, on the same thread.
struct Side {
    name: &'static str,
    server: Box<dyn Server>,
    clients: Vec<TcpStream>,
}

fn ringway(tuning: Tuning, name: &'static str, connections: usize) -> Side {
    let (mut lcore, address, counters) = support::lcore(tuning, support::echo);
    let clients = support::connect(address, connections, || {
        lcore.poll_once(usize::MAX);
    });
    while counters.get(Counter::Accepted) < connections as u64 {
        lcore.poll_once(usize::MAX);
    }
    Side { name, server: Box::new(Ringway { lcore, counters }), clients }
}

fn bare(connections: usize, bytes: usize) -> Side {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut accepted = Vec::new();
    let clients = support::connect(address, connections, || {
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        accepted.push(stream);
    });
    Side {
        name: "bare io_uring echo",
        server: Box::new(Bare::new(accepted, bytes.max(2048))),
        clients,
    }
}

impl Side {
    /// Nanoseconds per message of one round: each client sends one message, the server echoes all.
    fn round(&mut self, message: &[u8], reply: &mut [u8]) -> f64 {
        for client in &mut self.clients {
            client.write_all(message).expect("sent");
        }
        let start = Instant::now();
        self.server.echo((message.len() * self.clients.len()) as u64);
        let elapsed = start.elapsed();
        for client in &mut self.clients {
            client.read_exact(reply).expect("the echo");
            assert!(reply == message, "an echo is what was sent");
        }
        elapsed.as_nanos() as f64 / self.clients.len() as f64
    }
}

fn variants() -> Vec<(&'static str, Tuning)> {
    let base = Tuning::default();
    let rx = |rx: RxOptions| Tuning { rx, ..base };
    vec![
        ("ringway", base),
        ("ringway, no TASKRUN flag", Tuning { mode: Mode::DeferUnflagged, ..base }),
        ("ringway, COOP_TASKRUN", Tuning { mode: Mode::Coop, ..base }),
        ("ringway, bundles", rx(RxOptions { bundle: true, ..base.rx })),
        ("ringway, incremental", rx(RxOptions { incremental: true, ..base.rx })),
        ("ringway, 64 slots", rx(RxOptions { slots: 64, ..base.rx })),
        ("ringway, 1024 slots", rx(RxOptions { slots: 1024, ..base.rx })),
        ("ringway, 4096 slots", rx(RxOptions { slots: 4096, ..base.rx })),
    ]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let rounds = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(400);
    let all = arguments.iter().any(|a| a == "all");
    support::pin(0);
    println!(
        "ns per echo: min / p10 / median / max; paired difference to bare: p10 / median / p90"
    );
    for (bytes, connections) in [(64, 1), (64, 8), (64, 50), (1400, 50), (16384, 20)] {
        let mut sides = vec![bare(connections, bytes)];
        let variants = variants();
        let take = if all { variants.len() } else { 1 };
        sides.extend(variants[..take].iter().map(|(n, t)| ringway(*t, n, connections)));
        let message: Vec<u8> = (0..bytes).map(|i| i as u8).collect();
        let mut reply = vec![0; bytes];
        let mut times = vec![Vec::new(); sides.len()];
        for round in 0..rounds + 20 {
            for (side, times) in sides.iter_mut().zip(&mut times) {
                let time = side.round(&message, &mut reply);
                if round >= 20 {
                    times.push(time);
                }
            }
        }
        let reference = times[0].clone();
        for (side, times) in sides.iter().zip(&mut times) {
            let mut extra: Vec<f64> = times.iter().zip(&reference).map(|(a, b)| a - b).collect();
            let [min, p10, median, max] = support::stats::spread(times);
            let [low, mid, high] = [0.1, 0.5, 0.9].map(|p| support::stats::quantile(&mut extra, p));
            println!(
                "{bytes:>6} B x {connections:<3} {:<26} {min:7.0} {p10:7.0} {median:7.0} {max:8.0}   \
                 {low:+6.0} {mid:+6.0} {high:+6.0}",
                side.name
            );
        }
    }
}
