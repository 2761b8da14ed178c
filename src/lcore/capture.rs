//! What a capture copies on the lcore: the bytes at the stages that are asked for, behind a header of one size, to a ring
//! of bytes that who asked has made. Where there is no room, or no time left of the share that a capture may take, a
//! packet is dropped and counted. What packets are made of them is decided there.

use bytemuck::{Pod, Zeroable};

use super::watch::{Boundary, ends};
use crate::limits::{CAPTURE_CREDIT_NS, CAPTURE_GAPS, CAPTURE_RING_BYTES, CAPTURE_SHARE};
use crate::mem::{Buf, ConnId, kind};
use crate::ring::spsc::{self, Consumer, Producer};
use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering};
use crate::sys::cycles;
use crate::time::Instant;

/// A set of stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Boundaries(u8);

impl Boundaries {
    /// With this one as well.
    pub fn with(self, stage: Boundary) -> Self {
        Self(self.0 | 1 << stage as u8)
    }

    /// Whether this one is among them.
    #[inline]
    pub fn has(self, stage: Boundary) -> bool {
        self.0 >> stage as u8 & 1 == 1
    }

    /// Those in it, in the order of a message's way.
    pub fn iter(self) -> impl Iterator<Item = Boundary> {
        Boundary::ALL.into_iter().map(|(stage, _)| stage).filter(move |stage| self.has(*stage))
    }

    /// Whether one of them lies between chain and handler.
    pub fn are_inside(self) -> bool {
        self.iter().any(Boundary::is_inside)
    }
}

/// What is to be captured, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct CaptureOptions {
    /// Where.
    pub stages: Boundaries,
    /// This connection alone.
    pub conn: Option<ConnId>,
    /// Bytes that are kept of a buf.
    pub snaplen: u32,
    /// Bufs with bytes, at most.
    pub packets: u64,
    /// When it is over, whatever came.
    pub until: Instant,
    /// What was decrypted may be seen.
    pub decrypted: bool,
}

/// What stands before the bytes of a buf in the ring. What follows is padded to a multiple of 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    /// On the clock of the dataplane, in nanoseconds.
    pub at_ns: u64,
    /// Whose it is.
    pub conn: ConnId,
    /// [`Buf::meta`].
    pub meta: u32,
    /// Bytes of the buf.
    pub bytes: u32,
    /// How many of them follow.
    pub kept: u32,
    /// Packets of the stage that were lost since the last one of it.
    pub lost: u32,
    /// Bytes of the connection that were lost at the stage since its last one.
    pub gap: u32,
    /// Its [`Boundary`], as a number.
    pub stage: u8,
    /// [`Buf::kind`].
    pub kind: u8,
    /// Nothing.
    pub unused: [u8; 2],
}

/// Cycles that a buf costs at most beside its bytes, of which each costs less than one: whatever took longer than
/// that was something else.
const LOOK_CYCLES_MAX: u64 = 10_000;

const HEADER_BYTES: usize = size_of::<Header>();

const _: () = assert!(HEADER_BYTES == 40 && CAPTURE_RING_BYTES.is_multiple_of(8));

impl Header {
    /// Bytes that it takes with what follows it.
    pub fn record_bytes(&self) -> usize {
        HEADER_BYTES + (self.kept as usize).next_multiple_of(8)
    }

    /// The first header in `bytes` with what follows it, and what lies behind; `None`: there is no whole one.
    pub fn split(bytes: &[u8]) -> Option<(Self, &[u8], &[u8])> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let header: Self = bytemuck::pod_read_unaligned(header);
        let kept = rest.get(..header.kept as usize)?;
        Some((header, kept, rest.get(header.record_bytes() - HEADER_BYTES..)?))
    }
}

/// What who captures and the lcore both know. The lcore alone writes all but `unwanted`.
#[derive(Debug, Default)]
pub struct CaptureState {
    /// Who asked is gone, or has enough.
    pub unwanted: AtomicBool,
    /// It copies nothing any more: enough was copied, the time is over, or the listener is gone.
    pub over: AtomicBool,
    /// Packets that were wanted, by stage.
    pub wanted: [AtomicU64; Boundary::ALL.len()],
    /// Those for which the ring had no room.
    pub no_room: [AtomicU64; Boundary::ALL.len()],
    /// Those for which the share of the lcore's time was used up.
    pub no_time: [AtomicU64; Boundary::ALL.len()],
    /// What it took of the lcore's time, in cycles.
    pub cycles: AtomicU64,
}

/// Adds to a word that this thread alone writes.
fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

