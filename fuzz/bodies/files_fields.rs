//! What must hold of what is read in the fields of requests for files, for any bytes. The fuzz target and
//! `tests/fuzz_corpus.rs` share it.

use ringway::limits::{FILES_PATH_BYTES_MAX, FILES_RANGES_MAX};
use ringway::proto::files::{
    Comparison, Condition, ContentRange, EntityTag, RelativePath, Selection, Validators, accepted,
    condition, form_boundary, if_range, select,
};
use ringway::proto::http1::{headers, http_date, parse_http_date};

/// When the file was last changed.
const MODIFIED: u64 = 784_111_777;

/// The first byte is the size of the file; the rest is each field's value, a path, and a head.
pub fn check(bytes: &[u8]) {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    check_path(bytes);
    check_ranges(bytes, u64::from(size));
    check_conditions(bytes);
    if let Some(ContentRange { range, size }) = ContentRange::decode(bytes) {
        assert!(range.first <= range.last && size.is_none_or(|size| range.last < size));
    }
    if let Some(seconds) = parse_http_date(bytes, MODIFIED) {
        assert_eq!(parse_http_date(&http_date(seconds), MODIFIED), Some(seconds));
    }
    if let Some(boundary) = form_boundary(bytes) {
        assert!((1..=70).contains(&boundary.len()) && boundary.is_ascii());
    }
}

fn check_path(bytes: &[u8]) {
    let mut room = [0; FILES_PATH_BYTES_MAX];
    let Ok(path) = RelativePath::decode(bytes, &mut room) else { return };
    let text = path.as_str();
    assert!(bytes.starts_with(b"/") && text.len() < bytes.len());
    if text.is_empty() {
        return assert_eq!(bytes, b"/");
    }
    for name in text.split('/') {
        assert!(!name.is_empty() && name != "." && name != ".." && name.len() <= 255, "{text}");
        assert!(!name.contains('\\') && !name.chars().any(|c| c.is_ascii_control()), "{text}");
    }
    // Joined to any directory it stays there, by the rules of the standard library too.
    let normal = |part| matches!(part, std::path::Component::Normal(_));
    assert!(std::path::Path::new(text).components().all(normal));
}

fn check_ranges(field: &[u8], size: u64) {
    let Selection::Ranges(ranges) = select(field, size) else { return };
    let ranges = ranges.as_slice();
    assert!((1..=FILES_RANGES_MAX).contains(&ranges.len()));
    assert!(ranges.iter().all(|range| range.first <= range.last && range.last < size));
    let bytes: u64 = ranges.iter().map(|range| range.bytes()).sum();
    assert!(bytes <= size, "no byte is sent twice");
}

fn check_conditions(bytes: &[u8]) {
    let tag = EntityTag::of_file(1, 2, 3);
    let file = Validators { tag: &tag, modified: MODIFIED };
    let fields = headers(bytes);
    for reads in [false, true] {
        let met = condition(&fields, reads, Some(file), MODIFIED + 9);
        assert!(reads || met != Condition::NotModified);
        let none = condition(&fields, reads, None, MODIFIED + 9);
        assert_ne!(none, Condition::NotModified, "what is not there cannot be what the peer has");
    }
    let _ = (if_range(&fields, file, MODIFIED + 9), accepted(&fields));
    assert!(!tag.is_in(bytes, Comparison::Strong) || tag.is_in(bytes, Comparison::Weak));
}
