//! What one queue of a port has lent to the attached process, so that all of it comes home whatever
//! becomes of that process. The book is private memory: nothing that the process writes changes it.

use std::sync::Arc;

use super::buf::Buf;
use super::conn_id::ConnId;
use super::mempool::{ClassSize, Mempool};
use super::port_segment::{Descriptor, PortClass, PortSegment};
use crate::limits::{
    LARGE_SLOT_BYTES, PORT_LOANS, PORT_LOANS_MIN, PORT_LOANS_SHARE, PORT_LOANS_SUM_SHARE,
    PORT_SUPPLIES, SMALL_SLOT_BYTES, TRAIN_SLOT_BYTES,
};

/// Numbers of loans before they come round: what is left of a word beside the class.
const LOANS: u32 = 1 << 24;

/// Why a range that an attached process named was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoanFault {
    /// There is no such slot.
    NoSuchSlot,
    /// The slot is not lent, or under another number: given back twice, or never had.
    NotLent,
    /// The range does not lie within the slot.
    Range,
}

/// Where a loan lies: what of a [`Descriptor`] names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Class and number of the loan.
    pub loan: u32,
    /// The slot in its class.
    pub slot: u32,
    /// Where the bytes start.
    pub start: u32,
    /// How many they are.
    pub len: u32,
}

impl Terms {
    /// Those of a marker.
    pub const NONE: Self = Self { loan: 0, slot: Descriptor::NO_SLOT, start: 0, len: 0 };

    /// The descriptor of a message with these bytes.
    #[inline]
    pub fn describe(self, conn: ConnId, message: u32, tag: u32) -> Descriptor {
        let Self { loan, slot, start, len } = self;
        Descriptor { conn, message, slot, start, len, loan, tag }
    }

    /// What a descriptor says of its bytes; `None` for a marker.
    pub fn of(descriptor: &Descriptor) -> Option<Self> {
        let Descriptor { loan, slot, start, len, .. } = *descriptor;
        (slot != Descriptor::NO_SLOT).then_some(Self { loan, slot, start, len })
    }
}

/// What was taken back.
#[derive(Debug)]
pub enum Taken {
    /// The bytes, as a buf of the mempool.
    Buf(Buf),
    /// They have to be copied, and the mempool has no slot for them: ask again.
    Later,
}

/// One slot's entry.
#[derive(Debug, Clone, Copy, Default)]
struct Loan {
    /// Of this loan, or the last.
    number: u32,
    /// Bufs of this slot that are lent; 0: it is not.
    shares: u16,
    /// Those of them that count as the connection's below. Shares of other connections count as nobody's:
    /// which of them comes home, nobody can tell.
    counted: u16,
    /// Slot of the connection whose bytes were lent first; [`NO_CONN`]: it was lent empty.
    conn: u32,
}

impl Loan {
    /// It was lent empty.
    fn is_supply(&self) -> bool {
        self.conn == NO_CONN
    }
}

/// The slots of one class.
struct Class {
    slot_bytes: u32,
    loans: Box<[Loan]>,
    /// Slots lent with messages in them, and empty ones.
    messages: u32,
    supplies: u32,
    messages_max: u32,
    supplies_max: u32,
}

/// Where the slots lie.
enum Slots {
    /// In the mempool, which the process maps: the shares themselves are lent.
    Pool,
    /// In the port's segment, where bytes are copied to and from.
    Own { segment: Arc<PortSegment>, queue: usize, free: Box<[Vec<u32>]> },
}

/// Classes that a queue lends slots of.
const CLASSES: usize = PORT_LOANS.len();

/// Slots of this size that a queue lends at most, and those of them that are empty.
fn bounds(slot_bytes: u32) -> (u32, u32) {
    let index = match slot_bytes {
        TRAIN_SLOT_BYTES => 2,
        large if large > LARGE_SLOT_BYTES => 3,
        bytes => usize::from(bytes > SMALL_SLOT_BYTES),
    };
    (PORT_LOANS[index], PORT_SUPPLIES[index])
}

/// The book of one queue. What is lent when it is dropped comes home.
pub struct Ledger {
    pool: Mempool,
    slots: Slots,
    classes: Box<[Class]>,
    /// Bufs of each connection that are lent, by the connection's slot and their class; grows to the
    /// highest.
    by_conn: Vec<[u16; CLASSES]>,
    copied_bytes: u64,
}

