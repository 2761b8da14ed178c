//! Streams that begin as HTTP (D-19): a GET that asks for the protocol `ringway-stream` (RFC 9110 §7.8), and
//! packets on the same connection from the 101 on. The query `session` may say what the session is to be called.

use crate::limits::STREAM_UPGRADE_BYTES_MAX;
use crate::proto::http1::{Limits, Method, Version, decode_head, header};

/// What the protocol is called in `Upgrade`.
const PROTOCOL: &str = "ringway-stream";

/// What is answered to a request for it.
pub(super) const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
    Upgrade: ringway-stream\r\n\r\n";

const REQUIRED: &[u8] = b"HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade, close\r\n\
    Upgrade: ringway-stream\r\nContent-Length: 0\r\n\r\n";

const BAD: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// What a request, or the beginning of one, asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Its end has not come.
    More,
    /// A stream, from so many bytes on.
    Stream { head_bytes: usize, session_id: Option<[u8; 16]> },
    /// Nothing that there is here: it gets this answer.
    Other(&'static [u8]),
}

/// Looks at a request.
pub(super) fn look_at(bytes: &[u8]) -> Asked {
    let head_bytes = STREAM_UPGRADE_BYTES_MAX as u32;
    let limits =
        Limits { head_bytes, target_bytes: head_bytes, body_bytes: 0, ..Limits::default() };
    let head = match decode_head(bytes, &limits) {
        Ok(Some(head)) => head,
        Ok(None) => return Asked::More,
        Err(_) => return Asked::Other(BAD),
    };
    let fields = &bytes[..head.head_len as usize];
    let names = header(fields, "Upgrade").unwrap_or_default();
    let wanted = names
        .split(|&byte| byte == b',')
        .any(|name| name.trim_ascii().eq_ignore_ascii_case(PROTOCOL.as_bytes()));
    if head.method != Method::Get || head.version != Version::Http11 || !head.upgrade || !wanted {
        return Asked::Other(REQUIRED);
    }
    let target = &bytes[head.target_at as usize..][..head.target_len as usize];
    match session_id(target) {
        Ok(session_id) => Asked::Stream { head_bytes: fields.len(), session_id },
        Err(()) => Asked::Other(BAD),
    }
}

/// The session that a target's query names; `Err`: not by 32 hexadecimal digits.
fn session_id(target: &[u8]) -> Result<Option<[u8; 16]>, ()> {
    let query = target.splitn(2, |&byte| byte == b'?').nth(1).unwrap_or_default();
    let mut parameters = query.split(|&byte| byte == b'&');
    let Some(value) = parameters.find_map(|part| part.strip_prefix(b"session=")) else {
        return Ok(None);
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(());
    let digits: &[u8; 32] = value.try_into().map_err(drop)?;
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Ok(Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str, fields: &str) -> Vec<u8> {
        format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
    }

    const UPGRADE: &str = "Connection: upgrade\r\nUpgrade: h2c, Ringway-Stream\r\n";

    #[test]
    fn a_request_for_a_stream_is_found_and_what_it_calls_the_session() {
        let plain = get("/any/path?x=y", UPGRADE);
        let head_bytes = plain.len();
        let asked = look_at(&[&plain[..], b"packets"].concat());
        assert_eq!(asked, Asked::Stream { head_bytes, session_id: None });
        for end in 0..plain.len() {
            assert_eq!(look_at(&plain[..end]), Asked::More, "{end}");
        }
        let named = get("/?a=b&session=000102030405060708090a0B0c0D0e0f", UPGRADE);
        let session_id = Some(std::array::from_fn(|n| n as u8));
        assert_eq!(look_at(&named), Asked::Stream { head_bytes: named.len(), session_id });
    }

    #[test]
    fn what_is_no_such_request_is_told_so() {
        for request in [get("/", ""), get("/", "Connection: upgrade\r\nUpgrade: websocket\r\n")] {
            assert_eq!(look_at(&request), Asked::Other(REQUIRED));
        }
        let short = "session=000102030405060708090a0b0c0d0e0";
        let cases = [
            b"no request at all\r\n\r\n".to_vec(),
            get(&format!("/?{short}"), UPGRADE),
            get(&format!("/?{short}00"), UPGRADE),
            get(&format!("/?{short}g"), UPGRADE),
            get(&"/".repeat(STREAM_UPGRADE_BYTES_MAX), UPGRADE),
        ];
        for request in cases {
            assert_eq!(look_at(&request), Asked::Other(BAD), "{}", request.escape_ascii());
        }
    }
}
