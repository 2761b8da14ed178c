//! Every message comes back.

use super::{Out, Service};
use crate::mem::Buf;
use crate::pipeline::Cx;
use crate::pipeline::chain::websocket::MessageMeta;

/// A service that sends messages back, piece by piece as they come.
#[derive(Default)]
pub struct Echo;

impl Service for Echo {
    fn message(&mut self, _cx: &mut Cx, message: Buf, _meta: MessageMeta, out: &mut Out<'_>) {
        out.send(message);
    }
}
