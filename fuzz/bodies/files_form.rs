//! What must hold of `FormDecoder` for any bytes. The fuzz target and `tests/fuzz_corpus.rs` share it.

use ringway::limits::{FILES_NAME_BYTES_MAX, FORM_HEAD_BYTES_MAX};
use ringway::proto::files::{
    FormDecoder, FormEvent, FormFault, form_boundary, form_file_name, is_file_name,
};

/// The head and content of each part.
type Parts = Vec<(Vec<u8>, Vec<u8>)>;

/// The first byte says how the form is cut; up to the first line end stands its boundary, behind that the form.
pub fn check(bytes: &[u8]) {
    let Some((&most, bytes)) = bytes.split_first() else { return };
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (boundary, form) = bytes.split_at(end);
    let field = [b"multipart/form-data; boundary=", boundary].concat();
    let Some(boundary) = form_boundary(&field) else { return };
    let form = form.strip_prefix(b"\n").unwrap_or(form);
    let whole = decode(boundary, form, form.len().max(1));
    assert_eq!(decode(boundary, form, usize::from(most).max(1)), whole);
    let Ok((parts, over)) = whole else { return };
    assert_eq!(over, oracle_is_over(boundary, form), "an end is where a line with it is");
    for (head, content) in &parts {
        assert!(head.len() <= FORM_HEAD_BYTES_MAX && head.ends_with(b"\r\n"));
        let delimiter = [b"\r\n--", boundary].concat();
        assert!(!content.windows(delimiter.len()).any(|window| window == delimiter));
        let mut room = [0; FILES_NAME_BYTES_MAX];
        if let Ok(Some(name)) = form_file_name(head, &mut room) {
            assert!(is_file_name(name));
        }
    }
}

fn decode(boundary: &[u8], form: &[u8], most: usize) -> Result<(Parts, bool), FormFault> {
    let mut decoder = FormDecoder::new(boundary);
    let (mut parts, mut open) = (Parts::new(), false);
    for mut rest in form.chunks(most) {
        while !rest.is_empty() {
            let (taken, event) = decoder.step(rest)?;
            assert!(taken > 0 || event.is_some(), "it gets on");
            match event {
                Some(FormEvent::Begins) => {
                    assert!(!std::mem::replace(&mut open, true), "a part in a part");
                    parts.push((decoder.head().to_vec(), Vec::new()));
                }
                Some(FormEvent::Data) => parts.last_mut().unwrap().1.extend(&rest[..taken]),
                Some(FormEvent::Held(held)) => {
                    parts.last_mut().unwrap().1.extend(&decoder.delimiter()[..held]);
                }
                Some(FormEvent::Ends) => assert!(std::mem::take(&mut open), "no part"),
                Some(FormEvent::Ended) => assert!(!open && decoder.is_over()),
                None => {}
            }
            rest = &rest[taken..];
        }
    }
    Ok((parts, decoder.is_over()))
}

/// Whether the last boundary is in a form that breaks no rule.
fn oracle_is_over(boundary: &[u8], form: &[u8]) -> bool {
    let last = [b"\r\n--", boundary, b"--"].concat();
    let form = [b"\r\n", form].concat();
    let mut at = 0;
    let mut in_head = false;
    while at < form.len() {
        if in_head {
            // A head ends with a blank line, and what looks like a boundary in it is none.
            let rest = &form[at..];
            let blank = rest.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
            let Some(end) = (if rest.starts_with(b"\r\n") { Some(2) } else { blank }) else {
                return false;
            };
            (at, in_head) = (at + end, false);
        } else if form[at..].starts_with(&last) {
            return true;
        } else if form[at..].starts_with(&last[..last.len() - 2]) {
            let Some(end) = form[at + 2..].iter().position(|&byte| byte == b'\n') else {
                return false;
            };
            (at, in_head) = (at + 2 + end + 1, true);
        } else {
            at += 1;
        }
    }
    false
}
