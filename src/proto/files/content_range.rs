//! The `Content-Range` field of a request that sends part of a file (RFC 9110 §14.4, §14.5).

use super::ByteRange;
use super::ranges::number;

/// Where a part belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// Which bytes the part is.
    pub range: ByteRange,
    /// Bytes of the whole; `None`: the peer does not know yet.
    pub size: Option<u64>,
}

impl ContentRange {
    /// Reads the field of a request; `None` for one that is not legal, or names no bytes.
    pub fn decode(field: &[u8]) -> Option<Self> {
        let (unit, rest) = field.split_at_checked(6)?;
        if !unit.eq_ignore_ascii_case(b"bytes ") {
            return None;
        }
        let slash = rest.iter().position(|&byte| byte == b'/')?;
        let (range, size) = (&rest[..slash], &rest[slash + 1..]);
        let dash = range.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (number(&range[..dash])?, number(&range[dash + 1..])?);
        let size = if size == b"*" { None } else { Some(number(size)?) };
        // A number that does not fit is no place in a file.
        let fits = last < u64::MAX && size.is_none_or(|size| size < u64::MAX && last < size);
        (first <= last && fits).then_some(Self { range: ByteRange { first, last }, size })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_place_is_refused() {
        for field in [
            "",
            "bytes",
            "bytes 0-1",
            "bytes */5",
            "bytes */*",
            "bytes 1-0/5",
            "bytes 0-5/5",
            "bytes 0-/5",
            "bytes -5/5",
            "lines 0-1/5",
            "bytes=0-1/5",
            "bytes 0-1/",
            "bytes 0-1/5 ",
            "bytes  0-1/5",
            "bytes 0-1/x",
            "bytes 0-18446744073709551615/*",
            "bytes 0-1/18446744073709551616",
        ] {
            assert_eq!(ContentRange::decode(field.as_bytes()), None, "{field}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(first in 0u64..1 << 40, bytes in 1u64..1 << 40, more in prop::option::of(0u64..9)) {
            let range = ByteRange { first, last: first + bytes - 1 };
            let size = more.map(|more| first + bytes + more);
            let text = size.map_or("*".to_owned(), |size| size.to_string());
            let field = format!("bytes {first}-{}/{text}", range.last);
            prop_assert_eq!(ContentRange::decode(field.as_bytes()), Some(ContentRange { range, size }));
        }
    }
}
