//! Bodies as they come and go: the request's to the service or back to the peer, the response's as
//! there is room.

use super::exchange::{Answer, Close, Exchange, Frame, Source, Until, Wants};
use super::held::is_end;
use super::output::{Stalled, append, append_bytes, mark_end, push};
use super::respond::{Asked, CONTINUE};
use super::response::{Body, Pull, Reply, Response};
use super::{Http, ROOM, Service, fail};
use crate::counters::Reason;
use crate::limits::{
    HTTP_PULL_BYTES, HTTP_PULL_PARTS_MAX, HTTP_TRAILER_BYTES_MAX, LARGE_SLOT_BYTES,
};
use crate::mem::{Buf, Burst, ConnId, kind};
use crate::pipeline::Cx;
use crate::pipeline::chain::http1::TRAILERS;
use crate::proto::http1::{
    CHUNK_SIZE_BYTES_MAX, LAST_CHUNK, Method, encode_chunk_size, is_field_line_block,
};

/// Times that the transport may owe us the word that all is out: the next part of a body is made
/// while the one before it is being sent.
const FLUSHES_MAX: u8 = 2;

/// What came of asking for more of a response's body.
enum Pulled {
    /// Some of it, or its end.
    More,
    /// There was no slot.
    Stalled,
    /// There is nothing now.
    Waits,
}

/// The end of an open chunk, a size, and the end of its line.
const CHUNK_FRAME_BYTES: usize = 2 + CHUNK_SIZE_BYTES_MAX;

impl<S: Service> Http<S> {
    fn exchange(&mut self, conn: ConnId) -> &mut Exchange {
        &mut self.exchanges[conn.slot() as usize]
    }

    /// Part of a request's body, its trailers, or its end.
    pub(super) fn on_body(
        &mut self,
        cx: &mut Cx,
        message: Buf,
        out: &mut Burst,
    ) -> Result<(), Buf> {
        let last = is_end(&message);
        let exchange = self.exchange(message.conn());
        match exchange.wants {
            Wants::Response => self.echo_part(cx, message, last, out),
            Wants::Service => self.serve_part(cx, message, last, out),
            Wants::Nobody => {
                // What it leaves to be done, `advance` does.
                exchange.body_open &= !last;
                cx.drop_buf(message, Reason::NotWanted);
                Ok(())
            }
        }
    }

    fn echo_part(
        &mut self,
        cx: &mut Cx,
        message: Buf,
        last: bool,
        out: &mut Burst,
    ) -> Result<(), Buf> {
        let conn = message.conn();
        if message.kind() == TRAILERS {
            cx.drop_buf(message, Reason::NotWanted);
            return Ok(());
        }
        if !message.is_empty() {
            self.send_part(cx, message, out)?;
        }
        if !last {
            return Ok(());
        }
        self.exchange(conn).body_open = false;
        self.exchange(conn).answer = Answer::Ending;
        Ok(())
    }

    fn serve_part(
        &mut self,
        cx: &mut Cx,
        message: Buf,
        last: bool,
        out: &mut Burst,
    ) -> Result<(), Buf> {
        let conn = message.conn();
        if message.kind() == TRAILERS {
            let passed = self.service.trailer_lines(cx, conn, &message);
            return if passed { Ok(()) } else { Err(message) };
        }
        self.exchange(conn).until = Until::Now;
        let reply = match self.take_kept(conn) {
            Some(response) => Reply::Response(response),
            None => self.service.body(cx, conn, &message, last),
        };
        let reply = match reply {
            Reply::Failure(failure) => Reply::Response(fail(cx, failure)),
            reply => reply,
        };
        let owed = self.exchange(conn).answer == Answer::Owed;
        let later = owed && matches!(reply, Reply::Later);
        match reply {
            Reply::Busy => return Err(message),
            Reply::Wait => {
                self.exchange(conn).until = Until::Woken;
                return Err(message);
            }
            Reply::Response(response) if owed => {
                let asked = self.owed(conn, last);
                let exchange = self.exchange(conn);
                exchange.wants = Wants::Nobody;
                let answered = self.respond(cx, &asked, response, out);
                if answered.is_err() {
                    self.exchange(conn).wants = Wants::Service;
                }
                answered.map_err(|Stalled| message)?;
            }
            Reply::Body if last && owed => {
                tracing::error!("a service gave no response to a whole request");
                self.service.closed(cx, conn);
                let asked = self.owed(conn, last);
                let exchange = self.exchange(conn);
                (exchange.wants, exchange.body_open) = (Wants::Nobody, false);
                // Where there is no slot it is kept, and `advance` tries again.
                let _kept = self.fail(cx, &asked, out);
                return Ok(());
            }
            _ => {}
        }
        let exchange = self.exchange(conn);
        exchange.body_open = !last;
        if last && !later {
            exchange.wants = Wants::Nobody;
            if exchange.answer == Answer::Done {
                let close = std::mem::replace(&mut exchange.close, Close::No);
                self.close(cx, conn, close, out);
            }
        }
        Ok(())
    }

