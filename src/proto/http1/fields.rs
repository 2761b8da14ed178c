//! Header fields: the alphabets of RFC 9110 §5 and a lazy walk over a validated head. What frames a
//! message stands in `framing`; what any other field means is a handler's business.

const TOKEN: [bool; 256] = alphabet(b"!#$%&'*+-.^_`|~");

pub(super) const fn alphabet(others: &[u8]) -> [bool; 256] {
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

/// Whether `bytes` are a token (RFC 9110 §5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Whether `byte` may stand in a field value (RFC 9110 §5.5).
#[inline]
pub(super) fn is_value_byte(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

/// Whether `value` may be sent as a field value (RFC 9110 §5.5). Eight bytes at a time, since every
/// response asks.
pub fn is_value(value: &[u8]) -> bool {
    let (words, rest) = value.as_chunks::<8>();
    words.iter().all(|&word| is_plain(word) || word.iter().all(|&byte| is_value_byte(byte)))
        && rest.iter().all(|&byte| is_value_byte(byte))
}

/// Whether no byte of the word is below a space or DEL; a tab says no as well.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
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
