//! What passes between a mempool and the kernel: the rings of buffers lent for receiving, and sends
//! from bufs. The one owner of an lcore's io_uring.

mod rx_ring;

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::types::{Fd, Fixed};
use io_uring::{opcode, squeue};
use rx_ring::{Group, RxRing};

use super::buf::Buf;
use super::mempool::Mempool;
use crate::error::Result;
use crate::limits::{
    DATAGRAM_CONTROL_BYTES, DATAGRAM_HEAD_BYTES, DATAGRAM_NAME_BYTES, GATHER_MAX, RX_TRAIN_SLOTS,
    SQ_ENTRIES,
};
use crate::sys::uring::{Cqe, Options, Uring};

const CQE_F_BUF_MORE: u32 = 1 << 4;
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL;

/// How an lcore receives.
#[derive(Debug, Clone, Copy)]
pub struct RxOptions {
    /// Small slots that the kernel holds at a time: a power of two.
    pub slots: u16,
    /// Large slots that the kernel holds at a time: a power of two.
    pub large_slots: u16,
    /// Let the kernel fill one slot with several receives (`IOU_PBUF_RING_INC`).
    pub incremental: bool,
    /// Let one completion fill several slots (`IORING_RECVSEND_BUNDLE`).
    pub bundle: bool,
}

/// An io_uring with the pool memory that it reads and writes.
pub struct UringIo {
    ring: Uring,
    /// Buffer groups 0 and 1: slots of the pool's first and second class.
    rx: [RxRing; 2],
    /// Buffer group 2: what datagrams are received into, once there is a listener for them.
    trains: Option<RxRing>,
    arena: Arena,
    options: RxOptions,
}

impl UringIo {
    /// Sets up the ring of the calling thread and lends it slots of `pool`'s two smallest classes.
    pub fn create(options: &Options, rx: RxOptions, pool: &Mempool) -> Result<Self> {
        let mut ring = Uring::create(options)?;
        let mut rings = [
            RxRing::create(Group::Small, 0, rx.slots, pool)?,
            RxRing::create(Group::Large, 1, rx.large_slots, pool)?,
        ];
        for rx_ring in &mut rings {
            rx_ring.register(&mut ring, rx.incremental)?;
            rx_ring.replenish();
        }
        Ok(Self { ring, rx: rings, trains: None, arena: Arena::new(), options: rx })
    }

    /// The ring, for operations that touch no memory.
    #[inline]
    pub fn ring(&mut self) -> &mut Uring {
        &mut self.ring
    }

    /// The ring, to ask.
    pub fn ring_ref(&self) -> &Uring {
        &self.ring
    }

    /// Receives into lent slots, small or large, until it ends or is cancelled.
    #[inline]
    pub fn recv_multi(&mut self, file: u32, large: bool, user_data: u64) {
        self.ring.recv_multi(file, large.into(), self.options.bundle, user_data);
    }

    /// Bytes of a slot that is received into.
    #[inline]
    pub fn rx_slot_bytes(&self, large: bool) -> usize {
        self.rx[usize::from(large)].entry_bytes()
    }

    /// Turns a receive completion into bufs, in order; each goes to `each`.
    #[inline]
    pub fn take_received(&mut self, cqe: &Cqe, mut each: impl FnMut(Buf)) {
        let (Some(id), Ok(mut bytes)) = (cqe.buffer_id(), usize::try_from(cqe.result)) else {
            return;
        };
        let more = cqe.flags & CQE_F_BUF_MORE != 0;
        let (group, mut id) = Group::of_id(id);
        let rx = match group {
            Group::Trains => return self.take_datagrams(cqe).into_iter().for_each(each),
            of_stream => &mut self.rx[of_stream as usize],
        };
        while bytes > 0 {
            let room = rx.room(id);
            let taken = bytes.min(room);
            each(rx.take(id, taken, more && taken == bytes));
            bytes -= taken;
            id = rx.next(id);
        }
    }

