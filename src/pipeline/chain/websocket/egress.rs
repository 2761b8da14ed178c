//! From messages to bufs of frames. One that has room before it, in a slot of its own, goes out from where it lies;
//! small ones are put together.

use super::codec::{Codec, Shared};
use super::messages::{
    BEGIN, CLOSE, LAST, MESSAGE, MessageMeta, PING, PONG, TRANSMIT, alloc, close_code, deflate_of,
};
use super::{Session, WebSocket, push};
use crate::counters::{Counter, Reason};
use crate::limits::WEBSOCKET_PACK_BYTES_MAX;
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::chain::pack::Pack;
use crate::pipeline::write::FRAME;
use crate::pipeline::{Chain, Cx};
use crate::proto::websocket::{
    CONTROL_BYTES_MAX, CONTROL_FRAME_BYTES_MAX, Encoded, HEADER_BYTES_MAX, Piece,
};

impl WebSocket {
    /// Takes what the handler says; gives back what has to come again.
    pub(super) fn send(
        &mut self,
        cx: &mut Cx,
        buf: Buf,
        http: &mut Burst,
        output: &mut Burst,
    ) -> Result<(), Buf> {
        let conn = buf.conn();
        if buf.kind() == BEGIN {
            self.begin(cx, conn, deflate_of(buf.meta()));
            return Ok(());
        }
        let session = self.sessions.get_mut(conn).filter(|session| !session.closed);
        match (buf.kind(), session) {
            (MESSAGE, Some(session)) => {
                send_message(cx, &mut self.pack, &mut self.codecs, session, buf, output)?;
                // Also where it was dropped: who waits finds out.
                if session.awaited && !session.connection.is_sending() {
                    session.awaited = false;
                    self.admitted.push_back(conn);
                }
                Ok(())
            }
            (FRAME, Some(session)) => {
                self.pack.flush(output);
                send_frame(cx, session, buf, output);
                Ok(())
            }
            (PING | PONG, Some(session)) => send_control(cx, &mut self.pack, session, buf, output),
            (CLOSE, Some(_)) => self.close(cx, buf, output),
            (TRANSMIT, Some(_)) => {
                self.transmit(cx, conn, buf.meta() == LAST, output).map_err(|()| buf)
            }
            (TRANSMIT, None) => Ok(()),
            (MESSAGE | FRAME | PING | PONG | CLOSE, None) => {
                cx.drop_buf(buf, Reason::AfterClose);
                Ok(())
            }
            (_, session) => {
                if let Some(session) = session {
                    session.hear_what_is_said(cx, &buf, &mut self.opened);
                }
                self.pack.flush(output);
                push(http, buf);
                self.http.egress(cx, http, output);
                debug_assert!(http.is_empty(), "room was checked");
                Ok(())
            }
        }
    }

    /// Closes in order, as the handler wants it.
    fn close(&mut self, cx: &Cx, word: Buf, output: &mut Burst) -> Result<(), Buf> {
        let conn = word.conn();
        let Some(pack) = self.pack.reserve(cx, conn, CONTROL_FRAME_BYTES_MAX, output) else {
            return Err(word);
        };
        let session = self.sessions.get_mut(conn).expect("the caller saw it");
        let (code, reason) = (close_code(word.meta()), std::str::from_utf8(&word));
        let mut frame = [0; CONTROL_FRAME_BYTES_MAX];
        let said =
            session.connection.close(cx.now, code, reason.unwrap_or_default(), None, &mut frame);
        if let Ok(bytes) = said {
            let fits = pack.append(&frame[..bytes]);
            assert!(fits, "it was reserved for it");
        }
        self.end_if_over(conn, output);
        Ok(())
    }

    /// Says what a connection has to say by itself. `Err`: there is no slot now.
    fn transmit(
        &mut self,
        cx: &Cx,
        conn: ConnId,
        last: bool,
        output: &mut Burst,
    ) -> Result<(), ()> {
        let session = self.sessions.get_mut(conn).expect("the caller saw it");
        // A close waits for its own word: it would overtake answers.
        while last || session.connection.is_listening() {
            let pack = self.pack.reserve(cx, conn, CONTROL_FRAME_BYTES_MAX, output).ok_or(())?;
            let mut frame = [0; CONTROL_FRAME_BYTES_MAX];
            let Some(bytes) = session.connection.poll_transmit(cx.now, None, &mut frame) else {
                break;
            };
            let fits = pack.append(&frame[..bytes]);
            assert!(fits, "it was reserved for it");
        }
        session.transmitting &= last;
        self.end_if_over(conn, output);
        Ok(())
    }

    /// Once both ends have closed, the server ends the connection (RFC 6455 §7.1.1).
    fn end_if_over(&mut self, conn: ConnId, output: &mut Burst) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        if session.connection.is_over() && !std::mem::replace(&mut session.closed, true) {
            self.pack.flush(output);
            push(output, Buf::linger(conn));
        }
    }
}

