//! Compressed messages: put together where they come in pieces, and decompressed. What finds no slot is kept as it
//! is, to be tried again.

use std::ops::Range;

use super::lanes::Assembly;
use super::messages::{MESSAGE, MessageMeta, make_headroom};
use super::reasons;
use super::session::Session;
use crate::counters::Counter;
use crate::limits::{LARGE_SLOT_BYTES, STREAM_SLOT_WAIT_NS};
use crate::mem::{Buf, ConnId};
use crate::pipeline::Cx;
use crate::proto::stream::compress::{decompress, original_bytes};
use crate::proto::stream::{Data, Fault, HEADROOM_BYTES, TAILROOM_BYTES};
use crate::time::Instant;

/// Bytes of a [`CONNECTED`](super::CONNECTED): a public key, a session's id, and a number.
const CARD_BYTES: usize = 52;

/// Slots that are in hand before a packet is decrypted, which can be done but once.
#[derive(Default)]
pub(super) struct Hand {
    /// For a [`CONNECTED`](super::CONNECTED).
    pub card: Option<Buf>,
    /// For what a compressed message becomes.
    spare: Option<Buf>,
    /// What the last packet has brought, and for which there was no slot after all.
    pub missing: Option<Missing>,
}

/// Nothing of that size is free.
#[derive(Debug)]
pub(super) struct NoSlot;

/// What there was no slot for.
pub(super) enum Missing {
    /// It lies in the buf that is looked at; where `begins` says so, it is the first piece of a message of so many
    /// bytes.
    Here { range: Range<usize>, channel: u16, begins: Option<u32> },
    /// A message that was put together.
    Whole(Assembly, u16),
}

/// A compressed message, or the first piece of one, that waits for a slot.
pub(super) struct Stuck {
    /// Its bytes count as those of messages that are put together.
    bytes: Assembly,
    channel: u16,
    begins: Option<u32>,
    since: Instant,
}

impl Hand {
    /// Whether there is what the next packet of `session` may need, but for a compressed message that becomes
    /// larger than a large slot.
    pub fn is_filled(&mut self, cx: &Cx, session: &Session, conn: ConnId) -> bool {
        if session.connection.peer().is_none() && self.card.is_none() {
            self.card = cx.alloc(CARD_BYTES, conn);
            return self.card.is_some();
        }
        if session.connection.may_compress() && self.spare.is_none() {
            self.spare = cx.alloc(cx.pool.slot_bytes_max().min(LARGE_SLOT_BYTES as usize), conn);
            return self.spare.is_some();
        }
        true
    }

    /// An empty buf for `bytes`.
    fn take(&mut self, cx: &Cx, conn: ConnId, bytes: usize) -> Result<Buf, NoSlot> {
        let fits = |spare: &mut Buf| spare.tailroom() >= bytes;
        cx.alloc(bytes, conn).or_else(|| self.spare.take_if(fits)).ok_or(NoSlot)
    }
}

impl Missing {
    /// Keeps it; `buf` is the one that was looked at.
    pub fn keep(self, now: Instant, session: &Session, buf: &Buf) -> Stuck {
        let (bytes, channel, begins) = match self {
            Self::Whole(bytes, channel) => (bytes, channel, None),
            Self::Here { range, channel, begins } => {
                (session.assemblies.0.begin(buf.slice(range.start, range.end)), channel, begins)
            }
        };
        Stuck { bytes, channel, begins, since: now }
    }
}

/// What of a compressed message has come in a packet, which lies at `at` in its buf: the message, where it is whole
/// now. What finds no slot is [missing](Hand::missing).
pub(super) fn take_piece(
    cx: &Cx,
    session: &mut Session,
    packet: &[u8],
    at: usize,
    data: Data,
    hand: &mut Hand,
) -> Option<Buf> {
    let Data { channel, range, first, last, message_bytes, .. } = data;
    let piece = &packet[range.clone()];
    let here =
        |begins| Some(Missing::Here { range: at + range.start..at + range.end, channel, begins });
    if first && last {
        return unpack(cx, session, channel, piece, hand).unwrap_or_else(|NoSlot| {
            hand.missing = here(None);
            None
        });
    }
    if first && let Err(NoSlot) = begin(cx, session, channel, piece, message_bytes, hand) {
        hand.missing = here(Some(message_bytes));
        return None;
    }
    let whole = put_behind(cx, session, channel, piece, last)?;
    unpack(cx, session, channel, &whole.buf, hand).unwrap_or_else(|NoSlot| {
        hand.missing = Some(Missing::Whole(whole, channel));
        None
    })
}