    /// The request whose body the service reads before it answers.
    fn owed(&mut self, conn: ConnId, last: bool) -> Asked {
        let exchange = self.exchange(conn);
        Asked {
            conn,
            message: exchange.message,
            meta: exchange.meta,
            length: None,
            body_open: !last,
            body_whole: false,
        }
    }

    /// Goes on with an exchange as far as there is room: the body of its response, its end, and then
    /// what waits behind it. Where there is none, the transport is asked to call again.
    pub(super) fn advance(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Burst) {
        while out.room() >= ROOM {
            self.resume(conn, out);
            let exchange = &self.exchanges[conn.slot() as usize];
            let moved = match exchange.answer {
                Answer::Owed if self.fault_is_first(conn) => self.release(cx, conn, out),
                Answer::Owed if exchange.continue_due => self.write_continue(cx, conn, out),
                Answer::Owed if exchange.may_respond() => self.respond_late(cx, conn, out),
                Answer::Ending => self.end(cx, conn, out),
                _ if self.front_may_go(conn) => self.release(cx, conn, out),
                Answer::Streaming if exchange.is_pulled() => Err(Stalled),
                _ => return,
            };
            let exchange = &self.exchanges[conn.slot() as usize];
            if moved.is_ok() {
                continue;
            }
            let waits = exchange.until == Until::Woken;
            // Where the request does not go on, the response may.
            if exchange.answer != Answer::Streaming || !exchange.is_pulled() {
                if waits {
                    return;
                }
                break;
            }
            if exchange.flushes >= FLUSHES_MAX {
                return;
            }
            match self.pull(cx, conn, out) {
                Pulled::More => {}
                // Nothing else waits for a slot: whoever has more to give says so.
                Pulled::Waits if waits || !self.front_may_go(conn) => return,
                Pulled::Waits | Pulled::Stalled => break,
            }
        }
        self.call_again(conn, out);
    }

    /// Keeps the response to a request whose body comes in chunks until what is here of them was
    /// looked at, or, where nobody wants them, all: a peer that breaks their rules is to hear of that,
    /// and of nothing else.
    pub(super) fn defer(&mut self, asked: &Asked, response: Response, out: &mut Burst) {
        let echoes =
            matches!(response.body, Body::OfRequest) && asked.meta.method() != Method::Head;
        let exchange = self.exchange(asked.conn);
        exchange.answer = Answer::Owed;
        exchange.wants = if echoes { Wants::Response } else { Wants::Nobody };
        exchange.body_open = true;
        exchange.meta = asked.meta;
        exchange.message = asked.message;
        exchange.until = if echoes { Until::Flushed } else { Until::Now };
        self.keep(asked.conn, response);
        if echoes {
            self.flush(asked.conn, out);
        }
    }