/// Sends a frame of a message.
#[inline]
fn send_message(
    cx: &Cx,
    pack: &mut Pack,
    shared: &mut Shared,
    session: &mut Session,
    buf: Buf,
    output: &mut Burst,
) -> Result<(), Buf> {
    let MessageMeta { kind, first, last, .. } = MessageMeta::of(&buf);
    let mut compressed = false;
    let mut buf = buf;
    if session.codec.is_some()
        && first
        && last
        && let Some(packed) = deflate(cx, shared, session, &buf)
    {
        (compressed, buf) = (true, packed);
    }
    let piece = Piece { kind, first, last, compressed, bytes: buf.len() };
    if piece.bytes <= WEBSOCKET_PACK_BYTES_MAX
        && let Some(pack) = pack.reserve(cx, buf.conn(), HEADER_BYTES_MAX + piece.bytes, output)
    {
        if copy(session, piece, &buf, pack) {
            cx.counters.add(Counter::CopiedBytes, piece.bytes as u64);
        } else {
            refuse(cx, session, piece, buf);
        }
        return Ok(());
    }
    send_as_it_lies(cx, pack, session, piece, buf, output)
}

/// Puts a frame behind those that go to the same peer, where room was reserved. `false`: it may not be sent.
#[inline(always)]
fn copy(session: &mut Session, piece: Piece, payload: &[u8], pack: &mut Buf) -> bool {
    let copied = pack.fill(|room| {
        // Where it lies: a header that is made elsewhere, byte by byte, is waited for before it is copied.
        let header = room.first_chunk_mut()?;
        let start = session.connection.write_message_header(piece, None, header).ok()?;
        let end = start + payload.len();
        room.get_mut(start..end)?.copy_from_slice(payload);
        Some(end)
    });
    copied.is_some()
}

/// Drops a frame that may not be sent.
#[cold]
fn refuse(cx: &Cx, session: &mut Session, piece: Piece, buf: Buf) {
    if let Some(codec) = session.codec.as_mut().filter(|_| piece.compressed) {
        codec.forget();
    }
    cx.drop_buf(buf, Reason::AfterClose);
}

/// Sends a frame from where its payload lies, its header before that where there is room, or in a buf of its own.
#[inline(never)]
fn send_as_it_lies(
    cx: &Cx,
    pack: &mut Pack,
    session: &mut Session,
    piece: Piece,
    mut buf: Buf,
    output: &mut Burst,
) -> Result<(), Buf> {
    let conn = buf.conn();
    let may_stay = buf.headroom() >= header_bytes(piece.bytes) && buf.is_unique();
    if !may_stay && pack.reserve(cx, conn, HEADER_BYTES_MAX, output).is_none() {
        return Err(buf);
    }
    let Ok(header) = session.connection.message_header(piece, None) else {
        refuse(cx, session, piece, buf);
        return Ok(());
    };
    if may_stay {
        write_before(&mut buf, &header);
    } else {
        let pack = pack.reserve(cx, conn, HEADER_BYTES_MAX, output);
        let fits = pack.is_some_and(|pack| pack.append(&header));
        assert!(fits, "it was just reserved for it");
    }
    pack.flush(output);
    buf.set_kind(kind::DATA, 0);
    push(output, buf);
    Ok(())
}

/// Passes a message on that was framed elsewhere. One that is out of turn is dropped: whoever has the chain
/// admit it first sees to it that none is.
fn send_frame(cx: &Cx, session: &Session, mut frame: Buf, output: &mut Burst) {
    if !session.answered || !session.connection.is_writable() || session.connection.is_sending() {
        return cx.drop_buf(frame, Reason::AfterClose);
    }
    frame.set_kind(kind::DATA, 0);
    push(output, frame);
}

/// A whole message as it goes where compressing makes it shorter.
fn deflate(cx: &Cx, shared: &mut Shared, session: &mut Session, message: &Buf) -> Option<Buf> {
    let codec = session.codec.as_mut().filter(|_| session.connection.is_writable())?;
    if !codec.wants(message.len()) {
        return None;
    }
    let kind = MessageMeta::of(message).kind;
    let mut out = alloc(cx, message.conn(), kind, Codec::room(message.len()))?;
    codec.deflate(shared, message, &mut out).then_some(out)
}

/// Bytes of the header before so many of payload: shorter than a client's before the same, so that what is sent back
/// has room before it.
const fn header_bytes(payload_bytes: usize) -> usize {
    match payload_bytes {
        0..126 => 2,
        126..0x1_0000 => 4,
        _ => 10,
    }
}

fn write_before(buf: &mut Buf, header: &Encoded) {
    buf.retreat(header.len());
    let bytes = buf.bytes_mut().expect("it has one owner");
    bytes[..header.len()].copy_from_slice(header);
}

/// Sends a ping or a pong; one that is too long, as it is.
fn send_control(
    cx: &Cx,
    pack: &mut Pack,
    session: &mut Session,
    buf: Buf,
    output: &mut Burst,
) -> Result<(), Buf> {
    if buf.len() > CONTROL_BYTES_MAX {
        cx.drop_buf(buf, Reason::Protocol);
        return Ok(());
    }
    let room = HEADER_BYTES_MAX + buf.len();
    let Some(pack) = pack.reserve(cx, buf.conn(), room, output) else { return Err(buf) };
    let connection = &mut session.connection;
    let header = match buf.kind() {
        PONG => connection.pong_header(buf.len(), None),
        _ => connection.ping_header(buf.len(), None),
    };
    match header {
        Ok(header) => {
            let fits = pack.append(&header) && pack.append(&buf);
            assert!(fits, "it was reserved for them");
        }
        Err(_) => cx.drop_buf(buf, Reason::AfterClose),
    }
    Ok(())
}
