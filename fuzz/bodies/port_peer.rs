//! What must hold of a transport whose peer is the process at a port, whatever that process sends and
//! in whatever order, and whatever the handler does meanwhile. The fuzz target and
//! `tests/fuzz_corpus.rs` share it.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use ringway::counters::Counters;
use ringway::limits::PORT_WINDOW_BUFS;
use ringway::mem::{
    Buf, Burst, ClassSize, ConnId, Descriptor, Ledger, Mempool, PortSegment, QueueEnds, Side,
    Trust, kind,
};
use ringway::port::kind::{CREDIT, RETURN, SUPPLY};
use ringway::port::{Lifeline, PortIndex, PortTable, Queue, Role};
use ringway::ring::doorbell::Doorbell;
use ringway::time::{Instant, TimerWheel};
use ringway::transport::{Io, Shm, Transport};

/// Slots of the pool, of which a shared port may have a quarter.
const POOL_SLOTS: u32 = 64;

/// Slots of an isolated port.
const CLASSES: [ClassSize; 2] =
    [ClassSize { slot_bytes: 2048, slots: 16 }, ClassSize { slot_bytes: 16384, slots: 4 }];

/// Slots of connections, of which the lcore may have all but one.
const CONNS: u32 = 5;

/// Bytes of a descriptor.
const DESCRIPTOR: usize = 32;

/// What the handler was told of a connection, and what the process was.
#[derive(Default)]
struct Life {
    eof: bool,
    closed: bool,
    told_opened: bool,
    told_closed: bool,
    /// Bufs of it that the handler got, and those that the process has credit for.
    heard: u32,
    credit: u32,
}

struct Bed {
    pool: Mempool,
    io: Io,
    port: PortIndex,
    shm: Shm,
    /// `None`: nobody is attached.
    peer: Option<QueueEnds>,
    rx: Burst,
    tx: Burst,
    lives: HashMap<ConnId, Life>,
    /// Connections in the order in which they opened.
    opened: Vec<ConnId>,
    /// What came down to the process, which it may send up again.
    known: Vec<Descriptor>,
    /// What the handler keeps.
    kept: Vec<Buf>,
    is_own: bool,
}

impl Bed {
    fn new(is_own: bool) -> Self {
        let pool = Mempool::small(POOL_SLOTS).expect("memory");
        let mut ports = PortTable::default();
        let port = ports.add("peer", 0).expect("a legal name");
        let now = Instant::from_ns(0);
        let mut io = Io {
            lcore: 0,
            uring: None,
            epoll: None,
            pool: pool.clone(),
            now,
            timers: TimerWheel::new(8),
            counters: Counters::default(),
            notices: Vec::new(),
            adoptable: Vec::new(),
            ports,
            peer_slots: (0..CONNS).collect(),
            datagram_slots: Vec::new(),
            generation: 0,
            connections: 0,
            connections_max: CONNS - 1,
        };
        let mut shm = Shm::new(port, 0, CONNS);
        shm.start(&mut io);
        let (rx, tx) = (Burst::new(), Burst::new());
        let (lives, opened) = (HashMap::new(), Vec::new());
        let (known, kept) = (Vec::new(), Vec::new());
        let mut bed =
            Self { pool, io, port, shm, peer: None, rx, tx, lives, opened, known, kept, is_own };
        bed.attach();
        bed
    }

    /// A process attaches, in place of the one before it.
    fn attach(&mut self) {
        let trust = if self.is_own { Trust::Isolated } else { Trust::Shared };
        let classes = if self.is_own { &CLASSES[..] } else { &[] };
        let segment = PortSegment::create("ringway-fuzz", trust, 1, classes).expect("memory");
        let segment = Arc::new(segment);
        let event = || Doorbell::event().expect("an eventfd");
        let ends = |side| segment.ends(0, side, event(), event()).expect("it was laid out");
        let (ends, peer) = (ends(Side::Primary), ends(Side::Secondary));
        let ledger = if self.is_own {
            Ledger::of_segment(self.pool.clone(), segment.clone(), 0)
        } else {
            Ledger::of_pool(self.pool.clone(), 1)
        };
        let (ours, _) = UnixStream::pair().expect("a pair of sockets");
        let queue = Queue::new(ends, ledger, Arc::new(Lifeline::new(ours))).of_role(Role::Peer);
        self.io.ports.attach(self.port, queue);
        self.peer = Some(peer);
        self.known.clear();
    }

