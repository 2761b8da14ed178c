//! From bufs of packets to messages: packets are found and decrypted where they lie, all of a buf's before it
//! is cut, since a slot that is shared may not be written to.

use super::guard::Verdict;
use super::messages::{
    Agreed, CLOSING, CONNECTED, ENDED, MESSAGE, MessageMeta, OPENED, OPENING, REFUSED, SHUT, TORN,
    TRANSMIT, WRITABLE,
};
use super::session::Session;
use super::unpack::{Hand, take_piece};
use super::upgrade::{Asked, SWITCHING, look_at};
use super::{ROOM_UP, Stream, push, reasons};
use crate::counters::{Counter, Reason};
use crate::limits::{
    BURST_MAX, STREAM_BATCH_MESSAGES_MAX, STREAM_SAID_MAX, STREAM_UPGRADE_BYTES_MAX,
    STREAM_WINDOW_PACKETS_MIN,
};
use crate::mem::{Batch, Buf, Burst, ConnId, kind};
use crate::pipeline::Cx;
use crate::pipeline::chain::stash::{NoRoom, StashId, Stashes};
use crate::proto::stream::secure::identity::PublicKey;
use crate::proto::stream::{Data, Event, Framing, Received, deframe, is_batch, is_probe};

/// Items that a packet makes at most: a message, and what it brings about. Events that there is no room for wait
/// in the connection.
const ROOM_PACKET: usize = 2;

/// The same of a batch: all of its messages, for it is opened once.
const ROOM_BATCH: usize = STREAM_BATCH_MESSAGES_MAX + 1;

/// Room for the [`TRANSMIT`]s around what a buf brings, and for a pause or the end of the connection behind it.
const ROOM_AROUND: usize = 3;

/// Room that is left, so that a handler which answers each message with one takes all of them at once: what it
/// left would share its slot with the rest of the buf, which would have to be copied to be opened.
const ROOM_LEFT: usize = STREAM_SAID_MAX - 1;

const _: () = assert!(ROOM_AROUND + ROOM_LEFT + ROOM_BATCH <= BURST_MAX);

/// What a packet was, until its buf is cut.
enum Item {
    /// A message, or a piece of one, in the buf.
    Slice {
        start: usize,
        end: usize,
        meta: u32,
    },
    /// One that was decompressed.
    Message(Buf),
    Event(Event),
    Torn(u16),
}

/// Why no more packets of a buf are looked at.
enum Stop {
    /// The rest of it is no whole packet.
    Rest,
    /// There is no room, or no slot, now.
    Full,
    /// The stream is over.
    Over,
}

