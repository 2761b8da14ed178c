//! Percent-encoding (RFC 3986 §2.1), and values in queries and forms (WHATWG URL, `application/x-www-form-urlencoded`).

use std::borrow::Cow;

/// `bytes` decoded; a `%` that two hex digits do not follow stands for itself. `None`: the outcome is no UTF-8.
pub(super) fn decode(bytes: &[u8], plus_is_space: bool) -> Option<Cow<'_, str>> {
    let is_special = |byte: &u8| *byte == b'%' || plus_is_space && *byte == b'+';
    if !bytes.iter().any(is_special) {
        return std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'%', [high, low, behind @ ..]) if is_hex(*high) && is_hex(*low) => {
                out.push(hex(*high) << 4 | hex(*low));
                rest = behind;
            }
            (b'+', _) if plus_is_space => out.push(b' '),
            _ => out.push(*first),
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
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
