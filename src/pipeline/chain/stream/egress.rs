//! From messages to bufs of packets: compressed where that pays, cut into pieces, framed and sealed. A message
//! that has room around it, in a slot of its own, goes out from where it lies; small ones are put together.

use super::messages::{
    GOODBYE, MESSAGE, MessageMeta, OPEN_CHANNEL, PACKED, SHUT_CHANNEL, TRANSMIT, alloc,
    make_headroom,
};
use super::session::Session;
use super::{Stream, push};
use crate::counters::{Counter, Reason};
use crate::limits::{SMALL_SLOT_BYTES, STREAM_PACK_BYTES_MAX};
use crate::mem::{Buf, Burst, ConnId, Share, SlotCounts, kind};
use crate::pipeline::Cx;
use crate::proto::stream::compress::{Tables, room_bytes};
use crate::proto::stream::{
    Code, HEADER_BYTES, HEADROOM_BYTES, Piece, TAILROOM_BYTES, TRANSMIT_BYTES_MAX,
};
use crate::time::Clock;

/// Room in the output that a piece needs: what is packed before it, and itself.
const ROOM_PIECE: usize = 2;

/// Packets of one connection that are put together in a slot.
#[derive(Default)]
pub(super) struct Pack {
    filling: Option<Buf>,
    /// An empty slot for when the pool has none, or what holds them could wait for ever behind a word that
    /// needs one.
    spare: Option<Buf>,
}

impl Pack {
    /// Has a slot in hand, if there is one.
    pub fn prepare(&mut self, cx: &Cx) {
        if self.spare.is_none() {
            self.spare = cx.pool.alloc(SMALL_SLOT_BYTES as usize);
        }
    }

    /// Gives it back.
    pub fn rest(&mut self) {
        self.spare = None;
    }

    /// A buf for `bytes` more of a connection: the one that is being filled, or a fresh one. `None`: the
    /// pool has no slot.
    fn reserve(
        &mut self,
        cx: &Cx,
        conn: ConnId,
        bytes: usize,
        output: &mut Burst,
    ) -> Option<&mut Buf> {
        let fits = |pack: &Buf| pack.conn() == conn && pack.tailroom() >= bytes;
        if !self.filling.as_ref().is_some_and(fits) {
            self.flush(output);
            let fresh = cx.alloc(bytes.max(SMALL_SLOT_BYTES as usize), conn);
            let mut fresh =
                fresh.or_else(|| self.spare.take_if(|spare| spare.tailroom() >= bytes))?;
            fresh.set_conn(conn);
            self.filling = Some(fresh);
        }
        self.filling.as_mut()
    }

    /// Sends what was put together.
    pub fn flush(&mut self, output: &mut Burst) {
        if let Some(pack) = self.filling.take()
            && !pack.is_empty()
        {
            push(output, pack);
        }
    }
}

/// Why a message is not out.
enum Unsent {
    /// The peer has given no credit for it.
    NoCredit(Buf),
    /// There is no slot, or no room, now.
    Stalled(Buf),
}

/// What sending takes beside the session.
struct Out<'a> {
    cx: &'a Cx,
    pack: &'a mut Pack,
    tables: &'a mut Tables,
    clock: &'a Clock,
    output: &'a mut Burst,
    is_datagram: bool,
}

