//! Percent-encoding (RFC 3986 §2.1), and values in queries and forms (WHATWG URL, `application/x-www-form-urlencoded`).

use std::borrow::Cow;

/// `bytes` decoded; a `%` that two hex digits do not follow stands for itself. `None`: the outcome is no UTF-8.
pub(super) fn decode(bytes: &[u8], plus_is_space: bool) -> Option<Cow<'_, str>> {
    let is_special = |byte: &u8| *byte == b'%' || plus_is_space && *byte == b'+';
    if !bytes.iter().any(is_special) {
        return std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
    }
    let mut out = Vec::with_capacity(bytes.len());
    out.extend(Decoded { rest: bytes, plus_is_space });
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// The bytes of a segment of a path, decoded as [`decode`] does.
pub(super) fn decoded(segment: &[u8]) -> impl Iterator<Item = u8> {
    Decoded { rest: segment, plus_is_space: false }
}

/// Bytes of `path` that lead to what lies at `prefix`, each segment compared decoded: `%2F` is part of one, and parts
/// none. What follows is nothing, or begins with a slash.
pub(super) fn prefix_bytes(path: &[u8], prefix: &[u8]) -> Option<usize> {
    let bytes = match path.starts_with(prefix) {
        true => prefix.len(),
        false if path.contains(&b'%') => prefix_bytes_decoded(path, prefix)?,
        false => return None,
    };
    matches!(path[bytes..], [] | [b'/', ..]).then_some(bytes)
}

#[cold]
fn prefix_bytes_decoded(path: &[u8], prefix: &[u8]) -> Option<usize> {
    let mut at = 0;
    for segment in prefix.strip_prefix(b"/")?.split(|byte| *byte == b'/') {
        let rest = path[at..].strip_prefix(b"/")?;
        let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        if !decoded(&rest[..end]).eq(decoded(segment)) {
            return None;
        }
        at += 1 + end;
    }
    Some(at)
}

struct Decoded<'a> {
    rest: &'a [u8],
    plus_is_space: bool,
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let [first, behind @ ..] = self.rest else { return None };
        self.rest = behind;
        Some(match (first, behind) {
            (b'%', [high, low, behind @ ..]) if is_hex(*high) && is_hex(*low) => {
                self.rest = behind;
                hex(*high) << 4 | hex(*low)
            }
            (b'+', _) if self.plus_is_space => b' ',
            _ => *first,
        })
    }
}

fn is_hex(digit: u8) -> bool {
    digit.is_ascii_hexdigit()
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// The value of the first `name` in a query.
pub(super) fn query_value<'a>(query: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let mut pairs = query.split(|byte| *byte == b'&');
    pairs.find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (key, value) = (&pair[..at], pair.get(at + 1..).unwrap_or_default());
        let found = key == name.as_bytes() || decode(key, true).is_some_and(|key| key == name);
        found.then(|| decode(value, true))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_encoded_is_borrowed() {
        assert!(matches!(decode(b"plain", true), Some(Cow::Borrowed("plain"))));
        assert!(matches!(decode(b"a+b", false), Some(Cow::Borrowed("a+b"))));
    }

    #[test]
    fn pairs_of_digits_become_bytes_and_what_is_none_stays() {
        for (from, to) in [
            ("%41%62", "Ab"),
            ("%c3%A9", "é"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%2525", "%25"),
            ("a+b%2B", "a b+"),
        ] {
            assert_eq!(decode(from.as_bytes(), true).as_deref(), Some(to), "{from}");
        }
        assert_eq!(decode(b"%ff", true), None, "no UTF-8");
    }

    #[test]
    fn a_prefix_is_found_however_it_is_written() {
        for (path, prefix, found) in [
            ("/a/b", "/a", Some(2)),
            ("/a", "/a", Some(2)),
            ("/b", "", Some(0)),
            ("/ab", "/a", None),
            ("/%61/b", "/a", Some(4)),
            ("/%61%62/%2E", "/ab", Some(7)),
            ("/x/%61", "/x/a", Some(6)),
            ("/%61b", "/a", None),
            ("/x%2Fa/b", "/x/a", None),
            ("/x%2Fa/b", "/x%2fa", Some(6)),
            ("%2Fa/b", "/a", None),
            ("/%61", "/a/b", None),
        ] {
            assert_eq!(prefix_bytes(path.as_bytes(), prefix.as_bytes()), found, "{path} {prefix}");
        }
    }

    #[test]
    fn the_first_pair_of_a_name_counts() {
        let query = b"a=1&b=two+words&a=3&c&%64=4&=5&e=%ff";
        let value = |name| query_value(query, name);
        assert_eq!(value("a").as_deref(), Some("1"));
        assert_eq!(value("b").as_deref(), Some("two words"));
        assert_eq!(value("c").as_deref(), Some(""));
        assert_eq!(value("d").as_deref(), Some("4"));
        assert_eq!(value("").as_deref(), Some("5"));
        assert_eq!(value("e"), None);
        assert_eq!(value("f"), None);
    }
}
