//! What the counters and the reasons for drops mean, in a sentence each: for `/metrics` and for the dashboard.

use serde_json::{Map, Value, json};

/// Counters by their names; see [`Counter`](crate::counters::Counter).
const COUNTERS: &[(&str, &str)] = &[
    ("rounds", "Passes of the poll loop."),
    ("sleeps", "Times it went to sleep."),
    ("enters", "Calls of io_uring_enter(2) and epoll_wait(2)."),
    ("completions", "Completions of the io_uring, or of what epoll found ready."),
    ("accepted", "Connections accepted or adopted."),
    ("closed", "Connections closed."),
    ("rx_bufs", "Bufs received."),
    ("rx_bytes", "Bytes received."),
    ("tx_bufs", "Bufs given to the kernel to send."),
    ("tx_bytes", "Bytes sent."),
    ("sends", "Send operations."),
    ("messages", "Messages that reached a handler."),
    ("copied_bytes", "Payload bytes that were copied between bufs."),
    ("head_bytes_copied", "Header bytes copied because a head lay in two bufs."),
    ("pool_empty", "Times a stage had to wait for a free slot."),
    ("rx_starved", "Receives that ended because the kernel held no slot (ENOBUFS)."),
    ("rx_paused", "Times a connection's receiving was stopped until somebody caught up."),
    ("short_sends", "Sends that took only part of the bytes."),
    ("stalled_peers", "Connections given up because their peer took nothing for too long."),
    ("timeouts", "Connections given up because a request, or the next one, took too long."),
    ("cq_overflows", "Passes that found the completion queue overflowed."),
    ("accept_failures", "Accepts that failed for want of descriptors or memory."),
    ("address_full", "Connections closed at once because their address has as many as it may."),
    ("peers_refused", "Connections closed at once because their user may not connect."),
    ("mails", "Mails from other threads."),
    ("port_unattended", "Connections and requests refused because no process was at their port."),
    ("port_faults", "Attached processes cut off because they broke a rule or took nothing."),
    ("peers_expired", "Peers forgotten because nothing had passed with them for too long."),
    ("rx_lost", "Datagrams that the kernel lost because the lcore was behind."),
    ("peers_displaced", "Peers whose place a newcomer got."),
    ("handler_errors", "Requests that failed with an error of the program's own."),
    ("handler_panics", "Requests whose handler panicked."),
    ("offloaded", "Tasks given to the offload pool."),
    ("offload_refused", "Tasks refused because too many were under way."),
    ("offload_done", "Tasks that the offload pool has done."),
    ("offload_cancelled", "Tasks dropped, or not wanted any more when they were done."),
    ("offload_panicked", "Tasks that ended by a panic."),
    ("group_deliveries", "Messages of groups that were sent to a member, or wait for one."),
    ("writes_backlogged", "Messages written to a connection faster than its peer took them."),
    ("slow_disconnects", "Connections given up because their peer took less than was written."),
    ("rx_rearmed", "Receives that were armed again: the kernel had ended them, or we had."),
];

/// Reasons by their names: see [`Reason`](crate::counters::Reason). Why it happens, and where there is something to do
/// about it, what.
const REASONS: &[(&str, &str)] = &[
    (
        "stale_connection",
        "Addressed to a connection that was gone by then: normal where clients close early.",
    ),
    ("after_close", "Sent by a handler behind the close of the same connection."),
    (
        "unsent",
        "Waited to be sent when its connection was lost: the client went away before it had its answer.",
    ),
    (
        "lingering",
        "Received after our side had said its last: a client went on sending behind the end.",
    ),
    ("late_completion", "Received for a connection that had ended in the same moment."),
    (
        "protocol",
        "Followed a broken rule of its protocol: look for a faulty client, or for an attack.",
    ),
    ("not_wanted", "The body of a request that no handler asked for."),
    ("shutdown", "Was under way when the lcore stopped."),
    (
        "truncated",
        "A datagram longer than there was room: a peer sends more than the protocol allows.",
    ),
    ("empty_datagram", "A datagram without bytes."),
    ("peer_refused", "From a new peer for which there was no room: raise max_connections."),
    ("peer_held", "From a peer that the handler does not listen to yet, and more than is kept."),
    ("datagram_too_long", "A datagram longer than its way takes: lower max_datagram_bytes."),
    ("send_refused", "A datagram that the system refused to send, for want of a route or of room."),
    ("slow_newest", "Written to a peer that takes too little, when as much waited as may."),
    (
        "slow_oldest",
        "Had waited longest for a peer that takes too little, and made room for newer.",
    ),
    ("not_admitted", "Written to a connection whose protocol had no place for it at that moment."),
    (
        "forged",
        "A packet of a stream that its peer had not sealed: somebody on the way changes packets, or sends some.",
    ),
    (
        "replayed",
        "A packet of a stream that had been here or came too late: usual where datagrams are doubled or overtaken.",
    ),
    (
        "unknown_channel",
        "A packet of a channel that is not open: usual for a moment when one closes.",
    ),
    ("compression", "A message of a stream that does not decompress: look for a faulty peer."),
    ("too_large", "A packet or a message of a stream past its bound: see max_message_bytes."),
];

fn of(words: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    words.iter().find(|(there, _)| *there == name).map(|(_, help)| *help)
}

/// What a counter counts; its name, where that is not known here.
pub fn counter(name: &str) -> String {
    of(COUNTERS, name).map_or_else(|| format!("Counter {name}."), str::to_owned)
}

/// All of it as JSON: `counters` and `dropped`, each an object of sentences by name.
pub fn json() -> String {
    let object = |words: &[(&str, &str)]| -> Map<String, Value> {
        words.iter().map(|(name, help)| ((*name).to_owned(), Value::from(*help))).collect()
    };
    json!({ "counters": object(COUNTERS), "dropped": object(REASONS) }).to_string() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{Counter, Reason};

    #[test]
    fn nothing_is_explained_that_does_not_exist_and_no_reason_is_left_unexplained() {
        for (name, help) in COUNTERS {
            assert!(Counter::ALL.iter().any(|(_, counter)| counter == name), "{name}");
            assert!(help.ends_with('.'), "{help}");
        }
        for (name, _) in REASONS {
            assert!(Reason::ALL.iter().any(|(_, reason)| reason == name), "{name}");
        }
        for (_, name) in Reason::ALL {
            assert!(of(REASONS, name).is_some(), "give `{name}` its sentence in REASONS");
        }
    }

    #[test]
    fn a_counter_that_is_not_known_here_is_told_by_its_name() {
        assert_eq!(counter("rx_bytes"), "Bytes received.");
        assert_eq!(counter("new_one"), "Counter new_one.");
    }
}
