//! From messages to bufs of packets: compressed where that pays, cut into pieces, framed and sealed. A message
//! that has room around it, in a slot of its own, goes out from where it lies; small ones are put together, and
//! those of one channel into one packet where that was agreed. Nothing waits for others to come: what is open is
//! sealed before anything else is said, and at the end of a burst.

use super::messages::{
    CONSUMED, GOODBYE, MESSAGE, MessageMeta, OPEN_CHANNEL, PACKED, REKEY, SHUT_CHANNEL, TRANSMIT,
    alloc, make_headroom,
};
use super::session::Session;
use super::{Stream, push};
use crate::counters::{Counter, Reason};
use crate::limits::{
    SMALL_SLOT_BYTES, STREAM_BACKLOG_BUFS_MAX, STREAM_COMPRESS_BYTES_MIN, STREAM_PACK_BYTES_MAX,
};
use crate::mem::{Buf, Burst, ConnId, Share, SlotCounts, kind};
use crate::pipeline::Cx;
use crate::pipeline::chain::pack::Pack;
use crate::proto::stream::compress::{Tables, room_bytes};
use crate::proto::stream::{
    Batch, Code, HEADER_BYTES, HEADROOM_BYTES, LENGTH_BYTES, Piece, TAILROOM_BYTES,
    TRANSMIT_BYTES_MAX,
};
use crate::time::Clock;

/// Room in the output that a piece needs: what is packed before it, and itself.
const ROOM_PIECE: usize = 2;

/// Why a message is not out.
enum Unsent {
    /// The peer has given no credit for it.
    NoCredit(Buf),
    /// There is no slot, or no room, now.
    Stalled(Buf),
}

/// Short messages of a channel that will share a packet. They lie behind what the pack has, and have the credit of
/// the first.
pub(super) struct OpenBatch {
    conn: ConnId,
    channel: u16,
    batch: Batch,
}

/// What sending takes beside the session.
struct Out<'a> {
    cx: &'a Cx,
    pack: &'a mut Pack,
    /// Of the session, if there is one.
    open: &'a mut Option<OpenBatch>,
    tables: &'a mut Tables,
    clock: &'a Clock,
    output: &'a mut Burst,
    is_datagram: bool,
}

