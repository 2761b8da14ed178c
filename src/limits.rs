//! Every bound of the dataplane: its unit in its name, its reason beside it, and the relations
//! between bounds asserted at compile time. Here are those of the plane itself; those of a protocol or of
//! ports alone are on pages of their own, and named as if they were here.
//!
//! A loom model explores every interleaving, so the bounds that it must reach are tiny under loom.

mod admin;
mod files;
mod http;
mod ipc;
mod offload;
mod port;
mod stats;
mod stream;
mod takeover;
mod watch;
mod websocket;
mod write;

pub use admin::*;
pub use files::*;
pub use http::*;
pub use ipc::*;
pub use offload::*;
pub use port::*;
pub use stats::*;
pub use stream::*;
pub use takeover::*;
pub use watch::*;
pub use websocket::*;
pub use write::*;

/// Most bufs in one burst: large enough to spread the cost of a stage over its messages, small
/// enough that the four bursts of a listener stay in L1 (4 × 64 × 32 bytes = 8 KiB).
pub const BURST_MAX: usize = 64;

/// Most lcores in one process, and so the number of per-lcore caches a mempool carries.
pub const LCORES_MAX: usize = if cfg!(loom) { 2 } else { 64 };

/// Most listeners on one lcore: their index is 6 bits of a completion's token and one bit of the
/// work mask.
pub const LISTENERS_MAX: usize = 32;

/// How often an lcore looks after a listener that is being removed, in nanoseconds: each look may cost a walk over all
/// slots of connections, about 20 µs of 16,384.
pub const LEAVE_LOOK_NS: u64 = 1_000_000;

/// One past the highest CPU number the kernel's affinity calls take through the C library's
/// fixed-size set.
pub const CPUS_MAX: usize = 1024;

/// Most connections a configuration may ask of one lcore: their slot is 22 bits of a completion's
/// token.
pub const CONNECTIONS_MAX: u32 = 1 << 20;

/// Longest file prefix in bytes, so that the control socket's path fits the 108 bytes of a Unix
/// socket address.
pub const FILE_PREFIX_BYTES_MAX: usize = 32;

const _: () = assert!(LCORES_MAX <= CPUS_MAX);
const _: () = assert!(LISTENERS_MAX <= u32::BITS as usize);

/// Connections that may wait to be accepted, per listening socket; the kernel lowers it to
/// net.core.somaxconn.
pub const LISTEN_BACKLOG: i32 = 4096;

/// How long whoever binds a port waits for one that has it to let go, in nanoseconds: the sockets of a process that was
/// killed are closed when its rings are, a moment after its death. nginx waits 2.5 s.
pub const BIND_PATIENCE_NS: u64 = 1_000_000_000;

/// Longest path of a Unix socket: the field of its address has 108 bytes, with the NUL (unix(7)).
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// Times that the lock on a socket's directory is asked for. Whoever makes a socket there holds it
/// for some system calls; whoever wishes us ill, for ever.
pub const UNIX_LOCK_TRIES_MAX: u32 = 200;

/// The same when a socket goes, which an lcore may have to wait for. In vain: the file stays, and is
/// replaced by the next who wants its path.
pub const UNIX_UNLINK_TRIES_MAX: u32 = 5;

/// How long to wait between two such times, in nanoseconds.
pub const UNIX_LOCK_RETRY_NS: u64 = 10_000_000;

/// Permissions of a listener's Unix socket unless the configuration says otherwise: everybody may
/// connect, as to a port.
pub const UNIX_MODE: u32 = 0o666;

/// Groups of a peer that are compared with those that may connect: a user has rarely more than some
/// dozens, and what they take lies on the stack.
pub const PEER_GROUPS_MAX: usize = 256;

/// Size classes of one mempool.
pub const CLASSES_MAX: usize = 4;

/// Smallest slot: below a cache line's pair, neighbours would share lines.
pub const SLOT_BYTES_MIN: usize = 128;

/// Largest slot: a message that must be contiguous is never larger. The length of a buf has 23 bits, so
/// that where it lies is one word, and it is half a cache line.
pub const SLOT_BYTES_MAX: usize = 4 * 1024 * 1024;

const _: () = assert!(LARGE_SLOT_BYTES as usize <= SLOT_BYTES_MAX);
const _: () = assert!(SLOT_BYTES_MIN.is_power_of_two() && SLOT_BYTES_MAX.is_power_of_two());
// One send's bytes are what its completion says in 31 bits.
const _: () = assert!(GATHER_MAX * SLOT_BYTES_MAX <= i32::MAX as usize);

