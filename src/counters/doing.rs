//! What an lcore is doing, in two words that others read while it does.

use std::fmt;

use super::cells::{Stage, Verb};
use super::observer::conn;
use crate::limits::LISTENERS_MAX;

/// A verb of its loop, or a stage of one of its listeners, and the first connection that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Nothing that is known.
    Unknown,
    /// A verb, but for turns.
    Verb(Verb),
    /// A stage of the listener at this index.
    Stage {
        /// Which.
        stage: Stage,
        /// Of whom.
        listener: u8,
        /// Bits of the id of the first connection in its burst; `None`: of none.
        conn: Option<u64>,
    },
}

const VERB: u64 = 1 << 8;
const STAGE: u64 = 2 << 8;

impl Doing {
    /// The word of a verb.
    #[inline]
    pub const fn verb(verb: Verb) -> u64 {
        VERB | verb as u64
    }

    /// The word of a stage, of the listener whose turn it is.
    #[inline]
    pub const fn stage(stage: Stage) -> u64 {
        STAGE | stage as u64
    }

    /// From what an lcore has stored: its word, whose turn it is, and bits of a connection's id.
    pub fn from_words(doing: u64, listener: u64, conn: u64) -> Self {
        let (index, listener) = ((doing & 0xff) as usize, listener.min(u8::MAX.into()) as u8);
        let verb = Verb::ALL.get(index).filter(|_| doing & !0xff == VERB);
        let stage = Stage::ALL.get(index).filter(|_| doing & !0xff == STAGE);
        match (verb, stage) {
            (Some((verb, _)), _) => Self::Verb(*verb),
            (_, Some((stage, _))) if usize::from(listener) < LISTENERS_MAX => Self::Stage {
                stage: *stage,
                listener,
                // Handlers alone say whom they are about.
                conn: (*stage == Stage::Handler && conn != NO_CONN).then_some(conn),
            },
            _ => Self::Unknown,
        }
    }
}

/// Bits of the id of no connection.
pub const NO_CONN: u64 = (u32::MAX as u64) << 32;

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "unknown"),
            Self::Verb(verb) => f.write_str(Verb::ALL[*verb as usize].1),
            Self::Stage { stage, listener, conn: None } => {
                write!(f, "{} of listener {listener}", Stage::ALL[*stage as usize].1)
            }
            Self::Stage { stage, listener, conn: Some(bits) } => {
                let stage = Stage::ALL[*stage as usize].1;
                write!(f, "{stage} of listener {listener}, connection {}", conn(*bits))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_is_read() {
        let of = |word, listener, conn| Doing::from_words(word, listener, conn).to_string();
        let read = |word| of(word, 4, 3 | 0x0200_0007 << 32);
        assert_eq!(read(Doing::verb(Verb::Mail)), "mail");
        let handler = Doing::stage(Stage::Handler);
        assert_eq!(read(handler), "handler of listener 4, connection 2:7.3");
        assert_eq!(of(handler, 0, NO_CONN), "handler of listener 0");
        assert_eq!(read(Doing::stage(Stage::Tx)), "tx of listener 4");
        for odd in [0, 0x108, 0x206, 0x2ff, u64::MAX] {
            assert_eq!(read(odd), "unknown", "{odd:x}");
        }
        assert_eq!(of(handler, 32, 0), "unknown");
    }
}