    /// Lends slots for datagrams from here on ([`Mempool::train_class`]). A second call does nothing.
    pub fn lend_for_datagrams(&mut self, pool: &Mempool) -> Result<()> {
        if self.trains.is_some() {
            return Ok(());
        }
        let class = pool.train_class();
        let quarter = pool.sizes().get(class).map_or(1, |size| (size.slots / 4).max(1));
        let slots = (1 << quarter.ilog2()).min(RX_TRAIN_SLOTS.into()) as u16;
        let mut ring = RxRing::create(Group::Trains, class, slots, pool)?;
        ring.register(&mut self.ring, false)?;
        ring.replenish();
        self.trains = Some(ring);
        Ok(())
    }

    /// Most bytes of datagrams that are received into one slot; 0 before
    /// [`lend_for_datagrams`](Self::lend_for_datagrams).
    pub fn train_bytes(&self) -> usize {
        let room = self.trains.as_ref().map_or(0, RxRing::entry_bytes);
        room.saturating_sub(DATAGRAM_HEAD_BYTES)
    }

    /// Slots for datagrams that the kernel holds: at 0, receives end with `ENOBUFS` until bufs are freed.
    #[inline]
    pub fn trains_lent(&self) -> usize {
        self.trains.as_ref().map_or(0, RxRing::lent)
    }

    /// Receives datagrams into lent slots until it ends or is cancelled.
    pub fn recv_datagrams(&mut self, socket: BorrowedFd<'_>, user_data: u64) {
        let header = std::ptr::from_ref(&*self.arena.receive);
        let group = Group::Trains as u16;
        let entry = opcode::RecvMsgMulti::new(Fd(socket.as_raw_fd()), header, group).build();
        // SAFETY: the header says how much room there is for address and control data, points to nothing,
        // and stays for as long as the ring.
        unsafe { self.ring.push(entry.user_data(user_data)) }
    }

    /// Turns a receive of datagrams into a buf of all that the kernel has written, its own words included
    /// ([`sys::datagram`](crate::sys::datagram)).
    #[inline]
    pub fn take_datagrams(&mut self, cqe: &Cqe) -> Option<Buf> {
        let (id, bytes) = (cqe.buffer_id()?, usize::try_from(cqe.result).ok()?);
        let (group, id) = Group::of_id(id);
        let ring = self.trains.as_mut().filter(|_| group == Group::Trains)?;
        ring.fit(bytes);
        Some(ring.take(id, bytes, false))
    }

    /// Lends the kernel fresh slots for those that came back filled.
    #[inline]
    pub fn replenish(&mut self) {
        self.rx.iter_mut().for_each(RxRing::replenish);
        if let Some(trains) = &mut self.trains {
            trains.replenish();
        }
    }

    /// Small slots that the kernel holds: at 0, receives end with `ENOBUFS` until bufs are freed.
    pub fn rx_lent(&self) -> usize {
        self.rx[0].lent()
    }

    /// Sends the bytes of `bufs` (at most [`GATHER_MAX`] of them) in one operation, whose
    /// completion's result is the number of bytes sent. Returns the bytes that it will send; 0 when
    /// the kernel takes no operations now and the caller must try later.
    ///
    /// The caller keeps the bufs until the completion, or their slots' next owners' bytes go out.
    pub fn send<'a>(
        &mut self,
        file: u32,
        mut bufs: impl Iterator<Item = &'a Buf>,
        user_data: u64,
    ) -> usize {
        let Some(first) = bufs.next() else { return 0 };
        let Some(second) = bufs.next() else {
            let entry = opcode::Send::new(Fixed(file), first.as_ptr(), first.len() as u32);
            let entry = entry.flags(SEND_FLAGS).build().user_data(user_data);
            // SAFETY: the bytes lie in a pool that `rx` keeps mapped for as long as this ring is;
            // the caller keeps the slot.
            unsafe { self.ring.push(entry) };
            return first.len();
        };
        if !self.arena.has_room() && !self.empty_arena() {
            return 0;
        }
        let bufs = [first, second].into_iter().chain(bufs).take(GATHER_MAX);
        let (entry, bytes) = self.arena.gather(file, bufs);
        // SAFETY: as above for the bytes; the vectors stay until the kernel has copied them
        // (`empty_arena`).
        unsafe { self.ring.push(entry.user_data(user_data)) };
        bytes
    }

    /// Submits, so that the kernel has copied all vectors, and starts the arena anew.
    #[cold]
    fn empty_arena(&mut self) -> bool {
        let _ = self.ring.enter();
        self.after_submit();
        self.arena.has_room()
    }

    /// To be called after an enter: vectors that the kernel has copied make room.
    #[inline]
    pub fn after_submit(&mut self) {
        if !self.arena.is_empty() && self.ring.unsubmitted() == 0 {
            self.arena.clear();
        }
    }
}