impl Class {
    /// At most `lent_max` of its slots are lent at a time, `supplies_max` of them empty.
    fn new(slot_bytes: u32, slot_count: u32, lent_max: u32, supplies_max: u32) -> Self {
        let supplies_max = supplies_max.min(lent_max.div_ceil(4));
        Self {
            slot_bytes,
            loans: (0..slot_count).map(|_| Loan::default()).collect(),
            messages: 0,
            supplies: 0,
            messages_max: lent_max - supplies_max,
            supplies_max,
        }
    }

    /// Whether one more slot may be lent.
    #[inline]
    fn may_lend(&self, is_supply: bool) -> bool {
        if is_supply {
            self.supplies < self.supplies_max
        } else {
            self.messages < self.messages_max
        }
    }

    /// Lends a share of a slot to the connection in slot `conn`, or, for [`NO_CONN`], the slot empty; the
    /// number of the loan. `None`: too much is lent.
    #[inline]
    fn lend(
        &mut self,
        slot: u32,
        conn: u32,
        index: usize,
        by_conn: &mut Vec<[u16; CLASSES]>,
    ) -> Option<u32> {
        let is_supply = conn == NO_CONN;
        let may_lend = self.may_lend(is_supply);
        let loan = &mut self.loans[slot as usize];
        if loan.shares == 0 {
            if !may_lend {
                return None;
            }
            let lent = if is_supply { &mut self.supplies } else { &mut self.messages };
            *lent += 1;
            loan.number = (loan.number + 1) % LOANS;
            loan.conn = conn;
        }
        loan.shares = loan.shares.checked_add(1)?;
        if loan.conn == conn && !is_supply {
            loan.counted += 1;
            count(by_conn, conn, index);
        }
        Some(loan.number)
    }

    /// Whether a share of `slot` is lent under this number, and the range lies in it.
    #[inline]
    fn check(&self, terms: &Terms) -> Result<(), LoanFault> {
        let loan = self.loans.get(terms.slot as usize).ok_or(LoanFault::NoSuchSlot)?;
        if loan.shares == 0 || loan.number != terms.loan >> 8 {
            return Err(LoanFault::NotLent);
        }
        let end = u64::from(terms.start) + u64::from(terms.len);
        if end > u64::from(self.slot_bytes) { Err(LoanFault::Range) } else { Ok(()) }
    }

    /// A checked share is home; whether it was the last of its slot.
    #[inline]
    fn settle(&mut self, slot: u32, index: usize, by_conn: &mut [[u16; CLASSES]]) -> bool {
        let loan = &mut self.loans[slot as usize];
        loan.shares -= 1;
        if loan.counted > 0 {
            loan.counted -= 1;
            by_conn[loan.conn as usize][index] -= 1;
        }
        if loan.shares > 0 {
            return false;
        }
        let lent = if loan.is_supply() { &mut self.supplies } else { &mut self.messages };
        *lent -= 1;
        true
    }
}

impl Ledger {
    /// The book of one of `queues` that share `pool`: of each class at most as many slots are out as
    /// [`PORT_LOANS`] says, no more than a quarter of the pool's, and over all the queues no more than half
    /// of it; but two.
    pub fn of_pool(pool: Mempool, queues: u32) -> Self {
        let part = queues.saturating_mul(PORT_LOANS_SUM_SHARE).max(PORT_LOANS_SHARE);
        let bounded = |size: ClassSize| {
            let (most, supplies) = bounds(size.slot_bytes);
            let share = (size.slots / part).max(PORT_LOANS_MIN);
            Class::new(size.slot_bytes, size.slots, most.min(share), supplies)
        };
        let classes = pool.sizes().into_iter().map(bounded).collect();
        Self { pool, slots: Slots::Pool, classes, by_conn: Vec::new(), copied_bytes: 0 }
    }

    /// The book of a queue whose slots lie in `segment`.
    pub fn of_segment(pool: Mempool, segment: Arc<PortSegment>, queue: usize) -> Self {
        let bounded = |(class, supplies): (&PortClass, u32)| {
            Class::new(class.slot_bytes, class.slot_count, class.slot_count, supplies)
        };
        let classes = segment.classes().iter().zip(PORT_SUPPLIES).map(bounded).collect();
        let numbers = |class: &PortClass| (0..class.slot_count).rev().collect();
        let free = segment.classes().iter().map(numbers).collect();
        let slots = Slots::Own { segment, queue, free };
        Self { pool, slots, classes, by_conn: Vec::new(), copied_bytes: 0 }
    }