/// A capture on its lcore.
pub struct Capturer {
    options: CaptureOptions,
    ring: Producer<u8>,
    state: Arc<CaptureState>,
    left: u64,
    clock: PassClock,
    budget: Budget,
    lost: [u32; Boundary::ALL.len()],
    gaps: Vec<Gap>,
}

/// When something happens within a pass.
struct PassClock {
    begin: Instant,
    begin_cycles: u64,
}

impl PassClock {
    fn at_ns(&self) -> u64 {
        let cycles = cycles::now().wrapping_sub(self.begin_cycles);
        self.begin.as_ns() + cycles::to_ns(cycles)
    }
}

/// The time that a capture may take: what it has not taken is saved up, to a bound.
struct Budget {
    credit: u64,
    credit_max: u64,
    counted: u64,
}

impl Budget {
    fn new() -> Self {
        let most = u128::from(cycles::per_second()) * u128::from(CAPTURE_CREDIT_NS) / 1_000_000_000;
        Self { credit: most as u64, credit_max: most as u64, counted: cycles::now() }
    }

    fn earn(&mut self, now: u64) {
        let passed = now.wrapping_sub(self.counted);
        self.counted = now;
        self.credit = (self.credit + passed / u64::from(CAPTURE_SHARE)).min(self.credit_max);
    }

    fn spend(&mut self, cycles: u64) {
        self.credit = self.credit.saturating_sub(cycles);
    }
}

/// What was lost of a connection at a stage.
#[derive(Clone, Copy)]
struct Gap {
    conn: ConnId,
    stage: Boundary,
    bytes: u32,
}

impl Capturer {
    /// A capture, where its bytes come out, and what is known of it. All memory that it needs is made here.
    pub fn new(options: CaptureOptions) -> (Box<Self>, Consumer<u8>, Arc<CaptureState>) {
        let (mut ring, mut out) = spsc::ring(CAPTURE_RING_BYTES);
        // The pages are there before an lcore writes to them.
        let mut page = [0; 4096];
        while ring.enqueue_burst(&page) > 0 {}
        while out.dequeue_burst(&mut page) > 0 {}
        let state = Arc::<CaptureState>::default();
        let begin = Instant::from_ns(0);
        let capturer = Self {
            options,
            ring,
            state: state.clone(),
            left: options.packets,
            clock: PassClock { begin, begin_cycles: 0 },
            budget: Budget::new(),
            lost: [0; Boundary::ALL.len()],
            gaps: Vec::with_capacity(CAPTURE_GAPS),
        };
        (Box::new(capturer), out, state)
    }

    pub(super) fn may_see_decrypted(&self) -> bool {
        self.options.decrypted || !self.options.stages.are_inside()
    }

    pub(super) fn begin(&mut self, now: Instant) {
        let is_due = self.left == 0 || now >= self.options.until;
        if ends(is_due, &self.state.unwanted, &self.state.over) {
            self.left = 0;
        }
        self.clock.begin = now;
        self.clock.begin_cycles = cycles::now();
        self.budget.earn(self.clock.begin_cycles);
    }

    pub(super) fn look(&mut self, stage: Boundary, bufs: &[Buf]) {
        self.look_if(stage, bufs, |_| true);
    }

    pub(super) fn look_if(&mut self, stage: Boundary, bufs: &[Buf], really: impl Fn(&Buf) -> bool) {
        if self.left == 0 || !self.needs(stage) {
            return;
        }
        let (begin, left) = (cycles::now(), self.ring.free());
        let at_ns = self.clock.at_ns();
        for buf in bufs {
            let of_it = self.options.conn.is_none_or(|conn| conn == buf.conn());
            if of_it && self.wants(stage, buf) && really(buf) {
                self.take(stage, at_ns, buf);
            }
        }
        // Where the thread was taken off its core meanwhile, that was not for the capture.
        let copied = left.saturating_sub(self.ring.free()) as u64;
        let most = copied + LOOK_CYCLES_MAX * bufs.len() as u64;
        let took = cycles::now().wrapping_sub(begin).min(most);
        self.budget.spend(took);
        add(&self.state.cycles, took);
    }

    /// Where connections begin and end, is told by what the transport and the chain hand up.
    fn needs(&self, stage: Boundary) -> bool {
        self.options.stages.has(stage) || !stage.is_outbound()
    }

    /// Bytes at the stages that were asked for; and beginnings and ends, of which packets are made too.
    fn wants(&self, stage: Boundary, buf: &Buf) -> bool {
        match buf.kind() {
            kind::OPEN | kind::CLOSED => match stage {
                Boundary::Rx => true,
                _ => stage == Boundary::Ingress && self.options.stages.are_inside(),
            },
            kind::EOF | kind::CLOSE | kind::ABORT => self.options.stages.has(stage),
            _ => !buf.is_empty() && self.options.stages.has(stage),
        }
    }

