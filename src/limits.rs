//! Every bound of the dataplane: its unit in its name, its reason beside it, and the relations
//! between bounds asserted at compile time.
//!
//! A loom model explores every interleaving, so the bounds that it must reach are tiny under loom.

/// Most bufs in one burst: large enough to spread the cost of a stage over its messages, small
/// enough that the four bursts of a listener stay in L1 (4 × 64 × 32 bytes = 8 KiB).
pub const BURST_MAX: usize = 64;

/// Most lcores in one process, and so the number of per-lcore caches a mempool carries.
pub const LCORES_MAX: usize = if cfg!(loom) { 2 } else { 64 };

/// Most listeners on one lcore: their index is 6 bits of a completion's token and one bit of the
/// work mask.
pub const LISTENERS_MAX: usize = 32;

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

/// Bufs that one gathered send carries.
pub const GATHER_MAX: usize = 64;

/// Longest HTTP/1 request target: the length RFC 9112 §3 asks every recipient to support for a
/// request line. Past it the answer is 414.
pub const HTTP_TARGET_BYTES_MAX: u32 = 8_000;

/// Longest HTTP/1 method: twice the longest registered one (`UPDATEREDIRECTREF`), rounded down to a
/// power of two. Past it the answer is 501, as for a method nobody implements.
pub const HTTP_METHOD_BYTES_MAX: u32 = 32;

/// Longest HTTP/1 head, from the request line through the blank line: one full target and as much
/// again for the fields, which is what common servers and proxies allow.
pub const HTTP_HEAD_BYTES_MAX: u32 = 16 * 1024;

/// Most header fields in one HTTP/1 head: browsers send 10 to 20, proxies add a handful. Each costs
/// whoever looks one up a walk past it.
pub const HTTP_HEADERS_MAX: usize = 64;

/// Largest HTTP/1 request body unless the configuration says otherwise.
pub const HTTP_BODY_BYTES_MAX: u64 = 1024 * 1024;

/// Most octets of chunk extensions in one chunked body. They are read past and carry nothing, so
/// what RFC 9112 §7.1.1 asks for is a bound on their sum.
pub const HTTP_CHUNK_EXTENSION_BYTES_MAX: u32 = 4 * 1024;

/// Most octets of trailer fields after a chunked body: whoever wants them joins their pieces in one
/// buffer, so they get less room than a head.
pub const HTTP_TRAILER_BYTES_MAX: u32 = 4 * 1024;

const _: () = assert!(HTTP_TARGET_BYTES_MAX + HTTP_METHOD_BYTES_MAX < HTTP_HEAD_BYTES_MAX);

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

/// Bytes queued on one connection past which writes of other threads to it are refused.
pub const TX_PUSHED_BYTES_MAX: u32 = 4 * TX_HIGH_BYTES;

/// Bufs queued on one connection past which writes of other threads to it are refused.
pub const TX_PUSHED_BUFS_MAX: u32 = 8 * TX_HIGH_BUFS;

/// Bufs received and not handled, per listener, past which we stop receiving.
pub const RX_QUEUE_HIGH: usize = 4 * BURST_MAX;

/// Bursts of one listener handled before the next listener gets its turn.
pub const BURSTS_PER_TURN: usize = 4;

/// Completions handled before the listeners get their turn.
pub const COMPLETIONS_PER_TURN: usize = 256;

/// Direct descriptors per lcore for connections that are handed over by other threads.
pub const ADOPTED_MAX: u32 = 256;

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

/// How long the head of a request may take to arrive, in nanoseconds, unless the configuration says
/// otherwise: ten times what a bad line needs.
pub const HTTP_HEAD_TIMEOUT_NS: u64 = 20_000_000_000;

/// How long nothing of a body may arrive, in nanoseconds: what common servers allow. A peer that
/// reads its response slowly while it sends is held up by us for as long as that.
pub const HTTP_BODY_TIMEOUT_NS: u64 = 60_000_000_000;

/// How long a connection may wait for its next request, in nanoseconds: what common servers allow.
pub const HTTP_KEEP_ALIVE_TIMEOUT_NS: u64 = 75_000_000_000;

