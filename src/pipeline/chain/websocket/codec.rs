//! Messages of `permessage-deflate` (RFC 7692): what compresses and decompresses, and who has it when. Where a window
//! does not outlast a message, all connections of a listener share what there is.

use crate::limits::{
    WEBSOCKET_DEFLATE_BYTES_MIN, WEBSOCKET_DEFLATE_SKIPS_MAX, WEBSOCKET_INFLATES_MAX,
    WEBSOCKET_INFLATES_MIN, WEBSOCKET_INFLATES_SHARE,
};
use crate::mem::{Buf, ConnId};
use crate::proto::websocket::{Deflate, Deflater, Inflater, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::time::Instant;

/// How hard it is tried: with the least effort that finds anything.
const LEVEL: u8 = 1;

/// Sizes of a window.
const WINDOWS: usize = (WINDOW_BITS_MAX - WINDOW_BITS_MIN) as usize + 1;

/// What the connections of a listener have in common.
pub(super) struct Shared {
    /// Of those whose peers begin each message anew, without a message.
    #[expect(clippy::vec_box, reason = "they come from sessions and go to others as they are")]
    idle: Vec<Box<Unpacker>>,
    /// Connections with one for a message whose end has not come, and when something came of it; those whose place
    /// is free are in none.
    holders: Vec<Option<(ConnId, Instant)>>,
    /// Places among them that are free.
    free: Vec<u16>,
    /// How many there may be.
    holders_max: usize,
    /// One for each size of a window that was asked for.
    deflaters: [Option<Box<Deflater>>; WINDOWS],
}

impl Shared {
    /// Of a listener with so many connections at most.
    pub fn new(slots: u32) -> Self {
        Self {
            idle: Vec::new(),
            holders: Vec::new(),
            free: Vec::new(),
            holders_max: holders_max(slots),
            deflaters: Default::default(),
        }
    }

    /// Who has to give his inflater up for another message, if any has to: who has gone on with his own least lately.
    /// Whoever never ends a message must not keep others from theirs.
    pub fn stalest(&self) -> Option<ConnId> {
        if self.held() < self.holders_max {
            return None;
        }
        let stalest = self.holders.iter().flatten().min_by_key(|(_, came)| *came);
        stalest.map(|(conn, _)| *conn)
    }

    fn held(&self) -> usize {
        self.holders.len() - self.free.len()
    }

    fn hold(&mut self, conn: ConnId, now: Instant) -> u16 {
        assert!(self.held() < self.holders_max, "the stalest has given way");
        let place = self.free.pop().unwrap_or_else(|| {
            self.holders.push(None);
            (self.holders.len() - 1) as u16
        });
        self.holders[usize::from(place)] = Some((conn, now));
        place
    }
}

const _: () = assert!(WEBSOCKET_INFLATES_MAX <= u16::MAX as usize);

fn holders_max(slots: u32) -> usize {
    let share = slots as usize / WEBSOCKET_INFLATES_SHARE;
    share.clamp(WEBSOCKET_INFLATES_MIN, WEBSOCKET_INFLATES_MAX)
}

#[cfg(test)]
impl Shared {
    /// Those with a message that has not ended, and those without one.
    pub fn count(&self) -> (usize, usize) {
        (self.held(), self.idle.len())
    }

    /// Allows fewer than it would.
    pub fn allow(&mut self, holders: usize) {
        self.holders_max = holders;
    }
}

/// What decompresses a message.
struct Unpacker {
    inflater: Inflater,
    /// Among the holders, while the message's end has not come.
    place: Option<u16>,
}

impl Unpacker {
    fn new(resets: bool) -> Box<Self> {
        Box::new(Self { inflater: Inflater::new(resets), place: None })
    }
}

/// What one connection has agreed on, and what it has of its own.
pub(super) struct Codec {
    agreed: Deflate,
    unpacker: Option<Box<Unpacker>>,
    deflater: Option<Box<Deflater>>,
    /// Messages that go as they are, still, and the next time that one was no shorter.
    skips: u8,
    next_skips: u8,
}

impl Codec {
    pub fn new(agreed: Deflate) -> Self {
        let unpacker = (!agreed.client_no_context_takeover).then(|| Unpacker::new(false));
        let bits = agreed.server_max_window_bits;
        let deflater = (!agreed.server_no_context_takeover)
            .then(|| Box::new(Deflater::new(bits, false, LEVEL)));
        Self { agreed, unpacker, deflater, skips: 0, next_skips: 1 }
    }

    /// Whether there is something to decompress with.
    pub fn has_inflater(&self) -> bool {
        self.unpacker.is_some()
    }

    /// Takes something to decompress a message with; `whole`: all of it is there, so that it is given back before
    /// anything else is looked at, and does not count. Else there has to be a place ([`Shared::stalest`]).
    pub fn acquire(&mut self, shared: &mut Shared, conn: ConnId, now: Instant, whole: bool) {
        let mut unpacker = shared.idle.pop().unwrap_or_else(|| Unpacker::new(true));
        unpacker.place = (!whole).then(|| shared.hold(conn, now));
        self.unpacker = Some(unpacker);
    }

    /// More of the message has come.
    #[inline]
    pub fn go_on(&self, shared: &mut Shared, now: Instant) {
        if let Some(place) = self.unpacker.as_ref().and_then(|unpacker| unpacker.place)
            && let Some((_, came)) = &mut shared.holders[usize::from(place)]
        {
            *came = now;
        }
    }

    /// What decompresses the message that is coming.
    pub fn inflater(&mut self) -> &mut Inflater {
        &mut self.unpacker.as_mut().expect("it was acquired").inflater
    }

    /// The message has ended, or never will.
    pub fn release(&mut self, shared: &mut Shared) {
        if self.agreed.client_no_context_takeover
            && let Some(mut unpacker) = self.unpacker.take()
        {
            if let Some(place) = unpacker.place.take() {
                shared.holders[usize::from(place)] = None;
                shared.free.push(place);
            }
            unpacker.inflater.reset();
            shared.idle.push(unpacker);
        }
    }

    /// A message that was compressed is not sent: those behind it may not refer to it.
    #[cold]
    pub fn forget(&mut self) {
        if let Some(own) = &mut self.deflater {
            own.reset();
        }
    }

    /// Whether a message of so many bytes is to be compressed.
    pub fn wants(&mut self, bytes: usize) -> bool {
        if bytes < WEBSOCKET_DEFLATE_BYTES_MIN {
            return false;
        }
        let skips = self.skips > 0;
        self.skips = self.skips.saturating_sub(1);
        !skips
    }

    /// Bytes that a message of so many may have while it is compressed.
    pub fn room(bytes: usize) -> usize {
        // Some for each block that is stored as it is, and the flush (RFC 1951 §3.2.4).
        bytes + bytes / 64 + 64
    }

    /// Compresses a whole message into `out`, which has [`room`](Self::room) for it; `false`: it is no shorter, and has
    /// to go as it is.
    pub fn deflate(&mut self, shared: &mut Shared, message: &[u8], out: &mut Buf) -> bool {
        let bits = self.agreed.server_max_window_bits;
        let deflater = self.deflater.as_mut().unwrap_or_else(|| {
            let place = &mut shared.deflaters[usize::from(bits - WINDOW_BITS_MIN)];
            place.get_or_insert_with(|| Box::new(Deflater::new(bits, true, LEVEL)))
        });
        let mut is_done = false;
        out.fill(|spare| {
            let progress = deflater.deflate(message, true, spare);
            is_done = progress.done;
            Some(progress.written)
        });
        if is_done && out.len() < message.len() {
            self.next_skips = 1;
            return true;
        }
        deflater.reset();
        out.truncate(0);
        self.skips = self.next_skips;
        self.next_skips = (2 * self.next_skips).min(WEBSOCKET_DEFLATE_SKIPS_MAX);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_may_unpack_at_a_time_follows_from_the_connections_within_bounds() {
        for (slots, most) in [(1, 64), (519, 64), (520, 65), (8192, 1024), (1_000_000, 1024)] {
            assert_eq!(holders_max(slots), most, "{slots}");
        }
    }
}
