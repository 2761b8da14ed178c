//! Requests that failed: an error of the program's own becomes a clean 500, a refusal its own status.

use std::fmt;

use super::response::Response;
use super::status::Status;

/// Why a request failed. Whatever is an error turns into one with `?`: the peer gets a 500 that says nothing of it,
/// the log gets its text, and [`Counter::HandlerErrors`](crate::counters::Counter::HandlerErrors) counts it.
///
/// ```
/// use ringway::handler::http::{Ctx, Failure};
///
/// fn double(ctx: &mut Ctx<'_>) -> Result<String, Failure> {
///     let text = ctx.param("n").ok_or_else(|| Failure::new(400, "no number"))?;
///     let number: u32 = text.parse()?;
///     Ok((2 * number).to_string())
/// }
/// ```
pub struct Failure {
    status: u16,
    /// What the peer is told.
    text: String,
    /// What it is not.
    why: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    /// One that the peer is told of: a status from 400 to 599, and a text.
    pub fn new(status: impl Into<Status>, text: impl Into<String>) -> Self {
        Self { status: status.into().0, text: text.into(), why: None }
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether it is a fault of ours.
    pub(super) fn is_ours(&self) -> bool {
        self.status >= 500
    }

    pub(super) fn into_response(self) -> Response {
        let text = if self.text.ends_with('\n') { self.text } else { self.text + "\n" };
        Response::text(self.status, text)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let text = "internal server error".to_owned();
        Self { status: 500, text, why: Some(Box::new(error)) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Some(why) => write!(f, "{}: {why}", self.status),
            None => write!(f, "{}: {}", self.status, self.text),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
