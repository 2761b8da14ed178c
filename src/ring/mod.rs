//! Lock-free bounded rings and the bell of a sleeping consumer. What moves through them (bufs,
//! slot numbers, messages) and who may attach is decided elsewhere.
//!
//! | ring | ends | for |
//! |---|---|---|
//! | [`spsc`] | one [`Producer`](spsc::Producer), one [`Consumer`](spsc::Consumer) | every hop between two threads or two processes |
//! | [`mpmc`] | [`Ring`](mpmc::Ring), shared by reference | where many threads really meet: free lists, mailboxes |
//!
//! Both lie in raw memory that holds no pointer: on the heap, or in a segment that each process
//! maps wherever it likes. Indices are `u32`, run over 2³² and are masked on use, so every slot is
//! usable and full differs from empty.
//!
//! **bulk** means all or nothing, **burst** means as many as fit. Full and empty are counts, not
//! errors. Nothing here allocates after construction or makes a system call, except
//! [`Doorbell::ring`](doorbell::Doorbell::ring) while its consumer sleeps.

pub mod doorbell;
pub mod handoff;
mod memory;
pub mod mpmc;
pub mod spsc;

/// Most elements a ring can hold: the distance between two `u32` indices must stay unambiguous.
pub const CAPACITY_MAX: usize = 1 << 31;

/// Alignment of a ring in a segment, in bytes, and the distance between words that different
/// threads write: two cache lines, because the adjacent-line prefetcher fetches them in pairs.
pub const LINE_BYTES: usize = 128;

/// Why memory cannot be used as a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The memory does not start on a multiple of [`LINE_BYTES`].
    #[error("the ring is not aligned to {LINE_BYTES} bytes")]
    Misaligned,
    /// The memory ends before the last slot.
    #[error("the memory is too small for the ring")]
    TooSmall,
    /// No ring of this kind and layout version was created here.
    #[error("there is no ring of this kind and version in the memory")]
    NotARing,
    /// The capacity is not a power of two up to [`CAPACITY_MAX`].
    #[error("the capacity is not a power of two up to {CAPACITY_MAX}")]
    Capacity,
    /// The ring was created for elements of another size.
    #[error("the ring holds elements of another size")]
    ElementBytes,
    /// The indices are further apart than the capacity: a peer wrote garbage.
    #[error("the ring's indices contradict its capacity")]
    Indices,
}
