//! What packets that are dropped count as, over all sessions: a session's own numbers go with it.

use crate::counters::Reason;
use crate::proto::stream::{Code, Dropped, Fault};

/// One that was dropped, and the stream goes on.
pub(super) const fn of_dropped(why: Dropped) -> Reason {
    match why {
        Dropped::Forged => Reason::Forged,
        // Datagrams that came late, or without those before them.
        Dropped::Replayed | Dropped::Orphan | Dropped::Crowded => Reason::Replayed,
        Dropped::Unknown => Reason::UnknownChannel,
        Dropped::Malformed => Reason::Protocol,
        Dropped::Over => Reason::AfterClose,
    }
}

/// One that ends the stream.
pub(super) const fn of_fault(fault: Fault) -> Reason {
    match fault.code() {
        Code::Decrypt => Reason::Forged,
        Code::Compression => Reason::Compression,
        Code::TooLarge => Reason::TooLarge,
        _ => Reason::Protocol,
    }
}