/// Most bytes of the slots of one class: where a buf starts among them has 41 bits.
pub const CLASS_BYTES_MAX: u64 = 1 << 41;

/// Most slots of one class: its free ring has the next power of two at or above it.
pub const CLASS_SLOTS_MAX: u32 = 1 << 30;

/// Messages of one lcore that values can hang on at a time: as many as it has bufs in its queues.
/// Past it a message goes without. A power of two: its bits of a message's id are the slot.
pub const MESSAGES_MAX: usize = 4096;

const _: () = assert!(MESSAGES_MAX.is_power_of_two() && MESSAGES_MAX <= 1 << 12);

/// Free slots that one lcore keeps to itself, per size class.
pub const CACHE_SLOTS: usize = if cfg!(loom) { 2 } else { 512 };

/// The part of a class that one lcore keeps to itself at most is one in so many, so that the caches
/// of idle lcores cannot hold back what a busy one needs.
pub const CACHE_PART: usize = if cfg!(loom) { 2 } else { 8 };

/// Slots fetched from the shared free ring when an lcore's cache is empty: enough to spread the
/// cost of the ring, few enough that a refill brings no cold megabytes into the hot set.
pub const CACHE_REFILL: usize = if cfg!(loom) { 1 } else { 64 };

const _: () = assert!(CACHE_REFILL <= CACHE_SLOTS / 2);

/// Submission entries of an lcore's io_uring: operations queued between two enters.
pub const SQ_ENTRIES: u32 = 1024;

/// Completion entries: what one enter may bring before the kernel keeps an overflow list.
pub const CQ_ENTRIES: u32 = 8192;

/// Descriptors that one look at epoll tells of; those beyond come with the next.
pub const EPOLL_EVENTS: usize = 256;

/// Bytes that an lcore receives over epoll before it handles what it has: as much as io_uring has large slots
/// for, which the core's L2 cache holds.
pub const EPOLL_RX_BYTES: usize = RX_LARGE_SLOTS as usize * LARGE_SLOT_BYTES as usize;

/// As how many bytes each receive of datagrams counts at least: each takes a slot for a whole train, of which
/// no more are to be taken before some are handled than io_uring has.
pub const EPOLL_RX_DATAGRAM_BYTES: usize = EPOLL_RX_BYTES / RX_TRAIN_SLOTS as usize;

/// Bufs that one gathered send carries.
pub const GATHER_MAX: usize = 64;

/// Slots of 2 KiB that the kernel holds to receive into, per lcore. More than the core's L2 cache
/// holds makes receiving up to three times slower; fewer end receives early (ENOBUFS).
pub const RX_SLOTS: u16 = 256;

/// Part of a pool's slots that are never lent to receive into: one in so many, for the replies.
pub const RX_RESERVE_SHARE: usize = 8;

/// Part of what may be lent to receive into that is lent at a time: one in so many.
pub const RX_LENT_SHARE: usize = 4;

/// Slots of 16 KiB that the kernel holds to receive into, per lcore, for connections whose peers
/// send more than a small slot at a time.
pub const RX_LARGE_SLOTS: u16 = 32;

/// Receives in a row that filled their small slot before a connection receives into large ones.
pub const RX_FULL_MAX: u8 = 2;

/// Receives in a row that a small slot would have held before it goes back to those.
pub const RX_SPARSE_MAX: u8 = 16;

/// A pool is short of slots of a size when less than one in so many is left: more than what is never
/// lent to receive into, so that those who hold much are held back before others find none.
pub const POOL_SHORT_SHARE: u32 = 2;

const _: () = assert!((POOL_SHORT_SHARE as usize) < RX_RESERVE_SHARE);

/// It is not any more when so much more is left, one part in so many of a size; between the two, who is held back
/// stays so, since to hold back and to let go costs something for each connection.
pub const POOL_AMPLE_SHARE: u32 = 16;

/// While the pool is short, who was held back goes on when one in so many slots of what it may hold is free.
pub const SHARE_FREE_PART: u32 = 4;

/// Bytes of a small slot: one that the kernel receives into.
pub const SMALL_SLOT_BYTES: u32 = 2048;

/// Bytes of a large slot: a head that one small slot cannot hold.
pub const LARGE_SLOT_BYTES: u32 = HTTP_HEAD_BYTES_MAX;