impl Stream {
    /// Takes what the handler says; gives back what has to come again.
    pub(super) fn send(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Result<(), Buf> {
        let conn = buf.conn();
        let Some(session) = self.sessions.get_mut(conn) else {
            cx.drop_buf(buf, Reason::StaleConnection);
            return Ok(());
        };
        match buf.kind() {
            MESSAGE => return self.send_message(cx, buf, output),
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
                if session.connection.open_channel(cx.now, channel_type, may_compress).is_err() {
                    cx.drop_buf(buf, Reason::AfterClose);
                }
            }
            SHUT_CHANNEL => {
                let channel = buf.meta() as u16;
                if session.lanes.waits(channel) {
                    let kept = session.lanes.push(&mut self.waiting, channel, buf);
                    return kept.or_else(|buf| self.cut_off(cx, buf, output));
                }
                let _ = session.connection.close_channel(channel);
            }
            GOODBYE => session.goodbye = Some((Code::from_wire(buf.meta() as u16), "")),
            _ => {
                self.pack.flush(output);
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
            let (pack, tables, clock) = (&mut self.pack, &mut self.tables, &self.settings.clock);
            let mut out = Out { cx, pack, tables, clock, output, is_datagram };
            match out.put(session, channel, buf) {
                Ok(()) => return Ok(()),
                Err(Unsent::Stalled(buf))
                    if session.lanes.get_mut(channel).is_none_or(|lane| lane.sent == 0) =>
                {
                    return Err(buf);
                }
                Err(Unsent::NoCredit(buf)) => {
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

    /// Sends what waits of a session, and what its connection has to say by itself. `Err`: there is no room,
    /// or no slot, for all of it now.
    pub(super) fn transmit(&mut self, cx: &Cx, conn: ConnId, output: &mut Burst) -> Result<(), ()> {
        let is_datagram = self.is_datagram();
        let Some(session) = self.sessions.get_mut(conn).filter(|session| !session.closed) else {
            return Ok(());
        };
        for channel in session.ended.drain(..) {
            let drop = |buf| cx.drop_buf(buf, Reason::AfterClose);
            session.lanes.end(&mut self.waiting, channel, drop);
        }
        let (pack, tables, clock) = (&mut self.pack, &mut self.tables, &self.settings.clock);
        let mut out = Out { cx, pack, tables, clock, output, is_datagram };
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
            session.connection.close(cx.now, code, text);
        }
        out.answer(session, conn)?;
        out.say_retry(session, conn)?;
        let said = out.say(session, conn);
        let is_over = said.is_ok() && (session.connection.is_over() || session.refused);
        if is_over {
            session.closed = true;
            self.pack.flush(output);
            push(output, Buf::linger(conn));
        } else {
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
        if buf.kind() == SHUT_CHANNEL {
            let _ = session.connection.close_channel(channel);
            return Ok(());
        }
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
        if !session.connection.compresses(channel) {
            return buf;
        }
        let room = room_bytes(buf.len());
        let Some(mut out) = alloc(self.cx, buf.conn(), channel, room) else { return buf };
        let lane = session.lanes.of(channel);
        let clock = self.clock;
        let tables = &mut *self.tables;
        let written = out.fill(|to| {
            let to = to.get_mut(..room)?;
            lane.compressor.compress(tables, &buf, to, || clock.now())
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
            let copied = self.copy_piece(session, channel, piece, &buf, compressed);
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
            let payload = head..head + bytes.len();
            spare[payload.clone()].copy_from_slice(bytes);
            let packet =
                session.connection.seal(self.cx.now, channel, piece, compressed, spare, payload);
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

    /// Answers the request that the stream begins with.
    fn answer(&mut self, session: &mut Session, conn: ConnId) -> Result<(), ()> {
        let Some(answer) = session.answer else { return Ok(()) };
        if self.output.room() < ROOM_PIECE {
            return Err(());
        }
        let pack = self.pack.reserve(self.cx, conn, answer.len(), self.output).ok_or(())?;
        let fits = pack.append(answer);
        assert!(fits, "it was reserved for it");
        session.answer = None;
        Ok(())
    }

    /// Asks a peer over datagrams to show where it is.
    fn say_retry(&mut self, session: &mut Session, conn: ConnId) -> Result<(), ()> {
        let Some(retry) = session.retry else { return Ok(()) };
        if self.output.room() < ROOM_PIECE {
            return Err(());
        }
        let pack = self.pack.reserve(self.cx, conn, retry.len(), self.output).ok_or(())?;
        let fits = pack.append(&retry);
        assert!(fits, "it was reserved for it");
        self.pack.flush(self.output);
        session.retry = None;
        Ok(())
    }

    /// Sends what the connection has to say by itself.
    fn say(&mut self, session: &mut Session, conn: ConnId) -> Result<(), ()> {
        loop {
            if self.output.room() < ROOM_PIECE {
                return Err(());
            }
            let pack =
                self.pack.reserve(self.cx, conn, TRANSMIT_BYTES_MAX, self.output).ok_or(())?;
            let now = self.cx.now;
            let said = pack.fill(|spare| {
                let len = session.connection.poll_transmit(now, spare)?;
                session.note_out(now, &spare[..len]);
                Some(len)
            });
            if said.is_none() {
                return Ok(());
            }
            if self.is_datagram {
                self.pack.flush(self.output);
            }
        }
    }
}
