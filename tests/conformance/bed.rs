//! A transport on a test bed: an lcore that a test turns by hand, a handler that does as it is told,
//! and a network to meet it on.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ringway::counters::{Counter, Reason};
use ringway::mem::{Buf, Burst, ClassSize, ConnId, Mempool, Trust, kind};
use ringway::pipeline::{Cx, Handler, Pipeline, chain};
use ringway::sys::mapping::Request;
use ringway::time::Clock;
use ringway::transport::{Engine, Epoll, Transport};

use crate::network::{FarEnd, Heard, Loopback, Network, POOL_SLOTS, Simulated};
use crate::port::Port;
use crate::rig::witness::Witness;
use crate::rig::{Rig, SLOTS};
use crate::udp::{Datagrams, GREETING};
use crate::unix::Local;

/// After so long a bed has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes note of what comes, and keeps or drops it.
#[derive(Default)]
struct Notes {
    heard: Vec<(u8, ConnId)>,
    /// The meta of each `FLUSHED`.
    flushed: Vec<u32>,
    bytes: Vec<u8>,
    keeps: bool,
    kept: Vec<Buf>,
}

struct NoteTaker(Rc<RefCell<Notes>>);

impl Handler for NoteTaker {
    fn process(&mut self, _cx: &mut Cx, input: &mut Burst, _output: &mut Burst) {
        let mut notes = self.0.borrow_mut();
        while let Some(buf) = input.pop() {
            if buf.bytes() == GREETING {
                continue;
            }
            notes.heard.push((buf.kind(), buf.conn()));
            notes.bytes.extend(buf.bytes());
            if buf.kind() == kind::FLUSHED {
                notes.flushed.push(buf.meta());
            }
            if notes.keeps {
                notes.kept.push(buf);
            }
        }
    }
}

pub struct Bed {
    pub rig: Rig,
    pub transport: Witness,
    /// The listener's index on the lcore.
    pub index: u8,
    pub network: Box<dyn Network>,
    /// Addresses of the pool's small slots.
    pub pool_range: Range<usize>,
    notes: Rc<RefCell<Notes>>,
}

/// Which of the kernel's interfaces carries the sockets of a bed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Uring,
    Epoll,
}

impl Over {
    const ALL: [Self; 2] = [Self::Uring, Self::Epoll];
}

/// Holds each transport to one sentence of the contract: stream sockets of each family twice, since
/// they accept in three ways, over io_uring and over epoll, and processes at ports of both kinds of trust.
pub fn each(sentence: impl Fn(&mut Bed)) {
    let tcp = Over::ALL.map(|over| {
        [None, Some(1000)].map(|per_address| Bed::kernel(Loopback::new(per_address), over))
    });
    let unix = Over::ALL
        .map(|over| [false, true].map(|with_list| Bed::kernel(Local::new(with_list), over)));
    let (tcp, unix) = (tcp.into_iter().flatten(), unix.into_iter().flatten());
    let ports = [Trust::Shared, Trust::Isolated].map(|trust| Some(Bed::port(trust)));
    for bed in std::iter::once(Bed::sim()).chain(ports).chain(tcp).chain(unix) {
        let Some(mut bed) = bed else { continue };
        eprintln!("on {}, {}", bed.network.name(), bed.service());
        sentence(&mut bed);
        bed.finish();
    }
}

/// The same, where the sentence is about datagrams too.
pub fn each_of_all(sentence: impl Fn(&mut Bed)) {
    each(&sentence);
    each_of_datagrams(sentence);
}

/// The same for transports of datagrams alone, over both families.
pub fn each_of_datagrams(sentence: impl Fn(&mut Bed)) {
    let places = ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"];
    for (any, over) in places.into_iter().flat_map(|any| Over::ALL.map(|over| (any, over))) {
        let pool = datagrams_pool();
        let Some(mut bed) = Bed::kernel_with(pool, Datagrams::new(any), over) else { continue };
        eprintln!("on {} at {any}, {}", bed.network.name(), bed.service());
        sentence(&mut bed);
        bed.finish();
    }
}

impl Bed {
    pub fn sim() -> Option<Self> {
        let (network, clock) = Simulated::new();
        let pool = Mempool::small(POOL_SLOTS).unwrap();
        let pool_range = address_range(&pool);
        let rig = Rig::new(pool, clock, None);
        Some(Self::new(rig, Box::new(network), pool_range))
    }

