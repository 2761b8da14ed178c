//! Trailer fields (RFC 9110 §6.5): which of them may not be there, and blocks of their lines.

use super::fields::is_value_byte;
use super::{Headers, scan};

/// Fields that frame, route, authenticate or describe a message, and mean nothing or harm after its
/// body (RFC 9110 §6.5.1). In lower case.
const FORBIDDEN: &[&[u8]] = &[
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"keep-alive",
    b"max-forwards",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"www-authenticate",
];

const _: () = assert!(FORBIDDEN.len() <= u32::BITS as usize);

/// A field name that arrives byte by byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrailerName {
    /// Which of the forbidden names begin like it, one bit each.
    like: u32,
    /// Bytes of it; more than the longest of those have count as so many.
    len: u8,
}

impl TrailerName {
    pub const EMPTY: Self = Self { like: u32::MAX, len: 0 };

    pub fn push(&mut self, byte: u8) {
        for (index, name) in FORBIDDEN.iter().enumerate() {
            if name.get(usize::from(self.len)) != Some(&byte.to_ascii_lowercase()) {
                self.like &= !(1 << index);
            }
        }
        self.len = self.len.saturating_add(1);
    }

    /// Whether the name, now whole, may stand in a trailer section; the next one starts afresh.
    pub fn end(&mut self) -> bool {
        let Self { like, len } = std::mem::replace(self, Self::EMPTY);
        let is = |(index, name): (usize, &&[u8])| {
            like & 1 << index != 0 && name.len() == usize::from(len)
        };
        !FORBIDDEN.iter().enumerate().any(is)
    }
}

/// Whether a field of this name, in any case, may stand in a trailer section.
fn may_trail(name: &[u8]) -> bool {
    !FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

/// Whether `block` is nothing but field lines that may be sent after a chunked body, each with its
/// CRLF; the blank line after them is not part of it. An empty block is one.
pub fn is_field_line_block(block: &[u8]) -> bool {
    let mut rest = block;
    while !rest.is_empty() {
        let (name, from_colon) = rest.split_at(scan::token_end(rest));
        let Some(value) = from_colon.strip_prefix(b":") else { return false };
        let end = value.iter().position(|&byte| !is_value_byte(byte)).unwrap_or(value.len());
        let Some(after) = value[end..].strip_prefix(b"\r\n") else { return false };
        if name.is_empty() || !may_trail(name) {
            return false;
        }
        rest = after;
    }
    true
}

/// The fields of a block of lines, as `(name, value)`: the trailer section of a body whose pieces
/// have been joined (see [`Step::trailers`](super::Step::trailers)).
pub fn field_lines(block: &[u8]) -> Headers<'_> {
    Headers::from_lines(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_arrives_in_pieces_is_known_and_the_next_one_starts_afresh() {
        let mut name = TrailerName::EMPTY;
        let mut ends = |text: &str| {
            text.bytes().for_each(|byte| name.push(byte));
            name.end()
        };
        for forbidden in FORBIDDEN {
            let text = String::from_utf8(forbidden.to_vec()).expect("ASCII");
            assert!(!ends(&text) && !ends(&text.to_uppercase()), "{text}");
            assert!(ends(&format!("{text}x")) && ends(&format!("x{text}")), "{text}");
        }
        assert!(ends("X-Sum") && ends(&"x".repeat(1000)) && !ends("Host"));
    }

    #[test]
    fn a_block_is_whole_lines_of_fields_that_may_trail() {
        let cases = [
            ("", true),
            ("X-Sum: 1\r\n", true),
            ("X-Sum:1\r\nServer-Timing: a;dur=1\t\r\nE:\r\n", true),
            ("X-Sum: 1", false),
            ("X-Sum: 1\r", false),
            ("X-Sum: 1\n", false),
            ("X-Sum: 1\r\n\r\n", false),
            ("X-Sum: 1\r\n folded\r\n", false),
            ("X Sum: 1\r\n", false),
            (": 1\r\n", false),
            ("X-Sum\r\n", false),
            ("X-Sum: a\0b\r\n", false),
            ("Content-Length: 1\r\n", false),
            ("X: 1\r\nTRANSFER-encoding: chunked\r\n", false),
        ];
        for (block, legal) in cases {
            assert_eq!(is_field_line_block(block.as_bytes()), legal, "{block:?}");
        }
    }

    #[test]
    fn a_block_is_walked_in_order() {
        let fields: [(&[u8], &[u8]); 2] = [(b"X-Sum", b"1"), (b"y", b"")];
        assert!(field_lines(b"X-Sum: 1 \r\ny:\r\n").eq(fields));
        assert_eq!(field_lines(b"X-Sum: 1\r\n").get("x-sum"), Some(&b"1"[..]));
    }
}