/// Small slots for bufs that wait: received and not handled, or handled and not sent, per lcore.
pub const SMALL_SLOTS_IN_FLIGHT: u32 = 6144;

/// Small slots per lcore: one line per holder.
pub const SMALL_SLOTS: u32 = RX_SLOTS as u32 // lent to the kernel
    + SMALL_SLOTS_IN_FLIGHT                  // in receive and send queues
    + CACHE_SLOTS as u32; //                    in the lcore's cache

/// Fewest small slots per lcore that a configuration may ask for.
pub const SMALL_SLOTS_MIN: u32 = 16;

/// Fewest large slots per lcore that a configuration may ask for: a status report and a long head
/// beside those lent to the kernel.
pub const LARGE_SLOTS_MIN: u32 = 8;

/// Large slots per lcore.
pub const LARGE_SLOTS: u32 = 256;

/// Bytes of a slot that datagrams are received into: the kernel puts up to 64 KiB of them, of one peer, into
/// one, with its own words before them.
pub const TRAIN_SLOT_BYTES: u32 = 128 * 1024;

/// Most bytes of the datagrams in one such slot: what the length in a UDP header says.
pub const TRAIN_BYTES_MAX: usize = u16::MAX as usize;

/// Most datagrams of one size that the kernel takes in one send: UDP_MAX_SEGMENTS, which is 128 since Linux
/// 6.9, and was as much as this before.
pub const TRAIN_DATAGRAMS_MAX: usize = GATHER_MAX;

/// Slots that the kernel holds to receive datagrams into, per lcore, while each holds one or few.
pub const RX_TRAIN_SLOTS: u16 = 64;

/// The same while they come filled: as much as the core's L2 cache holds.
pub const RX_TRAIN_SLOTS_FULL: u16 = 4;

/// Bytes in one such slot from which it counts as filled.
pub const RX_TRAIN_FULL_BYTES: usize = 8 * 1024;

/// Slots for datagrams per lcore that has a listener for them: one line per holder.
pub const TRAIN_SLOTS: u32 = RX_TRAIN_SLOTS as u32 // lent to the kernel
    + 2 * RX_TRAIN_SLOTS as u32                    // received and not handled
    + RX_TRAIN_SLOTS as u32; //                       with handlers, and in send queues

/// Bytes that the kernel says before the datagrams in a slot: a head of 16, room for an address, and
/// [`DATAGRAM_CONTROL_BYTES`].
pub const DATAGRAM_HEAD_BYTES: usize = 16 + DATAGRAM_NAME_BYTES + DATAGRAM_CONTROL_BYTES;

/// Room for the address of a datagram's sender: a `sockaddr_in6` of 28, rounded up.
pub const DATAGRAM_NAME_BYTES: usize = 32;

/// Room for what is said of a datagram: where it was sent to (40), its ECN (24), the size of those in a
/// train (24) and how many were lost (24), and some to spare.
pub const DATAGRAM_CONTROL_BYTES: usize = 144;

const _: () = assert!(DATAGRAM_HEAD_BYTES + TRAIN_BYTES_MAX < TRAIN_SLOT_BYTES as usize);

/// Datagrams received and not handled, per listener, past which we stop receiving.
pub const RX_DATAGRAMS_HIGH: usize = 16 * BURST_MAX;

/// Slots of such, past which we do the same.
pub const RX_TRAINS_HIGH: usize = 2 * RX_TRAIN_SLOTS as usize;

/// Bytes of datagrams that the kernel is asked to keep for a listener while it is not received from; it gives
/// what net.core.rmem_max allows.
pub const DATAGRAM_RX_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// The same for what is sent, up to net.core.wmem_max.
pub const DATAGRAM_TX_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Sends to different peers that go to the kernel in one call.
pub const DATAGRAM_SENDS_MAX: usize = 64;

/// How long nothing may pass between a listener and a peer before it is forgotten, in nanoseconds, unless the
/// configuration says otherwise: what routers give a UDP mapping at least (RFC 4787 asks for two minutes,
/// many give half of one).
pub const PEER_IDLE_TIMEOUT_NS: u64 = 30_000_000_000;

/// Longest such timeout that a configuration may ask for, in milliseconds: a day.
pub const PEER_IDLE_TIMEOUT_MS_MAX: u64 = 86_400_000;

/// Peers that are forgotten at a time, before others get their turn: each is told of in the rx queue.
pub const PEER_EXPIRIES_MAX: usize = 256;

