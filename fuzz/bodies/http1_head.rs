//! What must hold of `decode_head` for any bytes. The fuzz target and `tests/fuzz_corpus.rs` share it.

use ringway::proto::http1::{
    BodyLength, Fault, Head, HeadDecoder, Limits, Version, decode_head, header, headers, path,
    resume_head,
};

use httparse::Status;

/// The first byte picks the limits and a cut; the rest is what a peer sent.
pub fn check(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let limits = match first & 3 {
        0 => Limits { target_bytes: 16, head_bytes: 128, headers: 4, body_bytes: 100 },
        1 => Limits { target_bytes: 4, head_bytes: 40, headers: 2, body_bytes: 0 },
        _ => Limits::default(),
    };
    let whole = decode_head(bytes, &limits);
    let mut decoder = HeadDecoder::new(limits);
    assert_eq!(decoder.decode(bytes), whole);
    assert_eq!(decoder.decode(bytes), whole, "and what it remembers changes nothing");
    if let Ok(Some(head)) = whole {
        check_head(bytes, &head, &limits);
        let again = [&b"GET /again HTTP/1.1\r\n"[..], &bytes[head.headers_range()]].concat();
        assert_eq!(decoder.decode(&again), decode_head(&again, &limits));
    }
    check_against_httparse(bytes, &limits, whole);
    check_cut(bytes, usize::from(first >> 2) * bytes.len() / 64, &limits, whole);
}

/// What we take, httparse takes as well, and reads the same in it. What it takes and we refuse, we
/// refuse for a rule that it does not have.
fn check_against_httparse(bytes: &[u8], limits: &Limits, whole: Result<Option<Head>, Fault>) {
    let mut slots = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut slots);
    let window = &bytes[..bytes.len().min(limits.head_bytes as usize)];
    let theirs = request.parse(window);
    match whole {
        Ok(Some(head)) => {
            assert_eq!(theirs, Ok(Status::Complete(head.head_len as usize)));
            let method = request.method.map(str::as_bytes);
            assert_eq!(method, Some(&bytes[head.method_range()]));
            assert_eq!(request.path.map(str::as_bytes), Some(&bytes[head.target_range()]));
            assert_eq!(request.version, Some(u8::from(head.version == Version::Http11)));
            let fields = request.headers.iter().map(|field| (field.name.as_bytes(), field.value));
            assert!(head.headers(bytes).eq(fields));
        }
        Ok(None) => assert_eq!(theirs, Ok(Status::Partial)),
        Err(fault) => assert!(theirs.is_err() || is_own_rule(fault), "{fault:?}"),
    }
}

/// Whether httparse leaves the rule to its caller, or is more tolerant: bare LF, empty lines.
fn is_own_rule(fault: Fault) -> bool {
    !matches!(
        fault,
        Fault::Method
            | Fault::VersionSyntax
            | Fault::VersionUnsupported
            | Fault::HeaderName
            | Fault::HeaderValue
    )
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
    assert!(target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#'));
    assert!(head.authority(bytes).is_none_or(is_host));
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
    assert!(values("host").iter().all(|host| host.is_empty() || is_host(host)));
    assert!(values("expect").iter().all(|value| value.eq_ignore_ascii_case(b"100-continue")));
    assert!(!head.upgrade || values("upgrade").iter().any(|value| !value.is_empty()));
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

/// A name or an address in brackets, and perhaps digits after a colon.
fn is_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address.replace(':', ""), port.strip_prefix(':').unwrap_or(port)),
        None => {
            let (name, port) = host.split_once(':').unwrap_or((host, ""));
            (name.to_owned(), port)
        }
    };
    !name.contains(|c: char| " @/?#[]:,\\".contains(c)) && port.bytes().all(|c| c.is_ascii_digit())
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
