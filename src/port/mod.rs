//! Ports: what passes between the dataplane and the processes that are attached to it, over rings in
//! shared memory. Where the bytes lie and what is lent is `mem`'s business, what they mean to a
//! protocol the handlers'.
//!
//! A port has a queue for each lcore: a ring of [`Descriptor`](crate::mem::Descriptor)s each way. Every
//! descriptor that has a slot passes that slot on. The process uses slots that it was given, with
//! messages in them or empty ([`kind::SUPPLY`]), for what it says, or gives them back
//! ([`kind::RETURN`]).

mod inbox;
mod lifeline;
mod offer;
mod queue;
mod role;
mod stall;
mod table;

pub(crate) use inbox::Inbox;
pub use lifeline::{Call, Lifeline};
pub use offer::{Grant, Offer};
pub use queue::{Fault, Queue, Received};
pub use role::Role;
pub use stall::Stall;
pub use table::{PortIndex, PortTable, is_port_name};

/// Kinds of descriptors, beside those of [`mem::kind`](crate::mem::kind) and of the chain of HTTP.
pub mod kind {
    use crate::mem::kind::{ABORT, CLOSE, DATA, EOF, OPEN, PAUSE, PROTOCOL, RESUME};
    use crate::port::Role;

    /// Both ways: the next bytes of a body, as between the chain of HTTP and its handler.
    pub const BODY: u8 = PROTOCOL + 1;
    /// Both ways: a message of a channel of a stream, and what else a process may say of one, as to the chain
    /// of streams.
    pub const MESSAGE: u8 = PROTOCOL;
    /// To the dataplane: open a channel.
    pub const OPEN_CHANNEL: u8 = PROTOCOL + 10;
    /// To the dataplane: close a session.
    pub const GOODBYE: u8 = PROTOCOL + 12;
    /// To the dataplane: messages are done with.
    pub const CONSUMED: u8 = PROTOCOL + 14;
    /// To the dataplane: take new keys.
    pub const REKEY: u8 = PROTOCOL + 15;
    /// To the process: an empty slot, to say something with. `len` is what it holds.
    pub const SUPPLY: u8 = 64;
    /// To the dataplane: a slot that nothing is said with.
    pub const RETURN: u8 = 65;
    /// To the process: so many bufs (meta) that it sent on the connection are out.
    pub const CREDIT: u8 = 66;
    /// To the dataplane: a response, or its beginning. Meta: see [`ResponseMeta`](super::ResponseMeta).
    pub const RESPONSE: u8 = 67;

    /// The meta of a `CLOSED` to a peer: the connection was refused or cut off, and what was under way
    /// is lost. Without it all that was said to the peer came before.
    pub const CUT: u32 = 1;

    /// Whether a process of this role may send it with something to say.
    #[inline]
    pub(super) fn is_word(kind: u8, role: Role) -> bool {
        match kind {
            DATA | CLOSE | ABORT | PAUSE | RESUME => true,
            BODY | RESPONSE => role == Role::Handler,
            MESSAGE | OPEN_CHANNEL..=GOODBYE | CONSUMED | REKEY => role == Role::Handler,
            OPEN | EOF => role == Role::Peer,
            _ => false,
        }
    }
}

/// What the meta of a [`kind::MESSAGE`] says above its channel.
pub mod meta {
    /// The message begins with it.
    pub const FIRST: u32 = 1 << 16;
    /// It ends with it.
    pub const LAST: u32 = 1 << 17;
    /// It is of the same packet as the next, with which that is counted: they came so, or it fits no slot of the
    /// process.
    pub const GOES_ON: u32 = 1 << 18;
}

/// What a [`RESPONSE`](kind::RESPONSE) says beside its bytes, which are the lines of its fields and
/// then the first of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseMeta {
    /// Three digits.
    pub status: u16,
    /// The body is whole; or else parts of it follow, of kind `BODY`, the last with meta 1.
    pub whole: bool,
    /// Bytes of the lines, each ended by CRLF.
    pub fields_bytes: u16,
}

impl ResponseMeta {
    const STATUS_BITS: u32 = 10;
    const WHOLE: u32 = 1 << Self::STATUS_BITS;
    const FIELDS_AT: u32 = Self::STATUS_BITS + 1;
    /// Most bytes of fields.
    pub const FIELDS_BYTES_MAX: u16 = (1 << 13) - 1;

    /// In the 24 bits of a descriptor's meta.
    pub fn to_meta(self) -> u32 {
        let whole = if self.whole { Self::WHOLE } else { 0 };
        u32::from(self.status) | whole | u32::from(self.fields_bytes) << Self::FIELDS_AT
    }

    /// From a descriptor's meta: any is legal.
    pub fn of_meta(meta: u32) -> Self {
        Self {
            status: (meta & (Self::WHOLE - 1)) as u16,
            whole: meta & Self::WHOLE != 0,
            fields_bytes: (meta >> Self::FIELDS_AT) as u16 & Self::FIELDS_BYTES_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_response_says_fits_its_meta_up_to_the_bounds() {
        for status in [0, 200, 599, 1023] {
            for fields_bytes in [0, 1, ResponseMeta::FIELDS_BYTES_MAX] {
                for whole in [false, true] {
                    let meta = ResponseMeta { status, whole, fields_bytes };
                    assert!(meta.to_meta() < 1 << 24);
                    assert_eq!(ResponseMeta::of_meta(meta.to_meta()), meta);
                }
            }
        }
    }

    #[test]
    fn any_word_is_a_meta() {
        for bit in 0..32 {
            let meta = ResponseMeta::of_meta(1 << bit);
            assert!(meta.status < 1024 && meta.fields_bytes <= ResponseMeta::FIELDS_BYTES_MAX);
            let seen = meta != ResponseMeta::of_meta(0);
            assert_eq!(seen, bit < 24, "bit {bit}");
        }
    }

    #[test]
    fn a_process_may_not_say_what_is_the_dataplanes_to_say() {
        use crate::mem::kind::{CLOSED, DATA, EOF, FLUSH, FLUSHED, NOTIFY, OPEN, WAKE};
        for role in [Role::Handler, Role::Peer] {
            for kind in [CLOSED, NOTIFY, FLUSH, FLUSHED, WAKE, kind::SUPPLY, kind::CREDIT, 255] {
                assert!(!kind::is_word(kind, role), "{kind}");
            }
            assert!(!kind::is_word(kind::RETURN, role), "it says nothing");
            assert!(kind::is_word(DATA, role));
        }
        for (kind, role) in [(OPEN, Role::Peer), (EOF, Role::Peer), (kind::RESPONSE, Role::Handler)]
        {
            assert!(kind::is_word(kind, role) && !kind::is_word(kind, role.other()), "{kind}");
        }
    }
}