/// Longest such timeout that a configuration may ask for, in milliseconds: a day, far below the 52
/// days that a session can tell apart.
pub const HTTP_TIMEOUT_MS_MAX: u64 = 86_400_000;

/// Messages of one listener that wait behind responses that are not whole, or for a slot; the
/// connection that one more comes from is closed.
pub const HTTP_HELD_BUFS: usize = 16 * 1024;

/// What came on connections that the handler wants nothing more from, or is part of something that
/// waits for a slot, per listener: each holds a slot of its own, and there are fewer of those.
pub const HTTP_WAITING_BUFS: usize = 8192;

const _: () = assert!(HTTP_WAITING_BUFS >= (SMALL_SLOTS + LARGE_SLOTS) as usize);

/// The same of one connection past which it is not received from.
pub const HTTP_HELD_BUFS_MAX: u32 = 16;

/// Bytes of a streamed body that are made at a time; as many again may be under way.
pub const HTTP_PULL_BYTES: usize = 64 * 1024;

/// Parts of a streamed body that are made at a time.
pub const HTTP_PULL_PARTS_MAX: usize = 16;

const _: () = assert!(2 * HTTP_PULL_BYTES <= TX_HIGH_BYTES as usize);

/// Part of an lcore's slots that unfinished heads may hold: one in so many.
pub const HTTP_STASHES_SHARE: u32 = 4;

/// The same of its large slots: half of those that are never lent, so that long replies find some.
pub const HTTP_LARGE_STASHES_SHARE: u32 = 2 * RX_RESERVE_SHARE as u32;

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

/// Largest head of a response: status line, fixed fields, and the handler's own, without lines that
/// were put together at run time: a slot is found for those.
pub const HTTP_REPLY_HEAD_BYTES_MAX: usize = 512;

/// Descriptors in each ring of a port: a power of two.
pub const PORT_RING_SLOTS: usize = 1024;

/// Slots of each size (small, large, those of datagrams, blocks) that one queue of a port may hold, messages
/// and supplies together: what it keeps from others when its process stops, and the slots of an isolated
/// queue, which has none of the last two.
pub const PORT_LOANS: [u32; 4] = [448, 40, 16, 8];

/// The same as a part of the pool's: one in so many, where that is more than [`PORT_LOANS_MIN`].
pub const PORT_LOANS_SHARE: u32 = 4;

/// What the queues of all ports may hold together is one in so many of the pool's slots: processes that
/// stop keep the rest from nobody.
pub const PORT_LOANS_SUM_SHARE: u32 = 2;

/// What waits of or for the process at one port may hold one in so many of an lcore's slots, over all
/// ports together, while the pool is short of them: at each of three places (for the process, of it, and
/// for its peers), so that what ports hold, loans too, leaves others an eighth.
pub const PORT_WAITING_SHARE: u32 = 8;

const _: () = assert!(
    1.0 / PORT_LOANS_SUM_SHARE as f32 + 3.0 / PORT_WAITING_SHARE as f32
        <= 1.0 - 1.0 / RX_RESERVE_SHARE as f32
);

/// Slots of a size that a queue may hold however few there are: one with a message, and an empty one.
pub const PORT_LOANS_MIN: u32 = 2;

/// Empty slots of each size that are kept with the attached process, for what it has to say.
pub const PORT_SUPPLIES: [u32; 4] = [64, 8, 0, 2];

// A marker for each message still finds room behind all that has slots.
const _: () = assert!(
    2 * (PORT_LOANS[0] + PORT_LOANS[1] + PORT_LOANS[2] + PORT_LOANS[3]) <= PORT_RING_SLOTS as u32
);

/// Descriptors of one queue that an lcore looks at before others get their turn: what an attached
/// process says for nobody must not hold them up.
pub const PORT_TURN_DESCRIPTORS: u32 = 256;

/// Descriptors that an end of a queue fetches at a time: as many lines of memory as a core has under way
/// at once, and some.
pub const PORT_FETCH: usize = 32;

/// Bufs that an attached process may have sent on one connection and that are not out yet.
pub const PORT_WINDOW_BUFS: u32 = 128;

/// Connections that attached processes may have open on one lcore, all listeners of theirs together: a
/// process needs one for each thing that it does at a time, and each takes a place of the file table.
pub const PORT_CONNECTIONS_MAX: u32 = 1024;

