//! Entity tags (RFC 9110 §8.8.3): which state of a file a response carried.

use std::fmt;

/// How two tags are compared (RFC 9110 §8.8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Both are strong and the same.
    Strong,
    /// They are the same, weak or not.
    Weak,
}

/// Quotes, three numbers of 16 digits, and what stands between them.
const TAG_BYTES_MAX: usize = 2 + 3 * 16 + 2;

/// The strong tag of one state of a file, with its quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntityTag {
    bytes: [u8; TAG_BYTES_MAX],
    len: u8,
}

impl EntityTag {
    /// The tag of the file with this number, size in bytes and time of its last change, in nanoseconds since 1970. Whoever
    /// replaces a file by another changes the number; whoever writes to it, the time.
    pub fn of_file(inode: u64, size: u64, modified_ns: u64) -> Self {
        let mut tag = Self { bytes: [b'"'; TAG_BYTES_MAX], len: 1 };
        for (index, number) in [inode, size, modified_ns].into_iter().enumerate() {
            if index > 0 {
                tag.push(b'-');
            }
            let digits = (67 - number.leading_zeros()).max(4) / 4;
            for digit in (0..digits).rev() {
                tag.push(b"0123456789abcdef"[(number >> (4 * digit) & 0xf) as usize]);
            }
        }
        tag.push(b'"');
        tag
    }

    fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.len)] = byte;
        self.len += 1;
    }

    /// As it stands in a field.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether a list of tags, as `If-Match` has it, has this one. What is no list has none from where it is
    /// broken on.
    pub fn is_in(&self, list: &[u8], comparison: Comparison) -> bool {
        tags(list)
            .any(|(weak, tag)| tag == self.as_bytes() && (comparison == Comparison::Weak || !weak))
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_bytes().escape_ascii().to_string())
    }
}

/// The tags of a list, each with its quotes and whether it is weak.
fn tags(list: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = skip(rest, |byte| matches!(byte, b' ' | b'\t' | b','));
        let (weak, tag) = match rest.strip_prefix(b"W/") {
            Some(tag) => (true, tag),
            None => (false, rest),
        };
        let inside = tag.strip_prefix(b"\"")?;
        let end = inside.iter().position(|&byte| !matches!(byte, 0x21 | 0x23..=0x7e | 0x80..))?;
        let (tag, after) = tag.split_at_checked(end + 2).filter(|_| inside[end] == b'"')?;
        let after = skip(after, |byte| matches!(byte, b' ' | b'\t'));
        // Two tags without a comma between them are no list.
        rest = if after.is_empty() || after[0] == b',' { after } else { b"" };
        Some((weak, tag))
    })
}

fn skip(bytes: &[u8], what: impl Fn(u8) -> bool) -> &[u8] {
    let end = bytes.iter().position(|&byte| !what(byte)).unwrap_or(bytes.len());
    &bytes[end..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tag() -> EntityTag {
        EntityTag::of_file(0x1f, 0, 0xabc)
    }

    #[test]
    fn a_tag_says_number_size_and_time() {
        assert_eq!(tag().as_bytes(), b"\"1f-0-abc\"");
        let longest = EntityTag::of_file(u64::MAX, u64::MAX, u64::MAX);
        assert_eq!(longest.as_bytes().len(), TAG_BYTES_MAX);
        assert_eq!(EntityTag::of_file(16, 256, 1).as_bytes(), b"\"10-100-1\"");
    }

    #[test]
    fn lists_are_searched_strongly_and_weakly() {
        use Comparison::{Strong, Weak};
        for (list, strong, weak) in [
            (&b"\"1f-0-abc\""[..], true, true),
            (b"W/\"1f-0-abc\"", false, true),
            (b"\"a\", \"1f-0-abc\"", true, true),
            (b",, \"a,b\" ,W/\"1f-0-abc\"", false, true),
            (b"\"\", \"1f-0-abc\"", true, true),
            (b"\"a\"\"1f-0-abc\"", false, false),
            (b"a, \"1f-0-abc\"", false, false),
            (b"1f-0-abc", false, false),
            (b"\"1f-0-abc", false, false),
            (b"w/\"1f-0-abc\"", false, false),
            (b"\"1F-0-ABC\"", false, false),
            (b"*", false, false),
            (b"", false, false),
            (b"\"a b\", \"1f-0-abc\"", false, false),
        ] {
            assert_eq!(
                (tag().is_in(list, Strong), tag().is_in(list, Weak)),
                (strong, weak),
                "{list:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_list_of_any_tags_has_those_that_were_put_into_it(
            others in prop::collection::vec(("[!#-~]{0,6}", any::<bool>()), 0..5),
            at in 0usize..5,
            weak: bool,
        ) {
            let mut list: Vec<String> = others
                .iter()
                .map(|(tag, weak)| format!("{}\"{tag}\"", if *weak { "W/" } else { "" }))
                .collect();
            let has = |list: &[String]| tag().is_in(list.join(" , ").as_bytes(), Comparison::Weak);
            prop_assert!(!has(&list));
            let own = format!("{}\"1f-0-abc\"", if weak { "W/" } else { "" });
            list.insert(at.min(list.len()), own);
            prop_assert!(has(&list));
            let strong = tag().is_in(list.join(",").as_bytes(), Comparison::Strong);
            prop_assert_eq!(strong, !weak);
        }

        #[test]
        fn tags_of_different_states_differ(a: [u64; 3], b: [u64; 3]) {
            let tag = |of: [u64; 3]| EntityTag::of_file(of[0], of[1], of[2]);
            prop_assert_eq!(tag(a) == tag(b), a == b);
        }
    }
}
