//! An identity as text, which is what a file holds: lines that begin with `#` are for people, and one
//! says `secret` and 64 hexadecimal digits.

use std::fmt::{self, Write};

use zeroize::Zeroizing;

use super::{Identity, parse_hex};

/// The word before the secret.
const SECRET: &str = "secret";

/// Why a text is no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityFault {
    /// No line holds a secret.
    Missing,
    /// More than one does.
    Repeated,
    /// A line, counted from 1, is none that such a text has.
    Line(usize),
    /// What follows `secret` is not 64 lower-case hexadecimal digits.
    Secret,
}

impl fmt::Display for IdentityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it has no line `secret` and 64 hexadecimal digits"),
            Self::Repeated => f.write_str("it has more than one line `secret`"),
            Self::Line(line) => write!(f, "line {line} is neither a comment nor `secret`"),
            Self::Secret => f.write_str(
                "its secret is not 64 lower-case hexadecimal digits; it was cut or edited",
            ),
        }
    }
}

impl std::error::Error for IdentityFault {}

impl Identity {
    /// The text of an identity file.
    pub fn to_text(&self) -> Zeroizing<String> {
        let (address, secret) = (self.public().address(), self.secret());
        // Room for all of it: what a string leaves behind when it grows is not zeroised.
        let mut text = Zeroizing::new(String::with_capacity(512));
        let written = writeln!(
            text,
            "# The identity of ringway node {address}. Whoever reads this file can be that node."
        );
        written.and_then(|()| write!(text, "{SECRET} ")).expect("a string takes everything");
        for byte in secret.iter() {
            write!(text, "{byte:02x}").expect("a string takes everything");
        }
        text.push('\n');
        text
    }

    /// Reads such a text.
    pub fn from_text(text: &str) -> Result<Self, IdentityFault> {
        let mut found = None;
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let digits = line.strip_prefix(SECRET).filter(|rest| rest.starts_with([' ', '\t']));
            let digits = digits.ok_or(IdentityFault::Line(at + 1))?.trim_start();
            let secret = Zeroizing::new(parse_hex(digits).map_err(|_| IdentityFault::Secret)?);
            if found.replace(Self::from_secret(&secret)).is_some() {
                return Err(IdentityFault::Repeated);
            }
        }
        found.ok_or(IdentityFault::Missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let identity = Identity::from_secret(&[0xa7; 32]);
        let text = identity.to_text();
        assert!(text.starts_with("# ") && text.contains(&identity.public().address().to_string()));
        assert!(text.len() <= 512);
        assert_eq!(Identity::from_text(&text).unwrap().public(), identity.public());
    }

    #[test]
    fn comments_and_spaces_are_for_people() {
        let secret = "07".repeat(32);
        let text = format!("\n# mine\r\n  secret\t {secret}  \r\n\n# the end");
        let identity = Identity::from_text(&text).unwrap();
        assert_eq!(identity.public(), Identity::from_secret(&[7; 32]).public());
    }

    #[test]
    fn what_is_no_identity_is_refused_with_what_is_wrong() {
        let secret = "07".repeat(32);
        let fault = |text: &str| Identity::from_text(text).map(|_| ()).unwrap_err();
        assert_eq!(fault("# nothing\n"), IdentityFault::Missing);
        assert_eq!(fault(&format!("secret {secret}\nsecret {secret}\n")), IdentityFault::Repeated);
        assert_eq!(fault(&format!("# a\nsecret{secret}\n")), IdentityFault::Line(2));
        assert_eq!(fault("-----BEGIN PRIVATE KEY-----\n"), IdentityFault::Line(1));
        assert_eq!(fault(&format!("secret {}\n", &secret[1..])), IdentityFault::Secret);
        assert_eq!(fault(&format!("secret {}\n", "AB".repeat(32))), IdentityFault::Secret);
    }
}
