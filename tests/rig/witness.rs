//! Stands between a transport and its lcore and holds what passes to the contract of `Transport`,
//! sentence by sentence. The test keeps a second handle.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use ringway::error::Result;
use ringway::mem::{Buf, Burst, ConnId, kind};
use ringway::sys::uring::Cqe;
use ringway::transport::{Features, Io, TimerEvent, Token, Transport};

/// What is known of a connection that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    /// The peer sends no more.
    Eof,
    Closed,
}

/// All that a transport reported.
#[derive(Debug, Default)]
pub struct Record {
    lives: HashMap<ConnId, Life>,
    /// The last connection of each slot.
    slots: HashMap<u32, ConnId>,
    pub opened: usize,
    pub closed: usize,
    pub bufs: usize,
    /// Of everything that was reported, in order.
    pub hash: u64,
}

impl Record {
    /// Connections that were opened and not closed.
    pub fn alive(&self) -> usize {
        self.opened - self.closed
    }

    fn mix(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn check(&mut self, buf: &Buf) {
        let conn = buf.conn();
        self.mix(&[buf.kind()]);
        self.mix(&conn.slot().to_le_bytes());
        self.mix(&conn.generation().to_le_bytes());
        self.mix(buf.bytes());
        let life = self.lives.get(&conn).copied();
        match buf.kind() {
            kind::OPEN => self.open(conn),
            kind::DATA => {
                assert_eq!(life, Some(Life::Open), "data of {conn} out of its life");
                assert!(!buf.is_empty(), "{conn}: received bytes are never none");
                self.bufs += 1;
            }
            kind::EOF => {
                assert_eq!(life, Some(Life::Open), "EOF of {conn} out of its life");
                self.lives.insert(conn, Life::Eof);
            }
            kind::FLUSHED => {
                assert!(matches!(life, Some(Life::Open | Life::Eof)), "{conn} flushed: {life:?}");
                assert!(buf.is_empty(), "{conn}: a marker has no bytes");
            }
            kind::CLOSED => {
                assert!(matches!(life, Some(Life::Open | Life::Eof)), "{conn} closed: {life:?}");
                self.lives.insert(conn, Life::Closed);
                self.closed += 1;
            }
            other => panic!("a transport reports no kind {other}"),
        }
    }

    fn open(&mut self, conn: ConnId) {
        let known = self.lives.insert(conn, Life::Open);
        assert_eq!(known, None, "{conn} is an id that was used before");
        if let Some(last) = self.slots.insert(conn.slot(), conn) {
            assert_eq!(self.lives[&last], Life::Closed, "{conn} opened over {last}");
            assert!(conn.generation() > last.generation(), "{conn} after {last}");
        }
        self.opened += 1;
    }
}

/// A transport under observation. Clones are the same one.
#[derive(Clone)]
pub struct Witness {
    inner: Rc<RefCell<dyn Transport>>,
    record: Rc<RefCell<Record>>,
}

impl Witness {
    pub fn new(inner: impl Transport + 'static) -> Self {
        Self { inner: Rc::new(RefCell::new(inner)), record: Rc::default() }
    }

    pub fn record(&self) -> std::cell::Ref<'_, Record> {
        self.record.borrow()
    }
}

impl Transport for Witness {
    fn features(&self, io: &Io) -> Features {
        self.inner.borrow().features(io)
    }

    fn rx_burst(&mut self, io: &mut Io, rx: &mut Burst) -> usize {
        let before = rx.len();
        let count = self.inner.borrow_mut().rx_burst(io, rx);
        assert_eq!(rx.len(), before + count, "rx_burst returns how many bufs it moved");
        let mut record = self.record.borrow_mut();
        rx.as_slice()[before..].iter().for_each(|buf| record.check(buf));
        count
    }

    fn tx_burst(&mut self, io: &mut Io, tx: &mut Burst) -> usize {
        let before = tx.len();
        let count = self.inner.borrow_mut().tx_burst(io, tx);
        assert_eq!(tx.len() + count, before, "tx_burst returns how many bufs it took");
        count
    }

    fn flush(&mut self, io: &mut Io) {
        self.inner.borrow_mut().flush(io);
    }

    fn close(&mut self, io: &mut Io, conn: ConnId) {
        self.inner.borrow_mut().close(io, conn);
    }

    fn has_work(&self) -> bool {
        self.inner.borrow().has_work()
    }

    fn is_polled(&self) -> bool {
        self.inner.borrow().is_polled()
    }

    fn owns(&self, conn: ConnId) -> bool {
        self.inner.borrow().owns(conn)
    }

    fn has_room(&self, conn: ConnId) -> bool {
        self.inner.borrow().has_room(conn)
    }

    fn is_quiet(&self) -> bool {
        self.inner.borrow().is_quiet()
    }

    fn connections(&self) -> usize {
        self.inner.borrow().connections()
    }

    fn slots(&self) -> u32 {
        self.inner.borrow().slots()
    }

    fn start(&mut self, io: &mut Io) {
        self.inner.borrow_mut().start(io);
    }

    fn stop_accepting(&mut self, io: &mut Io) {
        self.inner.borrow_mut().stop_accepting(io);
    }

    fn abort_all(&mut self, io: &mut Io) {
        self.inner.borrow_mut().abort_all(io);
    }

    fn complete(&mut self, io: &mut Io, token: Token, cqe: &Cqe) {
        self.inner.borrow_mut().complete(io, token, cqe);
    }

    fn timer(&mut self, io: &mut Io, event: TimerEvent) {
        self.inner.borrow_mut().timer(io, event);
    }

    fn adopt(&mut self, io: &mut Io, socket: OwnedFd) -> Result<ConnId> {
        self.inner.borrow_mut().adopt(io, socket)
    }
}
