//! What the process at a port says of the requests that it has.

use super::asked::Answer;
use super::{Body, PortService, Ready, Response};
use crate::counters::Reason;
use crate::mem::{Buf, ConnId, kind};
use crate::pipeline::Cx;
use crate::pipeline::chain::http1::BODY;
use crate::port::{self, Fault, Received, ResponseMeta};

/// Connections that are looked at in one turn while too much waits of a process.
const HOARDERS_LOOKED_AT: usize = 256;

impl PortService {
    /// What the process says of a request.
    fn on_word(&mut self, cx: &mut Cx, word: Buf, number: u32) -> Result<Option<Ready>, Fault> {
        let (conn, kind) = (word.conn(), word.kind());
        let attachment = self.attachment;
        let asked = self.requests.find(conn, number);
        let asked = asked.filter(|asked| attachment == Some(asked.attachment));
        // It may have ended while the word was under way.
        let answer = asked.as_ref().map_or(Answer::Whole, |asked| asked.answer);
        match (asked, kind, answer) {
            (Some(asked), port::kind::RESPONSE, Answer::Awaited) => {
                let whole = ResponseMeta::of_meta(word.meta()).whole;
                asked.answer = if whole { Answer::Whole } else { Answer::Begun };
                asked.since = cx.now;
                let called = asked.called;
                self.requests.keep_early(conn, number, word);
                Ok(called.then(|| match self.respond(cx, conn) {
                    Some(response) => Ready::Response(conn, response),
                    None => Ready::Lost(conn),
                }))
            }
            (Some(asked), BODY, Answer::Begun) => {
                if word.meta() != 0 {
                    asked.answer = Answer::Whole;
                }
                let called = asked.called;
                let fits = self.requests.push_part(word, number);
                let ready = if fits { Ready::More(conn) } else { self.lose(cx, conn, number) };
                Ok(called.then_some(ready))
            }
            (Some(asked), kind::ABORT | kind::CLOSE, Answer::Awaited | Answer::Begun) => {
                asked.answer = Answer::Lost;
                Ok(asked.called.then_some(Ready::Lost(conn)))
            }
            (None, ..) | (_, port::kind::RESPONSE | BODY | kind::ABORT | kind::CLOSE, _) => {
                cx.drop_buf(word, Reason::StaleConnection);
                if kind == BODY {
                    self.credit(cx, conn, number, 1);
                }
                Ok(None)
            }
            _ => Err(Fault::Kind),
        }
    }

    /// A response of which more came than may wait: its connection is cut off.
    #[cold]
    fn lose(&mut self, cx: &mut Cx, conn: ConnId, number: u32) -> Ready {
        cx.counters.drop_one(Reason::Protocol);
        if let Some(asked) = self.requests.find(conn, number) {
            asked.answer = Answer::Lost;
        }
        self.say(cx, conn, kind::CLOSED, number);
        Ready::Lost(conn)
    }

    /// Tells the process how many of its parts are out, now and then.
    pub(super) fn credit(&mut self, cx: &mut Cx, conn: ConnId, number: u32, parts: u32) {
        if let Some(attachment) = self.attachment
            && self.requests.credit(conn, attachment, parts)
        {
            self.say(cx, conn, port::kind::CREDIT, number);
        }
    }

    /// The response to the oldest request of a connection, as far as it has come. `None`: it is
    /// lost.
    pub(super) fn respond(&mut self, cx: &mut Cx, conn: ConnId) -> Option<Response> {
        let mut word = self.requests.take_early(conn)?;
        let asked = self.requests.front(conn)?;
        let (number, is_head, reads) = (asked.number, asked.is_head, asked.body_open);
        let meta = ResponseMeta::of_meta(word.meta());
        word.set_kind(kind::DATA, 0);
        let fields_bytes = usize::from(meta.fields_bytes).min(word.len());
        let lines = (fields_bytes > 0).then(|| word.split_to(fields_bytes));
        let mut response = Response::new(meta.status, Body::Stream(None));
        if meta.whole {
            self.requests.pop(conn);
            response.body =
                if word.is_empty() { Body::Bytes([].as_slice().into()) } else { Body::Buf(word) };
        } else if is_head || matches!(meta.status, 204 | 304) {
            // What the process goes on to say is for nobody.
            let open = asked.is_open();
            self.requests.pop(conn);
            if open {
                self.say(cx, conn, kind::CLOSED, number);
            }
            self.credit(cx, conn, number, 0);
        } else {
            response.reads = reads;
            if !word.is_empty() && !self.requests.push_first(word) {
                let _ = self.lose(cx, conn, number);
                return None;
            }
        }
        Some(match lines {
            Some(lines) => response.field_lines(lines),
            None => response,
        })
    }

    /// While too much waits, the process is not listened to, and so what it has kept for later cannot
    /// come to its turn: connections that hold such things are cut off, a few looked at in each turn.
    #[cold]
    fn next_hoarder(&mut self, cx: &mut Cx) -> Option<Ready> {
        let from = self.hoards_from;
        self.hoards_from = if from < self.requests.lines() { from + HOARDERS_LOOKED_AT } else { 0 };
        let conn = self.requests.hoarder(from..from + HOARDERS_LOOKED_AT)?;
        cx.counters.drop_one(Reason::Protocol);
        Some(Ready::Lost(conn))
    }

    /// What the process has said that is to be done now.
    pub(super) fn receive(&mut self, cx: &mut Cx) -> Option<Ready> {
        loop {
            if cx.backlogged {
                return None; // it goes on when peers have taken some
            }
            if self.share.is_exceeded(&cx.pool, &self.requests.slots()) {
                return self.next_hoarder(cx);
            }
            let word = cx.ports.queue(self.port)?.receive();
            let outcome = match word {
                Received::Nothing => return None,
                Received::Message(word, request) => self.on_word(cx, word, request),
                Received::Fault(fault) => Err(fault),
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(ready)) => return Some(ready),
                Err(fault) => {
                    self.cut(cx, fault);
                    self.look(cx);
                    return self.give_up();
                }
            }
        }
    }
}
