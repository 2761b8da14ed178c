//! What a lcore keeps of one TCP connection on the data path: one cache line.

use crate::limits::{TX_HIGH_BUFS, TX_HIGH_BYTES};
use crate::mem::BufList;
use crate::time::TimerId;

/// Where a connection stands. It only moves down this list, and from the end back to the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// No connection: the slot waits for one.
    Free,
    /// Sends and receives.
    Open,
    /// We sent our last and shut our side; what comes in is dropped until the peer's end.
    Lingering,
    /// Ends what is in flight.
    Closing,
    /// Nothing is in flight but the close of the descriptor.
    Closed,
}

/// What is true of a connection besides its phase; one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Flag {
    /// A multishot receive is in flight.
    Receiving = 1 << 0,
    /// Receiving waits until the listener's queue is shorter.
    RxPaused = 1 << 1,
    /// Receiving waits until the peer took what is queued for it.
    TxPaused = 1 << 2,
    /// The peer will send no more.
    Eof = 1 << 3,
    /// To be closed once all is sent.
    CloseWanted = 1 << 4,
    /// In the list of connections that the next flush visits.
    Dirty = 1 << 5,
    /// Receives into large slots.
    Large = 1 << 6,
    /// Before it is closed, the peer gets time to read our last.
    Linger = 1 << 7,
    /// Receiving waits until the handler asks for more.
    Held = 1 << 8,
    /// Something came since the last sweep.
    Heard = 1 << 9,
    /// In the list of connections whose receive is to be made sure of.
    Unsure = 1 << 10,
    /// In the list of connections whose receive ended for want of slots.
    Starved = 1 << 11,
}

/// One connection.
#[derive(Debug)]
#[repr(align(64))]
pub struct Conn {
    /// What tells the connection from those that had the slot before it.
    pub generation: u32,
    /// Bytes in `tx`: sub-bufs of one slot each count, so they may be more than a pool has.
    pub tx_bytes: u64,
    /// Bufs in `tx`: each may pin a whole slot.
    pub tx_bufs: u32,
    /// Bufs to send, oldest first.
    pub tx: BufList,
    /// While lingering: when patience ends.
    pub linger: Option<TimerId>,
    /// Where it stands.
    pub phase: Phase,
    /// Operations whose final completion is to come.
    pub ops: u8,
    /// Bufs at the head of `tx` that the kernel is sending.
    pub sending: u8,
    /// Receives in a row that speak for the other size of slot.
    pub misfits: u8,
    /// Sweeps since the send in flight began or its last progress.
    pub stalled: u8,
    flags: u16,
}

const _: () = assert!(size_of::<Conn>() == 64, "the hot state of a connection is one cache line");

impl Conn {
    /// A slot without a connection.
    pub const FREE: Self = Self {
        generation: 0,
        tx_bytes: 0,
        tx_bufs: 0,
        tx: BufList::EMPTY,
        linger: None,
        phase: Phase::Free,
        ops: 0,
        sending: 0,
        misfits: 0,
        stalled: 0,
        flags: 0,
    };

    /// Whether `flag` is set.
    #[inline]
    pub fn has(&self, flag: Flag) -> bool {
        self.flags & flag as u16 != 0
    }

    /// Sets `flag`.
    #[inline]
    pub fn set(&mut self, flag: Flag) {
        self.flags |= flag as u16;
    }

    /// Clears `flag`.
    #[inline]
    pub fn clear(&mut self, flag: Flag) {
        self.flags &= !(flag as u16);
    }

    /// Whether anything speaks against receiving.
    #[inline]
    pub fn is_paused(&self) -> bool {
        self.flags & (Flag::RxPaused as u16 | Flag::TxPaused as u16 | Flag::Held as u16) != 0
    }

    /// Whether enough waits for the peer to stop receiving from it.
    #[inline]
    pub fn is_laden(&self) -> bool {
        self.tx_bytes > TX_HIGH_BYTES.into() || self.tx_bufs > TX_HIGH_BUFS
    }

    /// Whether little enough waits to receive again, and to be written to by those who do not answer it.
    #[inline]
    pub fn is_light(&self) -> bool {
        self.tx_bytes <= u64::from(TX_HIGH_BYTES / 2) && self.tx_bufs <= TX_HIGH_BUFS / 2
    }

    /// Makes the slot ready for its next connection. It keeps its places in the lists that have
    /// a flag.
    pub fn reuse(&mut self) {
        assert!(self.phase == Phase::Closed && self.ops == 0 && self.tx.is_empty());
        let lists = Flag::Dirty as u16 | Flag::Unsure as u16 | Flag::Starved as u16;
        let flags = self.flags & lists;
        *self = Self { generation: self.generation, flags, ..Self::FREE };
    }
}
