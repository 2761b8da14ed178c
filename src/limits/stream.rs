//! Multiplexed streams: of their wire, of a listener's chain, and of programs.

use super::{BURST_MAX, HTTP_BODY_BYTES_MAX, LARGE_SLOT_BYTES, SMALL_SLOT_BYTES};

/// Bufs that a service of streams may say to one thing that it hears.
pub const STREAM_SAID_MAX: usize = 8;

/// Large slots per lcore where a listener is for streams, unless the configuration says otherwise: windows of packets
/// that large come to wait at once.
pub const STREAM_LARGE_SLOTS: u32 = 1024;

/// Messages of one listener's streams that wait for credit of their peers.
pub const STREAM_WAITING_BUFS: usize = 16_384;

/// The same of one channel from which on its peer gets no credit on it, at most.
pub const STREAM_BACKLOG_HIGH_BUFS: u32 = 32;

/// That is one in so many of the packets that the peer may have under way on it, where these are few.
pub const STREAM_BACKLOG_PART: u32 = 4;

/// The same of one stream past which it is cut off: its handler says more than the peer hears.
pub const STREAM_BACKLOG_BUFS_MAX: u32 = 4096;

// Whoever echoes all windows of batches that the usual pool has room for, to a peer that sends first and reads then, is
// not cut off.
const _: () = assert!(
    STREAM_LARGE_SLOTS / STREAM_WAITING_SHARE * STREAM_BATCH_MESSAGES_MAX as u32
        <= STREAM_BACKLOG_BUFS_MAX
);

/// While the pool is short of slots, messages of one listener's streams that wait for credit may hold one in so
/// many of an lcore's, and so may compressed ones that wait for their rest.
pub const STREAM_WAITING_SHARE: u32 = 4;

/// How long a compressed message that is larger than a large slot may wait for a block, in nanoseconds: its session
/// hears nothing of its peer meanwhile, which asks after 3 s and has given it up after 12.
pub const STREAM_SLOT_WAIT_NS: u64 = 5_000_000_000;

/// How often it is tried in that time, in nanoseconds: what gives blocks back tells nobody.
pub const STREAM_SLOT_RETRY_NS: u64 = 1_000_000;

const _: () =
    assert!(STREAM_SLOT_WAIT_NS < STREAM_KEEPALIVE_NS * (1 + STREAM_KEEPALIVES_MAX as u64));

/// Longest message that is put together with others in one slot: to copy so many bytes costs less than a buf
/// of their own on the way to the kernel.
pub const STREAM_PACK_BYTES_MAX: usize = 256;

/// Messages that share a packet at most: with so many a seal costs each no more than the copy of its bytes, and a
/// burst has room for what some packets bring.
pub const STREAM_BATCH_MESSAGES_MAX: usize = 16;

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

/// The same where there are so many channels that their windows would be more than may wait: enough that small
/// messages go on while credit is under way.
pub const STREAM_WINDOW_PACKETS_MIN: u32 = 8;

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

/// Bytes of a file that one message carries over a byte stream: it is one packet, and no larger than what a listener takes
/// whose pool has no slot above the large ones.
pub const STREAM_FILE_CHUNK_BYTES: usize = 16_000;

const _: () = assert!(STREAM_FILE_CHUNK_BYTES + 384 <= STREAM_PACKET_BYTES_MAX);

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

/// How long whoever gets a file waits for another transfer of it to end, in nanoseconds: over datagrams it takes
/// two keepalives' worth of periods to know that the sender before was killed. The sender now waits longer.
pub const STREAM_FILE_TAKEN_NS: u64 = 20_000_000_000;

const _: () = assert!(
    2 * STREAM_KEEPALIVES_MAX as u64 * STREAM_KEEPALIVE_NS < STREAM_FILE_TAKEN_NS
        && STREAM_FILE_TAKEN_NS < STREAM_FILE_TIMEOUT_NS
);

/// Streams of a pool unless it is told otherwise, each with a thread.
pub const STREAM_POOL_STREAMS_MAX: usize = 64;

/// How long no message may move on a stream of a pool before it is closed, in nanoseconds, unless the pool
/// is told otherwise: connecting again takes a few milliseconds.
pub const STREAM_POOL_IDLE_NS: u64 = 60_000_000_000;
