//! What an lcore counts. Each lcore writes its own counters and nobody else's, so counting is a
//! plain store; anyone may read. A number that belongs to one connection lives with the connection.

mod totals;

use crossbeam_utils::CachePadded;

pub use totals::Totals;

use crate::sync::{AtomicU64, Ordering};

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
    /// Calls of io_uring_enter(2).
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
}

impl Counter {
    /// All of them with their names in reports and JSON, in order of their index.
    pub const ALL: [(Self, &'static str); 32] = [
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
}

impl Reason {
    /// All of them with their names in reports and JSON, in order of their index.
    pub const ALL: [(Self, &'static str); 14] = [
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
    ];
}

/// The counters of one lcore.
#[derive(Debug, Default)]
pub struct LcoreCounters {
    values: CachePadded<[AtomicU64; Counter::ALL.len()]>,
    dropped: CachePadded<[AtomicU64; Reason::ALL.len()]>,
}

/// Adds to a cell that only the calling thread writes: a load and a store, nothing locked.
#[inline]
fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

impl LcoreCounters {
    /// Adds `n`. To be called by the lcore that the counters belong to.
    #[inline]
    pub fn add(&self, counter: Counter, n: u64) {
        add(&self.values[counter as usize], n);
    }

    /// Sets a counter that is kept elsewhere. To be called by the lcore that they belong to.
    #[inline]
    pub fn set(&self, counter: Counter, value: u64) {
        self.values[counter as usize].store(value, Ordering::Relaxed);
    }

    /// Counts one dropped buf. To be called by the lcore that the counters belong to.
    #[inline]
    pub fn drop_one(&self, reason: Reason) {
        add(&self.dropped[reason as usize], 1);
    }

    /// Reads a counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.values[counter as usize].load(Ordering::Relaxed)
    }

    /// Bufs dropped for `reason`.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize].load(Ordering::Relaxed)
    }
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