/// Tries what waits once more: the message, where it is whole now. `Err`: it waits on.
pub(super) fn try_again(cx: &Cx, session: &mut Session) -> Result<Option<Buf>, NoSlot> {
    let Some(stuck) = session.stuck.take() else { return Ok(None) };
    let (mut hand, channel, piece) = (Hand::default(), stuck.channel, &stuck.bytes.buf);
    let tried = match stuck.begins {
        None => unpack(cx, session, channel, piece, &mut hand),
        Some(bytes) => begin(cx, session, channel, piece, bytes, &mut hand).map(|()| {
            put_behind(cx, session, channel, piece, false);
            None
        }),
    };
    if tried.is_err() && cx.now.ns_since(stuck.since) < STREAM_SLOT_WAIT_NS {
        session.stuck = Some(stuck);
        return Err(NoSlot);
    }
    Ok(tried.unwrap_or_else(|NoSlot| {
        let is_piece = stuck.begins.is_some();
        fail(cx, session, if is_piece { Fault::MessageTooLarge } else { Fault::Compression });
        None
    }))
}

/// What the peer has sent is no message, or none that there is room for: that ends its session.
#[cold]
fn fail(cx: &Cx, session: &mut Session, fault: Fault) {
    // Of one that could not begin, what is put behind that is no fault of its own.
    if !session.connection.is_over() {
        cx.counters.drop_one(reasons::of_fault(fault));
        session.connection.fail(fault);
    }
}

/// Takes a slot for a message of so many bytes that comes in pieces, of which this is the first.
fn begin(
    cx: &Cx,
    session: &mut Session,
    channel: u16,
    piece: &[u8],
    message_bytes: u32,
    hand: &mut Hand,
) -> Result<(), NoSlot> {
    let (all, share) = &session.assemblies;
    // Who begins many and ends none holds the slots that others need to go on. To wait for its own rest is no use:
    // that would wait behind it.
    let crowded = share.is_exceeded(&cx.pool, &all.slots());
    let is_hopeless = message_bytes as usize > cx.pool.slot_bytes_max();
    if is_hopeless || crowded && session.lanes.assembles() {
        fail(cx, session, Fault::MessageTooLarge);
        return Ok(());
    }
    let slot =
        if crowded { Err(NoSlot) } else { hand.take(cx, session.conn, message_bytes as usize) };
    let slot = slot?;
    if !leaves_room(cx, piece) {
        return Err(NoSlot);
    }
    session.lanes.of(channel).assembly = Some(all.begin(slot));
    Ok(())
}

/// Whether there is a slot for what becomes of a message that begins so: if those that are not whole had all of them,
/// none would ever be. Large ones are [in hand](Hand::is_filled) for each packet.
fn leaves_room(cx: &Cx, piece: &[u8]) -> bool {
    let bytes = original_bytes(piece, cx.pool.slot_bytes_max()).unwrap_or(0);
    bytes <= LARGE_SLOT_BYTES as usize || cx.pool.alloc(bytes).is_some()
}

/// Puts a piece behind those before it; all of them, if it was the last.
fn put_behind(
    cx: &Cx,
    session: &mut Session,
    channel: u16,
    piece: &[u8],
    last: bool,
) -> Option<Assembly> {
    let assembly = session.lanes.get_mut(channel).and_then(|lane| lane.assembly.as_mut());
    if !assembly.is_some_and(|assembly| assembly.buf.append(piece)) {
        fail(cx, session, Fault::MessageTooLarge);
        return None;
    }
    cx.counters.add(Counter::HeadBytesCopied, piece.len() as u64);
    if !last {
        return None;
    }
    session.lanes.get_mut(channel).and_then(|lane| lane.assembly.take())
}

/// Decompresses a message; `None` where it is none, which ends the session.
fn unpack(
    cx: &Cx,
    session: &mut Session,
    channel: u16,
    payload: &[u8],
    hand: &mut Hand,
) -> Result<Option<Buf>, NoSlot> {
    let cap = cx.pool.slot_bytes_max();
    let Ok(bytes) = original_bytes(payload, cap) else {
        fail(cx, session, Fault::Compression);
        return Ok(None);
    };
    let mut out = hand.take(cx, session.conn, bytes)?;
    if out.tailroom() >= HEADROOM_BYTES + bytes + TAILROOM_BYTES {
        // It may go out again from where it lies, which takes no slot.
        make_headroom(&mut out);
    }
    if out.fill(|room| decompress(payload, cap, room).ok()).is_none() {
        fail(cx, session, Fault::Compression);
        return Ok(None);
    }
    out.set_kind(MESSAGE, MessageMeta::whole(channel).to_meta());
    Ok(Some(out))
}
