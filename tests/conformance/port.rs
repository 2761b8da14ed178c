//! The network of a process at a port: far ends are its connections, all in one ring each way.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;

use ringway::attach::{Attachment, Message};
use ringway::limits::PORT_LOANS;
use ringway::mem::{ClassSize, ConnId, Ledger, PortSegment, Side, Trust, kind};
use ringway::port::{self, Grant, Lifeline, Offer, Queue, Role};
use ringway::ring::doorbell::Doorbell;
use ringway::transport::Shm;

use crate::network::{FarEnd, Heard, Network};
use crate::rig::witness::Witness;
use crate::rig::{Rig, SLOTS};

/// Bytes of a small slot.
const PIECE: usize = 2048;

pub struct Port {
    trust: Trust,
    listeners: usize,
    process: Option<Rc<RefCell<Process>>>,
}

impl Port {
    pub fn new(trust: Trust) -> Self {
        Self { trust, listeners: 0, process: None }
    }

    /// A queue between `rig` and a process that attaches to it.
    fn attach(&self, rig: &Rig) -> (Queue, Attachment) {
        let (pool, trust) = (&rig.pool, self.trust);
        let sizes = pool.sizes().into_iter().zip(PORT_LOANS);
        let classes: Vec<ClassSize> = match trust {
            Trust::Shared => Vec::new(),
            Trust::Isolated => sizes.map(|(size, slots)| ClassSize { slots, ..size }).collect(),
        };
        let segment = Arc::new(PortSegment::create("conformance", trust, 1, &classes).unwrap());
        let (event, bell) = (Doorbell::event().unwrap(), Doorbell::event().unwrap());
        let twin = |fd: &OwnedFd| fd.try_clone().unwrap();
        let ends = segment.ends(0, Side::Primary, twin(&event), twin(&bell)).unwrap();
        let (ledger, pools) = match trust {
            Trust::Shared => (Ledger::of_pool(pool.clone(), 1), vec![pool.try_clone_fd().unwrap()]),
            Trust::Isolated => (Ledger::of_segment(pool.clone(), segment.clone(), 0), Vec::new()),
        };
        let (ours, theirs) = UnixStream::pair().unwrap();
        let queue = Queue::new(ends, ledger, Arc::new(Lifeline::new(ours)));
        let queues = vec![(!pools.is_empty()).then_some(0)];
        let grant = Grant { trust, role: Role::Peer, queues };
        let segment = segment.try_clone_fd().unwrap();
        let offer = Offer { grant, segment, pools, event, bells: vec![bell] };
        (queue, Attachment::accept(offer, theirs).unwrap())
    }
}

impl Network for Port {
    fn name(&self) -> &'static str {
        match self.trust {
            Trust::Shared => "shm",
            Trust::Isolated => "shm, isolated",
        }
    }

    fn listen(&mut self, rig: &mut Rig, index: u8) -> Witness {
        self.listeners += 1;
        let name = self.listeners.to_string();
        let port = rig.lcore.io().ports.add(&name, index).unwrap();
        let (queue, attachment) = self.attach(rig);
        rig.lcore.attach(&name, queue).unwrap();
        let process =
            Process { port: attachment, streams: HashMap::new(), numbers: HashMap::new() };
        self.process = Some(Rc::new(RefCell::new(process)));
        Witness::new(Shm::new(port, index, SLOTS))
    }

    fn connect(&mut self) -> Box<dyn FarEnd> {
        let process = self.process.clone().unwrap();
        let number = process.borrow_mut().connect();
        Box::new(Far { process, number })
    }

    fn is_of_the_kernel(&self) -> bool {
        false
    }
}

/// The process with its connections, by the numbers that it gave them.
struct Process {
    port: Attachment,
    streams: HashMap<u32, Stream>,
    numbers: HashMap<ConnId, u32>,
}

/// What has come on one of them.
#[derive(Default)]
struct Stream {
    conn: Option<ConnId>,
    inbox: VecDeque<Message>,
    end: Option<Heard>,
}

impl Process {
    fn connect(&mut self) -> u32 {
        let queue = &mut self.port.queues()[0];
        let number = queue.connect();
        queue.flush();
        self.streams.insert(number, Stream::default());
        number
    }

    /// Takes what has come.
    fn pump(&mut self) {
        while let Some(message) = self.port.queues()[0].receive() {
            let conn = message.conn;
            let number = self.numbers.get(&conn).copied().unwrap_or(message.number);
            let stream = self.streams.get_mut(&number).expect("one that it asked for");
            match message.kind {
                kind::OPEN => {
                    stream.conn = Some(conn);
                    self.numbers.insert(conn, number);
                }
                kind::DATA => {
                    assert_eq!(stream.end, None, "bytes after the end");
                    stream.inbox.push_back(message);
                }
                kind::CLOSED => {
                    assert_eq!(stream.end, None, "it ends once");
                    let cut = message.meta == port::kind::CUT;
                    stream.end = Some(if cut { Heard::Reset } else { Heard::Finished });
                }
                other => panic!("a peer is told no kind {other}"),
            }
        }
    }

    fn say(&mut self, number: u32, kind: u8) {
        self.pump();
        let conn = self.streams[&number].conn;
        let queue = &mut self.port.queues()[0];
        conn.into_iter().for_each(|conn| queue.send(Message::marker(conn, kind)));
        queue.flush();
    }

    fn send(&mut self, number: u32, bytes: &[u8]) -> usize {
        self.pump();
        let stream = &self.streams[&number];
        let Some(conn) = stream.conn.filter(|_| stream.end.is_none()) else { return 0 };
        let queue = &mut self.port.queues()[0];
        let mut sent = 0;
        for piece in bytes.chunks(PIECE) {
            let Some(mut message) = queue.alloc(conn, piece.len()) else { break };
            assert!(message.append(piece));
            queue.send(message);
            sent += piece.len();
        }
        queue.flush();
        sent
    }

    fn read(&mut self, number: u32, out: &mut Vec<u8>) -> Heard {
        self.pump();
        let stream = self.streams.get_mut(&number).unwrap();
        stream.inbox.drain(..).for_each(|message| out.extend(message.bytes()));
        let end = stream.end;
        self.port.queues()[0].flush();
        end.unwrap_or(Heard::Open)
    }
}

struct Far {
    process: Rc<RefCell<Process>>,
    number: u32,
}

impl FarEnd for Far {
    fn send(&mut self, bytes: &[u8]) -> usize {
        self.process.borrow_mut().send(self.number, bytes)
    }

    fn finish(&mut self) {
        self.process.borrow_mut().say(self.number, kind::EOF);
    }

    fn reset(&mut self) {
        self.process.borrow_mut().say(self.number, kind::ABORT);
    }

    fn read(&mut self, out: &mut Vec<u8>) -> Heard {
        self.process.borrow_mut().read(self.number, out)
    }
}
