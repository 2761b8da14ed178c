//! A queue of a port: the dataplane's end without a dataplane, and an attached process.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use ringway::limits::PORT_LOANS;
use ringway::mem::{Buf, ClassSize, Ledger, Mempool, PortSegment, Side, Trust, kind};
use ringway::port::{self, Grant, Lifeline, Offer, Queue, Received, Role};
use ringway::ring::doorbell::Doorbell;
use ringway::sync::spin_loop;

use super::super::support::attached::{CONN, Process};
use super::{BURST, MESSAGE, MESSAGE_BYTES, Pair, each, warm_up};

/// Messages of the process after which it is told that they are out, as the handlers do.
const CREDIT: u32 = 32;

/// This end, and who has the other.
pub struct Port {
    name: &'static str,
    queue: Queue,
    pool: Mempool,
    process: Process,
    /// Of a message; its first ones are written and looked at.
    bytes: usize,
    /// And its last ones as well.
    ends: bool,
    /// Messages that the process was not told of.
    untold: u32,
}

impl Port {
    /// A queue of a port of its own, with bufs of `pool`.
    pub fn start(name: &'static str, pool: &Mempool, trust: Trust) -> Self {
        let sizes = pool.sizes().into_iter().zip(PORT_LOANS);
        let classes: Vec<ClassSize> = match trust {
            Trust::Shared => Vec::new(),
            Trust::Isolated => sizes.map(|(size, slots)| ClassSize { slots, ..size }).collect(),
        };
        let segment = PortSegment::create("bench-port", trust, 1, &classes).expect("memory");
        let segment = Arc::new(segment);
        let event = || Doorbell::event().expect("an eventfd");
        let (event, bell) = (event(), event());
        let twin = |fd: &std::os::fd::OwnedFd| fd.try_clone().expect("a descriptor");
        let ends = segment.ends(0, Side::Primary, twin(&event), twin(&bell)).expect("its rings");
        let (ledger, pools) = match trust {
            Trust::Shared => {
                let fd = pool.try_clone_fd().expect("a descriptor");
                (Ledger::of_pool(pool.clone(), 1), vec![fd])
            }
            Trust::Isolated => (Ledger::of_segment(pool.clone(), segment.clone(), 0), Vec::new()),
        };
        let queues = vec![(!pools.is_empty()).then_some(0)];
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut queue = Queue::new(ends, ledger, Arc::new(Lifeline::new(ours)));
        let segment = segment.try_clone_fd().expect("a descriptor");
        let grant = Grant { trust, role: Role::Handler, queues };
        let process = Process::start(0);
        process.hand_over(&Offer { grant, segment, pools, event, bells: vec![bell] }, theirs);
        queue.flush();
        let (bytes, ends) = (MESSAGE_BYTES, false);
        Self { name, queue, pool: pool.clone(), process, bytes, ends, untold: 0 }
    }

    /// The same for trips of messages of so many bytes, of which the first 64 are written and looked at,
    /// and with `ends` the last.
    pub fn of_bytes(name: &'static str, pool: &Mempool, bytes: usize, ends: bool) -> Self {
        Self { bytes, ends, ..Self::start(name, pool, Trust::Shared) }
    }

    /// Sends one message; `false` when too much is lent.
    fn send(&mut self) -> bool {
        let mut buf = self.pool.alloc(self.bytes).expect("the pool is large");
        assert!(buf.append(&MESSAGE), "a slot holds a message");
        if self.bytes > MESSAGE_BYTES {
            buf.grow(self.bytes - MESSAGE_BYTES);
        }
        if self.ends {
            let last = buf.bytes_mut().and_then(|bytes| bytes.last_chunk_mut());
            *last.expect("nobody shares it") = MESSAGE;
        }
        buf.set_conn(CONN);
        buf.set_kind(kind::DATA, 0);
        self.queue.send(buf, 0).is_ok()
    }

    /// Takes one message, if there is one.
    fn receive(&mut self) -> bool {
        match self.queue.receive() {
            Received::Message(buf, _) => {
                assert!(buf.len() == self.bytes && buf.starts_with(&MESSAGE), "it is another");
                assert!(!self.ends || buf.ends_with(&MESSAGE), "its end is another");
                self.untold += 1;
                true
            }
            Received::Nothing => false,
            Received::Fault(fault) => panic!("{}", fault.name()),
        }
    }

    /// Ends a turn as an lcore does.
    fn flush(&mut self) {
        if self.untold >= CREDIT {
            let mut credit = Buf::marker(CONN, port::kind::CREDIT);
            credit.set_kind(port::kind::CREDIT, self.untold);
            self.queue.send(credit, 0).expect("the ring is long");
            self.untold = 0;
        }
        self.queue.flush();
    }

    fn trip(&mut self) {
        assert!(self.send(), "nothing else is lent");
        self.flush();
        while !self.receive() {
            // Looks are counted by the turn.
            self.flush();
            spin_loop();
        }
    }
}

impl Pair for Port {
    fn name(&self) -> &'static str {
        self.name
    }

    fn trips(&mut self, count: u64) -> f64 {
        let before = warm_up(count);
        self.process.order(if self.ends { "ends" } else { "echo" }, before + count);
        (0..before).for_each(|_| self.trip());
        let start = Instant::now();
        (0..count).for_each(|_| self.trip());
        each(start, count)
    }

    fn down(&mut self, count: u64) -> f64 {
        let before = warm_up(count);
        self.process.order("take", before + count);
        self.flush();
        let supplies = self.queue.lent();
        let mut send = |count: u64| {
            let mut left = count;
            while left > 0 {
                let burst = left.min(BURST as u64);
                left -= (0..burst).take_while(|_| self.send()).count() as u64;
                self.flush();
                // Nothing but slots comes back.
                assert!(!self.receive(), "nobody was to answer");
            }
            while self.queue.lent() > supplies {
                assert!(!self.receive(), "nobody was to answer");
                self.flush();
            }
        };
        send(before);
        let start = Instant::now();
        send(count);
        each(start, count)
    }

    fn up(&mut self, count: u64) -> Option<f64> {
        let before = warm_up(count);
        self.process.order("give", before + count);
        let mut receive = |count: u64| {
            let mut left = count;
            while left > 0 {
                let burst = left.min(BURST as u64);
                left -= (0..burst).take_while(|_| self.receive()).count() as u64;
                self.flush();
            }
        };
        receive(before);
        let start = Instant::now();
        receive(count);
        Some(each(start, count))
    }
}
