//! What the fields of one request say about where it ends and what becomes of its connection.

use super::target::is_host;
use super::{BodyLength, Fault, Version};

/// What has been seen, one bit each: fields, and options of Connection.
const HOST: u8 = 1;
const CHUNKED: u8 = 1 << 1;
const CLOSE: u8 = 1 << 2;
const KEEP_ALIVE: u8 = 1 << 3;
const UPGRADE_OPTION: u8 = 1 << 4;
const UPGRADE: u8 = 1 << 5;
const EXPECT: u8 = 1 << 6;
const LENGTH: u8 = 1 << 7;

/// What the fields of one request say about its framing, gathered in one pass.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Framing {
    seen: u8,
    length_bytes: u64,
}

impl Framing {
    /// Takes a field into account. Its name's length rules out nearly all of them.
    #[inline(always)]
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        match name.len() {
            4 if is(name, b"host") => self.add_host(trim(value))?,
            6 if is(name, b"expect") => self.add_expect(trim(value))?,
            7 if is(name, b"upgrade") && !trim(value).is_empty() => self.seen |= UPGRADE,
            10 if is(name, b"connection") => self.seen |= options(value),
            14 if is(name, b"content-length") => self.add_length(trim(value))?,
            17 if is(name, b"transfer-encoding") => self.add_coding(trim(value))?,
            _ => {}
        }
        Ok(())
    }

    /// Takes a legal Host into account; `false`, if there was one (RFC 9112 §3.2).
    #[inline(always)]
    pub fn first_host(&mut self) -> bool {
        let first = self.seen & HOST == 0;
        self.seen |= HOST;
        first
    }

    /// Takes `Connection: keep-alive` into account.
    #[inline(always)]
    pub fn keep_alive(&mut self) {
        self.seen |= KEEP_ALIVE;
    }

    /// Empty is legal where the target has no host (RFC 9110 §7.2).
    fn add_host(&mut self, value: &[u8]) -> Result<(), Fault> {
        if !self.first_host() {
            return Err(Fault::HostRepeated);
        }
        if value.is_empty() || is_host(value) { Ok(()) } else { Err(Fault::HostInvalid) }
    }

    /// RFC 9110 §10.1.1 knows one expectation; whoever has others is not served as it expects.
    fn add_expect(&mut self, value: &[u8]) -> Result<(), Fault> {
        self.seen |= EXPECT;
        let known = value.eq_ignore_ascii_case(b"100-continue");
        if known { Ok(()) } else { Err(Fault::ExpectationUnknown) }
    }

    /// RFC 9112 §6.3 lets a recipient merge equal values; whoever sends two is refused here.
    fn add_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.seen & LENGTH != 0 {
            return Err(Fault::LengthRepeated);
        }
        self.seen |= LENGTH;
        self.length_bytes = decimal(value).ok_or(Fault::LengthInvalid)?;
        Ok(())
    }

    /// RFC 9112 §6.1. `gzip, chunked` is legal and would deserve a 501; but readers disagree about
    /// what else this field may say, so whatever is not the one word is refused alike.
    fn add_coding(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.seen & CHUNKED != 0 || value.is_empty() {
            return Err(Fault::CodingInvalid);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Fault::CodingUnknown);
        }
        self.seen |= CHUNKED;
        Ok(())
    }

    /// Whether there is a Host.
    #[inline(always)]
    pub fn has_host(&self) -> bool {
        self.seen & HOST != 0
    }

    /// Whether the fields are what most requests have: a Host, and nothing about body or connection
    /// that HTTP/1.1 does not imply.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.seen | KEEP_ALIVE == HOST | KEEP_ALIVE
    }

    /// RFC 9112 §6.3.
    #[inline(always)]
    pub fn body(&self, version: Version, body_bytes_max: u64) -> Result<BodyLength, Fault> {
        match self.seen & (LENGTH | CHUNKED) {
            0 => Ok(BodyLength::None),
            LENGTH if self.length_bytes > body_bytes_max => Err(Fault::BodyTooLarge),
            LENGTH => Ok(BodyLength::Length(self.length_bytes)),
            CHUNKED if version == Version::Http10 => Err(Fault::CodingInHttp10),
            CHUNKED => Ok(BodyLength::Chunked),
            _ => Err(Fault::LengthAndCoding),
        }
    }

    /// RFC 9112 §9.3: `close` wins over everything, then the version decides.
    #[inline(always)]
    pub fn keeps_alive(&self, version: Version) -> bool {
        let wanted = self.seen & KEEP_ALIVE != 0 || version == Version::Http11;
        wanted && self.seen & CLOSE == 0
    }

    /// RFC 9110 §10.1.1: ignored in HTTP/1.0, and there must be a body to hold back.
    #[inline(always)]
    pub fn expects_continue(&self, version: Version) -> bool {
        self.seen & EXPECT != 0
            && version == Version::Http11
            && (self.seen & CHUNKED != 0 || self.length_bytes > 0)
    }

    /// RFC 9110 §7.8: ignored in HTTP/1.0, and the Connection field has to name it.
    #[inline(always)]
    pub fn upgrades(&self, version: Version) -> bool {
        let both = UPGRADE | UPGRADE_OPTION;
        self.seen & both == both && version == Version::Http11
    }
}

/// The options of one Connection field (RFC 9110 §7.6.1). Those that are not ours are for whoever
/// knows them.
fn options(value: &[u8]) -> u8 {
    let option = |option: &[u8]| match option.len() {
        5 if is(option, b"close") => CLOSE,
        7 if is(option, b"upgrade") => UPGRADE_OPTION,
        10 if is(option, b"keep-alive") => KEEP_ALIVE,
        _ => 0,
    };
    let list = value.split(|&byte| byte == b',');
    list.fold(0, |found, part| found | option(part.trim_ascii()))
}

/// Without the blanks around a value (RFC 9110 §5.5).
#[inline(always)]
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Case-insensitive equality with a word in lower case that has only letters and hyphens. Setting
/// the case bit cannot turn another token byte into either of them.
#[inline]
fn is<const N: usize>(token: &[u8], lower: &[u8; N]) -> bool {
    let Some(token) = token.first_chunk::<N>() else { return false };
    let mut different = 0;
    for index in 0..N {
        different |= (token[index] | 0x20) ^ lower[index];
    }
    different == 0
}

/// A plain decimal number: digits alone, at least one, below 2⁶⁴ (RFC 9110 §8.6).
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decimal_agrees_with_the_standard_parser_but_for_signs(text in "[0-9+ -]{0,22}") {
            let oracle = if text.contains('+') { None } else { text.parse().ok() };
            prop_assert_eq!(decimal(text.as_bytes()), oracle);
        }

        #[test]
        fn a_number_of_any_length_agrees_with_the_standard_parser(text in "[0-9]{1,40}") {
            prop_assert_eq!(decimal(text.as_bytes()), text.parse().ok());
        }
    }

    #[test]
    fn the_edges_of_a_length_are_exact() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal(b"18446744073709551616"), None);
        assert_eq!(decimal(b"00000000000000000000000007"), Some(7));
        assert_eq!(decimal(b""), None);
    }
}