impl Drop for UringIo {
    fn drop(&mut self) {
        // A slot that is filled meanwhile stays with its ring, which gives it back below.
        let quiet = self.ring.quiesce(Duration::from_secs(2), |_| ());
        for rx in self.rx.iter_mut().chain(&mut self.trains) {
            if quiet && self.ring.unregister_buffers(rx.group()).is_ok() {
                rx.take_back();
            } else {
                // The kernel may still write: the slots stay out, and so the pool stays mapped.
                tracing::error!("io_uring did not let go of its buffers; their slots stay lent");
            }
        }
    }
}

/// Message headers and vectors of gathered sends, until the kernel has copied them at submission
/// (IORING_FEAT_SUBMIT_STABLE).
struct Arena {
    headers: Box<[libc::msghdr]>,
    vectors: Box<[libc::iovec]>,
    headers_used: usize,
    vectors_used: usize,
    /// How a receive of datagrams divides its slots.
    receive: Box<libc::msghdr>,
}

// SAFETY: the pointers in it are only ever read by the kernel, between `gather` and the submission.
unsafe impl Send for Arena {}

impl Arena {
    fn new() -> Self {
        let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: all-zero is a valid msghdr: null pointers and zero lengths.
        let header: libc::msghdr = unsafe { std::mem::zeroed() };
        let headers = SQ_ENTRIES as usize;
        let mut receive = Box::new(header);
        receive.msg_namelen = DATAGRAM_NAME_BYTES as libc::socklen_t;
        receive.msg_controllen = DATAGRAM_CONTROL_BYTES;
        Self {
            headers: vec![header; headers].into(),
            vectors: vec![vector; 4 * headers.max(GATHER_MAX)].into(),
            headers_used: 0,
            vectors_used: 0,
            receive,
        }
    }

    fn is_empty(&self) -> bool {
        self.headers_used == 0
    }

    fn has_room(&self) -> bool {
        self.headers_used < self.headers.len()
            && self.vectors_used + GATHER_MAX <= self.vectors.len()
    }

    fn clear(&mut self) {
        self.headers_used = 0;
        self.vectors_used = 0;
    }

    fn gather<'a>(
        &mut self,
        file: u32,
        bufs: impl Iterator<Item = &'a Buf>,
    ) -> (squeue::Entry, usize) {
        let first = self.vectors_used;
        let mut bytes = 0;
        for buf in bufs {
            let vector = &mut self.vectors[self.vectors_used];
            vector.iov_base = buf.as_ptr().cast_mut().cast();
            vector.iov_len = buf.len();
            bytes += buf.len();
            self.vectors_used += 1;
        }
        let vectors = &mut self.vectors[first..self.vectors_used];
        let header = &mut self.headers[self.headers_used];
        header.msg_iov = vectors.as_mut_ptr();
        header.msg_iovlen = vectors.len();
        self.headers_used += 1;
        let entry = opcode::SendMsg::new(Fixed(file), std::ptr::from_ref(header));
        (entry.flags(SEND_FLAGS as u32).build(), bytes)
    }
}
