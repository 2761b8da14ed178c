//! Header fields: the alphabets of RFC 9110 §5, a lazy walk over a validated head, and the fields
//! that frame a message. What any other field means is a handler's business.

use super::{BodyLength, Fault, Version};

const TOKEN: [bool; 256] = alphabet(b"!#$%&'*+-.^_`|~");

/// `uri-host [":" port]` (RFC 9110 §7.2) is made of these: unreserved, percent-encoded and
/// sub-delims of RFC 3986, colons, and the brackets of an IP literal.
const HOST: [bool; 256] = alphabet(b"-._~%!$&'()*+,;=:[]");

const fn alphabet(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
}

/// Whether `byte` may stand in a token: a method, a field name (RFC 9110 §5.6.2).
#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

#[inline]
pub(super) fn is_host(value: &[u8]) -> bool {
    value.iter().fold(true, |legal, &byte| legal & HOST[byte as usize])
}

/// Whether `byte` may stand in a field value (RFC 9110 §5.5).
#[inline]
pub(super) fn is_value_byte(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

/// Whether `value` may be sent as a field value. Eight bytes at a time, since every response asks.
#[inline]
pub(super) fn is_value(value: &[u8]) -> bool {
    let (Some(first), Some(last)) = (value.first_chunk::<8>(), value.last_chunk::<8>()) else {
        return value.iter().all(|&byte| is_value_byte(byte));
    };
    let plain = value.len() <= 16 && is_plain(*first) && is_plain(*last);
    plain || is_value_long(value)
}

#[inline(never)]
fn is_value_long(value: &[u8]) -> bool {
    let (words, rest) = value.as_chunks::<8>();
    words.iter().all(|&word| is_plain(word) || word.iter().all(|&byte| is_value_byte(byte)))
        && rest.iter().all(|&byte| is_value_byte(byte))
}

/// Whether no byte of the word is below a space or DEL; a tab says no as well.
#[inline]
fn is_plain(word: [u8; 8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(word);
    let below_space = word.wrapping_sub(EACH * 0x20) & !word;
    let other = word ^ (EACH * 0x7f);
    let del = other.wrapping_sub(EACH) & !other;
    (below_space | del) & (EACH * 0x80) == 0
}

/// The fields of a head, in order, by scanning its lines again. See [`headers`].
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    lines: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Starts at the first field line.
    pub(super) const fn from_lines(lines: &'a [u8]) -> Self {
        Self { lines }
    }

    /// The value of the first remaining field called `name`, in any case.
    pub fn get(mut self, name: &str) -> Option<&'a [u8]> {
        self.find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let colon = self.lines.iter().position(|&byte| byte == b':' || byte == b'\n')?;
        let name = &self.lines[..colon];
        let rest = self.lines[colon..].strip_prefix(b":")?;
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        self.lines = &rest[end + 1..];
        Some((name, trim(&rest[..end])))
    }
}

/// The fields of a head that [`decode_head`](super::decode_head) has accepted, as `(name, value)`.
///
/// `head` is the bytes from the request line through the blank line (anything after that is not
/// looked at). Nothing is validated again; bytes that are no head yield nonsense or nothing, never
/// a panic. [`Head::headers`](super::Head::headers) is the same without the scan for the first line.
pub fn headers(head: &[u8]) -> Headers<'_> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let end = head.iter().position(|&byte| byte == b'\n').map_or(head.len(), |at| at + 1);
    Headers::from_lines(&head[end..])
}

/// The value of the first field called `name`, in any case; `head` as for [`headers`].
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    headers(head).get(name)
}

fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |at| at + 1);
    &value[start..end]
}

/// What the fields of one request say about its framing, gathered in one pass.
#[derive(Debug, Default)]
pub(super) struct Framing {
    pub has_host: bool,
    length_bytes: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expect_continue: bool,
    pub upgrade: bool,
}