    /// The lcore takes what the transport has.
    fn receive(&mut self) {
        self.shm.rx_burst(&mut self.io, &mut self.rx);
        while let Some(buf) = self.rx.pop() {
            let conn = buf.conn();
            if buf.kind() == kind::OPEN {
                let before = self.lives.insert(conn, Life::default());
                assert!(before.is_none(), "{conn} is an id that was used before");
                self.opened.push(conn);
                continue;
            }
            let life = self.lives.get_mut(&conn).expect("OPEN comes first");
            assert!(!life.closed, "nothing follows the end of {conn}");
            match buf.kind() {
                kind::DATA => {
                    assert!(!life.eof && !buf.is_empty(), "bytes after the last, or none");
                    // Whoever looks at them reads bytes that are there.
                    std::hint::black_box(buf.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)));
                    life.heard += 1;
                    self.kept.push(buf);
                }
                kind::EOF => assert!(!std::mem::replace(&mut life.eof, true), "it ends once"),
                kind::CLOSED => life.closed = true,
                kind::FLUSHED => {}
                other => panic!("a transport reports no kind {other}"),
            }
        }
    }

    /// The handler says something on a connection, which may have ended.
    fn say(&mut self, argument: usize) {
        let Some(&conn) = self.opened.iter().rev().nth(argument / 8) else { return };
        let said = match argument % 8 {
            0 => kind::CLOSE,
            1 => kind::ABORT,
            2 => kind::PAUSE,
            3 => kind::RESUME,
            4 => kind::FLUSH,
            _ => kind::DATA,
        };
        let mut buf = Buf::marker(conn, said);
        if said == kind::DATA {
            let Some(mut bytes) = self.pool.alloc(1) else { return };
            assert!(bytes.append(&[argument as u8; 100]));
            bytes.set_conn(conn);
            buf = bytes;
        }
        let _ = self.tx.push(buf);
        self.shm.tx_burst(&mut self.io, &mut self.tx);
    }

    /// The handler sends back what it keeps.
    fn echo(&mut self) {
        for buf in self.kept.drain(..) {
            let _ = self.tx.push(buf);
            self.shm.tx_burst(&mut self.io, &mut self.tx);
        }
    }

    /// The process takes some of what came down.
    fn take(&mut self, most: usize) {
        let Some(peer) = &mut self.peer else { return };
        for _ in 0..most.min(peer.into.len()) {
            let Some(word) = peer.into.dequeue() else { break };
            match (word.tag as u8, self.lives.get_mut(&word.conn)) {
                (SUPPLY, None) => {}
                (kind::CLOSED, None) => assert_eq!(word.conn, ConnId::NONE, "it was refused"),
                (tag, Some(life)) => {
                    assert!(!life.told_closed, "nothing follows the end");
                    assert!(life.told_opened || [kind::OPEN, kind::CLOSED].contains(&tag));
                    life.told_opened |= tag == kind::OPEN;
                    life.told_closed |= tag == kind::CLOSED;
                    if tag == CREDIT {
                        life.credit += word.tag >> 8;
                    }
                }
                (tag, None) => panic!("kind {tag} of a connection that there never was"),
            }
            self.known.push(word);
        }
    }

    /// The process sends something that it has or had, with one word of it changed.
    fn send_up(&mut self, which: usize, change: &[u8; 3]) {
        const KINDS: [u8; 8] = [
            kind::OPEN,
            kind::DATA,
            kind::DATA,
            kind::EOF,
            kind::CLOSE,
            kind::ABORT,
            kind::PAUSE,
            RETURN,
        ];
        let Some(peer) = &mut self.peer else { return };
        if self.known.is_empty() {
            return;
        }
        let at = self.known.len() - 1 - which % self.known.len();
        let mut up = self.known[at];
        if let Some(&conn) = self.opened.iter().rev().nth(usize::from(change[2]) % 8) {
            up.conn = conn;
        }
        up.tag = KINDS[usize::from(change[0] & 7)].into();
        let value = u32::from(change[2]) << (change[1] & 31);
        match change[0] >> 3 {
            1 => up.slot = value,
            2 => up.loan ^= value,
            3 => up.start = value,
            4 => up.len = value,
            5 | 6 => up.slot = Descriptor::NO_SLOT,
            7 => up.tag = value,
            8 => up.conn = bytemuck::cast([value, u32::from(change[1])]),
            9 => up.tag = kind::RESUME.into(),
            _ => {}
        }
        let _ = peer.out.enqueue(up);
    }

    /// The process asks for a connection.
    fn ask(&mut self, number: usize) {
        if let Some(peer) = &mut self.peer {
            let slot = Descriptor::NO_SLOT;
            let (message, tag) = (number as u32, kind::OPEN.into());
            let word =
                Descriptor { conn: ConnId::NONE, message, slot, start: 0, len: 0, loan: 0, tag };
            let _ = peer.out.enqueue(word);
        }
    }

    fn turn(&mut self) {
        self.receive();
        self.shm.flush(&mut self.io);
    }

    fn audit(&self) {
        let open = self.lives.values().filter(|life| !life.closed).count();
        assert!(self.shm.connections() <= open, "what is open was told");
        assert!(self.shm.connections() < CONNS as usize, "no more than the lcore may have");
        assert_eq!(self.io.connections as usize, self.shm.connections());
        assert_eq!(self.io.peer_slots.len() + self.shm.connections(), CONNS as usize);
        for life in self.lives.values() {
            assert!(life.credit <= life.heard + PORT_WINDOW_BUFS, "credit for what was sent");
        }
    }

    /// The process goes, and everything is home.
    fn finish(mut self) {
        self.io.ports.detach(self.port);
        self.shm.stop_accepting(&mut self.io);
        self.turn();
        self.turn();
        self.audit();
        assert!(self.lives.values().all(|life| life.closed), "each OPEN has its CLOSED");
        assert!(self.shm.is_quiet(), "nobody is left");
        let Self { pool, io, shm, rx, tx, kept, .. } = self;
        drop((shm, io, rx, tx, kept));
        assert_eq!(pool.missing(), 0, "all is home");
    }
}

