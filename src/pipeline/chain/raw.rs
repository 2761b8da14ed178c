//! The chain of protocols that have no framing of their own: bytes and markers pass as they come.

use crate::mem::{Buf, Burst, kind};
use crate::pipeline::{Chain, Cx, SessionTable};

/// Bytes as they come. The handler sees `OPEN`, `DATA`, `EOF` and `CLOSED`; what it pushes goes out,
/// and `CLOSE` after it closes.
pub struct Raw {
    sessions: SessionTable<()>,
    /// Slots below it have been asked to close.
    drained: u32,
}

impl Raw {
    /// A chain for connections with slots below `slots`.
    pub fn new(slots: u32) -> Self {
        Self { sessions: SessionTable::new(slots), drained: 0 }
    }
}

impl Chain for Raw {
    fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        let room = output.room();
        for buf in input.as_slice().iter().take(room) {
            match buf.kind() {
                kind::OPEN => {
                    self.sessions.open(buf.conn(), ());
                    if cx.draining {
                        // It came between the order to drain and the end of accepting.
                        self.drained = self.drained.min(buf.conn().slot());
                    }
                }
                kind::CLOSED => {
                    self.sessions.close(buf.conn());
                }
                _ => {}
            }
        }
        output.take_from(input);
    }

    fn egress(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        output.take_from(input);
    }

    fn takes_datagrams(&self) -> bool {
        true
    }

    fn drain(&mut self, _cx: &mut Cx, output: &mut Burst) {
        while let Some((conn, ())) = self.sessions.next_from(self.drained) {
            if output.push(Buf::marker(conn, kind::CLOSE)).is_err() {
                return;
            }
            self.drained = conn.slot() + 1;
        }
    }
}