/// Connections that a process wants while there is no slot for them, per listener; what it wants beyond
/// is refused.
pub const PORT_OPENS_WAITING_MAX: usize = 256;

/// Requests of one connection that an attached process may have beside the one whose turn it is: a peer
/// that sends more at a time waits for answers as well.
pub const PORT_AHEAD_MAX: u32 = 32;

/// The same of all connections of a listener on one lcore: some times as many as a ring has places.
pub const PORT_AHEAD_ALL: usize = 4 * PORT_RING_SLOTS;

/// Longest name of a port in bytes.
pub const PORT_NAME_BYTES_MAX: usize = 32;

/// Most ports of one dataplane: the width of a set.
pub const PORTS_MAX: usize = 32;

/// What came on connections that wait for a process to attach, per listener.
pub const PORT_PARKED_BUFS: usize = 4096;

/// How long an attached process may take nothing while something waits for it, in nanoseconds, unless
/// the configuration says otherwise: many times what a process is ever kept from running.
pub const PORT_STALL_NS: u64 = 10_000_000_000;

/// Messages of one listener's streams that wait for credit of their peers.
pub const STREAM_WAITING_BUFS: usize = 8192;

/// The same of one stream from which on its peer gets no credit itself.
pub const STREAM_BACKLOG_HIGH_BUFS: u32 = 32;

/// The same of one stream past which it is cut off: its handler says more than the peer hears.
pub const STREAM_BACKLOG_BUFS_MAX: u32 = 1024;

/// While the pool is short of slots, messages of one listener's streams that wait for credit may hold one in so
/// many of an lcore's, and so may compressed ones that wait for their rest.
pub const STREAM_WAITING_SHARE: u32 = 8;

/// Longest message that is put together with others in one slot: to copy so many bytes costs less than a buf
/// of their own on the way to the kernel.
pub const STREAM_PACK_BYTES_MAX: usize = 256;

/// Longest request for a stream that begins as HTTP: it has to fit a small slot.
pub const STREAM_UPGRADE_BYTES_MAX: usize = SMALL_SLOT_BYTES as usize;

/// Streams of one listener over datagrams that may be in the middle of their handshake before others are
/// asked to show that they are where they say.
pub const STREAM_GREETINGS_HIGH: usize = 64;

/// Messages in pieces that an echo of streams puts together at a time.
pub const STREAM_ECHOES_MAX: usize = 64;

/// Sessions of streams that an lcore tells of in one call: it looks at each, which may be a cache miss or
/// ten, and serves nobody meanwhile.
pub const STREAM_SESSIONS_A_CALL: usize = 64;

/// Sessions that one answer lists, over all lcores: as many lines as a person looks through.
pub const STREAM_SESSIONS_LISTED_MAX: usize = 1024;

/// Channels that one answer lists.
pub const STREAM_CHANNELS_DUMPED_MAX: usize = STREAM_CHANNELS_MAX;

/// Packets and events that are kept of a session that is traced.
pub const STREAM_TRACE_LINES: usize = 256;

/// Sessions of one listener on one lcore that are traced at a time: each has some 15 KiB of the heap.
pub const STREAM_TRACES_MAX: usize = 16;

/// How long an lcore may take to answer what the control socket asks, in nanoseconds, before it is said to be
/// busy. A pass takes microseconds, and a handler that computes milliseconds.
pub const LCORE_ANSWER_NS: u64 = 1_000_000_000;

/// Longest command of the line protocol, with the newline that ends it.
pub const IPC_COMMAND_BYTES_MAX: usize = 4096;

/// How long a command of the line protocol may take to arrive, in nanoseconds, unless the
/// configuration says otherwise: a program writes it at once, and a person has typed it before.
pub const IPC_COMMAND_TIMEOUT_NS: u64 = 10_000_000_000;

/// Most bytes of a reply that its service writes before any is sent. A longer one is streamed.
pub const IPC_REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Room for replies that an lcore keeps from one to the next.
pub const IPC_REPLY_KEPT_BYTES: usize = 64 * 1024;

/// Bytes of a reply that are made at a time; as many again may be under way.
pub const IPC_PULL_BYTES: usize = 64 * 1024;

