//! What is counted: its names here, where the numbers lie in `cells`, in memory that others may look at in `segment`, and
//! what somebody who looks has of it in `observer` and [`snapshot`]. A number that belongs to one connection lives with the
//! connection.

mod cells;
mod doing;
pub mod histogram;
mod observer;
pub mod rates;
mod segment;
pub mod snapshot;
mod totals;

pub use cells::{Counters, LcoreBlock, ListenerBlock, Stage, StageCells, Verb};
pub use doing::{Doing, NO_CONN};
pub use observer::Observer;
pub use segment::{MAGIC, Segment, SegmentOptions, VERSION, next_path, path};
pub use totals::Totals;

/// One number that an lcore keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Passes of the poll loop.
    Rounds,
    /// Nanoseconds in passes that found work.
    BusyNs,
    /// Nanoseconds in passes that found none.
    IdleNs,
    /// Nanoseconds asleep in the kernel.
    SleepNs,
    /// Times it went to sleep.
    Sleeps,
    /// Calls of io_uring_enter(2) and of epoll_wait(2).
    Enters,
    /// Completions reaped.
    Completions,
    /// Connections accepted or adopted.
    Accepted,
    /// Connections closed.
    Closed,
    /// Bufs received.
    RxBufs,
    /// Bytes received.
    RxBytes,
    /// Bufs given to the kernel to send.
    TxBufs,
    /// Bytes sent.
    TxBytes,
    /// Send operations.
    Sends,
    /// Messages that reached a handler.
    Messages,
    /// Payload bytes that ringway copied between bufs.
    CopiedBytes,
    /// Header bytes copied because a head lay in two bufs.
    HeadBytesCopied,
    /// Times a stage had to wait for a free slot.
    PoolEmpty,
    /// Receives that ended because the kernel held no slot (ENOBUFS).
    RxStarved,
    /// Times a connection's receiving was stopped until its peer or we caught up.
    RxPaused,
    /// Sends that took only part of the bytes.
    ShortSends,
    /// Connections given up because their peer took nothing for too long.
    StalledPeers,
    /// Connections given up because a request, or the next one, took too long.
    Timeouts,
    /// Passes that found the completion queue overflowed.
    CqOverflows,
    /// Accepts that failed for want of descriptors or memory.
    AcceptFailures,
    /// Connections closed at once because their address has as many as it may.
    AddressFull,
    /// Connections closed at once because their user may not connect.
    PeersRefused,
    /// Mails from other threads.
    Mails,
    /// Connections and requests refused because no process was attached to their port.
    PortUnattended,
    /// Attached processes that were cut off because they broke a rule or took nothing.
    PortFaults,
    /// Peers forgotten because nothing had passed with them for too long.
    PeersExpired,
    /// Datagrams that the kernel lost because we were behind.
    RxLost,
    /// Peers whose place a newcomer got: they had not shown that they hear us.
    PeersDisplaced,
    /// Requests that failed with an error of the program's own.
    HandlerErrors,
    /// Requests, and connections of a protocol that took over from HTTP, whose handler panicked.
    HandlerPanics,
    /// Tasks that were given to the offload pool.
    Offloaded,
    /// Tasks refused because too many were under way.
    OffloadRefused,
    /// Of those given: done. Like the two below, counted by the pool's threads as well.
    OffloadDone,
    /// Dropped, or not wanted any more when they were done.
    OffloadCancelled,
    /// Ended by a panic.
    OffloadPanicked,
    /// Messages of groups that were sent to a member, or wait for one.
    GroupDeliveries,
    /// Messages that were written to a connection faster than its peer took them, and waited.
    WritesBacklogged,
    /// Connections given up because their peer took less than was written to it, as their policy says.
    SlowDisconnects,
    /// Receives that were armed again: the kernel had ended them, or we had.
    RxRearmed,
}

