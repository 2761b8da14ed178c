//! A process that writes what it likes over all that it shares with the lcores, and the numbers that
//! say what.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::slice;

use memmap2::MmapRaw;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ringway::dataplane;
use ringway::mem::{ConnId, Descriptor, PortHeader};
use ringway::port::kind::{RETURN, SUPPLY};
use ringway::sync::{AtomicU32, Ordering};

use crate::common::{Server, wait_until};

/// Where things lie in a queue, in bytes.
pub(super) const DOWN_FLAG: usize = 0;
pub(super) const UP_FLAG: usize = 128;
pub(super) const DOWN_RING: usize = 256;
pub(super) const UP_RING: usize = DOWN_RING + 33152;
/// And in a ring.
pub(super) const TAIL: usize = 128;
pub(super) const HEAD_INDEX: usize = 256;
pub(super) const SLOTS: usize = 384;

/// Numbers that follow a seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 32) as u32
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.word() as usize % bound
    }

    /// A word that is likely to matter to whoever reads it.
    pub(super) fn crafted(&mut self) -> u32 {
        const WORDS: [u32; 16] = [
            0,
            1,
            2,
            15,
            16,
            255,
            256,
            1023,
            1024,
            1025,
            2048,
            16384,
            1 << 24,
            1 << 31,
            !0 - 1,
            !0,
        ];
        match self.below(4) {
            0 => self.word(),
            1 => self.word() % 4096,
            _ => WORDS[self.below(WORDS.len())],
        }
    }
}

/// The hostile process's side of one queue.
#[derive(Default)]
pub(super) struct Side {
    pub(super) head: u32,
    pub(super) tail: u32,
    /// What came down.
    pub(super) known: Vec<Descriptor>,
}

/// A process with a mapping of its port's segment, and the dataplane's half of its attachment.
pub(super) struct Hostile {
    pub(super) map: MmapRaw,
    pub(super) header: PortHeader,
    pub(super) offer: ringway::port::Offer,
    pub(super) lifeline: UnixStream,
    pub(super) sides: Vec<Side>,
    _kept: dataplane::Attachment,
}

impl Hostile {
    pub(super) fn attach(server: &Server, name: &str) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let ports = server.plane().ports();
        let (offer, kept) =
            ports.attach(name, None, 1, ours).unwrap_or_else(|error| panic!("{error}"));
        let map = MmapRaw::map_raw(&offer.segment).unwrap();
        let sides = offer.grant.queues.iter().map(|_| Side::default()).collect();
        let header = bytemuck::Zeroable::zeroed();
        let mut hostile = Self { map, header, offer, lifeline: theirs, sides, _kept: kept };
        let words: Vec<u32> =
            hostile.words()[..30].iter().map(|word| word.load(Ordering::Relaxed)).collect();
        hostile.header = bytemuck::pod_read_unaligned(bytemuck::cast_slice(&words));
        hostile
    }

    /// All that it maps.
    pub(super) fn words(&self) -> &[AtomicU32] {
        let first = self.map.as_mut_ptr().cast::<AtomicU32>();
        // SAFETY: the mapping starts on a page and lives as long as the borrow, and any bytes are words.
        unsafe { slice::from_raw_parts(first, self.map.len() / 4) }
    }

    pub(super) fn word(&self, offset: usize) -> &AtomicU32 {
        &self.words()[offset / 4]
    }

    pub(super) fn queue_offset(&self, queue: usize) -> usize {
        (self.header.first_queue + queue as u64 * self.header.queue_bytes) as usize
    }

    /// A word of a queue.
    pub(super) fn at(&self, queue: usize, offset: usize) -> &AtomicU32 {
        self.word(self.queue_offset(queue) + offset)
    }

    pub(super) fn wake(&self, queue: usize) {
        let _ = nix::unistd::write(&self.offer.bells[queue], &1u64.to_ne_bytes());
    }

    /// Takes what has come down.
    pub(super) fn pump(&mut self, queue: usize) {
        let tail = self.at(queue, DOWN_RING + TAIL).load(Ordering::Acquire);
        let mut head = self.sides[queue].head;
        while head != tail && tail.wrapping_sub(head) <= 1024 {
            let slot = DOWN_RING + SLOTS + 32 * (head % 1024) as usize;
            let words: [u32; 8] =
                std::array::from_fn(|n| self.at(queue, slot + 4 * n).load(Ordering::Relaxed));
            self.sides[queue].known.push(bytemuck::cast(words));
            head = head.wrapping_add(1);
        }
        self.sides[queue].head = head;
        self.at(queue, DOWN_RING + HEAD_INDEX).store(head, Ordering::Release);
        let known = &mut self.sides[queue].known;
        let old = known.len().saturating_sub(4096);
        known.drain(..old);
    }

    /// Puts a descriptor into the ring, whether there is room or not.
    pub(super) fn send(&mut self, queue: usize, descriptor: Descriptor) {
        let tail = self.sides[queue].tail;
        let slot = UP_RING + SLOTS + 32 * (tail % 1024) as usize;
        let words: [u32; 8] = bytemuck::cast(descriptor);
        for (n, word) in words.into_iter().enumerate() {
            self.at(queue, slot + 4 * n).store(word, Ordering::Relaxed);
        }
        self.sides[queue].tail = tail.wrapping_add(1);
        self.at(queue, UP_RING + TAIL).store(tail.wrapping_add(1), Ordering::Release);
        self.wake(queue);
    }

    pub(super) fn has_room(&self, queue: usize) -> bool {
        let head = self.at(queue, UP_RING + HEAD_INDEX).load(Ordering::Acquire);
        self.sides[queue].tail.wrapping_sub(head) < 1024
    }

    /// The last of what came down of this kind, waited for.
    pub(super) fn await_kind(&mut self, queue: usize, wanted: u8) -> Descriptor {
        let mut found = None;
        wait_until(|| {
            self.pump(queue);
            let known = &self.sides[queue].known;
            found = known.iter().rev().find(|known| known.tag as u8 == wanted).copied();
            found.is_some()
        });
        found.expect("it was waited for")
    }

    pub(super) fn is_cut(&self) -> bool {
        let mut fds = [PollFd::new(self.lifeline.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() > 0
    }

    /// Gives an empty slot back, and waits until there is another for it.
    pub(super) fn is_served(&mut self) {
        for queue in 0..self.sides.len() {
            let supply = self.await_kind(queue, SUPPLY);
            self.sides[queue].known.clear();
            self.send(queue, Descriptor { len: 0, tag: RETURN.into(), ..supply });
            self.await_kind(queue, SUPPLY);
        }
    }
}

pub(super) fn marker(conn: ConnId, kind: u8) -> Descriptor {
    let slot = Descriptor::NO_SLOT;
    Descriptor { conn, message: 0, slot, start: 0, len: 0, loan: 0, tag: kind.into() }
}
