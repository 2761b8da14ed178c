//! An echo that catches its breath: now and then it receives nothing more until all is out.

use ringway::mem::{Buf, Burst, kind};
use ringway::pipeline::{Cx, Handler};

/// See the module.
pub struct Breathing {
    /// Of so many bufs one is followed by a pause.
    pub every: u32,
    pub bufs: u32,
}

impl Handler for Breathing {
    fn process(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while output.room() >= 3
            && let Some(buf) = input.pop()
        {
            let mut say = |buf| assert!(output.push(buf).is_ok(), "room was checked");
            let conn = buf.conn();
            match buf.kind() {
                kind::DATA => {
                    say(buf);
                    self.bufs = self.bufs.wrapping_add(1);
                    if self.bufs.is_multiple_of(self.every) {
                        say(Buf::marker(conn, kind::PAUSE));
                        say(Buf::marker(conn, kind::FLUSH));
                    }
                }
                kind::FLUSHED => say(Buf::marker(conn, kind::RESUME)),
                kind::EOF => say(Buf::marker(conn, kind::CLOSE)),
                _ => {}
            }
        }
    }
}
