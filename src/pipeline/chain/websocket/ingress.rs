//! From bufs of frames to messages: all frames of a buf are found and unmasked where they lie before it is cut, since
//! a slot that is shared may not be written to.

use super::codec::Codec;
use super::messages::{CLOSE, MESSAGE, MessageMeta, PING, PONG, alloc, close_code, end_word};
use super::{ROOM, Session, WebSocket, push};
use crate::counters::{Counter, Reason};
use crate::limits::{LARGE_SLOT_BYTES, SMALL_SLOT_BYTES};
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::Cx;
use crate::proto::websocket::{
    CONTROL_BYTES_MAX, CloseCode, Config, Event, Fault, HEADER_BYTES_MAX, Inflater, Kind, Progress,
};

/// What was found in a buf.
#[derive(Clone, Copy)]
enum What {
    /// A message, or a piece of one.
    Message,
    /// Of a compressed message.
    Packed,
    Ping,
    /// A ping that came in pieces.
    CutPing,
    Pong,
    Close,
    /// The connection has something to say that may overtake messages.
    Transmit,
    /// It says its last.
    End,
}

#[derive(Clone, Copy)]
struct Item {
    what: What,
    /// Of a message, [`MessageMeta`]; of a close, its code.
    meta: u32,
    /// Where in the buf it lies, if it does.
    start: u32,
    end: u32,
}

const _: () = assert!(size_of::<Item>() == 16, "there may be many in a buf");

impl Item {
    const fn word(what: What) -> Self {
        Self { what, meta: 0, start: 0, end: 0 }
    }
}

/// A buf, and what was found in it and is not handed on.
pub(super) struct Cut {
    /// Whose it is.
    conn: ConnId,
    /// Until its last slice is handed on.
    buf: Option<Buf>,
    items: Vec<Item>,
    /// Those before it are handed on.
    next: usize,
    /// Those that are not, and are in the buf.
    slices: usize,
    /// The ping that began in bufs before: there is one at most.
    ping: Option<Buf>,
}

impl Cut {
    pub const fn new() -> Self {
        let items = Vec::new();
        Self { conn: ConnId::NONE, buf: None, items, next: 0, slices: 0, ping: None }
    }

    pub fn is_empty(&self) -> bool {
        self.next == self.items.len()
    }

    /// Finds all that is in a buf of a connection.
    fn find(&mut self, cx: &Cx, config: &Config, session: &mut Session, mut buf: Buf) {
        let conn = buf.conn();
        let bytes = buf.bytes_mut().expect("it has one owner");
        let mut at = 0;
        while at < bytes.len() {
            let step = session.connection.receive(config, cx.now, &mut bytes[at..]);
            let Ok(step) = step else {
                cx.counters.drop_one(Reason::Protocol);
                self.items.push(Item::word(What::End));
                break;
            };
            if let Some(event) = step.event {
                self.note(cx, session, conn, event, at as u32);
            }
            at += step.consumed;
        }
        (self.conn, self.buf) = (conn, Some(buf));
    }

    /// What is left of it is nobody's: the connection has failed before it.
    #[cold]
    fn discard(&mut self) {
        (self.slices, self.ping) = (0, None);
        self.items.clear();
        self.rest();
    }

    /// All is handed on.
    #[inline]
    fn rest(&mut self) {
        self.items.clear();
        (self.next, self.buf) = (0, None);
    }

    #[inline]
    fn note(&mut self, cx: &Cx, session: &mut Session, conn: ConnId, event: Event, at: u32) {
        let (what, meta, range) = match event {
            Event::Data(data) => {
                let meta = MessageMeta {
                    kind: data.kind,
                    first: data.first,
                    last: data.last,
                    frame_last: data.frame_last,
                };
                let what = if data.compressed { What::Packed } else { What::Message };
                (what, meta.to_meta(), data.range)
            }
            Event::Ping(Some(range)) => (What::Ping, 0, range),
            other => return self.note_word(cx, session, conn, other),
        };
        let (start, end) = (at + range.start as u32, at + range.end as u32);
        self.items.push(Item { what, meta, start, end });
        self.slices += 1;
    }

    /// Whether the message whose piece was handed on last ends in what is left: no other begins before it does.
    fn has_the_end(&self) -> bool {
        let ends =
            |item: &Item| matches!(item.what, What::Packed) && MessageMeta::of_meta(item.meta).last;
        self.items[self.next..].iter().any(ends)
    }

    /// What is not in the buf.
    #[cold]
    fn note_word(&mut self, cx: &Cx, session: &mut Session, conn: ConnId, event: Event) {
        let what = match event {
            Event::Pong => What::Pong,
            Event::Close(code) => {
                let meta = code.map_or(0, |code| code.number().into());
                self.items.push(Item { meta, ..Item::word(What::Close) });
                What::End
            }
            _ => {
                self.ping = answer_to_cut_ping(cx, session, conn);
                // Without a slot the connection answers the last one.
                if self.ping.is_some() { What::CutPing } else { What::Transmit }
            }
        };
        self.items.push(Item::word(what));
    }

