//! Sends every byte back.

use crate::mem::{Buf, Burst, kind};
use crate::pipeline::{Cx, Handler};

/// Sends every byte back to where it came from, in the slot that it was received into, and closes
/// when the peer has said its last.
#[derive(Debug, Default)]
pub struct Echo;

impl Handler for Echo {
    #[inline]
    fn process(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while !output.is_full()
            && let Some(buf) = input.pop()
        {
            let reply = match buf.kind() {
                kind::DATA => buf,
                kind::EOF => Buf::marker(buf.conn(), kind::CLOSE),
                _ => continue,
            };
            let pushed = output.push(reply);
            debug_assert!(pushed.is_ok(), "room was checked");
        }
    }

    fn reads_ecn(&self) -> bool {
        false
    }
}
