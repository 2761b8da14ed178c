//! What must hold of `decode_head` for any bytes. The fuzz target and `tests/fuzz_corpus.rs` share it.

use ringway::proto::http1::{
    BodyLength, Fault, Head, Limits, Version, decode_head, header, headers, path, resume_head,
};

/// The first byte picks the limits and a cut; the rest is what a peer sent.
pub fn check(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let limits = match first & 3 {
        0 => Limits { target_bytes: 16, head_bytes: 128, headers: 4, body_bytes: 100 },
        1 => Limits { target_bytes: 4, head_bytes: 40, headers: 2, body_bytes: 0 },
        _ => Limits::default(),
    };
    let whole = decode_head(bytes, &limits);
    if let Ok(Some(head)) = whole {
        check_head(bytes, &head, &limits);
    }
    check_cut(bytes, usize::from(first >> 2) * bytes.len() / 64, &limits, whole);
}

/// A head judged by a reader of lines that shares no code with the decoder.
fn check_head(bytes: &[u8], head: &Head, limits: &Limits) {
    let text = &bytes[..head.head_len as usize];
    assert!(text.len() <= limits.head_bytes as usize);
    let lines = text.strip_prefix(b"\r\n").unwrap_or(text).strip_suffix(b"\r\n\r\n");
    let mut lines: Vec<&[u8]> = lines.expect("a blank line").split(|&byte| byte == b'\n').collect();
    let last = lines.len() - 1;
    for line in &mut lines[..last] {
        *line = line.strip_suffix(b"\r").expect("CRLF");
    }
    let legal = |byte: &u8| (*byte >= b' ' && *byte != 0x7f) || *byte == b'\t';
    assert!(lines.iter().all(|line| !line.is_empty() && line.iter().all(legal)));
    let (method, target) = (&bytes[head.method_range()], &bytes[head.target_range()]);
    let minor: &[u8] = if head.version == Version::Http11 { b"1" } else { b"0" };
    assert_eq!(lines[0], [method, b" ", target, b" HTTP/1.", minor].concat());
    assert!(target.len() <= limits.target_bytes as usize && !path(target).is_empty());
    check_fields(bytes, head, &lines[1..], limits);
}

fn check_fields(bytes: &[u8], head: &Head, lines: &[&[u8]], limits: &Limits) {
    let fields: Vec<(&[u8], &[u8])> = lines.iter().map(|line| split(line)).collect();
    assert!(fields.len() <= limits.headers as usize);
    assert!(head.headers(bytes).eq(fields.iter().copied()));
    assert!(headers(&bytes[..head.head_len as usize]).eq(fields.iter().copied()));
    let values = |name: &str| -> Vec<&[u8]> {
        let named = fields.iter().filter(|field| field.0.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|field| field.1).collect()
    };
    assert_eq!(header(bytes, "host"), values("host").first().copied());
    assert_eq!(values("host").len(), usize::from(head.has_host));
    assert!(head.has_host || head.version == Version::Http10);
    match (&*values("content-length"), &*values("transfer-encoding")) {
        ([], []) => assert_eq!(head.body, BodyLength::None),
        ([length], []) => {
            let length = std::str::from_utf8(length).expect("digits").parse().expect("a number");
            assert!(length <= limits.body_bytes && head.body == BodyLength::Length(length));
        }
        ([], [coding]) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked") && head.version == Version::Http11);
            assert_eq!(head.body, BodyLength::Chunked);
        }
        _ => panic!("two fields frame one body"),
    }
}

fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = line.iter().position(|&byte| byte == b':').expect("a colon");
    let name = &line[..colon];
    assert!(!name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic()));
    (name, line[colon + 1..].trim_ascii())
}

/// Half of the bytes, then all of them: the same answer as all at once.
fn check_cut(bytes: &[u8], cut: usize, limits: &Limits, whole: Result<Option<Head>, Fault>) {
    match decode_head(&bytes[..cut], limits) {
        Ok(None) => {
            let resumed = resume_head(bytes, cut, limits);
            assert!(resumed == whole || resumed == Ok(None) && whole.is_err());
        }
        early => assert_eq!(early, whole),
    }
}