    /// Hands the next item's bytes on, as a buf of some kind, where room was checked: what is left of the slot where
    /// nothing else is in it, so that the bytes have one owner.
    #[inline]
    fn hand_on(&mut self, item: Item, kind: u8, output: &mut Burst) {
        let (start, end) = (item.start as usize, item.end as usize);
        self.slices -= 1;
        if self.slices == 0
            && start < end
            && let Some(mut buf) = self.buf.take()
        {
            buf.truncate(end);
            buf.advance(start);
            buf.set_kind(kind, item.meta);
            return push(output, buf);
        }
        let buf = self.buf.as_ref().expect("its items are not out");
        let pushed = output.push_with(|| {
            let mut part = buf.slice(start, end);
            part.set_kind(kind, item.meta);
            part
        });
        assert!(pushed, "room was checked");
    }
}

impl WebSocket {
    /// Looks at what HTTP has let through, as far as there is room; `false`: there is more.
    pub(super) fn look_through(&mut self, cx: &mut Cx, output: &mut Burst) -> bool {
        loop {
            if !self.hand_on(cx, output) || output.room() < ROOM {
                return self.through.is_empty() && self.cut.is_empty() && output.room() >= ROOM;
            }
            let Some(buf) = self.through.pop() else { return true };
            if let Err(left) = self.take(cx, buf, output) {
                let back = self.through.unpop(left);
                assert!(back.is_ok(), "it was just popped");
                return false;
            }
        }
    }