    fn take(&mut self, stage: Boundary, at_ns: u64, buf: &Buf) {
        let index = stage as usize;
        let counts = !buf.is_empty();
        if counts {
            if self.left == 0 {
                return;
            }
            add(&self.state.wanted[index], 1);
        }
        // Beginnings and ends are small, and worth more than a packet.
        if counts && self.budget.credit == 0 {
            add(&self.state.no_time[index], 1);
            return self.lose(stage, buf);
        }
        let kept = buf.len().min(self.options.snaplen as usize);
        let header = Header {
            at_ns,
            conn: buf.conn(),
            meta: buf.meta(),
            bytes: buf.len() as u32,
            kept: kept as u32,
            lost: self.lost[index],
            gap: self.gap(stage, buf.conn()),
            stage: stage as u8,
            kind: buf.kind(),
            unused: [0; 2],
        };
        if !self.write(&header, &buf.bytes()[..kept]) {
            if counts {
                add(&self.state.no_room[index], 1);
            }
            return self.lose(stage, buf);
        }
        self.lost[index] = 0;
        self.gaps.retain(|gap| gap.conn != header.conn || gap.stage != stage);
        if counts {
            self.left -= 1;
        }
    }

    fn write(&mut self, header: &Header, bytes: &[u8]) -> bool {
        let wanted = header.record_bytes();
        let mut room = self.ring.reserve(wanted);
        if room.len() < wanted {
            return false;
        }
        let (first, second) = room.as_mut_slices();
        let mut at = 0;
        for part in [bytemuck::bytes_of(header), bytes] {
            put(first, second, at, part);
            at += part.len();
        }
        room.commit(wanted);
        true
    }

    fn lose(&mut self, stage: Boundary, buf: &Buf) {
        let lost = &mut self.lost[stage as usize];
        *lost = lost.saturating_add(1);
        let (conn, bytes) = (buf.conn(), buf.len() as u32);
        let known = self.gaps.iter_mut().find(|gap| gap.conn == conn && gap.stage == stage);
        if let Some(gap) = known {
            gap.bytes = gap.bytes.saturating_add(bytes);
        } else if self.gaps.len() < CAPTURE_GAPS {
            // Past that, the next packet says all the same that something is missing.
            self.gaps.push(Gap { conn, stage, bytes });
        }
    }

    fn gap(&self, stage: Boundary, conn: ConnId) -> u32 {
        let of = |gap: &&Gap| gap.conn == conn && gap.stage == stage;
        self.gaps.iter().find(of).map_or(0, |gap| gap.bytes)
    }
}

/// Copies `bytes` to `at` in two runs of memory that follow each other.
fn put(first: &mut [u8], second: &mut [u8], at: usize, bytes: &[u8]) {
    let in_first = first.len().saturating_sub(at).min(bytes.len());
    if in_first > 0 {
        first[at..at + in_first].copy_from_slice(&bytes[..in_first]);
    }
    let rest = &bytes[in_first..];
    if !rest.is_empty() {
        let at = (at + in_first) - first.len();
        second[at..at + rest.len()].copy_from_slice(rest);
    }
}

impl Drop for Capturer {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::Mempool;

    const CONN: ConnId = ConnId::new(0, 7, 2);

    fn capturer(snaplen: u32, packets: u64) -> (Box<Capturer>, Consumer<u8>, Arc<CaptureState>) {
        let stages = Boundaries::default().with(Boundary::Rx).with(Boundary::Tx);
        let (conn, until, decrypted) = (None, Instant::from_ns(u64::MAX), false);
        Capturer::new(CaptureOptions { stages, conn, snaplen, packets, until, decrypted })
    }

    /// A pool with one buf of these bytes.
    fn buf(bytes: &[u8]) -> (Mempool, Buf) {
        let pool = Mempool::small(4).unwrap();
        let mut buf = pool.alloc(bytes.len()).unwrap();
        assert!(buf.append(bytes));
        buf.set_conn(CONN);
        (pool, buf)
    }

    /// What is in the ring.
    fn records(out: &mut Consumer<u8>) -> Vec<(Header, Vec<u8>)> {
        let mut bytes = vec![0; out.len()];
        assert_eq!(out.dequeue_burst(&mut bytes), bytes.len());
        let (mut rest, mut records) = (&bytes[..], Vec::new());
        while let Some((header, kept, more)) = Header::split(rest) {
            records.push((header, kept.to_vec()));
            rest = more;
        }
        assert!(rest.is_empty(), "whole records");
        records
    }