const _: () = assert!(PEER_EXPIRIES_MAX < RX_DATAGRAMS_HIGH);

/// Datagrams of one peer that wait while its handler does not hear it; past it they are dropped.
pub const PEER_HELD_DATAGRAMS: u16 = 16;

/// The same of all peers of a listener: each may hold a slot.
pub const PEERS_HELD_DATAGRAMS: usize = RX_TRAIN_SLOTS as usize;

/// Bytes of a block: a message of megabytes that has to be in one piece. Nothing is received into blocks;
/// handlers and attached processes write them.
pub const BLOCK_BYTES: u32 = SLOT_BYTES_MAX as u32;

/// Most blocks per lcore that a configuration may ask for: those of all lcores are one class.
pub const BLOCKS_MAX: u32 = 8192;

const _: () =
    assert!(LCORES_MAX as u64 * BLOCKS_MAX as u64 * BLOCK_BYTES as u64 <= CLASS_BYTES_MAX);

/// Bufs that one listener's connections queue to send, all together: sub-bufs of one slot each count,
/// so there are more of them than slots.
pub const TX_QUEUE_BUFS: usize = 4 * SMALL_SLOTS as usize;

/// Bytes queued on one connection past which we stop receiving from it until half are gone.
pub const TX_HIGH_BYTES: u32 = 256 * 1024;

/// Bufs queued on one connection, each of which may pin a slot, past which we do the same.
pub const TX_HIGH_BUFS: u32 = TX_HIGH_BYTES / SMALL_SLOT_BYTES;

/// Bytes queued for one peer of a datagram socket past which further ones are refused.
pub const TX_PUSHED_BYTES_MAX: u32 = 4 * TX_HIGH_BYTES;

/// Bufs queued for one such peer past which they are.
pub const TX_PUSHED_BUFS_MAX: u32 = 8 * TX_HIGH_BUFS;

/// Bufs received and not handled, per listener, past which we stop receiving.
pub const RX_QUEUE_HIGH: usize = 4 * BURST_MAX;

/// Bursts of one listener handled before the next listener gets its turn.
pub const BURSTS_PER_TURN: usize = 4;

/// Completions handled before the listeners get their turn.
pub const COMPLETIONS_PER_TURN: usize = 256;

/// Direct descriptors per lcore for connections that are handed over by other threads.
pub const ADOPTED_MAX: u32 = 256;

/// Descriptors of the process that connections leave alone where each of them is one: listeners, pools, the
/// control socket and its clients, files that are served.
pub const DESCRIPTORS_KEPT: u64 = 128;

/// How long a closing connection may take to close its side, in nanoseconds.
pub const LINGER_NS: u64 = 2_000_000_000;

/// How often a listener looks for connections whose peer takes nothing, in nanoseconds.
pub const STALL_SWEEP_NS: u64 = 1_000_000_000;

/// Sweeps that a send may last without progress before its connection is given up, unless the
/// listener's `write_timeout_ms` says otherwise.
pub const STALL_SWEEPS_MAX: u8 = 30;

/// Most sweeps that a listener may ask for: they are counted in 8 bits.
pub const STALL_SWEEPS_LIMIT: u8 = 250;

/// The same while the pool is empty: those who do not read must not starve those who do.
pub const STALL_SWEEPS_EMPTY_MAX: u8 = 2;

/// How often a listener's protocol looks for what has taken too long, in nanoseconds.
pub const PROTOCOL_TICK_NS: u64 = 1_000_000_000;

/// Accepts in flight, per listener on one lcore, where each connection's address is wanted: a
/// multishot accept has one place for all of them. Their number is the width of a set of 8 bits.
pub const ACCEPTS_IN_FLIGHT: usize = 8;

/// How long accepting pauses after a failure for want of resources, in nanoseconds.
pub const ACCEPT_RETRY_NS: u64 = 10_000_000;

/// Mails that wait for one lcore.
pub const MAILBOX_SLOTS: usize = if cfg!(loom) { 2 } else { 1024 };

/// Writes from other threads whose completion one lcore still owes.
pub const PENDING_WRITES_MAX: usize = 4096;

/// Most ports of one dataplane: the width of a set.
pub const PORTS_MAX: usize = 32;

/// Most descriptors beside the bytes of one send: the kernel's own bound (SCM_MAX_FD, unix(7)).
pub const PASSED_FDS_MAX: usize = 253;
