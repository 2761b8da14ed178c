//! Parts of a file (RFC 9110 §14): which are asked for, and how several are sent as one body.

use crate::limits::FILES_RANGES_MAX;

/// Some of a file's bytes, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Where the first is.
    pub first: u64,
    /// Where the last is.
    pub last: u64,
}

impl ByteRange {
    /// How many they are.
    pub fn bytes(&self) -> u64 {
        self.last - self.first + 1
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// At most [`FILES_RANGES_MAX`] ranges, none of which has a byte of another, in the order that they were asked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRanges {
    ranges: [ByteRange; FILES_RANGES_MAX],
    count: u8,
}

impl ByteRanges {
    /// One range.
    pub fn one(range: ByteRange) -> Self {
        Self { ranges: [range; FILES_RANGES_MAX], count: 1 }
    }

    /// The ranges.
    pub fn as_slice(&self) -> &[ByteRange] {
        &self.ranges[..usize::from(self.count)]
    }

    /// `false`, and nothing done: there is no room, or it overlaps another.
    fn push(&mut self, range: ByteRange) -> bool {
        if self.as_slice().iter().any(|other| other.overlaps(&range)) {
            return false;
        }
        let Some(place) = self.ranges.get_mut(usize::from(self.count)) else { return false };
        *place = range;
        self.count += 1;
        true
    }
}

/// What of a file is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it lies on the stack, for a call")]
pub enum Selection {
    /// All of it: 200.
    Whole,
    /// These ranges: 206.
    Ranges(ByteRanges),
    /// Nothing, since none of the ranges is in it: 416.
    Unsatisfiable,
}

/// What the `Range` field of a GET selects of a file of `size` bytes. A field that is not legal, of another unit, or of more
/// ranges than are worth it ([`FILES_RANGES_MAX`], or some that overlap) selects the whole, as a server may always say
/// (RFC 9110 §14.2).
pub fn select(field: &[u8], size: u64) -> Selection {
    let none = ByteRange { first: 0, last: 0 };
    let mut ranges = ByteRanges { ranges: [none; FILES_RANGES_MAX], count: 0 };
    let Some(set) =
        field.split_at_checked(6).filter(|(unit, _)| unit.eq_ignore_ascii_case(b"bytes="))
    else {
        return Selection::Whole;
    };
    let specs = set.1.split(|&byte| byte == b',').map(trim).filter(|spec| !spec.is_empty());
    let (mut any, mut whole) = (false, false);
    for spec in specs {
        any = true;
        match range(spec, size) {
            None => return Selection::Whole,
            Some(Some(range)) => whole |= !ranges.push(range),
            Some(None) => {}
        }
    }
    match ranges.count {
        _ if whole || !any || size == 0 => Selection::Whole,
        0 => Selection::Unsatisfiable,
        _ => Selection::Ranges(ranges),
    }
}

/// `None`: it is no range. `Some(None)`: nothing of it is in the file.
fn range(spec: &[u8], size: u64) -> Option<Option<ByteRange>> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if first.is_empty() {
        let bytes = number(last)?.min(size);
        return Some((bytes > 0).then(|| ByteRange { first: size - bytes, last: size - 1 }));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    Some((first < size).then(|| ByteRange { first, last: last.min(size - 1) }))
}

/// A number of digits; what is more than fits is past the end of any file.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let legal = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    legal.then(|| digits.iter().fold(0, add))
}

fn trim(bytes: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !is_space(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_space(byte)).map_or(start, |at| at + 1);
    &bytes[start..end]
}

/// Writes what stands before one range of several (RFC 9110 §14.6), and returns how long it is. `None`: there is no room.
pub fn encode_part_head(
    room: &mut [u8],
    boundary: &str,
    media_type: &str,
    range: &ByteRange,
    size: u64,
) -> Option<usize> {
    let ByteRange { first, last } = range;
    write(
        room,
        format_args!(
            "\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: bytes {first}-{last}/{size}\r\n\r\n"
        ),
    )
}

/// Writes what stands behind the last of several ranges.
pub fn encode_part_end(room: &mut [u8], boundary: &str) -> Option<usize> {
    write(room, format_args!("\r\n--{boundary}--\r\n"))
}