    /// Lends the bytes of `buf`, which is a marker from then on; where they are more than the largest slot
    /// holds that is lent, the first of them, and `buf` is the rest. `None`, and `buf` as it was, when too
    /// much is lent already; a marker, which has no bytes, is never lent.
    #[inline]
    pub fn lend(&mut self, buf: &mut Buf) -> Option<Terms> {
        match &mut self.slots {
            Slots::Pool => self.lend_share(buf),
            Slots::Own { .. } => self.lend_copy(buf),
        }
    }

    /// The class that so many bytes are copied to, or the first of more than a slot holds.
    #[inline]
    fn class_for(&self, bytes: usize) -> Option<usize> {
        let bytes = bytes.min(self.slot_bytes_max());
        self.classes.iter().position(|class| class.slot_bytes as usize >= bytes)
    }

    /// Bytes of the largest slot that is lent.
    #[inline]
    pub fn slot_bytes_max(&self) -> usize {
        self.classes.last().map_or(0, |class| class.slot_bytes as usize)
    }

    #[inline]
    fn lend_share(&mut self, buf: &mut Buf) -> Option<Terms> {
        let Some(index) = buf.owner().and_then(|owner| self.pool.class_index(owner)) else {
            return self.lend_foreign(buf);
        };
        let conn = buf.conn().slot();
        let number = self.classes[index].lend(buf.slot(), conn, index, &mut self.by_conn)?;
        let (slot, start, len) = (buf.slot(), buf.offset() as u32, buf.len() as u32);
        // The share is the book's from here on.
        buf.disown();
        Some(Terms { loan: number << 8 | index as u32, slot, start, len })
    }

    /// Bytes of another pool are copied to this one first.
    #[cold]
    fn lend_foreign(&mut self, buf: &mut Buf) -> Option<Terms> {
        let front = &buf[..buf.len().min(self.slot_bytes_max())];
        if front.is_empty() {
            return None;
        }
        let mut copy = self.pool.alloc(front.len())?;
        assert!(copy.append(front), "it was allocated for them");
        copy.set_conn(buf.conn());
        let terms = self.lend_share(&mut copy)?;
        self.note_copied(buf, terms.len as usize);
        Some(terms)
    }

    fn lend_copy(&mut self, buf: &mut Buf) -> Option<Terms> {
        let front = buf.len().min(self.slot_bytes_max());
        let Slots::Own { segment, queue, free } = &mut self.slots else { return None };
        let fits = |class: &Class| class.slot_bytes as usize >= front && class.may_lend(false);
        let class = self.classes.iter().position(fits)?;
        let slot = free[class].pop().expect("fewer are lent than there are");
        segment.write_slot(*queue, class, slot, &buf[..front]);
        let conn = buf.conn().slot();
        let number = self.classes[class].lend(slot, conn, class, &mut self.by_conn);
        let number = number.expect("it was free");
        self.note_copied(buf, front);
        Some(Terms { loan: number << 8 | class as u32, slot, start: 0, len: front as u32 })
    }

    /// The first `bytes` of `buf` were copied.
    #[inline]
    fn note_copied(&mut self, buf: &mut Buf, bytes: usize) {
        self.copied_bytes += bytes as u64;
        if bytes == buf.len() {
            *buf = Buf::marker(buf.conn(), buf.kind());
        } else {
            buf.advance(bytes);
        }
    }

    /// Lends an empty slot of the class at `index` for what the process has to say.
    pub fn supply(&mut self, index: usize) -> Option<Terms> {
        let class = self.classes.get_mut(index).filter(|class| class.may_lend(true))?;
        let slot = match &mut self.slots {
            Slots::Pool => {
                let buf = self.pool.alloc(class.slot_bytes as usize)?;
                let slot = buf.slot();
                std::mem::forget(buf);
                slot
            }
            Slots::Own { free, .. } => free[index].pop()?,
        };
        let number = class.lend(slot, NO_CONN, index, &mut self.by_conn);
        let number = number.expect("there is room for one more");
        Some(Terms { loan: number << 8 | index as u32, slot, start: 0, len: class.slot_bytes })
    }

    /// Whether more empty slots may be lent than are: the mempool had none, or the ring no room.
    pub fn lacks_supplies(&self) -> bool {
        self.classes.iter().any(|class| class.may_lend(true))
    }

    /// Whether slots of the mempool are lent, and not copies.
    pub fn is_shared(&self) -> bool {
        matches!(self.slots, Slots::Pool)
    }

