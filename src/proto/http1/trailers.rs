//! Trailer fields (RFC 9110 §6.5): which of them may not be there, and blocks of their lines.

use super::fields::is_value_byte;
use super::{Headers, scan};

/// Fields that frame, route, authenticate or describe a message, and mean nothing or harm after its
/// body (RFC 9110 §6.5.1). In lower case, none longer than [`NAME_BYTES_MAX`].
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

const NAME_BYTES_MAX: usize = 19;

/// A field name that arrives byte by byte, as far as it can be one of the forbidden.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TrailerName {
    bytes: [u8; NAME_BYTES_MAX],
    len: u8,
}

impl TrailerName {
    pub fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
            *place = byte;
        }
        self.len = self.len.saturating_add(1);
    }

    /// Whether the name, now whole, may stand in a trailer section; the next one starts afresh.
    pub fn end(&mut self) -> bool {
        let len = usize::from(std::mem::take(&mut self.len));
        self.bytes.get(..len).is_none_or(may_trail)
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
        let mut name = TrailerName::default();
        let mut ends = |text: &str| {
            text.bytes().for_each(|byte| name.push(byte));
            name.end()
        };
        for forbidden in FORBIDDEN {
            let text = String::from_utf8(forbidden.to_vec()).expect("ASCII");
            assert!(text.len() <= NAME_BYTES_MAX, "{text}");
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