/// Parts of a streamed reply that are made at a time.
pub const IPC_PULL_PARTS_MAX: usize = 16;

const _: () = assert!(2 * IPC_PULL_BYTES <= TX_HIGH_BYTES as usize);

/// Connections that an IPC server works on at a time unless it is told otherwise, each on a thread
/// of its own; further clients wait in the kernel's backlog.
pub const IPC_CONNECTIONS_MAX: usize = 64;

/// How long a client may take nothing of its reply, in nanoseconds, unless the server is told
/// otherwise.
pub const IPC_REPLY_TIMEOUT_NS: u64 = 30_000_000_000;

/// How long replies may go on once their server stops, in nanoseconds.
pub const IPC_STOP_GRACE_NS: u64 = 1_000_000_000;

/// How often a server that has nothing to do looks whether its file is still there, in nanoseconds;
/// also how long it waits where it has no descriptors left for a client.
pub const IPC_FILE_CHECK_NS: u64 = 200_000_000;

/// Most descriptors beside the bytes of one send: the kernel's own bound (SCM_MAX_FD, unix(7)).
pub const PASSED_FDS_MAX: usize = 253;

/// Permissions of an instance's control socket: it stops the instance, so it is this user's alone.
pub const CONTROL_MODE: u32 = 0o600;

/// Commands that one instance's control socket works on at a time: operators and scripts.
pub const CONTROL_CONNECTIONS_MAX: usize = 16;

/// Times that a starting instance makes its directory before it gives up: one of the same name that
/// ends takes it along.
pub const CONTROL_PLACE_TRIES_MAX: u32 = 10;

/// How long an attached process may take to begin its answer to a request, in nanoseconds, unless the
/// configuration says otherwise: what common proxies allow.
pub const PORT_ANSWER_TIMEOUT_NS: u64 = 60_000_000_000;

/// Largest packet of a stream with its header: it fits a large slot, so that it can be decrypted where
/// it was received.
pub const STREAM_PACKET_BYTES_MAX: usize = 16 * 1024;

const _: () = assert!(STREAM_PACKET_BYTES_MAX <= LARGE_SLOT_BYTES as usize);

/// Largest packet that a stream puts into a datagram unless the configuration says otherwise: with the
/// headers below it, it passes through an Ethernet that carries a tunnel.
pub const STREAM_DATAGRAM_BYTES: usize = 1400;

/// Smallest packets that a configuration may ask for: a control packet with the longest text is one.
pub const STREAM_PACKET_BYTES_MIN: usize = 512;

/// Largest message of a stream, fragments together or decompressed, unless the configuration says
/// otherwise: that of an HTTP body.
pub const STREAM_MESSAGE_BYTES_MAX: u32 = HTTP_BODY_BYTES_MAX as u32;

/// Channels of one session that may be open at a time unless the configuration says otherwise.
pub const STREAM_CHANNELS_MAX: usize = 256;

/// Most channels that a configuration may ask for: each end has so many odd or even numbers.
pub const STREAM_CHANNELS_LIMIT: usize = 1 << 15;

const _: () = assert!(STREAM_CHANNELS_MAX <= STREAM_CHANNELS_LIMIT);

/// Packets that may be under way or wait for the application on one channel unless the configuration
/// says otherwise: a burst.
pub const STREAM_WINDOW_PACKETS: u32 = BURST_MAX as u32;

/// Most such packets that a configuration may ask for: far below the 2³¹ that numbers can be apart.
pub const STREAM_WINDOW_PACKETS_MAX: u32 = 1 << 20;

/// Packets of a channel after which its sender takes a new key: 2⁴⁰ blocks at most, far below what a key
/// of AES-GCM stands (NIST SP 800-38D §8.3, RFC 8446 §5.5).
pub const STREAM_REKEY_PACKETS: u64 = 1 << 24;

/// Bytes that an unauthenticated peer may send in all: one handshake has fewer than 400.
pub const STREAM_HANDSHAKE_BYTES_MAX: usize = 1024;

/// The same where it repeats what was lost, and the network doubles it: five HELLOs and five AUTHs, twice.
pub const STREAM_HANDSHAKE_DATAGRAM_BYTES_MAX: usize = 4096;

