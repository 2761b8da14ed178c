//! What the driver and the program tell each other, once a round and under their lock.

use super::Driver;
use crate::proto::stream::{Cause, Code, Fault};
use crate::stream::callbacks::Callbacks;
use crate::stream::news::News;
use crate::stream::state::{Key, Request};

impl Driver {
    /// Hands over what is new and does what the program wants; whether that was anything. Where it was
    /// not, whoever wants something next rings.
    pub(super) fn exchange(&mut self) -> bool {
        let end = self.end.as_ref().map(|why| self.end_of(why));
        let wishes = self.desk.exchange(self.connection.statistics(), end.map(|end| || end));
        let has_work = !wishes.is_empty();
        for key in wishes.touched {
            self.line_up(key);
        }
        for request in wishes.requests {
            self.serve(request);
        }
        if wishes.is_decided
            && let Some(call) = self.on_decided.take()
        {
            call();
        }
        self.desk.notify();
        has_work
    }

    /// Does what was asked for.
    fn serve(&mut self, request: Request) {
        match request {
            Request::Open { key, channel_type, may_compress } => {
                self.open(key, channel_type, may_compress);
            }
            Request::Callbacks { key, callbacks } => self.set_callbacks(key, callbacks),
            Request::Rekey => self.connection.rekey_all(),
            Request::Dump => self.desk.tell_dumps(self.connection.channels().collect()),
            Request::Close { code, text } => self.begin_to_close(code, text),
            Request::Abort => self.abort(),
            Request::Broken => self.end_for(Fault::Compression),
        }
    }

    fn open(&mut self, key: Key, channel_type: u8, may_compress: bool) {
        let now = self.clock.now();
        match self.connection.open_channel(now, channel_type, may_compress) {
            Ok(number) => {
                let may_compress = may_compress && self.connection.may_compress();
                self.desk.begin(number, key, may_compress);
            }
            Err(_) => self.desk.news.push(News::Refused { key, code: Code::Limit }),
        }
    }

    /// The peer has sent what breaks a rule that the connection does not know of.
    pub(super) fn end_for(&mut self, fault: Fault) {
        let now = self.clock.now();
        self.connection.close(now, fault.code(), fault.name());
        self.end = Some(Cause::Fault(fault).into());
    }

    fn set_callbacks(&mut self, key: Key, callbacks: Callbacks) {
        let (now, bytes_max) = (self.clock.now(), self.config.message_bytes_max as usize);
        match self.desk.set_callbacks(key, callbacks, bytes_max) {
            Ok(Some((number, packets))) => self.connection.consume(now, number, packets),
            Ok(None) => self.credit(now, key),
            Err(()) => self.end_for(Fault::Compression),
        }
    }
}