impl Stream {
    /// Takes what came on a connection, or keeps it while that waits for a slot; gives back what has to come again.
    pub(super) fn receive(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Result<(), Buf> {
        let conn = buf.conn();
        if !self.held.is_empty()
            && self
                .sessions
                .get_mut(conn)
                .is_some_and(|session| !session.closed && session.is_held())
        {
            return self.park(cx, buf, output);
        }
        self.set_budget(conn);
        let left = self.take(cx, buf, output);
        self.count_channels(conn);
        self.hold(cx, conn, output);
        left
    }

    /// Takes what came on a connection; gives back what has to come again.
    pub(super) fn take(&mut self, cx: &mut Cx, buf: Buf, output: &mut Burst) -> Result<(), Buf> {
        let conn = buf.conn();
        let is_datagram = self.is_datagram();
        let Some(session) =
            self.sessions.get_mut(conn).filter(|session| !session.closed && !session.refused)
        else {
            cx.drop_buf(buf, Reason::AfterClose);
            return Ok(());
        };
        if is_datagram && !session.vouched {
            match self.guard.look_at(conn, &buf, cx.now) {
                Verdict::Passes => session.vouched = true,
                Verdict::Asked(retry) => {
                    session.retry = Some(retry);
                    cx.drop_buf(buf, Reason::Protocol);
                    ask_to_transmit(session, conn, output);
                    return Ok(());
                }
                Verdict::Dropped => {
                    cx.drop_buf(buf, Reason::Protocol);
                    return Ok(());
                }
            }
        }
        let mut buf = buf;
        if session.awaits_upgrade {
            match self.take_request(cx, buf, output)? {
                Some(rest) => buf = rest,
                None => return Ok(()),
            }
        }
        let session = self.sessions.get_mut(conn).expect("it was just seen");
        let greeting = &mut self.guard.greeting;
        while session.stash != StashId::NONE {
            match join(cx, &mut self.stashes, session, &mut buf) {
                Ok(Some(packet)) => {
                    if let Err(packet) =
                        take_packets(cx, session, greeting, is_datagram, packet, output)
                    {
                        session.stash = self.stashes.put(cx, packet);
                        return Err(buf);
                    }
                }
                Ok(None) => return Ok(()),
                Err(NoRoom::ForNow) => return Err(buf),
                Err(NoRoom::ForGood) => return give_up(cx, session, buf, output),
            }
            if session.stuck.is_some() {
                return self.park_rest(cx, buf, output);
            }
            if output.room() < ROOM_UP {
                return if buf.is_empty() { Ok(()) } else { Err(buf) };
            }
        }
        match take_packets(cx, session, greeting, is_datagram, buf, output)? {
            Some(rest) if session.stuck.is_some() => return self.park_rest(cx, rest, output),
            Some(rest) if self.stashes.has_room() => session.stash = self.stashes.put(cx, rest),
            Some(rest) => return give_up(cx, session, rest, output),
            None => {}
        }
        Ok(())
    }

    /// Takes bytes of a stream that begins as HTTP; what is left of them is the stream's.
    fn take_request(
        &mut self,
        cx: &mut Cx,
        mut buf: Buf,
        output: &mut Burst,
    ) -> Result<Option<Buf>, Buf> {
        let conn = buf.conn();
        let session = self.sessions.get_mut(conn).expect("the caller saw it");
        let part = self.stashes.take(&mut session.stash);
        let seen = part.as_ref().map_or(0, |part| part.len());
        let Some(mut head) = part.or_else(|| cx.alloc(STREAM_UPGRADE_BYTES_MAX, conn)) else {
            return Err(buf);
        };
        let more = buf.len().min(STREAM_UPGRADE_BYTES_MAX - seen);
        head.append(&buf[..more]);
        cx.counters.add(Counter::HeadBytesCopied, more as u64);
        match look_at(&head) {
            Asked::More if self.stashes.has_room() => {
                session.stash = self.stashes.put(cx, head);
                return Ok(None);
            }
            Asked::More => return give_up(cx, session, buf, output).map(|()| None),
            Asked::Stream { head_bytes, session_id } => {
                session.awaits_upgrade = false;
                session.answer = Some(SWITCHING);
                if session_id.is_some() {
                    session.connection = self.settings.connection(cx.now, session_id);
                }
                buf.advance(head_bytes - seen);
            }
            Asked::Other(answer) => {
                session.answer = Some(answer);
                session.refused = true;
                cx.counters.drop_one(Reason::Protocol);
                buf.truncate(0);
            }
        }
        ask_to_transmit(session, conn, output);
        Ok((!buf.is_empty()).then_some(buf))
    }

    /// A marker of the transport, or of another layer.
    pub(super) fn on_marker(
        &mut self,
        cx: &mut Cx,
        marker: Buf,
        output: &mut Burst,
    ) -> Result<(), Buf> {
        let conn = marker.conn();
        match marker.kind() {
            kind::OPEN => self.open(cx, conn),
            kind::CLOSED => self.close(cx, conn),
            kind::EOF if self.sessions.get_mut(conn).is_some_and(|session| session.is_held()) => {
                return self.park(cx, marker, output);
            }
            // Without the peer's words nothing goes on.
            kind::EOF => {
                push(output, Buf::marker(conn, kind::CLOSE));
                return Ok(());
            }
            _ => {}
        }
        push(output, marker);
        Ok(())
    }

    /// Tells what has become of sessions without a packet.
    pub(super) fn tell_news(&mut self, cx: &mut Cx, output: &mut Burst) {
        for _ in 0..self.news.len() {
            if output.room() < ROOM_UP {
                return;
            }
            let Some(conn) = self.news.pop_front() else { return };
            let Some(session) = self.sessions.get_mut(conn) else { continue };
            session.has_news = false;
            // Before what becomes of them.
            while output.room() >= ROOM_UP
                && let Some(channel) = session.opening.pop_front()
            {
                push(output, about(conn, OPENING, channel.into()));
            }
            while output.room() >= ROOM_UP
                && let Some(event) = session.connection.poll_event()
            {
                tell(cx, session, conn, event, &mut Hand::default(), output);
            }
            while output.room() >= ROOM_UP
                && let Some(asked) = session.flushed.pop()
            {
                push(output, about(conn, kind::FLUSHED, asked));
            }
            while output.room() >= ROOM_UP
                && let Some(channel) = session.freed.pop()
            {
                if session.connection.is_writable(channel) && !session.lanes.waits(channel) {
                    push(output, about(conn, WRITABLE, channel.into()));
                }
            }
            ask_to_transmit(session, conn, output);
            if session.has_something_to_tell() {
                session.has_news = true;
                return self.news.push_front(conn);
            }
        }
    }
}

/// Completes the packet in the stash from the front of `buf`: a whole one, or none while it is not.
fn join(
    cx: &mut Cx,
    stashes: &mut Stashes,
    session: &mut Session,
    buf: &mut Buf,
) -> Result<Option<Buf>, NoRoom> {
    let mut part = stashes.take(&mut session.stash).expect("the caller saw it");
    loop {
        let end = match deframe(&part) {
            Ok(Framing::Need(end)) => end,
            // A fault is found by whoever takes the packet.
            Ok(Framing::Whole(_)) | Err(_) => return Ok(Some(part)),
        };
        let bytes = (end - part.len()).min(buf.len());
        if bytes == 0 {
            session.stash = stashes.put(cx, part);
            return Ok(None);
        }
        if let Err(no_room) = stashes.join(cx, &mut part, &buf[..bytes]) {
            session.stash = stashes.put(cx, part);
            return Err(no_room);
        }
        buf.advance(bytes);
    }
}

/// Handles all whole packets of a buf that there is room for: what is left of it, `Err` where that is to
/// come again.
fn take_packets(
    cx: &mut Cx,
    session: &mut Session,
    greeting: &mut usize,
    is_datagram: bool,
    buf: Buf,
    output: &mut Burst,
) -> Result<Option<Buf>, Buf> {
    let conn = buf.conn();
    let Some(mut buf) = writable(cx, buf)? else { return Ok(None) };
    let (mut items, mut hand) = (Batch::<Item>::new(), Hand::default());
    let (mut at, mut stop, mut opens) = (0, Stop::Rest, false);
    let room = (output.room() - ROOM_AROUND).saturating_sub(ROOM_LEFT);
    while at < buf.len() {
        let end =
            match if is_datagram { Ok(Framing::Whole(buf.len())) } else { deframe(&buf[at..]) } {
                Ok(Framing::Need(_)) => break,
                Ok(Framing::Whole(len)) => (at + len).min(buf.len()),
                // A packet that cannot be is handed over, so that the peer is told.
                Err(_) => buf.len(),
            };
        // What came about before goes first.
        opens |= take_events(session, &mut items, room);
        let ready = session.connection.may_receive() && hand.is_filled(cx, session, conn);
        let needed = if is_batch(&buf[at..end]) { ROOM_BATCH } else { ROOM_PACKET };
        if !ready || room - items.len() < needed {
            stop = Stop::Full;
            break;
        }
        let bytes = buf.bytes_mut().expect("it was made sure of");
        take_packet(cx, session, &mut bytes[at..end], at, &mut hand, &mut items);
        opens |= take_events(session, &mut items, room);
        at = end;
        if session.connection.is_over() {
            stop = Stop::Over;
            break;
        }
        if let Some(missing) = hand.missing.take() {
            session.stuck = Some(missing.keep(cx.now, session, &buf));
            break;
        }
    }
    if !session.greeted && session.connection.peer().is_some() {
        session.greeted = true;
        *greeting -= 1;
    }
    if opens {
        // The peer takes nothing on a channel before it hears that it is open.
        push(output, Buf::marker(conn, TRANSMIT));
    }
    // Of nothing but the lack of a slot there is nothing to say.
    let moved = at > 0 || !items.as_slice().is_empty() || !session.connection.may_receive();
    hand_on(cx, session, &buf, items, &mut hand, output);
    if moved {
        ask_to_transmit(session, conn, output);
    }
    buf.advance(at);
    match stop {
        Stop::Over => Ok(None),
        Stop::Full => Err(buf),
        Stop::Rest => Ok((!buf.is_empty()).then_some(buf)),
    }
}

/// The same bytes where they may be changed. `Ok(None)`: there are none.
fn writable(cx: &Cx, buf: Buf) -> Result<Option<Buf>, Buf> {
    if buf.is_empty() {
        return Ok(None);
    }
    if buf.is_unique() {
        return Ok(Some(buf));
    }
    let Some(mut own) = cx.alloc(buf.len(), buf.conn()) else { return Err(buf) };
    assert!(own.append(&buf), "it was allocated for them");
    cx.counters.add(Counter::CopiedBytes, buf.len() as u64);
    Ok(Some(own))
}

/// Handles one packet, which lies at `at` in its buf.
fn take_packet(
    cx: &mut Cx,
    session: &mut Session,
    packet: &mut [u8],
    at: usize,
    hand: &mut Hand,
    items: &mut Batch<Item>,
) {
    // A round trip may be shorter than the time between two readings of the clock.
    let now = if is_probe(packet) { cx.exact_now() } else { cx.now };
    let received = session.connection.handle_packet(now, packet);
    if let Some(trace) = &mut session.trace {
        trace.note_in(cx.now, packet, &received);
    }
    match received {
        Ok(Received::Data(data)) => {
            session.active_at = cx.now;
            take_data(cx, session, packet, at, data, hand, items);
        }
        Ok(Received::Torn { channel }) => {
            if let Some(lane) = session.lanes.get_mut(channel) {
                lane.assembly = None;
            }
            keep(items, Item::Torn(channel));
        }
        Ok(Received::Consumed) => {}
        Ok(Received::Dropped(why)) => cx.counters.drop_one(reasons::of_dropped(why)),
        Err(fault) => cx.counters.drop_one(reasons::of_fault(fault)),
    }
}

/// Takes what came about, as far as there is room; whether the peer has opened a channel.
fn take_events(session: &mut Session, items: &mut Batch<Item>, room: usize) -> bool {
    let mut opens = false;
    while items.len() < room
        && let Some(event) = session.connection.poll_event()
    {
        opens |= matches!(event, Event::ChannelOpened { by_peer: true, .. });
        keep(items, Item::Event(event));
    }
    opens
}

fn keep(items: &mut Batch<Item>, item: Item) {
    let kept = items.push(item);
    assert!(kept.is_ok(), "room was checked");
}

/// Keeps what of a packet's messages is to be handed on.
fn take_data(
    cx: &mut Cx,
    session: &mut Session,
    packet: &[u8],
    at: usize,
    data: Data,
    hand: &mut Hand,
    items: &mut Batch<Item>,
) {
    // What is handed on is a packet, and its handler may want to say when it is done with it.
    let is_handed_on = !data.compressed || data.last;
    if !(session.handler_consumes && is_handed_on) {
        session.consume(cx.now, data.channel, 1);
    }
    if data.compressed {
        if let Some(message) = take_piece(cx, session, packet, at, data, hand) {
            keep(items, Item::Message(message));
        }
        return;
    }
    let meta = MessageMeta { channel: data.channel, first: data.first, last: data.last }.to_meta();
    let mut messages = data.messages(packet);
    while let Some(range) = messages.next() {
        let goes_on = if messages.len() > 0 { MessageMeta::GOES_ON } else { 0 };
        let (start, end) = (at + range.start, at + range.end);
        keep(items, Item::Slice { start, end, meta: meta | goes_on });
    }
}

/// Cuts a buf into what was found in it, and hands all of that on in order.
fn hand_on(
    cx: &mut Cx,
    session: &mut Session,
    buf: &Buf,
    mut items: Batch<Item>,
    hand: &mut Hand,
    output: &mut Burst,
) {
    while let Some(item) = items.pop() {
        match item {
            Item::Slice { start, end, meta } => {
                let mut message = buf.slice(start, end);
                message.set_kind(MESSAGE, meta);
                hand_message(cx, message, output);
            }
            Item::Message(message) => hand_message(cx, message, output),
            Item::Torn(channel) => push(output, about(buf.conn(), TORN, channel.into())),
            Item::Event(event) => tell(cx, session, buf.conn(), event, hand, output),
        }
    }
}

pub(super) fn hand_message(cx: &mut Cx, mut message: Buf, output: &mut Burst) {
    message.set_message(cx.extensions.begin_message());
    cx.counters.add(Counter::Messages, 1);
    push(output, message);
}

fn about(conn: ConnId, kind: u8, meta: u32) -> Buf {
    let mut marker = Buf::marker(conn, kind);
    marker.set_kind(kind, meta);
    marker
}

/// Tells the handler of an event.
fn tell(
    cx: &Cx,
    session: &mut Session,
    conn: ConnId,
    event: Event,
    hand: &mut Hand,
    output: &mut Burst,
) {
    if let Some(trace) = &mut session.trace {
        trace.note_event(cx.now, event);
    }
    let word = match event {
        Event::Connected => {
            let Some(mut card) = hand.card.take() else { return };
            let key = session.connection.peer().map(PublicKey::as_bytes).expect("it is connected");
            let id = session.connection.session_id().expect("it is connected");
            // It may come to be as small.
            let window = session.connection.window_packets().min(STREAM_WINDOW_PACKETS_MIN);
            let window = window.to_le_bytes();
            let fits = card.append(key) && card.append(id) && card.append(&window);
            assert!(fits, "it was allocated for them");
            let agreed = Agreed {
                encrypted: session.connection.is_encrypted(),
                compressed: session.connection.may_compress(),
                datagrams: session.connection.is_datagram(),
            };
            card.set_kind(CONNECTED, agreed.to_meta());
            card
        }
        Event::ChannelOpened { channel, channel_type, .. } => {
            about(conn, OPENED, u32::from(channel) | u32::from(channel_type) << 16)
        }
        Event::ChannelRefused { channel, code } => {
            about(conn, REFUSED, u32::from(channel) | u32::from(code.to_wire()) << 16)
        }
        // What waits goes first: the handler hears when that is done.
        Event::ChannelWritable { channel } if session.lanes.waits(channel) => return,
        Event::ChannelWritable { channel } => about(conn, WRITABLE, channel.into()),
        Event::ChannelShut { channel } => about(conn, SHUT, channel.into()),
        Event::ChannelClosed { channel } => {
            session.ended.push(channel);
            about(conn, ENDED, channel.into())
        }
        Event::Closing { code } => about(conn, CLOSING, code.to_wire().into()),
        Event::ChannelError { .. } => {
            cx.counters.drop_one(Reason::AfterClose);
            return;
        }
        // The transport's CLOSED tells.
        Event::Closed(_) => return,
    };
    push(output, word);
}

/// Has the connection say what it has to say, by way of the handler.
pub(super) fn ask_to_transmit(session: &mut Session, conn: ConnId, output: &mut Burst) {
    if !std::mem::replace(&mut session.transmitting, true) {
        push(output, Buf::marker(conn, TRANSMIT));
    }
}

/// There is no room for the rest of a packet, and will not be.
#[cold]
pub(super) fn give_up(
    cx: &Cx,
    session: &mut Session,
    buf: Buf,
    output: &mut Burst,
) -> Result<(), Buf> {
    session.closed = true;
    push(output, Buf::linger(buf.conn()));
    cx.drop_buf(buf, Reason::Protocol);
    Ok(())
}
