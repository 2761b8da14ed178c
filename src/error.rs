//! Start-up errors: what failed, on what, why, and the line that mends it.
//!
//! Nothing on the data path returns this type. There, a peer's fault is a small `Copy` enum of its
//! protocol and a counted [`Reason`](crate::counters::Reason); full and empty are counts.

use std::fmt;

/// Why ringway could not start, or could not do what an operator asked of it.
///
/// Its text is one sentence that names the thing and the cause, followed by the remedy.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    what: String,
    why: String,
    remedy: String,
}

/// What every start-up function returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// `what` completes "cannot …" and names the object; `why` is the cause in words;
    /// `remedy` is the command or change that mends it.
    pub fn new(what: impl Into<String>, why: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.to_string(), remedy: remedy.into() }
    }

    /// What could not be done, as the words that follow "cannot".
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The cause.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The line that mends it.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}; {}", self.what, self.why, self.remedy)
    }
}

/// The same text: a `main` that returns this error prints it so.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}
