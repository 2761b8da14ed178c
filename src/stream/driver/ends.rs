//! How a stream ends: what the program has sent goes first, then the connection says goodbye (D-11).

use super::Driver;
use crate::proto::stream::Code;
use crate::time::Instant;

/// A close that waits for what is still to be sent.
pub(in crate::stream) struct Closing {
    code: Code,
    text: String,
    /// It waits no longer.
    until: Instant,
    said: bool,
}

impl Driver {
    pub(super) fn begin_to_close(&mut self, code: Code, text: String) {
        let until = self.clock.now().after_ns(self.config.close_timeout_ns);
        self.closing.get_or_insert(Closing { code, text, until, said: false });
    }

    pub(super) fn closing_at(&self) -> Option<Instant> {
        self.closing.as_ref().filter(|closing| !closing.said).map(|closing| closing.until)
    }

    /// Says goodbye once all has been sent, or it takes too long.
    pub(super) fn look_at_closing(&mut self, now: Instant) {
        let is_sent = self.desk.is_sent();
        let Some(closing) = &mut self.closing else { return };
        if !closing.said && (is_sent || now >= closing.until || !self.connection.is_open()) {
            closing.said = true;
            self.connection.close(now, closing.code, &closing.text);
        }
    }

    pub(super) fn idle_at(&self) -> Option<Instant> {
        let idle = self.idle_ns.filter(|_| self.closing.is_none())?;
        self.connection.is_open().then(|| self.active_at.after_ns(idle))
    }

    /// A session without messages for too long expires (D-3).
    pub(super) fn look_at_idleness(&mut self, now: Instant) {
        if self.idle_at().is_some_and(|at| at <= now) {
            self.begin_to_close(Code::Timeout, "idle".to_owned());
        }
    }
}
