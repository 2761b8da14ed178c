//! Which compressed form of a file a peer takes (RFC 9110 §12.5.3).

use crate::proto::http1::Headers;

/// A form that may lie beside a file, with its name behind the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Brotli (RFC 7932), `.br`.
    Brotli,
    /// gzip (RFC 1952), `.gz`.
    Gzip,
}

impl Coding {
    /// As it stands in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What the name of such a file ends with.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }
}

/// The forms that the `Accept-Encoding` fields allow, the one that is wished for most first; of two alike, Brotli.
pub fn accepted(fields: &Headers<'_>) -> [Option<Coding>; 2] {
    let (brotli, gzip) = (weight(fields, b"br"), weight(fields, b"gzip"));
    let brotli_or_not = (brotli > 0).then_some(Coding::Brotli);
    let gzip_or_not = (gzip > 0).then_some(Coding::Gzip);
    if gzip > brotli { [gzip_or_not, brotli_or_not] } else { [brotli_or_not, gzip_or_not] }
}

/// How much `coding` is wished for, in thousandths; 0: not at all.
fn weight(fields: &Headers<'_>, coding: &[u8]) -> u16 {
    let (mut named, mut any) = (None, 0);
    for (name, list) in fields.clone() {
        if !name.eq_ignore_ascii_case(b"accept-encoding") {
            continue;
        }
        for item in list.split(|&byte| byte == b',') {
            let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let found = parts.next().unwrap_or_default();
            let weight = parts.next().map_or(1000, thousandths);
            if found.eq_ignore_ascii_case(coding) {
                named = Some(weight);
            } else if found == b"*" {
                any = weight;
            }
        }
    }
    named.unwrap_or(any)
}

/// The value of `q=0.123`; 0 for what is none.
fn thousandths(parameter: &[u8]) -> u16 {
    let value = match parameter {
        [b'q' | b'Q', b'=', value @ ..] => value,
        _ => return 0,
    };
    match value {
        [b'1'] => 1000,
        [b'1', b'.', zeros @ ..] if zeros.len() <= 3 && zeros.iter().all(|&b| b == b'0') => 1000,
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            let digit = |at: usize| u16::from(digits.get(at).map_or(0, |digit| digit - b'0'));
            digit(0) * 100 + digit(1) * 10 + digit(2)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http1::headers;

    #[test]
    fn what_a_peer_takes_is_what_it_says() {
        use Coding::*;
        for (value, expected) in [
            ("gzip", [None, Some(Gzip)]),
            ("br", [Some(Brotli), None]),
            ("gzip, deflate, br, zstd", [Some(Brotli), Some(Gzip)]),
            ("GZIP;q=1.0, br;q=0.5", [Some(Gzip), Some(Brotli)]),
            ("gzip;q=0, br", [Some(Brotli), None]),
            ("*", [Some(Brotli), Some(Gzip)]),
            ("*;q=0", [None, None]),
            ("*;q=0.2, gzip;q=0.3", [Some(Gzip), Some(Brotli)]),
            ("br;q=0.001 , gzip ; q=0.002", [Some(Gzip), Some(Brotli)]),
            ("gzip;q=2", [None, None]),
            ("gzip;level=1", [None, None]),
            ("identity", [None, None]),
            ("", [None, None]),
        ] {
            let head = format!("GET / HTTP/1.1\r\nAccept-Encoding: {value}\r\n\r\n");
            let mut found = accepted(&headers(head.as_bytes()));
            let mut expected = expected;
            found.sort_by_key(Option::is_none);
            expected.sort_by_key(Option::is_none);
            assert_eq!(found, expected, "{value}");
        }
        assert_eq!(accepted(&headers(b"GET / HTTP/1.1\r\n\r\n")), [None, None]);
    }
}