    /// Classes of slots.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// Whether this buf may be lent now: a slot of its size is left, and its connection has none, or fewer
    /// than a quarter of what is left. So however many connections bring more than the process takes,
    /// some is left for the others.
    #[inline]
    pub fn may_lend(&self, buf: &Buf) -> bool {
        if buf.is_empty() {
            return true;
        }
        let own = match &self.slots {
            Slots::Pool => buf.owner().and_then(|owner| self.pool.class_index(owner)),
            Slots::Own { .. } => None,
        };
        let Some(index) = own.or_else(|| self.class_for(buf.len())) else { return true };
        let class = &self.classes[index];
        let lent = self.by_conn.get(buf.conn().slot() as usize).map_or(0, |lent| lent[index]);
        let left = class.messages_max.saturating_sub(class.messages);
        left > 0 && (lent == 0 || u32::from(lent) * 4 < left)
    }

    /// Slots that are lent.
    pub fn lent(&self) -> u32 {
        self.classes.iter().map(|class| class.messages + class.supplies).sum()
    }

    /// Payload bytes copied since this was last asked.
    #[inline]
    pub fn take_copied_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.copied_bytes)
    }

    /// Asks for the bytes that the process has named, which are about to be taken.
    #[inline]
    pub fn foresee(&self, descriptor: &Descriptor) {
        let index = (descriptor.loan & 0xff) as usize;
        let Some(class) = self.classes.get(index) else { return };
        if let Slots::Pool = self.slots
            && (descriptor.slot as usize) < class.loans.len()
        {
            self.pool.foresee(index, descriptor.slot, descriptor.start);
        }
    }

    /// Takes back what the process sends: the named range of a slot that it was lent.
    #[inline]
    pub fn take(&mut self, terms: &Terms) -> Result<Taken, LoanFault> {
        let index = (terms.loan & 0xff) as usize;
        let class = self.classes.get_mut(index).ok_or(LoanFault::NoSuchSlot)?;
        class.check(terms)?;
        match &mut self.slots {
            Slots::Pool => {
                class.settle(terms.slot, index, &mut self.by_conn);
                let (start, len) = (terms.start as usize, terms.len as usize);
                Ok(Taken::Buf(Buf::from_slot(self.pool.class(index), terms.slot, start, len)))
            }
            Slots::Own { segment, queue, free } => {
                let len = terms.len as usize;
                let Some(mut buf) = self.pool.alloc(len) else { return Ok(Taken::Later) };
                let copied = buf.fill(|room| {
                    let to = room.get_mut(..len)?;
                    segment.read_slot(*queue, index, terms.slot, terms.start as usize, to);
                    Some(len)
                });
                assert!(copied.is_some(), "it was allocated for them");
                self.copied_bytes += len as u64;
                class.settle(terms.slot, index, &mut self.by_conn);
                free[index].push(terms.slot);
                Ok(Taken::Buf(buf))
            }
        }
    }

    /// Takes back a slot of whose bytes the process makes nothing.
    #[inline]
    pub fn give_back(&mut self, terms: &Terms) -> Result<(), LoanFault> {
        let index = (terms.loan & 0xff) as usize;
        let class = self.classes.get_mut(index).ok_or(LoanFault::NoSuchSlot)?;
        class.check(terms)?;
        let last = class.settle(terms.slot, index, &mut self.by_conn);
        match &mut self.slots {
            Slots::Pool => drop(Buf::from_slot(self.pool.class(index), terms.slot, 0, 0)),
            Slots::Own { free, .. } if last => free[index].push(terms.slot),
            Slots::Own { .. } => {}
        }
        Ok(())
    }

    /// Takes all back that is lent; how many slots that were.
    pub fn recall(&mut self) -> u32 {
        let mut recalled = 0;
        for (index, class) in self.classes.iter_mut().enumerate() {
            for slot in 0..class.loans.len() as u32 {
                let shares = class.loans[slot as usize].shares;
                recalled += u32::from(shares > 0);
                for _ in 0..shares {
                    class.settle(slot, index, &mut self.by_conn);
                    match &mut self.slots {
                        Slots::Pool => {
                            drop(Buf::from_slot(self.pool.class(index), slot, 0, 0));
                        }
                        Slots::Own { free, .. } => free[index].push(slot),
                    }
                }
            }
        }
        recalled
    }
}

/// The slot of no connection.
const NO_CONN: u32 = u32::MAX;

/// One more buf of a connection is lent.
#[inline]
fn count(by_conn: &mut Vec<[u16; CLASSES]>, conn: u32, class: usize) {
    let conn = conn as usize;
    if conn >= by_conn.len() {
        by_conn.resize((conn + 1).next_power_of_two(), [0; CLASSES]);
    }
    by_conn[conn][class] += 1;
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.recall();
    }
}

#[cfg(test)]
mod tests;