    /// Takes what has come on a connection; gives back what has to come again.
    fn take(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Result<(), Buf> {
        let conn = buf.conn();
        match buf.kind() {
            kind::DATA => {
                let Some(session) = self.sessions.get_mut(conn) else {
                    push(output, buf);
                    return Ok(());
                };
                if session.closed {
                    cx.drop_buf(buf, Reason::AfterClose);
                    return Ok(());
                }
                let buf = writable(cx, buf)?;
                self.cut.find(cx, &self.config, session, buf);
            }
            kind::CLOSED => {
                self.end(conn);
                push(output, buf);
            }
            _ => push(output, buf),
        }
        Ok(())
    }

    /// Hands on what was found in a buf, as far as there is room; `false`: there is more.
    fn hand_on(&mut self, cx: &mut Cx, output: &mut Burst) -> bool {
        let conn = self.cut.conn;
        while output.room() >= ROOM
            && let Some(&item) = self.cut.items.get(self.cut.next)
        {
            self.cut.next += 1;
            let buf = match item.what {
                What::Message => {
                    cx.counters.add(Counter::Messages, 1);
                    self.cut.hand_on(item, MESSAGE, output);
                    continue;
                }
                What::Ping => {
                    self.cut.hand_on(item, PING, output);
                    continue;
                }
                What::Packed if self.unpack(cx, conn, item, output) => continue,
                What::Packed => return false,
                What::CutPing => self.cut.ping.take().expect("its item is next"),
                What::Pong => Buf::marker(conn, PONG),
                What::Close => self.close_word(cx, conn, close_code(item.meta)),
                What::Transmit => {
                    if let Some(session) = self.sessions.get_mut(conn) {
                        Self::ask_to_transmit(session, conn, output);
                    }
                    continue;
                }
                What::End => {
                    self.release(conn);
                    end_word(conn)
                }
            };
            push(output, buf);
        }
        let is_done = self.cut.is_empty();
        if is_done {
            self.cut.rest();
        }
        is_done
    }

    /// Decompresses a piece of a message, as far as there is room and slots; `false`: there are none now.
    fn unpack(&mut self, cx: &mut Cx, conn: ConnId, item: Item, output: &mut Burst) -> bool {
        let Item { mut start, end, meta, .. } = item;
        let piece = MessageMeta::of_meta(meta);
        self.acquire_inflater(cx, conn, piece.last, output);
        let session = self.sessions.get_mut(conn).expect("its end waits behind what was cut");
        let codec = session.codec.as_mut().expect("compression was agreed on");
        if start < end {
            codec.go_on(&mut self.codecs, cx.now);
        }
        let mut first = piece.first;
        let fault = loop {
            let buf = self.cut.buf.as_ref().expect("its items are not out");
            let input = &buf[start as usize..end as usize];
            let slot = if output.room() < ROOM {
                None
            } else {
                room_to_inflate(cx, conn, piece.kind, input.len())
            };
            let Some(mut plain) = slot else {
                self.cut.next -= 1;
                let meta = MessageMeta { first, ..piece }.to_meta();
                self.cut.items[self.cut.next] = Item { start, meta, ..item };
                return false;
            };
            let most = self.config.limits.message_bytes;
            let progress = match inflate(codec.inflater(), most, input, piece.last, &mut plain) {
                Ok(progress) => progress,
                Err(fault) => break fault,
            };
            start += progress.consumed as u32;
            let last = piece.last && progress.done;
            if let Err(fault) =
                session.connection.take_inflated(codec.inflater(), piece.kind, &plain, last)
            {
                break fault;
            }
            if !plain.is_empty() || first || last {
                let frame_last = piece.frame_last && progress.done;
                let meta = MessageMeta { first, last, frame_last, ..piece };
                plain.set_kind(MESSAGE, meta.to_meta());
                cx.counters.add(Counter::Messages, 1);
                push(output, plain);
                first = false;
            }
            if progress.done {
                if last {
                    codec.release(&mut self.codecs);
                }
                self.cut.slices -= 1;
                return true;
            }
        };
        self.cut.discard();
        self.give_up(cx, conn, fault, output);
        true
    }

    /// Sees to it that a connection has something to decompress with; `last`: the next piece is its message's last.
    /// Where there are as many messages under way as may be, the one that went on least lately gives way.
    fn acquire_inflater(&mut self, cx: &Cx, conn: ConnId, last: bool, output: &mut Burst) {
        let session = self.sessions.get_mut(conn).expect("its end waits behind what was cut");
        if session.codec.as_ref().is_none_or(Codec::has_inflater) {
            return;
        }
        let whole = last || self.cut.has_the_end();
        if !whole && let Some(holder) = self.codecs.stalest() {
            self.give_up(cx, holder, Fault::Busy, output);
        }
        let session = self.sessions.get_mut(conn).expect("it is not the holder");
        let codec = session.codec.as_mut().expect("it was looked at");
        codec.acquire(&mut self.codecs, conn, cx.now, whole);
    }

    /// Ends a connection for a fault in what its messages hold.
    fn give_up(&mut self, cx: &Cx, conn: ConnId, fault: Fault, output: &mut Burst) {
        self.release(conn);
        if let Some(session) = self.sessions.get_mut(conn) {
            session.connection.fail(fault);
            cx.counters.drop_one(Reason::Protocol);
            push(output, end_word(conn));
        }
    }

    /// No message of a connection will go on.
    fn release(&mut self, conn: ConnId) {
        let codec = self.sessions.get_mut(conn).and_then(|session| session.codec.as_mut());
        if let Some(codec) = codec {
            codec.release(&mut self.codecs);
        }
    }

    /// What the handler hears of a close; without its reason where no slot is free.
    fn close_word(&mut self, cx: &Cx, conn: ConnId, code: Option<CloseCode>) -> Buf {
        let reason = self.sessions.get_mut(conn).map_or("", |s| s.connection.close_reason());
        let slot = if reason.is_empty() { None } else { cx.alloc(reason.len(), conn) };
        let mut word = slot.unwrap_or_else(|| Buf::marker(conn, CLOSE));
        word.append(reason.as_bytes());
        word.set_kind(CLOSE, code.map_or(0, |code| code.number().into()));
        word
    }
}

/// The same bytes where they may be changed. `Err`: there is no slot.
fn writable(cx: &Cx, buf: Buf) -> Result<Buf, Buf> {
    if buf.is_unique() {
        return Ok(buf);
    }
    let Some(mut own) = cx.alloc(buf.len(), buf.conn()) else { return Err(buf) };
    assert!(own.append(&buf), "it was allocated for them");
    cx.counters.add(Counter::CopiedBytes, buf.len() as u64);
    Ok(own)
}

/// A slot to decompress a piece of so many bytes into: a small one is enough for a small one, and has to be where the
/// pool has no other now.
fn room_to_inflate(cx: &Cx, conn: ConnId, kind: Kind, bytes: usize) -> Option<Buf> {
    let (small, large) = (SMALL_SLOT_BYTES as usize, LARGE_SLOT_BYTES as usize);
    let room = if bytes <= small / 4 { small } else { large };
    alloc(cx, conn, kind, room - HEADER_BYTES_MAX)
        .or_else(|| alloc(cx, conn, kind, small - HEADER_BYTES_MAX))
}

/// Decompresses what it can of a piece into `plain`.
fn inflate(
    inflater: &mut Inflater,
    message_bytes_max: u64,
    input: &[u8],
    last: bool,
    plain: &mut Buf,
) -> Result<Progress, Fault> {
    let mut outcome = Err(Fault::Deflate);
    plain.fill(|room| {
        outcome = inflater.inflate(message_bytes_max, input, last, room);
        outcome.ok().map(|progress| progress.written)
    });
    outcome
}

/// A ping that came in pieces, in a slot of its own.
fn answer_to_cut_ping(cx: &Cx, session: &mut Session, conn: ConnId) -> Option<Buf> {
    let mut ping = cx.alloc(CONTROL_BYTES_MAX, conn)?;
    ping.append(session.connection.take_ping()?);
    ping.set_kind(PING, 0);
    Some(ping)
}