/// How long a handshake may take, in nanoseconds, unless the configuration says otherwise: some times
/// what the slowest network needs.
pub const STREAM_HANDSHAKE_TIMEOUT_NS: u64 = 5_000_000_000;

/// How long to wait for an answer before a datagram is repeated, in nanoseconds: more than most round
/// trips. It doubles each time.
pub const STREAM_REPEAT_NS: u64 = 250_000_000;

/// Times that the same part of a handshake is sent: the last is still answered within its time.
pub const STREAM_HANDSHAKE_TRIES_MAX: u32 = 5;

const _: () = assert!(
    STREAM_REPEAT_NS * ((1 << (STREAM_HANDSHAKE_TRIES_MAX - 1)) - 1) < STREAM_HANDSHAKE_TIMEOUT_NS
);

/// Doublings of that wait for what is repeated until it is answered: 4 s.
pub const STREAM_REPEAT_DOUBLINGS_MAX: u32 = 4;

/// How long a sender without credit waits before it asks again over datagrams, in nanoseconds.
pub const STREAM_BLOCKED_REPEAT_NS: u64 = 100_000_000;

/// How long a stream may be silent before its peer is asked whether it is there, in nanoseconds, unless
/// the configuration says otherwise.
pub const STREAM_KEEPALIVE_NS: u64 = 3_000_000_000;

/// Times that it is asked, a period apart, before the stream is given up.
pub const STREAM_KEEPALIVES_MAX: u32 = 3;

/// Periods after the last ping, traffic or not, until another measures the round trip.
pub const STREAM_MEASURE_PERIODS: u64 = 10;
const _: () = assert!(STREAM_MEASURE_PERIODS > STREAM_KEEPALIVES_MAX as u64);

/// Longest text of a CLOSE or ERROR packet: a line for a person.
pub const STREAM_TEXT_BYTES_MAX: usize = 256;

/// Times that a CLOSE is sent over datagrams.
pub const STREAM_CLOSE_TRIES_MAX: u32 = 3;

/// How long the peer may go on sending what it had after a CLOSE, in nanoseconds, unless the
/// configuration says otherwise.
pub const STREAM_CLOSE_TIMEOUT_NS: u64 = 5_000_000_000;

/// Answers to a peer's control packets that wait to be sent: one for each packet of a burst.
pub const STREAM_ANSWERS_MAX: usize = BURST_MAX;

/// Buckets of a histogram of round trips: powers of two of a microsecond, the last from 18 minutes on.
pub const STREAM_RTT_BUCKETS: usize = 32;

/// RETRYs that the initiator of a stream's handshake heeds: one, and another where its cookie's time was
/// just over.
pub const STREAM_RETRIES_MAX: usize = 2;

/// How long a responder makes the same cookie for a peer, in nanoseconds; it holds for as long again. An
/// initiator answers within a round trip.
pub const STREAM_COOKIE_SLOT_NS: u64 = 5_000_000_000;

/// Bytes that wait in a stream's driver for its connection to take them, past which it makes no more: a
/// burst of the largest packets.
pub const STREAM_OUTBOX_BYTES: usize = 256 * 1024;

/// Bytes of messages that a program has sent on one channel and that have no credit yet, past which it
/// waits; a longer message waits alone.
pub const STREAM_SEND_BYTES: usize = 256 * 1024;

/// Messages of the same, so that small ones cost no more than large ones.
pub const STREAM_SEND_MESSAGES: usize = 1024;

/// Bytes that a stream's driver reads before the program and the other direction get their turn.
pub const STREAM_READ_TURN_BYTES: usize = 256 * 1024;

/// Room that a driver reads into: some of the largest packets.
pub const STREAM_READ_BYTES: usize = 4 * STREAM_PACKET_BYTES_MAX;

/// How long a driver whose stream is over waits for its peer to take the last words, in nanoseconds.
pub const STREAM_LINGER_NS: u64 = 1_000_000_000;

/// Peers of a listener that have connected and were not accepted by the program, each with a thread:
/// further ones wait in the kernel's backlog, and over datagrams have to say HELLO again.
pub const STREAM_UNACCEPTED_MAX: usize = 64;

/// Handshakes of a listener over datagrams under way from which on a peer has to show that it is where
/// it says it is.
pub const STREAM_COOKIES_FROM: usize = 8;