/// The first byte says how the memory is shared; the others are operations, some with bytes of their own
/// behind them.
pub fn check(bytes: &[u8]) {
    let Some((first, mut rest)) = bytes.split_first() else { return };
    let mut bed = Bed::new(first & 1 == 1);
    bed.turn();
    while let Some((&operation, after)) = rest.split_first() {
        rest = after;
        let argument = usize::from(operation & 31);
        match operation >> 5 {
            0 => {
                let (words, after) = rest.split_at(rest.len().min(DESCRIPTOR));
                let mut whole = [0; DESCRIPTOR];
                whole[..words.len()].copy_from_slice(words);
                if let Some(peer) = &mut bed.peer {
                    let _ = peer.out.enqueue(bytemuck::cast(whole));
                }
                rest = after;
            }
            1 | 2 => {
                let (change, after) = rest.split_at(rest.len().min(3));
                let mut whole = [0; 3];
                whole[..change.len()].copy_from_slice(change);
                bed.send_up(argument, &whole);
                rest = after;
            }
            3 => bed.ask(argument),
            4 => bed.take(argument + 1),
            5 => bed.say(argument),
            6 => match argument {
                0 => {
                    bed.io.ports.detach(bed.port);
                    bed.peer = None;
                }
                1 => bed.attach(),
                2 => bed.kept.clear(),
                3 => bed.shm.abort_all(&mut bed.io),
                4..8 => bed.echo(),
                _ => bed.receive(),
            },
            _ => bed.turn(),
        }
        bed.audit();
    }
    bed.finish();
}