impl Framing {
    /// Takes a field into account. Its name's length rules out nearly all of them.
    #[inline(always)]
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        match name.len() {
            4 if is(name, b"host") => return self.add_host(value),
            6 if is(name, b"expect") => self.add_expect(value),
            10 if is(name, b"connection") => self.add_connection(value),
            14 if is(name, b"content-length") => return self.add_length(value),
            17 if is(name, b"transfer-encoding") => return self.add_coding(value),
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112 §3.2.
    #[inline]
    fn add_host(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.has_host {
            return Err(Fault::HostRepeated);
        }
        self.has_host = true;
        if is_host(value) { Ok(()) } else { Err(Fault::HostInvalid) }
    }

    /// RFC 9110 §10.1.1: other expectations may be ignored.
    fn add_expect(&mut self, value: &[u8]) {
        self.expect_continue |= value.eq_ignore_ascii_case(b"100-continue");
    }

    /// RFC 9110 §7.6.1: a list; options we do not know are for whoever does.
    #[inline]
    fn add_connection(&mut self, value: &[u8]) {
        if value.len() == 10 && is(value, b"keep-alive") {
            self.keep_alive = true; // what browsers send
        } else {
            self.add_connection_options(value);
        }
    }

    fn add_connection_options(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            match option.len() {
                5 => self.close |= is(option, b"close"),
                10 => self.keep_alive |= is(option, b"keep-alive"),
                7 => self.upgrade |= is(option, b"upgrade"),
                _ => {}
            }
        }
    }

    /// RFC 9112 §6.3 lets a recipient merge equal values; whoever sends two is refused here.
    fn add_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.length_bytes.is_some() {
            return Err(Fault::LengthRepeated);
        }
        self.length_bytes = Some(decimal(value).ok_or(Fault::LengthInvalid)?);
        Ok(())
    }

    /// RFC 9112 §6.1. `gzip, chunked` is legal and unimplemented here; `chunked, gzip` is neither.
    fn add_coding(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.chunked || value.is_empty() {
            return Err(Fault::CodingInvalid);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Fault::CodingUnknown);
        }
        self.chunked = true;
        Ok(())
    }

    /// RFC 9112 §6.3.
    #[inline]
    pub fn body(&self, version: Version, body_bytes_max: u64) -> Result<BodyLength, Fault> {
        match (self.chunked, self.length_bytes) {
            (false, None) => Ok(BodyLength::None),
            (false, Some(bytes)) if bytes > body_bytes_max => Err(Fault::BodyTooLarge),
            (false, Some(bytes)) => Ok(BodyLength::Length(bytes)),
            (true, Some(_)) => Err(Fault::LengthAndCoding),
            (true, None) if version == Version::Http10 => Err(Fault::CodingInHttp10),
            (true, None) => Ok(BodyLength::Chunked),
        }
    }

    /// RFC 9112 §9.3: `close` wins over everything, then the version decides.
    #[inline]
    pub fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// RFC 9110 §10.1.1: ignored in HTTP/1.0, and there must be a body to hold back.
    #[inline]
    pub fn expects_continue(&self, version: Version, body: BodyLength) -> bool {
        self.expect_continue
            && version == Version::Http11
            && !matches!(body, BodyLength::None | BodyLength::Length(0))
    }
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

        #[test]
        fn whole_words_and_single_bytes_agree_on_field_values(
            value in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            prop_assert_eq!(is_value(&value), value.iter().all(|&byte| is_value_byte(byte)));
        }

        #[test]
        fn walking_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for (name, value) in headers(&bytes) {
                prop_assert!(name.len() + value.len() < bytes.len());
            }
        }
    }

    #[test]
    fn the_edges_of_a_length_are_exact() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal(b"18446744073709551616"), None);
        assert_eq!(decimal(b"00000000000000000000000007"), Some(7));
        assert_eq!(decimal(b""), None);
    }

    #[test]
    fn every_single_control_byte_is_found_wherever_it_stands() {
        for length in 1..40 {
            for at in 0..length {
                let mut value = vec![b'a'; length];
                for (byte, legal) in [
                    (b'\r', false),
                    (b'\n', false),
                    (0, false),
                    (0x7f, false),
                    (b'\t', true),
                    (0xff, true),
                ] {
                    value[at] = byte;
                    assert_eq!(is_value(&value), legal, "{byte:#x} at {at} of {length}");
                }
            }
        }
    }
}