const _: () = assert!(STREAM_COOKIES_FROM < STREAM_UNACCEPTED_MAX);

/// Datagrams of one peer that wait for its stream's driver; those beyond are lost, as they are in a full
/// socket.
pub const STREAM_HUB_DATAGRAMS: usize = 512;

/// Messages of a stream below this many bytes are never compressed: their block saves hardly more than
/// the size before it takes.
pub const STREAM_COMPRESS_BYTES_MIN: usize = 128;

/// A compressed message is sent where it is smaller by at least one in so many bytes: less is not worth
/// what the other end does for it.
pub const STREAM_COMPRESS_SAVING_SHARE: usize = 16;

/// What saving a byte may take, in nanoseconds, unless the channel says otherwise: what a link of
/// 1 Gbit/s takes to carry it.
pub const STREAM_COMPRESS_NS_PER_BYTE_MAX: u64 = 8;

/// Messages, and bytes, after which it is decided anew whether compressing pays on a channel: some, so
/// that one odd message decides nothing.
pub const STREAM_COMPRESS_WINDOW: (u32, u64) = (8, 256 * 1024);

/// Bytes of a long message that are tried first while it is not known whether compressing pays.
pub const STREAM_COMPRESS_SAMPLE_BYTES: usize = 32 * 1024;

/// Bytes that go plain for each that was compressed in vain: at first, and at most after doubling.
/// Noise is compressed at some 8 GB/s and what is just not worth it at 0.5 GB/s; where a stream sends
/// plain at 4 GB/s, that is 0.8 % of its time at first, and 0.8 % for the worst in the long run.
pub const STREAM_COMPRESS_REST_MIN: u64 = 64;
/// See [`STREAM_COMPRESS_REST_MIN`].
pub const STREAM_COMPRESS_REST_MAX: u64 = 1024;

/// Names that a first-use policy pins; a stranger past it is refused. Each takes some 100 bytes.
pub const STREAM_PINS_MAX: usize = 65_536;

/// Longest such name in bytes: a host name (RFC 1035 §2.3.4) and a port.
pub const STREAM_PIN_NAME_BYTES_MAX: usize = 261;

/// Longest list of known nodes in a file: some ten thousand.
pub const STREAM_LIST_BYTES_MAX: u64 = 1024 * 1024;

/// Longest identity file: two lines, and some that people add.
pub const STREAM_IDENTITY_FILE_BYTES_MAX: usize = 4096;

/// Longest name of a file that goes over a stream, in bytes.
pub const STREAM_FILE_NAME_BYTES_MAX: usize = 1024;

/// Bytes of a file in one message over a byte stream: some packets, so that what is said of each costs
/// nothing.
pub const STREAM_FILE_CHUNK_BYTES: usize = 64 * 1024;

/// The same over datagrams: with all headers it fits one, so that no more is lost than was lost.
pub const STREAM_FILE_DATAGRAM_BYTES: usize = 1200;

const _: () = assert!(STREAM_FILE_DATAGRAM_BYTES + 64 <= STREAM_DATAGRAM_BYTES);

/// Bytes of a file that go before the receiver has said that they are written, over a byte stream: more
/// than a fast network carries in a round trip.
pub const STREAM_FILE_WINDOW_BYTES: u64 = 8 * 1024 * 1024;

/// The same over datagrams, where what is too much is lost.
pub const STREAM_FILE_DATAGRAM_WINDOW_BYTES: u64 = 64 * 1024;

/// How long nothing may move of a file over datagrams before the sender goes back to what is written, in
/// nanoseconds.
pub const STREAM_FILE_REPEAT_NS: u64 = 250_000_000;

/// How long nothing may move of a file before the transfer is given up, in nanoseconds.
pub const STREAM_FILE_TIMEOUT_NS: u64 = 30_000_000_000;

/// Streams of a pool unless it is told otherwise, each with a thread.
pub const STREAM_POOL_STREAMS_MAX: usize = 64;

/// How long no message may move on a stream of a pool before it is closed, in nanoseconds, unless the pool
/// is told otherwise: connecting again takes a few milliseconds.
pub const STREAM_POOL_IDLE_NS: u64 = 60_000_000_000;
