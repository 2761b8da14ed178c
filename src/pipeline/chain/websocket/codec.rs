//! Messages of `permessage-deflate` (RFC 7692): what compresses and decompresses, and who has it when. Where a window
//! does not outlast a message, all connections of a listener share what there is.

use std::collections::VecDeque;

use crate::limits::{
    WEBSOCKET_DEFLATE_BYTES_MIN, WEBSOCKET_DEFLATE_SKIPS_MAX, WEBSOCKET_INFLATE_HOLD_NS,
    WEBSOCKET_INFLATES_MAX,
};
use crate::mem::{Buf, ConnId};
use crate::proto::websocket::{Deflate, Deflater, Inflater, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::time::Instant;

/// How hard it is tried: with the least effort that finds anything.
const LEVEL: u8 = 1;

/// Sizes of a window.
const WINDOWS: usize = (WINDOW_BITS_MAX - WINDOW_BITS_MIN) as usize + 1;

/// What the connections of a listener have in common.
#[derive(Default)]
pub(super) struct Shared {
    /// Of those whose peers begin each message anew, without a message.
    #[expect(clippy::vec_box, reason = "they come from sessions and go to others as they are")]
    idle: Vec<Box<Inflater>>,
    /// Connections with one for a message whose end has not come, and since when: the first of them longest.
    holders: VecDeque<(ConnId, Instant)>,
    /// One for each size of a window that was asked for.
    deflaters: [Option<Box<Deflater>>; WINDOWS],
}

impl Shared {
    /// Who has to give his inflater up for another message, if any has to, and has had it long enough: whoever never
    /// ends a message must not keep others from theirs.
    pub fn overdue(&mut self, now: Instant) -> Option<ConnId> {
        let is_full = self.holders.len() >= WEBSOCKET_INFLATES_MAX;
        let &(conn, since) = self.holders.front().filter(|_| is_full)?;
        (now.ns_since(since) >= WEBSOCKET_INFLATE_HOLD_NS).then(|| {
            self.holders.pop_front();
            conn
        })
    }
}

#[cfg(test)]
impl Shared {
    /// Those with a message that has not ended, and those without one.
    pub fn count(&self) -> (usize, usize) {
        (self.holders.len(), self.idle.len())
    }

    /// Counts so many more as held, from now on.
    pub fn hold(&mut self, inflaters: usize, now: Instant) {
        self.holders.extend((0..inflaters).map(|_| (ConnId::NONE, now)));
    }
}

/// What one connection has agreed on, and what it has of its own.
pub(super) struct Codec {
    agreed: Deflate,
    inflater: Option<Box<Inflater>>,
    deflater: Option<Box<Deflater>>,
    /// Messages that go as they are, still, and the next time that one was no shorter.
    skips: u8,
    next_skips: u8,
}

/// There are as many messages in the middle of their coming as may be.
pub(super) struct Busy;

impl Codec {
    pub fn new(agreed: Deflate) -> Self {
        let inflater = (!agreed.client_no_context_takeover).then(|| Box::new(Inflater::new(false)));
        let bits = agreed.server_max_window_bits;
        let deflater = (!agreed.server_no_context_takeover)
            .then(|| Box::new(Deflater::new(bits, false, LEVEL)));
        Self { agreed, inflater, deflater, skips: 0, next_skips: 1 }
    }

    /// Whether there is something to decompress with.
    pub fn has_inflater(&self) -> bool {
        self.inflater.is_some()
    }

    /// Takes something to decompress a message with; `whole`: all of it is there, so that it is given back before
    /// anything else is looked at, and does not count.
    pub fn acquire(
        &mut self,
        shared: &mut Shared,
        conn: ConnId,
        now: Instant,
        whole: bool,
    ) -> Result<(), Busy> {
        if !whole {
            if shared.holders.len() >= WEBSOCKET_INFLATES_MAX {
                return Err(Busy);
            }
            shared.holders.push_back((conn, now));
        }
        let fresh = shared.idle.pop();
        self.inflater = Some(fresh.unwrap_or_else(|| Box::new(Inflater::new(true))));
        Ok(())
    }

    /// What decompresses the message that is coming.
    pub fn inflater(&mut self) -> &mut Inflater {
        self.inflater.as_mut().expect("it was acquired")
    }

    /// The message has ended, or never will.
    pub fn release(&mut self, shared: &mut Shared, conn: ConnId) {
        if self.agreed.client_no_context_takeover
            && let Some(mut inflater) = self.inflater.take()
        {
            inflater.reset();
            shared.idle.push(inflater);
            if let Some(place) = shared.holders.iter().position(|&(holder, _)| holder == conn) {
                shared.holders.remove(place);
            }
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