    #[test]
    fn a_buf_comes_out_as_it_was_and_no_more_of_it_than_is_kept() {
        let (mut capturer, mut out, state) = capturer(3, u64::MAX);
        let (_pool, buf) = buf(b"hello");
        capturer.begin(Instant::from_ns(5));
        capturer.look(Boundary::Rx, std::slice::from_ref(&buf));
        capturer.look(Boundary::Ingress, std::slice::from_ref(&buf));
        let [(header, kept)] = &records(&mut out)[..] else { panic!("one record") };
        assert_eq!((header.bytes, header.kept, &kept[..]), (5, 3, &b"hel"[..]));
        assert_eq!((header.conn, header.stage, header.kind), (CONN, 0, kind::DATA));
        assert!(header.at_ns >= 5);
        assert_eq!(state.wanted[0].load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_the_next_of_its_connection_says_how_much_it_was() {
        let (mut capturer, mut out, state) = capturer(u32::MAX, u64::MAX);
        let (_pool, buf) = buf(&[b'x'; 2048]);
        let look = |capturer: &mut Capturer| {
            capturer.budget.credit = u64::MAX / 2;
            capturer.look(Boundary::Rx, std::slice::from_ref(&buf));
        };
        let fits = CAPTURE_RING_BYTES / (HEADER_BYTES + 2048);
        (0..fits + 3).for_each(|_| look(&mut capturer));
        let no_room = || state.no_room[0].load(Ordering::Relaxed);
        assert_eq!(no_room(), 3, "at the bound all fit, and past it none");
        assert_eq!(records(&mut out).len(), fits);
        look(&mut capturer);
        look(&mut capturer);
        let after = records(&mut out);
        assert_eq!((after[0].0.lost, after[0].0.gap), (3, 3 * 2048));
        assert_eq!((after[1].0.lost, after[1].0.gap), (0, 0), "it is said once");
        assert_eq!(no_room(), 3);
    }

    #[test]
    fn without_time_nothing_is_copied_but_beginnings_and_ends() {
        let (mut capturer, mut out, state) = capturer(u32::MAX, u64::MAX);
        (capturer.budget.credit, capturer.budget.credit_max) = (0, 0);
        let (_pool, buf) = buf(b"hello");
        capturer.begin(Instant::from_ns(5));
        capturer.look(Boundary::Rx, &[Buf::marker(CONN, kind::OPEN), buf]);
        let kinds: Vec<u8> = records(&mut out).iter().map(|(header, _)| header.kind).collect();
        assert_eq!(kinds, [kind::OPEN]);
        assert_eq!(state.no_time[0].load(Ordering::Relaxed), 1);
    }

    #[test]
    fn time_is_earned_at_the_share_that_was_stated_and_not_without_a_bound() {
        let mut budget = Budget { credit: 0, credit_max: 1000, counted: 0 };
        budget.earn(50);
        assert_eq!(budget.credit, 50 / u64::from(CAPTURE_SHARE));
        budget.earn(1_000_000);
        assert_eq!(budget.credit, 1000);
        budget.spend(2000);
        assert_eq!(budget.credit, 0);
    }

    #[test]
    fn it_is_over_when_enough_was_copied_or_nobody_wants_it() {
        let (mut counted, mut out, state) = capturer(u32::MAX, 2);
        let (_pool, buf) = buf(b"hello");
        let bufs = std::slice::from_ref(&buf);
        (0..3).for_each(|_| counted.look(Boundary::Rx, bufs));
        assert_eq!(records(&mut out).len(), 2);
        assert!(!state.over.load(Ordering::Relaxed));
        counted.begin(Instant::from_ns(5));
        assert!(state.over.load(Ordering::Relaxed));
        let (mut unwanted, mut out, state) = capturer(u32::MAX, u64::MAX);
        state.unwanted.store(true, Ordering::Relaxed);
        unwanted.begin(Instant::from_ns(5));
        unwanted.look(Boundary::Rx, bufs);
        assert!(records(&mut out).is_empty() && state.over.load(Ordering::Relaxed));
        drop(unwanted);
    }

    #[test]
    fn bytes_are_put_into_two_runs_as_into_one() {
        for cut in 0..=6 {
            let (mut first, mut second) = (vec![0; cut], vec![0; 6 - cut]);
            put(&mut first, &mut second, 0, b"ab");
            put(&mut first, &mut second, 2, b"cdef");
            assert_eq!([first, second].concat(), b"abcdef", "{cut}");
        }
    }
}
