//! Close codes: which may be on the wire (RFC 6455 §7.4, and the registry that it set up).

use std::fmt;
use std::num::NonZeroU16;

/// A code that a close frame may carry. Those that stand for what never is sent (1004, 1005, 1006, 1015),
/// and those that nobody has registered, are none.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(NonZeroU16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self::known(1000);
    /// The server goes down, or the page is left.
    pub const AWAY: Self = Self::known(1001);
    /// A rule of the wire is broken.
    pub const PROTOCOL: Self = Self::known(1002);
    /// Data of a kind that is not taken.
    pub const UNSUPPORTED: Self = Self::known(1003);
    /// Data that is not what its kind says: a text that is not UTF-8.
    pub const INVALID_DATA: Self = Self::known(1007);
    /// Against what the sender allows.
    pub const POLICY: Self = Self::known(1008);
    /// More than the sender takes.
    pub const TOO_BIG: Self = Self::known(1009);
    /// The client needs an extension that the server did not agree to.
    pub const EXTENSION: Self = Self::known(1010);
    /// The fault is on the side that tells of it.
    pub const INTERNAL: Self = Self::known(1011);
    /// The server has too much to do.
    pub const TRY_LATER: Self = Self::known(1013);

    /// The code of a number, where it may be sent: 1000 to 1014 as registered, 3000 to 4999 for libraries
    /// and applications.
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            1000..=1003 | 1007..=1014 | 3000..=4999 => match NonZeroU16::new(number) {
                Some(number) => Some(Self(number)),
                None => None,
            },
            _ => None,
        }
    }

    const fn known(number: u16) -> Self {
        match Self::new(number) {
            Some(code) => code,
            None => panic!("no such code may be sent"),
        }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // W-7
    #[test]
    fn every_number_is_legal_or_not_as_the_registry_says() {
        let legal = |number: u16| match number {
            0..=999 | 1004..=1006 | 1015..=2999 | 5000.. => false,
            1000..=1003 | 1007..=1014 | 3000..=4999 => true,
        };
        for number in 0..=u16::MAX {
            let code = CloseCode::new(number);
            assert_eq!(code.map(CloseCode::number), legal(number).then_some(number));
        }
    }
}
