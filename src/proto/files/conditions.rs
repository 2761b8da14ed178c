//! Requests that depend on what the file is like (RFC 9110 §13).

use super::{Comparison, EntityTag};
use crate::proto::http1::{Headers, parse_http_date};

/// What is known of the state of a file.
#[derive(Debug, Clone, Copy)]
pub struct Validators<'a> {
    /// Its tag, which is strong.
    pub tag: &'a EntityTag,
    /// When it was last changed, in seconds since 1970.
    pub modified: u64,
}

/// What comes of the conditions of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is to be done.
    Met,
    /// The peer has what it asks for: 304.
    NotModified,
    /// 412.
    Failed,
}

/// Looks at `If-Match`, `If-Unmodified-Since`, `If-None-Match` and `If-Modified-Since` in the order of
/// RFC 9110 §13.2.2. `reads`: the method is GET or HEAD. `current` is the file as it is; `None`: there is none. `now`, in
/// seconds since 1970, is what dates with years of two digits are read by.
pub fn condition(
    fields: &Headers<'_>,
    reads: bool,
    current: Option<Validators<'_>>,
    now: u64,
) -> Condition {
    let unchanged_since = |name| {
        let date = parse_http_date(only(fields, name)?, now)?;
        Some(current.is_some_and(|file| file.modified <= date))
    };
    let not_any = if reads { Condition::NotModified } else { Condition::Failed };
    if let Some(matches) = any_matches(fields, "if-match", current, Comparison::Strong) {
        if !matches {
            return Condition::Failed;
        }
    } else if unchanged_since("if-unmodified-since") == Some(false) {
        return Condition::Failed;
    }
    match any_matches(fields, "if-none-match", current, Comparison::Weak) {
        Some(true) => not_any,
        Some(false) => Condition::Met,
        None if reads && unchanged_since("if-modified-since") == Some(true) => not_any,
        None => Condition::Met,
    }
}

/// Whether a `Range` field is to be looked at, by what `If-Range` says (RFC 9110 §13.1.5): where the file is another by
/// now, the whole is sent. A date only tells for sure when the file has not changed in the second that it names, of which
/// `now` is past.
pub fn if_range(fields: &Headers<'_>, current: Validators<'_>, now: u64) -> bool {
    let mut values = values(fields, "if-range");
    let Some(value) = values.next() else { return true };
    if values.next().is_some() {
        return false;
    }
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        return value == current.tag.as_bytes();
    }
    parse_http_date(value, now) == Some(current.modified) && current.modified < now
}

/// Whether a field that lists tags, or says `*`, has that of the file; `None`: there is no such field.
fn any_matches(
    fields: &Headers<'_>,
    name: &str,
    current: Option<Validators<'_>>,
    comparison: Comparison,
) -> Option<bool> {
    let mut lists = values(fields, name).peekable();
    lists.peek()?;
    let Some(file) = current else { return Some(false) };
    Some(lists.any(|list| list == b"*" || file.tag.is_in(list, comparison)))
}

/// The value of a field that stands there once; one that stands there twice says nothing.
fn only<'a>(fields: &Headers<'a>, name: &'a str) -> Option<&'a [u8]> {
    let mut values = values(fields, name);
    values.next().filter(|_| values.next().is_none())
}