impl Counter {
    /// All of them with their names in reports and JSON, in order of their index.
    pub const ALL: [(Self, &'static str); 44] = [
        (Self::Rounds, "rounds"),
        (Self::BusyNs, "busy_ns"),
        (Self::IdleNs, "idle_ns"),
        (Self::SleepNs, "sleep_ns"),
        (Self::Sleeps, "sleeps"),
        (Self::Enters, "enters"),
        (Self::Completions, "completions"),
        (Self::Accepted, "accepted"),
        (Self::Closed, "closed"),
        (Self::RxBufs, "rx_bufs"),
        (Self::RxBytes, "rx_bytes"),
        (Self::TxBufs, "tx_bufs"),
        (Self::TxBytes, "tx_bytes"),
        (Self::Sends, "sends"),
        (Self::Messages, "messages"),
        (Self::CopiedBytes, "copied_bytes"),
        (Self::HeadBytesCopied, "head_bytes_copied"),
        (Self::PoolEmpty, "pool_empty"),
        (Self::RxStarved, "rx_starved"),
        (Self::RxPaused, "rx_paused"),
        (Self::ShortSends, "short_sends"),
        (Self::StalledPeers, "stalled_peers"),
        (Self::Timeouts, "timeouts"),
        (Self::CqOverflows, "cq_overflows"),
        (Self::AcceptFailures, "accept_failures"),
        (Self::AddressFull, "address_full"),
        (Self::PeersRefused, "peers_refused"),
        (Self::Mails, "mails"),
        (Self::PortUnattended, "port_unattended"),
        (Self::PortFaults, "port_faults"),
        (Self::PeersExpired, "peers_expired"),
        (Self::RxLost, "rx_lost"),
        (Self::PeersDisplaced, "peers_displaced"),
        (Self::HandlerErrors, "handler_errors"),
        (Self::HandlerPanics, "handler_panics"),
        (Self::Offloaded, "offloaded"),
        (Self::OffloadRefused, "offload_refused"),
        (Self::OffloadDone, "offload_done"),
        (Self::OffloadCancelled, "offload_cancelled"),
        (Self::OffloadPanicked, "offload_panicked"),
        (Self::GroupDeliveries, "group_deliveries"),
        (Self::WritesBacklogged, "writes_backlogged"),
        (Self::SlowDisconnects, "slow_disconnects"),
        (Self::RxRearmed, "rx_rearmed"),
    ];
}

/// Why a buf was dropped instead of passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Reason {
    /// Addressed to a connection that is gone.
    StaleConnection,
    /// Sent after the close of its connection was asked for.
    AfterClose,
    /// Waited to be sent when its connection was lost.
    Unsent,
    /// Received after our side had said its last.
    Lingering,
    /// Received for a connection that had ended.
    LateCompletion,
    /// Followed a fault of its protocol.
    Protocol,
    /// A request body that no handler asked for.
    NotWanted,
    /// Was under way when the lcore stopped.
    Shutdown,
    /// A datagram that was longer than there was room.
    Truncated,
    /// A datagram without bytes.
    EmptyDatagram,
    /// Came from a peer for which there was no room, or when no new ones were taken any more.
    PeerRefused,
    /// Came from a peer that the handler did not hear, and was more than is kept.
    PeerHeld,
    /// A datagram longer than its way takes.
    DatagramTooLong,
    /// A datagram that the system refused to send, for want of a way or of room.
    SendRefused,
    /// Written to a peer that takes too little, when as much waited for it as may.
    SlowNewest,
    /// Waited for such a peer for the longest time, and made room.
    SlowOldest,
    /// Written to a connection whose protocol has no place for it.
    NotAdmitted,
    /// A packet of a stream that its peer had not sealed, or not as the next.
    Forged,
    /// One that had been here, or that came too late for what it was a part of.
    Replayed,
    /// One of a channel that is not open.
    UnknownChannel,
    /// One of a message that does not decompress.
    Compression,
    /// A packet or a message of a stream past its bound.
    TooLarge,
}

impl Reason {
    /// All of them with their names in reports and JSON, in order of their index.
    pub const ALL: [(Self, &'static str); 22] = [
        (Self::StaleConnection, "stale_connection"),
        (Self::AfterClose, "after_close"),
        (Self::Unsent, "unsent"),
        (Self::Lingering, "lingering"),
        (Self::LateCompletion, "late_completion"),
        (Self::Protocol, "protocol"),
        (Self::NotWanted, "not_wanted"),
        (Self::Shutdown, "shutdown"),
        (Self::Truncated, "truncated"),
        (Self::EmptyDatagram, "empty_datagram"),
        (Self::PeerRefused, "peer_refused"),
        (Self::PeerHeld, "peer_held"),
        (Self::DatagramTooLong, "datagram_too_long"),
        (Self::SendRefused, "send_refused"),
        (Self::SlowNewest, "slow_newest"),
        (Self::SlowOldest, "slow_oldest"),
        (Self::NotAdmitted, "not_admitted"),
        (Self::Forged, "forged"),
        (Self::Replayed, "replayed"),
        (Self::UnknownChannel, "unknown_channel"),
        (Self::Compression, "compression"),
        (Self::TooLarge, "too_large"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_at_its_index_and_is_its_own() {
        let mut names = Vec::new();
        for (index, (counter, name)) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, index);
            names.push(name);
        }
        for (index, (reason, name)) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            names.push(name);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