    /// With a process at a port.
    fn port(trust: Trust) -> Self {
        let pool = Mempool::small(POOL_SLOTS).unwrap();
        let pool_range = address_range(&pool);
        let rig = Rig::new(pool, Clock::start(), None);
        Self::new(rig, Box::new(Port::new(trust)), pool_range)
    }

    /// Over the kernel; `None` where it has no io_uring.
    pub fn kernel(network: impl Network + 'static, over: Over) -> Option<Self> {
        Self::kernel_with(Mempool::small(POOL_SLOTS).unwrap(), network, over)
    }

    /// The same with this pool.
    fn kernel_with(pool: Mempool, network: impl Network + 'static, over: Over) -> Option<Self> {
        let pool_range = address_range(&pool);
        let rig = match over {
            Over::Uring => {
                let uring = Loopback::uring(&pool)?;
                Rig::new(pool, Clock::start(), Some(uring))
            }
            Over::Epoll => Rig::with_epoll(pool, Clock::start(), None),
        };
        Some(Self::new(rig, Box::new(network), pool_range))
    }

    /// What carries its sockets, if anything does.
    fn service(&mut self) -> &'static str {
        self.transport.features(self.rig.lcore.io()).os
    }

    /// Cancels an operation of the transport behind its back.
    pub fn cancel(&mut self, target: u64, token: u64) {
        let io = self.rig.lcore.io();
        if io.epoll.is_some() {
            Epoll::of(io).cancel(target, token);
        } else {
            io.uring().ring().cancel(target, token);
        }
    }

    /// Most bytes of datagrams that are received at a time.
    pub fn train_bytes(&mut self) -> usize {
        let io = self.rig.lcore.io();
        if io.epoll.is_some() { Epoll::of(io).train_bytes() } else { io.uring().train_bytes() }
    }

    fn new(mut rig: Rig, mut network: Box<dyn Network>, pool_range: Range<usize>) -> Self {
        let index = rig.lcore.free_index().unwrap();
        let transport = network.listen(&mut rig, index);
        let notes = Rc::new(RefCell::new(Notes::default()));
        let raw = Pipeline::Raw(chain::Raw::new(SLOTS));
        rig.serve(Box::new(transport.clone()), raw, Box::new(NoteTaker(notes.clone())));
        Self { rig, transport, index, network, pool_range, notes }
    }

    /// One more listener beside the first, or in its place; the network connects to it from now on.
    pub fn serve_another(&mut self) {
        self.index = self.rig.lcore.free_index().unwrap();
        self.transport = self.network.listen(&mut self.rig, self.index);
        let raw = Pipeline::Raw(chain::Raw::new(SLOTS));
        let handler = Box::new(NoteTaker(self.notes.clone()));
        self.rig.serve(Box::new(self.transport.clone()), raw, handler);
    }

    /// One pass of the loop.
    pub fn pass(&mut self) {
        self.network.step();
        self.rig.lcore.poll_once(usize::MAX);
    }

    pub fn passes(&mut self, count: usize) {
        (0..count).for_each(|_| self.pass());
    }

    /// Passes until `done`.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let since = Instant::now();
        while !done(self) {
            self.pass();
            let bed = self.network.name();
            assert!(since.elapsed() < PATIENCE, "{bed}: waited in vain until {what}");
        }
    }

    /// A connection, and the id that the transport gave it.
    pub fn open(&mut self) -> (Box<dyn FarEnd>, ConnId) {
        let before = self.notes.borrow().heard.len();
        let far = self.network.connect();
        let opened = |bed: &Self| {
            let notes = bed.notes.borrow();
            notes.heard[before..].iter().find(|(kind, _)| *kind == kind::OPEN).map(|(_, id)| *id)
        };
        self.until("a connection opens", |bed| opened(bed).is_some());
        (far, opened(self).unwrap())
    }

    /// The far end of `conn` goes away at once.
    pub fn reset(&mut self, far: &mut dyn FarEnd, conn: ConnId) {
        if self.network.resets_over_unread_bytes_alone() {
            let sent = self.rig.count(Counter::TxBytes);
            // It may be the connection of a listener before this one.
            assert!(self.rig.handle.write(self.buf(conn, b"unread"), None).is_ok());
            self.until("it is out", |bed| bed.rig.count(Counter::TxBytes) > sent);
        }
        far.reset();
    }

    /// The connection that was heard of last.
    pub fn newest(&self) -> ConnId {
        self.notes.borrow().heard.last().expect("one was heard of").1
    }

    /// What the handler heard of `conn`, data left out.
    pub fn markers(&self, conn: ConnId) -> Vec<u8> {
        let of = |(kind, id): &(u8, ConnId)| (*id == conn && *kind != kind::DATA).then_some(*kind);
        self.notes.borrow().heard.iter().filter_map(of).collect()
    }

    pub fn has_heard(&self, kind: u8, conn: ConnId) -> bool {
        self.notes.borrow().heard.contains(&(kind, conn))
    }

    /// The meta of each `FLUSHED` that the handler heard.
    pub fn flushed(&self) -> Vec<u32> {
        self.notes.borrow().flushed.clone()
    }

    /// All bytes that the handler heard.
    pub fn bytes(&self) -> Vec<u8> {
        self.notes.borrow().bytes.clone()
    }

    /// From now on the handler keeps bufs until [`kept`](Self::kept).
    pub fn keep(&mut self) {
        self.notes.borrow_mut().keeps = true;
    }

    pub fn kept(&mut self) -> Vec<Buf> {
        let mut notes = self.notes.borrow_mut();
        notes.keeps = false;
        std::mem::take(&mut notes.kept)
    }

    /// Hands bufs to the transport; what it does not take stays in `burst`.
    pub fn tx(&mut self, burst: &mut Burst) -> usize {
        let io = self.rig.lcore.io();
        let taken = self.transport.tx_burst(io, burst);
        self.transport.flush(io);
        taken
    }

    /// Hands all of `bufs` to the transport at once.
    pub fn say(&mut self, bufs: impl IntoIterator<Item = Buf>) {
        let mut burst = Burst::new();
        bufs.into_iter().for_each(|buf| burst.push(buf).unwrap());
        self.tx(&mut burst);
        assert!(burst.is_empty(), "the transport has room for these");
    }

    /// A buf with these bytes for `conn`.
    pub fn buf(&self, conn: ConnId, bytes: &[u8]) -> Buf {
        let mut buf = self.rig.pool.alloc(bytes.len().max(1)).unwrap();
        assert!(buf.append(bytes));
        buf.set_conn(conn);
        buf
    }

    pub fn marker(&self, conn: ConnId, kind: u8) -> Buf {
        Buf::marker(conn, kind)
    }

    /// A `FLUSH` with a meta to know it by.
    pub fn flush(&self, conn: ConnId, meta: u32) -> Buf {
        let mut marker = Buf::marker(conn, kind::FLUSH);
        marker.set_kind(kind::FLUSH, meta);
        marker
    }

    pub fn dropped(&self, reason: Reason) -> u64 {
        self.rig.counters.dropped(reason)
    }

    /// Reads until the transport's end is heard; returns the bytes and how it ended.
    pub fn hear_out(&mut self, far: &mut dyn FarEnd) -> (Vec<u8>, Heard) {
        let (mut bytes, mut end) = (Vec::new(), Heard::Open);
        self.until("the far end hears the last", |_| {
            end = far.read(&mut bytes);
            end != Heard::Open
        });
        (bytes, end)
    }

    /// Ends everything and looks for what was lost.
    fn finish(mut self) {
        assert!(self.rig.handle.post(ringway::lcore::Mail::Stop).is_ok());
        self.passes(3);
        self.until("all are closed", |bed| bed.transport.connections() == 0);
        self.passes(3);
        assert_eq!(self.transport.record().alive(), 0, "every OPEN has its CLOSED");
        let (pool, name) = (self.rig.pool.clone(), self.network.name());
        drop(self);
        assert_eq!(pool.missing(), 0, "{name}: every buf came back");
    }
}

/// With slots for some datagrams that are kept.
fn datagrams_pool() -> Mempool {
    let request = Request { no_huge: true, ..Request::new("datagrams", 0) };
    let size = |(slot_bytes, slots)| ClassSize { slot_bytes, slots };
    Mempool::create(&request, &[(2048, POOL_SLOTS), (16384, 64)].map(size), None).unwrap()
}

/// Where the small slots of a pool lie that nobody has used yet.
fn address_range(pool: &Mempool) -> Range<usize> {
    let mut all: Vec<Buf> = (0..POOL_SLOTS).map(|_| pool.alloc(1).unwrap()).collect();
    let addresses = all.iter_mut().map(|buf| buf.spare_mut().unwrap().as_ptr() as usize);
    let addresses: Vec<usize> = addresses.collect();
    let slot_bytes = all[0].capacity();
    *addresses.iter().min().unwrap()..addresses.iter().max().unwrap() + slot_bytes
}
