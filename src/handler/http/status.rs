//! Status codes, as numbers and in the vocabulary of the `http` crate.

pub use ::http::StatusCode;

/// The status of a response: a number, or a [`StatusCode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub(super) u16);

impl From<u16> for Status {
    fn from(number: u16) -> Self {
        Self(number)
    }
}

impl From<StatusCode> for Status {
    fn from(status: StatusCode) -> Self {
        Self(status.as_u16())
    }
}

impl From<Status> for u16 {
    fn from(status: Status) -> Self {
        status.0
    }
}
