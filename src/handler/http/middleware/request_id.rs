//! Names for requests.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use super::Middleware;
use crate::handler::http::{Ctx, Reply, Response};
use crate::limits::HTTP_REQUEST_ID_BYTES_MAX;

/// Where it stands.
const FIELD: &str = "X-Request-Id";

/// Names each request: as its `X-Request-Id` says, if that is 1 to
/// [`HTTP_REQUEST_ID_BYTES_MAX`] letters, digits, `-`, `_`, `.`, `:`, `/`, `=` or `+`, else by 16 hex digits of its own. The
/// response says it again; [`Ctx::request_id`] tells it.
pub struct RequestId {
    next: Cell<u64>,
    tells: bool,
}

impl RequestId {
    /// Names that begin anywhere, so that they are others than those of an earlier run, most likely.
    #[allow(clippy::new_without_default)] // two are never the same
    pub fn new() -> Self {
        Self { next: Cell::new(RandomState::new().hash_one(0)), tells: true }
    }

    /// The same, and responses do not say it.
    pub fn silent(self) -> Self {
        Self { tells: false, ..self }
    }
}

impl Middleware for RequestId {
    fn responds(&self) -> bool {
        self.tells
    }

    fn enter(&self, ctx: &mut Ctx<'_>) -> Option<Reply> {
        // An odd step visits every number; none is 0.
        let id = self.next.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.next.set(id);
        ctx.id = id.max(1);
        None
    }

    fn respond(&self, ctx: &mut Ctx<'_>, response: &mut Response) {
        if self.tells {
            match given(ctx) {
                Some(given) => response.add_header(FIELD, given),
                None => response.add_header(FIELD, hex(ctx.id)),
            }
        }
    }
}

/// The name that came with a request.
fn given<'a>(ctx: &Ctx<'a>) -> Option<&'a [u8]> {
    let is_fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/=+".contains(byte);
    ctx.header(FIELD).filter(|given| {
        (1..=HTTP_REQUEST_ID_BYTES_MAX).contains(&given.len()) && given.iter().all(is_fine)
    })
}

fn hex(id: u64) -> [u8; 16] {
    std::array::from_fn(|at| b"0123456789abcdef"[(id >> (60 - 4 * at)) as usize & 15])
}

/// What [`RequestId`] calls a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a>(Result<&'a str, u64>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(given) => f.write_str(given),
            Err(id) => write!(f, "{id:016x}"),
        }
    }
}

impl<'a> Ctx<'a> {
    /// What [`RequestId`] calls it; `None` where it has not passed such a layer.
    pub fn request_id(&self) -> Option<Name<'a>> {
        let given = given(self).and_then(|given| std::str::from_utf8(given).ok());
        (self.id != 0).then(|| Name(given.ok_or(self.id)))
    }
}
