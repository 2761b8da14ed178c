//! What it means, in words of every day, that a number of lost or refused things grows, and what to do about it.

/// A counter that somebody should look at when it grows.
pub struct Cause {
    /// As counters and reasons are called.
    pub name: &'static str,
    /// Why it happens.
    pub why: &'static str,
    /// What to do; empty where there is nothing to do.
    pub remedy: &'static str,
}

const fn cause(name: &'static str, why: &'static str, remedy: &'static str) -> Cause {
    Cause { name, why, remedy }
}

/// Bufs that were dropped, by reason.
pub const DROPS: &[Cause] = &[
    cause(
        "stale_connection",
        "written to a connection that was gone already",
        "usual when peers leave in the middle of an answer",
    ),
    cause(
        "after_close",
        "written behind a close of the same connection",
        "the handler should say nothing after its close",
    ),
    cause(
        "unsent",
        "waited to be sent when the connection was lost",
        "peers that leave early, or stalled_peers: see write_timeout_ms",
    ),
    cause(
        "lingering",
        "came from a peer after our last word to it",
        "usual after a refusal: the peer was still sending",
    ),
    cause(
        "late_completion",
        "received for a connection that had ended meanwhile",
        "usual: the kernel was faster than the close",
    ),
    cause(
        "protocol",
        "followed a fault: what comes behind it cannot be read",
        "a peer that breaks the protocol's rules; look at it with `ringway trace`",
    ),
    cause(
        "not_wanted",
        "the body of a request that no handler asked for",
        "usual when a request is answered before its body has come",
    ),
    cause("shutdown", "was under way when the instance stopped", "give drain_timeout_ms more time"),
    cause(
        "truncated",
        "a datagram that was longer than there was room",
        "a peer sends more than this listener takes",
    ),
    cause("empty_datagram", "a datagram without a byte in it", "harmless, but somebody sends them"),
    cause(
        "peer_refused",
        "came from a new peer for whom there was no room",
        "raise max_connections or max_connections_per_address",
    ),
    cause(
        "peer_held",
        "came from a peer that the handler does not hear now",
        "the handler has paused it: is what it waits for slow?",
    ),
    cause(
        "datagram_too_long",
        "a datagram longer than its way takes",
        "lower max_datagram_bytes to the path's MTU",
    ),
    cause(
        "send_refused",
        "a datagram that the system refused to send",
        "no route, a firewall, or net.core.wmem_max is small",
    ),
    cause(
        "slow_newest",
        "written to a peer that takes too little; the newest went",
        "one peer is slow; its SlowPolicy decides what goes",
    ),
    cause(
        "slow_oldest",
        "waited too long for a slow peer; the oldest made room",
        "one peer is slow; its SlowPolicy decides what goes",
    ),
    cause(
        "not_admitted",
        "written to a connection whose protocol has no place for it",
        "publish to connections that have become WebSockets",
    ),
    cause(
        "forged",
        "a packet of a stream that its peer had not sealed",
        "somebody on the way changes packets, or sends some",
    ),
    cause(
        "replayed",
        "a packet of a stream that had been here or came too late",
        "usual where datagrams are doubled or overtaken",
    ),
    cause(
        "unknown_channel",
        "a packet of a stream's channel that is not open",
        "usual for a moment when a channel closes",
    ),
    cause(
        "compression",
        "a message of a stream that does not decompress",
        "a peer is faulty, or means no good",
    ),
    cause(
        "too_large",
        "a packet or a message of a stream past its bound",
        "raise max_message_bytes, or see who that is",
    ),
];

/// What went wrong otherwise, by counter.
pub const ERRORS: &[Cause] = &[
    cause(
        "pool_empty",
        "a stage had to wait for a free slot of the pool",
        "raise small_slots or large_slots in [mempool]; see the view of pools",
    ),
    cause(
        "rx_starved",
        "the kernel had no slot to receive into (ENOBUFS)",
        "raise small_slots in [mempool], or give it more lcores",
    ),
    cause(
        "cq_overflows",
        "completions came faster than they were taken",
        "the lcore is behind: give it more lcores, or shorter handlers",
    ),
    cause(
        "accept_failures",
        "a connection could not be accepted",
        "no descriptors or no memory: raise `ulimit -n`",
    ),
    cause(
        "address_full",
        "closed at once: its address has as many connections as it may",
        "raise max_connections_per_address, or see who that is",
    ),
    cause(
        "peers_refused",
        "closed at once: this user may not connect",
        "see allow_uids and allow_gids of the listener",
    ),
    cause(
        "stalled_peers",
        "given up: the peer took nothing for write_timeout_ms",
        "peers that hang, or a network that loses; see write_timeout_ms",
    ),
    cause(
        "timeouts",
        "given up: a request, or the next one, took too long",
        "usual for connections kept alive; else see head_timeout_ms",
    ),
    cause(
        "slow_disconnects",
        "given up: it took less than was written to it",
        "its SlowPolicy says so; the peer or its network is slow",
    ),
    cause(
        "port_unattended",
        "refused: no process was attached to the port",
        "start the program behind the port; see the view of ports",
    ),
    cause(
        "port_faults",
        "a process was cut off: it broke a rule or took nothing",
        "see the program's own log; it may attach again",
    ),
    cause(
        "peers_displaced",
        "a newcomer got the place of a peer that never showed that it hears us",
        "a flood with made-up addresses, or max_connections is low",
    ),
    cause(
        "rx_lost",
        "datagrams that the kernel lost because we were behind",
        "raise net.core.rmem_max, or give it more lcores",
    ),
    cause("handler_errors", "a handler answered with an error of its own", "see the program's log"),
    cause("handler_panics", "a handler panicked", "a bug of the program: see its standard error"),
    cause(
        "offload_refused",
        "work was refused because too much of it is under way",
        "more threads or a longer queue in [offload]",
    ),
    cause(
        "offload_panicked",
        "work on the offload threads ended in a panic",
        "a bug of the program: see its standard error",
    ),
];

/// The cause of that name; one that nobody has described yet is only named.
pub fn of_drop(name: &str) -> Option<&'static Cause> {
    DROPS.iter().find(|cause| cause.name == name)
}

#[cfg(test)]
mod tests {
    use ringway::counters::{Counter, Reason};

    use super::*;

    #[test]
    fn every_reason_is_explained_and_every_error_is_a_counter() {
        for (_, name) in Reason::ALL {
            assert!(of_drop(name).is_some(), "say in DROPS why a buf is dropped for `{name}`");
        }
        for cause in ERRORS {
            let known = Counter::ALL.iter().any(|(_, name)| *name == cause.name);
            assert!(known, "no counter is called `{}`", cause.name);
        }
    }
}