    /// Sends a response that its service owed.
    pub(super) fn respond_now(
        &mut self,
        cx: &mut Cx,
        conn: ConnId,
        response: Response,
        out: &mut Burst,
    ) {
        let exchange = self.exchange(conn);
        if exchange.answer != Answer::Owed || exchange.wants != Wants::Service {
            tracing::error!("a service gave a response that it did not owe");
            if response.is_service() {
                self.service.closed(cx, conn);
            }
            return;
        }
        (exchange.wants, exchange.until) = (Wants::Nobody, Until::Now);
        // Where `100 Continue` was not written, the peer may hold its body back for ever.
        let body_whole = std::mem::replace(&mut exchange.continue_due, false);
        let body_open = exchange.body_open;
        let asked = Asked { body_whole, ..self.owed(conn, !body_open) };
        if self.respond(cx, &asked, response, out).is_err() {
            // It is kept, and tried again by `advance`; what still comes of the body waits behind its head.
            self.exchange(conn).wants = Wants::Response;
        }
    }

    fn respond_late(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Burst) -> Result<(), Stalled> {
        let response = self.take_kept(conn).expect("the caller saw it");
        let asked = Asked { body_whole: true, ..self.owed(conn, false) };
        let asked = Asked { body_open: self.exchange(conn).body_open, ..asked };
        self.respond(cx, &asked, response, out)
    }

    /// Asks the transport to say when all is out, unless it owes us that already.
    fn call_again(&mut self, conn: ConnId, out: &mut Burst) {
        if self.exchange(conn).flushes == 0 {
            self.flush(conn, out);
        }
    }

    fn flush(&mut self, conn: ConnId, out: &mut Burst) {
        self.exchange(conn).flushes += 1;
        push(out, Buf::marker(conn, kind::FLUSH));
    }

    pub(super) fn write_continue(
        &mut self,
        cx: &mut Cx,
        conn: ConnId,
        out: &mut Burst,
    ) -> Result<(), Stalled> {
        append_bytes(cx, out, conn, CONTINUE)?;
        self.exchange(conn).continue_due = false;
        Ok(())
    }

    /// Sends the next parts of the response's body.
    fn pull(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Burst) -> Pulled {
        let (mut bytes, mut parts) = (0, 0);
        while bytes < HTTP_PULL_BYTES && parts < HTTP_PULL_PARTS_MAX && out.room() >= ROOM {
            parts += 1;
            match self.next_part(cx, conn) {
                Pull::Part(part) if part.is_empty() => {}
                Pull::Part(mut part) => {
                    bytes += part.len();
                    part.set_conn(conn);
                    if let Err(part) = self.send_part(cx, part, out) {
                        self.exchange(conn).kept = Some(part);
                        return Pulled::Stalled;
                    }
                    if self.exchange(conn).answer == Answer::Ending {
                        return Pulled::More;
                    }
                }
                Pull::Busy => return Pulled::Stalled,
                // What is made when it is woken counts as being made ahead as well.
                Pull::Wait if bytes > 0 => break,
                Pull::Wait => return Pulled::Waits,
                Pull::End => {
                    self.exchange(conn).answer = Answer::Ending;
                    return Pulled::More;
                }
                Pull::Lost => {
                    self.hang_up(cx, Buf::marker(conn, kind::ABORT), out);
                    return Pulled::More;
                }
                Pull::Trailers(lines) => {
                    let exchange = self.exchange(conn);
                    exchange.answer = Answer::Ending;
                    exchange.kept = Some(lines);
                    return Pulled::More;
                }
            }
        }
        self.flush(conn, out);
        Pulled::More
    }

    fn next_part(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let exchange = &mut self.exchanges[conn.slot() as usize];
        if let Some(part) = exchange.kept.take() {
            return Pull::Part(part);
        }
        match &mut exchange.source {
            Source::Service => self.service.pull(cx, conn),
            Source::Parts(parts) => parts.pull(cx, conn),
            Source::Bytes(bytes, at) => next_bytes(cx, conn, bytes, at),
            Source::None | Source::Buf(_) => Pull::End,
        }
    }