fn values<'a>(fields: &Headers<'a>, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = move |(found, value): (&[u8], &'a [u8])| {
        found.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
    };
    fields.clone().filter_map(named)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::http1::headers;

    const MODIFIED: u64 = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const NOW: u64 = MODIFIED + 10;

    fn tag() -> EntityTag {
        EntityTag::of_file(1, 2, 3)
    }

    fn head(lines: &str) -> String {
        format!("GET / HTTP/1.1\r\n{lines}\r\n")
    }

    fn decide(lines: &str, reads: bool, exists: bool) -> Condition {
        let (head, tag) = (head(lines), tag());
        let current = exists.then_some(Validators { tag: &tag, modified: MODIFIED });
        condition(&headers(head.as_bytes()), reads, current, NOW)
    }

    #[test]
    fn each_condition_alone_is_met_or_not() {
        use Condition::*;
        for (line, reading, writing) in [
            ("If-Match: \"1-2-3\"".to_owned(), Met, Met),
            ("If-Match: *".to_owned(), Met, Met),
            ("If-Match: W/\"1-2-3\"".to_owned(), Failed, Failed),
            ("If-Match: \"a\"".to_owned(), Failed, Failed),
            ("If-Match: \"a\"\r\nif-match: \"1-2-3\"".to_owned(), Met, Met),
            ("If-None-Match: \"1-2-3\"".to_owned(), NotModified, Failed),
            ("If-None-Match: W/\"1-2-3\"".to_owned(), NotModified, Failed),
            ("If-None-Match: *".to_owned(), NotModified, Failed),
            ("If-None-Match: \"a\"".to_owned(), Met, Met),
            (format!("If-Modified-Since: {SAME}"), NotModified, Met),
            (format!("If-Modified-Since: {BEFORE}"), Met, Met),
            ("If-Modified-Since: yesterday".to_owned(), Met, Met),
            (format!("If-Unmodified-Since: {SAME}"), Met, Met),
            (format!("If-Unmodified-Since: {BEFORE}"), Failed, Failed),
            ("If-Unmodified-Since: yesterday".to_owned(), Met, Met),
        ] {
            let lines = format!("{line}\r\n");
            assert_eq!(decide(&lines, true, true), reading, "{line}");
            assert_eq!(decide(&lines, false, true), writing, "{line}");
        }
    }

    #[test]
    fn what_is_not_there_matches_nothing() {
        assert_eq!(decide("If-Match: *\r\n", false, false), Condition::Failed);
        assert_eq!(decide("If-None-Match: *\r\n", false, false), Condition::Met);
        let unmodified = format!("If-Unmodified-Since: {SAME}\r\n");
        assert_eq!(decide(&unmodified, false, false), Condition::Failed);
    }

    /// The steps of RFC 9110 §13.2.2, as they are numbered there.
    fn steps(
        matched: Option<bool>,
        unmodified: Option<bool>,
        none: Option<bool>,
        since: Option<bool>,
        reads: bool,
    ) -> Condition {
        let first = match (matched, unmodified) {
            (Some(holds), _) => holds,    // 1
            (None, Some(holds)) => holds, // 2
            (None, None) => true,
        };
        if !first {
            return Condition::Failed;
        }
        match (none, since) {
            (Some(true), _) => Condition::Met, // 3
            (Some(false), _) if reads => Condition::NotModified,
            (Some(false), _) => Condition::Failed,
            (None, Some(false)) if reads => Condition::NotModified, // 4
            _ => Condition::Met,
        }
    }

    proptest! {
        #[test]
        fn all_together_are_looked_at_in_the_order_of_the_rfc(
            matched: Option<bool>,
            unmodified: Option<bool>,
            none: Option<bool>,
            since: Option<bool>,
            reads: bool,
        ) {
            let tag = |ours| if ours { "\"1-2-3\"" } else { "\"x\"" };
            let mut lines = String::new();
            if let Some(holds) = matched {
                lines += &format!("If-Match: {}\r\n", tag(holds));
            }
            if let Some(holds) = unmodified {
                lines += &format!("If-Unmodified-Since: {}\r\n", if holds { SAME } else { BEFORE });
            }
            if let Some(holds) = none {
                lines += &format!("If-None-Match: {}\r\n", tag(!holds));
            }
            if let Some(holds) = since {
                lines += &format!("If-Modified-Since: {}\r\n", if holds { BEFORE } else { SAME });
            }
            prop_assert_eq!(decide(&lines, reads, true), steps(matched, unmodified, none, since, reads));
        }
    }

    #[test]
    fn ranges_are_of_the_file_that_the_peer_knows() {
        let applies = |lines: &str, now| {
            let (head, tag) = (head(lines), tag());
            let current = Validators { tag: &tag, modified: MODIFIED };
            if_range(&headers(head.as_bytes()), current, now)
        };
        assert!(applies("", NOW) && applies("If-Range: \"1-2-3\"\r\n", NOW));
        assert!(applies(&format!("If-Range: {SAME}\r\n"), MODIFIED + 1));
        for line in [
            "If-Range: W/\"1-2-3\"",
            "If-Range: \"x\"",
            "If-Range: \"x\", \"1-2-3\"",
            "If-Range: *",
            "If-Range: ",
            &format!("If-Range: {BEFORE}"),
            "If-Range: \"1-2-3\"\r\nIf-Range: \"1-2-3\"",
        ] {
            assert!(!applies(&format!("{line}\r\n"), NOW), "{line}");
        }
        assert!(!applies(&format!("If-Range: {SAME}\r\n"), MODIFIED), "it may still change");
    }
}