impl Stream {
    /// Takes what the handler says; gives back what has to come again.
    pub(super) fn send(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Result<(), Buf> {
        let conn = buf.conn();
        if matches!(buf.kind(), CONSUMED | OPEN_CHANNEL) {
            self.set_budget(conn);
        }
        if self.open.as_ref().is_some_and(|open| open.conn != conn) {
            self.settle(cx, output);
        }
        let Some(session) = self.sessions.get_mut(conn) else {
            cx.drop_buf(buf, Reason::StaleConnection);
            return Ok(());
        };
        match buf.kind() {
            MESSAGE => {
                session.active_at = cx.now;
                return self.send_message(cx, buf, output);
            }
            TRANSMIT => {
                session.transmitting = false;
                if self.transmit(cx, conn, output).is_err() {
                    self.sessions.get_mut(conn).expect("it was there").transmitting = true;
                    return Err(buf);
                }
                return Ok(());
            }
            OPEN_CHANNEL => {
                let (channel_type, may_compress) = (buf.meta() as u8, buf.meta() >> 8 & 1 == 1);
                if session.opening.len() >= STREAM_BACKLOG_BUFS_MAX as usize {
                    return self.cut_off(cx, buf, output);
                }
                let opened = session.connection.open_channel(cx.now, channel_type, may_compress);
                session.opening.push_back(opened.unwrap_or(0));
                self.count_channels(conn);
                self.note_news(conn);
            }
            SHUT_CHANNEL | kind::FLUSH if session.lanes.waits(buf.meta() as u16) => {
                let channel = buf.meta() as u16;
                let kept = session.lanes.push(&mut self.waiting, channel, buf);
                return kept.or_else(|buf| self.cut_off(cx, buf, output));
            }
            SHUT_CHANNEL => {
                self.settle(cx, output);
                if let Some(session) = self.sessions.get_mut(conn) {
                    let _ = session.connection.close_channel(buf.meta() as u16);
                }
            }
            CONSUMED if session.connection.has_channel(buf.meta() as u16) => {
                session.consume(cx.now, buf.meta() as u16, buf.meta() >> 16);
            }
            CONSUMED => {}
            REKEY => session.connection.rekey_all(),
            GOODBYE => session.goodbye = Some((Code::from_wire(buf.meta() as u16), "")),
            _ => {
                self.flush(cx, output);
                push(output, buf);
                return Ok(());
            }
        }
        // What it says of that may wait for a slot; the rest is done.
        self.transmit(cx, conn, output).map_err(|()| Buf::marker(conn, TRANSMIT))
    }

    fn send_message(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Result<(), Buf> {
        let (conn, channel) = (buf.conn(), MessageMeta::of(&buf).channel);
        let is_datagram = self.is_datagram();
        let session = self.sessions.get_mut(conn).expect("the caller saw it");
        cx.extensions.end_message(buf.message());
        if session.closed || !session.connection.is_open() {
            cx.drop_buf(buf, Reason::AfterClose);
            return Ok(());
        }
        if session.is_full() {
            return self.cut_off(cx, buf, output);
        }
        let share = self.settings.share;
        let kept = if session.lanes.waits(channel) {
            let fitting = fit_to_wait(cx, share, self.waiting.slots(), buf);
            fitting.and_then(|buf| session.lanes.push(&mut self.waiting, channel, buf))
        } else {
            let (pack, open) = (&mut self.pack, &mut self.open);
            let (tables, clock) = (&mut self.tables, &self.settings.clock);
            let mut out = Out { cx, pack, open, tables, clock, output, is_datagram };
            match out.put(session, channel, buf) {
                Ok(()) => return Ok(()),
                Err(Unsent::Stalled(buf))
                    if session.lanes.get_mut(channel).is_none_or(|lane| lane.sent == 0) =>
                {
                    return Err(buf);
                }
                Err(Unsent::NoCredit(buf)) => {
                    session.set_alarm(cx.now, &mut self.alarms);
                    let fitting = fit_to_wait(cx, share, self.waiting.slots(), buf);
                    fitting
                        .and_then(|buf| session.lanes.push_front(&mut self.waiting, channel, buf))
                }
                Err(Unsent::Stalled(buf)) => {
                    // Some of it is out, or it is compressed: it waits where that is known.
                    let kept = session.lanes.push_front(&mut self.waiting, channel, buf);
                    if kept.is_ok() {
                        session.transmitting = true;
                        return Err(Buf::marker(conn, TRANSMIT));
                    }
                    kept
                }
            }
        };
        kept.or_else(|buf| self.cut_off(cx, buf, output))
    }

    /// More waits of a connection than may.
    #[cold]
    fn cut_off(&mut self, cx: &Cx, buf: Buf, output: &mut Burst) -> Result<(), Buf> {
        let conn = buf.conn();
        if output.room() < ROOM_PIECE {
            return Err(buf);
        }
        self.settle(cx, output);
        if let Some(session) = self.sessions.get_mut(conn)
            && !std::mem::replace(&mut session.closed, true)
        {
            session.lanes.clear(&mut self.waiting, |buf| cx.drop_buf(buf, Reason::Protocol));
            self.pack.flush(output);
            push(output, Buf::marker(conn, kind::ABORT));
        }
        cx.drop_buf(buf, Reason::Protocol);
        Ok(())
    }

    /// Makes a packet of the messages that are open, if there are any.
    fn settle(&mut self, cx: &Cx, output: &mut Burst) {
        let is_datagram = self.is_datagram();
        let Some(open) = &self.open else { return };
        let session = self.sessions.get_mut(open.conn).expect("it ends between bursts alone");
        let (pack, open) = (&mut self.pack, &mut self.open);
        let (tables, clock) = (&mut self.tables, &self.settings.clock);
        Out { cx, pack, open, tables, clock, output, is_datagram }.settle(session);
    }

    /// Sends what was put together.
    pub(super) fn flush(&mut self, cx: &Cx, output: &mut Burst) {
        self.settle(cx, output);
        self.pack.flush(output);
    }

    /// Sends what waits of a session, and what its connection has to say by itself. `Err`: there is no room,
    /// or no slot, for all of it now.
    pub(super) fn transmit(&mut self, cx: &Cx, conn: ConnId, output: &mut Burst) -> Result<(), ()> {
        let is_datagram = self.is_datagram();
        let Some(session) = self.sessions.get_mut(conn).filter(|session| !session.closed) else {
            return Ok(());
        };
        for channel in session.ended.drain(..) {
            session.lanes.end(&mut self.waiting, channel, |buf| match buf.kind() {
                kind::FLUSH => session.flushed.push(buf.meta()),
                _ => cx.drop_buf(buf, Reason::AfterClose),
            });
        }
        let (pack, open) = (&mut self.pack, &mut self.open);
        let (tables, clock) = (&mut self.tables, &self.settings.clock);
        let mut out = Out { cx, pack, open, tables, clock, output, is_datagram };
        let mut from = Some(0);
        while let Some(channel) = from.and_then(|from| session.lanes.next_waiting(from)) {
            from = channel.checked_add(1);
            while let Some(buf) = session.lanes.pop(&mut self.waiting, channel) {
                let (stalls, buf) = match out.put(session, channel, buf) {
                    Ok(()) => continue,
                    Err(Unsent::NoCredit(buf)) => (false, buf),
                    Err(Unsent::Stalled(buf)) => (true, buf),
                };
                let back = session.lanes.push_front(&mut self.waiting, channel, buf);
                assert!(back.is_ok(), "it was just popped");
                if stalls {
                    return Err(());
                }
                break;
            }
            if !session.lanes.waits(channel) && !session.freed.contains(&channel) {
                session.freed.push(channel);
            }
        }
        session.pay(cx.now);
        if session.lanes.waiting() == 0
            && let Some((code, text)) = session.goodbye.take()
        {
            out.settle(session);
            session.connection.close(cx.now, code, text);
        }
        out.answer(session)?;
        out.say_retry(session)?;
        let said = out.say(session);
        let is_over = said.is_ok() && (session.connection.is_over() || session.refused);
        if is_over {
            session.closed = true;
            self.flush(cx, output);
            push(output, Buf::linger(conn));
        } else {
            // Whatever came before ends here, so that this is where its times are known.
            session.set_alarm(cx.now, &mut self.alarms);
            // The last word on a channel ends it.
            self.note_events(conn);
        }
        said
    }
}

/// A message that is to wait until its peer lets it go, which may not take the slots that others need to go on:
/// where it does, it goes into a small one, if it fits. A datagram of a few bytes lies in a slot of many. `Err`:
/// there is no slot to wait in.
fn fit_to_wait(cx: &Cx, share: Share, held: &SlotCounts, buf: Buf) -> Result<Buf, Buf> {
    let is_crowded = |buf: &Buf| {
        buf.size_class().is_some_and(|class| share.is_exceeded_in(&cx.pool, held, class))
    };
    if !is_crowded(&buf) {
        return Ok(buf);
    }
    let (small, bytes) = (SMALL_SLOT_BYTES as usize, HEADROOM_BYTES + buf.len() + TAILROOM_BYTES);
    if bytes > small || buf.capacity() <= small {
        return Err(buf);
    }
    let Some(mut own) = cx.alloc(bytes, buf.conn()) else { return Err(buf) };
    if own.capacity() > small || is_crowded(&own) {
        return Err(buf);
    }
    make_headroom(&mut own);
    assert!(own.append(&buf), "it was allocated for it");
    own.set_kind(buf.kind(), buf.meta());
    cx.counters.add(Counter::CopiedBytes, buf.len() as u64);
    Ok(own)
}

impl Out<'_> {
    /// Sends a message, or what a lane keeps behind some.
    fn put(&mut self, session: &mut Session, channel: u16, buf: Buf) -> Result<(), Unsent> {
        match buf.kind() {
            SHUT_CHANNEL => {
                self.settle(session);
                let _ = session.connection.close_channel(channel);
                return Ok(());
            }
            kind::FLUSH if self.output.room() < ROOM_PIECE => return Err(Unsent::Stalled(buf)),
            kind::FLUSH => {
                self.settle(session);
                self.pack.flush(self.output);
                push(self.output, buf);
                return Ok(());
            }
            _ => {}
        }
        if self.join(session, channel, &buf) {
            return Ok(());
        }
        self.settle(session);
        if session.connection.may_send(self.cx.now, channel) == 0 {
            if !session.connection.is_writable(channel) {
                if let Some(lane) = session.lanes.get_mut(channel) {
                    lane.sent = 0;
                }
                self.cx.drop_buf(buf, Reason::AfterClose);
                return Ok(());
            }
            return Err(Unsent::NoCredit(buf));
        }
        if self.output.room() < ROOM_PIECE {
            return Err(Unsent::Stalled(buf));
        }
        let begun = session.lanes.get_mut(channel).is_some_and(|lane| lane.sent > 0);
        let packed = buf.meta() & PACKED != 0;
        let buf = if begun || packed { buf } else { self.compress(session, channel, buf) };
        let compressed = buf.meta() & PACKED != 0;
        let mut pieces = session.connection.pieces(buf.len() as u32);
        if pieces.len() > 1 {
            return self.put_pieces(session, channel, buf, compressed);
        }
        let piece = pieces.next().expect("a message is one piece at least");
        self.put_whole(session, channel, piece, buf, compressed)
    }

    /// The message as it goes out. Where it is compressed, that is [noted](PACKED): it may have to wait.
    fn compress(&mut self, session: &mut Session, channel: u16, buf: Buf) -> Buf {
        let asks = session.connection.compresses(channel);
        if !asks || !session.lanes.of(channel).compressor.tries(buf.len()) {
            return buf;
        }
        let room = room_bytes(buf.len());
        let Some(mut out) = alloc(self.cx, buf.conn(), channel, room) else { return buf };
        let lane = session.lanes.of(channel);
        let clock = self.clock;
        let tables = &mut *self.tables;
        let written = out.fill(|to| {
            let to = to.get_mut(..room)?;
            lane.compressor.try_it(tables, &buf, to, || clock.now())
        });
        if written.is_none() {
            return buf;
        }
        out.set_kind(MESSAGE, out.meta() | PACKED);
        out
    }

    /// Sends a message that fits a packet.
    fn put_whole(
        &mut self,
        session: &mut Session,
        channel: u16,
        piece: Piece,
        mut buf: Buf,
        compressed: bool,
    ) -> Result<(), Unsent> {
        let len = buf.len();
        let has_room =
            buf.headroom() >= HEADER_BYTES && buf.tailroom() >= TAILROOM_BYTES && buf.is_unique();
        if !has_room || len <= STREAM_PACK_BYTES_MAX {
            let begins = !compressed && session.connection.may_batch();
            let copied = if begins && len <= STREAM_PACK_BYTES_MAX {
                self.begin(session, channel, &buf)
            } else {
                self.copy_piece(session, channel, piece, &buf, compressed)
            };
            if copied.is_ok() {
                return Ok(());
            }
            // Where no slot is free, what can go without another must, or none ever is.
            if !has_room {
                return Err(Unsent::Stalled(buf));
            }
        }
        buf.retreat(HEADER_BYTES);
        buf.grow(TAILROOM_BYTES);
        let room = buf.bytes_mut().expect("it has one owner");
        let payload = HEADER_BYTES..HEADER_BYTES + len;
        let packet =
            session.connection.seal(self.cx.now, channel, piece, compressed, room, payload);
        let packet = packet.expect("there is credit");
        session.note_out(self.cx.now, &room[packet.clone()]);
        buf.truncate(packet.end);
        buf.set_kind(kind::DATA, 0);
        self.pack.flush(self.output);
        push(self.output, buf);
        Ok(())
    }

    /// Sends the pieces of a message that fits no packet, or those that are left.
    fn put_pieces(
        &mut self,
        session: &mut Session,
        channel: u16,
        buf: Buf,
        compressed: bool,
    ) -> Result<(), Unsent> {
        let sent = session.lanes.of(channel).sent;
        let pieces = session.connection.pieces(buf.len() as u32);
        for piece in pieces.skip_while(|piece| piece.offset < sent) {
            if session.connection.may_send(self.cx.now, channel) == 0 {
                return Err(Unsent::NoCredit(buf));
            }
            let bytes = &buf[piece.offset as usize..(piece.offset + piece.len) as usize];
            if self.output.room() < ROOM_PIECE
                || self.copy_piece(session, channel, piece, bytes, compressed).is_err()
            {
                return Err(Unsent::Stalled(buf));
            }
            session.lanes.of(channel).sent = piece.offset + piece.len;
        }
        session.lanes.of(channel).sent = 0;
        Ok(())
    }

    /// Copies a piece behind others of the connection, and seals it there. `Err`: there is no slot.
    fn copy_piece(
        &mut self,
        session: &mut Session,
        channel: u16,
        piece: Piece,
        bytes: &[u8],
        compressed: bool,
    ) -> Result<(), ()> {
        let head = if piece.is_whole() { HEADER_BYTES } else { HEADROOM_BYTES };
        let room = head + bytes.len() + TAILROOM_BYTES;
        let conn = session.conn;
        let pack = self.pack.reserve(self.cx, conn, room, self.output).ok_or(())?;
        pack.fill(|spare| {
            let packet =
                session.connection.seal_copy(self.cx.now, channel, piece, compressed, spare, bytes);
            let packet = packet.expect("there is credit");
            debug_assert!(packet.start == 0, "nothing lies between packets");
            session.note_out(self.cx.now, &spare[packet.clone()]);
            Some(packet.end)
        });
        self.cx.counters.add(Counter::CopiedBytes, bytes.len() as u64);
        if self.is_datagram {
            self.pack.flush(self.output);
        }
        Ok(())
    }

    /// Begins a batch with a message for which there is credit. `Err`: there is no slot.
    fn begin(&mut self, session: &Session, channel: u16, message: &[u8]) -> Result<(), ()> {
        let (mut batch, conn) = (Batch::new(), session.conn);
        let room = HEADER_BYTES + LENGTH_BYTES + message.len() + TAILROOM_BYTES;
        let pack = self.pack.reserve(self.cx, conn, room, self.output).ok_or(())?;
        batch.put(pack.spare_mut().expect("it has one owner"), message);
        *self.open = Some(OpenBatch { conn, channel, batch });
        self.cx.counters.add(Counter::CopiedBytes, message.len() as u64);
        Ok(())
    }

    /// Puts a message behind those of its channel that are open; `false`: it goes another way.
    fn join(&mut self, session: &Session, channel: u16, message: &Buf) -> bool {
        let Some(open) = self.open else { return false };
        let stays =
            message.len() < STREAM_COMPRESS_BYTES_MIN || !session.connection.compresses(channel);
        let is_plain = stays && message.meta() & PACKED == 0;
        if open.channel != channel || !is_plain {
            return false;
        }
        let Some(spare) = self.pack.filling().and_then(Buf::spare_mut) else { return false };
        let bytes_max = session.connection.batch_bytes_max();
        let room = spare.len() - HEADER_BYTES - TAILROOM_BYTES;
        if !open.batch.takes(message.len(), bytes_max.min(room)) {
            return false;
        }
        open.batch.put(spare, message);
        self.cx.counters.add(Counter::CopiedBytes, message.len() as u64);
        true
    }

    /// Makes a packet of the messages that are open, if there are any: whatever else the session says comes behind
    /// them, and they have the numbers before.
    fn settle(&mut self, session: &mut Session) {
        let Some(OpenBatch { channel, batch, .. }) = self.open.take() else { return };
        let pack = self.pack.filling().expect("they lie in it");
        pack.fill(|spare| {
            let packet = session.connection.seal_batch(self.cx.now, channel, &batch, spare);
            let packet = packet.expect("there is credit");
            session.note_out(self.cx.now, &spare[packet.clone()]);
            Some(packet.end)
        });
        if self.is_datagram {
            self.pack.flush(self.output);
        }
    }

    /// Room behind all that a session has said.
    fn reserve(&mut self, session: &mut Session, bytes: usize) -> Option<&mut Buf> {
        self.settle(session);
        self.pack.reserve(self.cx, session.conn, bytes, self.output)
    }

    /// Answers the request that the stream begins with.
    fn answer(&mut self, session: &mut Session) -> Result<(), ()> {
        let Some(answer) = session.answer else { return Ok(()) };
        if self.output.room() < ROOM_PIECE {
            return Err(());
        }
        let pack = self.reserve(session, answer.len()).ok_or(())?;
        let fits = pack.append(answer);
        assert!(fits, "it was reserved for it");
        session.answer = None;
        Ok(())
    }

    /// Asks a peer over datagrams to show where it is.
    fn say_retry(&mut self, session: &mut Session) -> Result<(), ()> {
        let Some(retry) = session.retry else { return Ok(()) };
        if self.output.room() < ROOM_PIECE {
            return Err(());
        }
        let pack = self.reserve(session, retry.len()).ok_or(())?;
        let fits = pack.append(&retry);
        assert!(fits, "it was reserved for it");
        self.pack.flush(self.output);
        session.retry = None;
        Ok(())
    }

    /// Sends what the connection has to say by itself.
    fn say(&mut self, session: &mut Session) -> Result<(), ()> {
        while session.connection.may_transmit() {
            if self.output.room() < ROOM_PIECE {
                return Err(());
            }
            let exact = session.connection.is_ping_due();
            let now = if exact { self.cx.exact_now() } else { self.cx.now };
            let pack = self.reserve(session, TRANSMIT_BYTES_MAX).ok_or(())?;
            let said = pack.fill(|spare| {
                let len = session.connection.poll_transmit(now, spare)?;
                session.note_out(now, &spare[..len]);
                Some(len)
            });
            if said.is_none() {
                break;
            }
            if self.is_datagram {
                self.pack.flush(self.output);
            }
        }
        Ok(())
    }
}