    /// Sends `part` of a response's body within its frame; gives it back when there is no slot for
    /// the frame.
    fn send_part(&mut self, cx: &mut Cx, mut part: Buf, out: &mut Burst) -> Result<(), Buf> {
        let conn = part.conn();
        let exchange = self.exchange(conn);
        match exchange.frame {
            Frame::Length(left) => {
                let Some(left) = left.checked_sub(part.len() as u64) else {
                    tracing::error!("a service gives more of a body than it said");
                    exchange.answer = Answer::Ending;
                    return Ok(());
                };
                exchange.frame = Frame::Length(left);
            }
            Frame::Chunked { open } => {
                let size = part.len();
                let framed = append(cx, out, conn, CHUNK_FRAME_BYTES, |room| {
                    let end = if open { put(room, b"\r\n")? } else { 0 };
                    Some(end + encode_chunk_size(room[end..].first_chunk_mut()?, size))
                });
                if framed.is_err() {
                    return Err(part);
                }
                self.exchange(conn).frame = Frame::Chunked { open: true };
            }
            Frame::UntilClose => {}
        }
        part.set_kind(kind::DATA, 0);
        push(out, part);
        Ok(())
    }

    /// Ends the response.
    fn end(&mut self, cx: &mut Cx, conn: ConnId, out: &mut Burst) -> Result<(), Stalled> {
        let exchange = self.exchange(conn);
        let mut whole = true;
        match exchange.frame {
            Frame::Chunked { open } => {
                let fits = |lines: &Buf| lines.len() <= HTTP_TRAILER_BYTES_MAX as usize;
                let trailers = exchange.kept.take().filter(|l| fits(l) && is_field_line_block(l));
                let trailers_len = trailers.as_ref().map_or(0, |lines| lines.len());
                let ended = append(cx, out, conn, CHUNK_FRAME_BYTES + trailers_len, |room| {
                    let mut end = if open { put(room, b"\r\n")? } else { 0 };
                    end += put(&mut room[end..], LAST_CHUNK)?;
                    end += put(&mut room[end..], trailers.as_deref().unwrap_or_default())?;
                    Some(end + put(&mut room[end..], b"\r\n")?)
                });
                if ended.is_err() {
                    self.exchange(conn).kept = trailers;
                    return Err(Stalled);
                }
            }
            // Cut short: the peer sees that from the close alone.
            Frame::Length(left) => whole = left == 0,
            Frame::UntilClose => {}
        }
        let exchange = self.exchange(conn);
        let (close, message) = (exchange.close, exchange.message);
        exchange.answer = Answer::Done;
        exchange.source = Source::None;
        exchange.kept = None;
        cx.extensions.end_message(message);
        if whole {
            mark_end(out, conn);
            self.close(cx, conn, close, out);
        } else {
            tracing::error!("a service gave less or more of a body than it said");
            self.hang_up(cx, Buf::linger(conn), out);
        }
        Ok(())
    }

    /// Ends the connection with `word`: nobody waits for what has come on it, or still comes.
    pub(super) fn hang_up(&mut self, cx: &mut Cx, word: Buf, out: &mut Burst) {
        let conn = word.conn();
        self.abandon(cx, conn);
        self.exchange(conn).answer = Answer::Over;
        push(out, word);
    }

    /// Forgets an exchange that will not come to its end, and what waits behind it.
    pub(super) fn abandon(&mut self, cx: &mut Cx, conn: ConnId) {
        let pending = self.take_kept(conn).is_some_and(|response| response.is_service());
        let exchange = &self.exchanges[conn.slot() as usize];
        if pending || exchange.is_service() || exchange.asks_again() || self.is_ahead(conn) {
            self.service.closed(cx, conn);
        }
        cx.extensions.end_message(self.exchange(conn).message);
        self.drop_held(cx, conn);
        *self.exchange(conn) = Exchange::NONE;
    }
}

/// The next slotful of bytes of the program's own.
fn next_bytes(cx: &mut Cx, conn: ConnId, bytes: &[u8], at: &mut usize) -> Pull {
    let left = &bytes[*at..];
    if left.is_empty() {
        return Pull::End;
    }
    let Some(mut part) = cx.alloc(left.len().min(LARGE_SLOT_BYTES as usize), conn) else {
        return Pull::Busy;
    };
    let taken = left.len().min(part.tailroom());
    let fits = part.append(&left[..taken]);
    debug_assert!(fits, "no more than there is room");
    *at += taken;
    Pull::Part(part)
}

fn put(room: &mut [u8], bytes: &[u8]) -> Option<usize> {
    room.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(bytes.len())
}