fn write(room: &mut [u8], text: std::fmt::Arguments<'_>) -> Option<usize> {
    struct Room<'a>(&'a mut [u8], usize);
    impl std::fmt::Write for Room<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let room = self.0.get_mut(self.1..self.1 + text.len()).ok_or(std::fmt::Error)?;
            room.copy_from_slice(text.as_bytes());
            self.1 += text.len();
            Ok(())
        }
    }
    let mut room = Room(room, 0);
    std::fmt::Write::write_fmt(&mut room, text).ok()?;
    Some(room.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selected(field: &str, size: u64) -> Result<Vec<(u64, u64)>, bool> {
        match select(field.as_bytes(), size) {
            Selection::Whole => Err(true),
            Selection::Unsatisfiable => Err(false),
            Selection::Ranges(ranges) => {
                Ok(ranges.as_slice().iter().map(|range| (range.first, range.last)).collect())
            }
        }
    }

    #[test]
    fn ranges_are_read_as_the_rfc_has_them_g_18() {
        for (field, ranges) in [
            ("bytes=0-499", vec![(0, 499)]),
            ("bytes=500-999", vec![(500, 999)]),
            ("bytes=-500", vec![(9500, 9999)]),
            ("bytes=9500-", vec![(9500, 9999)]),
            ("bytes=0-0,-1", vec![(0, 0), (9999, 9999)]),
            ("bytes= 0-999, 4500-5499, -1000", vec![(0, 999), (4500, 5499), (9000, 9999)]),
            ("bytes=500-600,601-999", vec![(500, 600), (601, 999)]),
            ("BYTES=1-1", vec![(1, 1)]),
            ("bytes=,,1-2,\t,", vec![(1, 2)]),
            ("bytes=0-99999999999999999999999", vec![(0, 9999)]),
            ("bytes=-99999999999999999999999", vec![(0, 9999)]),
            ("bytes=9999-", vec![(9999, 9999)]),
            ("bytes=10000-,0-1", vec![(0, 1)]),
        ] {
            assert_eq!(selected(field, 10_000), Ok(ranges), "{field}");
        }
    }

    #[test]
    fn what_selects_nothing_in_the_file_is_told_from_what_is_no_range() {
        for field in
            ["bytes=10000-", "bytes=-0", "bytes=10000-10001, -0", "bytes=18446744073709551616-"]
        {
            assert_eq!(selected(field, 10_000), Err(false), "{field}");
        }
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=2-1",
            "bytes=1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes =1-2",
            "lines=1-2",
            "bytes=1-2;3-4",
            "bytes=1 -2",
            "bytes=0x1-2",
            "none",
        ] {
            assert_eq!(selected(field, 10_000), Err(true), "{field}");
        }
        assert_eq!(selected("bytes=0-", 0), Err(true), "an empty file is sent as it is");
    }

    #[test]
    fn many_ranges_and_those_that_overlap_get_the_whole_file() {
        let field = |count: usize| {
            let specs: Vec<String> = (0..count).map(|n| format!("{}-{}", 2 * n, 2 * n)).collect();
            format!("bytes={}", specs.join(","))
        };
        assert_eq!(
            selected(&field(FILES_RANGES_MAX), 10_000).map(|r| r.len()),
            Ok(FILES_RANGES_MAX)
        );
        assert_eq!(selected(&field(FILES_RANGES_MAX + 1), 10_000), Err(true));
        for field in ["bytes=0-10,10-20", "bytes=5-6,0-10", "bytes=0-,-1", "bytes=0-0,0-0"] {
            assert_eq!(selected(field, 10_000), Err(true), "{field}");
        }
    }

    #[test]
    fn parts_are_framed_as_the_rfc_shows() {
        let (mut room, range) = ([0; 200], ByteRange { first: 500, last: 999 });
        let len = encode_part_head(&mut room, "SEP", "application/pdf", &range, 8000).unwrap();
        let expected = "\r\n--SEP\r\nContent-Type: application/pdf\r\nContent-Range: bytes 500-999/8000\r\n\r\n";
        assert_eq!(std::str::from_utf8(&room[..len]).unwrap(), expected);
        assert_eq!(
            encode_part_head(&mut room[..len - 1], "SEP", "application/pdf", &range, 8000),
            None
        );
        let len = encode_part_end(&mut room, "SEP").unwrap();
        assert_eq!(&room[..len], b"\r\n--SEP--\r\n");
    }

    /// Which bytes of a small file each range names, by looking at all of them.
    fn oracle(specs: &[(Option<u64>, Option<u64>)], size: u64) -> Result<Vec<Vec<u64>>, bool> {
        let mut found = Vec::new();
        for spec in specs {
            let is_in = |at: u64| match *spec {
                (Some(first), Some(last)) => first <= at && at <= last,
                (Some(first), None) => first <= at,
                (None, Some(suffix)) => at + suffix >= size,
                (None, None) => false,
            };
            match *spec {
                (None, None) => return Err(true),
                (Some(first), Some(last)) if last < first => return Err(true),
                _ => found.push((0..size).filter(|at| is_in(*at)).collect::<Vec<u64>>()),
            }
        }
        found.retain(|bytes| !bytes.is_empty());
        let all: Vec<u64> = found.concat();
        let distinct: std::collections::BTreeSet<u64> = all.iter().copied().collect();
        if specs.is_empty()
            || size == 0
            || found.len() > FILES_RANGES_MAX
            || distinct.len() < all.len()
        {
            return Err(true);
        }
        if found.is_empty() { Err(false) } else { Ok(found) }
    }

    proptest! {
        #[test]
        fn any_ranges_of_a_small_file_select_the_bytes_that_they_name(
            specs in prop::collection::vec((prop::option::of(0u64..12), prop::option::of(0u64..12)), 0..20),
            size in 0u64..10,
        ) {
            let text = |n: Option<u64>| n.map_or(String::new(), |n| n.to_string());
            let list: Vec<String> =
                specs.iter().map(|(a, b)| format!("{}-{}", text(*a), text(*b))).collect();
            let ours = selected(&format!("bytes={}", list.join(", ")), size);
            let ours = ours.map(|ranges| ranges.iter().map(|(a, b)| (*a..=*b).collect()).collect::<Vec<Vec<u64>>>());
            prop_assert_eq!(ours, oracle(&specs, size));
        }

        #[test]
        fn any_field_selects_ranges_that_lie_in_the_file(field in "(bytes=)?[0-9,\\- ]{0,40}", size: u64) {
            if let Ok(ranges) = selected(&field, size) {
                for (first, last) in ranges {
                    prop_assert!(first <= last && last < size);
                }
            }
        }
    }
}
