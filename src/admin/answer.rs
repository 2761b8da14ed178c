//! An answer to a request: its status, its fields, its body, and the bytes that all of it is.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::proto::http1::{Method, http_date, reason};

/// On every answer: nothing is kept, nothing is guessed, nothing is shown inside of others' pages.
const COMMON: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
                      X-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n\
                      Cross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n";

/// What answers that are no pages may load and do: nothing.
const NO_CONTENT: &str = "default-src 'none'; frame-ancestors 'none'";

/// What is said to a client, without the head that all answers have.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    content_type: &'static str,
    policy: Cow<'static, str>,
    /// More field lines, each with its CRLF.
    fields: String,
    body: Cow<'static, [u8]>,
}

impl Answer {
    /// A body of a media type.
    pub fn new(content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        let (policy, fields) = (NO_CONTENT.into(), String::new());
        Self { status: 200, content_type, policy, fields, body: body.into() }
    }

    /// A line of text.
    pub fn line(status: u16, line: &str) -> Self {
        let body = format!("{line}\n").into_bytes();
        Self { status, ..Self::new("text/plain; charset=utf-8", body) }
    }

    /// A page, and its Content-Security-Policy.
    pub fn page(status: u16, html: &'static str, policy: String) -> Self {
        let page = Self::new("text/html; charset=utf-8", html.as_bytes());
        Self { status, policy: policy.into(), ..page }
    }

    /// With one more field line, which ends in CRLF.
    pub fn with_field(mut self, line: &str) -> Self {
        debug_assert!(line.ends_with("\r\n"));
        self.fields.push_str(line);
        self
    }

    /// All of it, as it goes to the client; to HEAD without the body.
    pub fn into_bytes(self, method: Method) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let date = http_date(now);
        let date = str::from_utf8(&date).expect("a date is ASCII");
        let Self { status, content_type, policy, fields, body } = self;
        let mut bytes = format!(
            "HTTP/1.1 {status} {}\r\nDate: {date}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n{COMMON}Content-Security-Policy: {policy}\r\n{fields}\r\n",
            reason(status),
            body.len(),
        )
        .into_bytes();
        if method != Method::Head {
            bytes.extend_from_slice(&body);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_head_is_the_same_without_its_body() {
        let answer = || Answer::line(404, "nothing").with_field("Allow: GET\r\n");
        let whole = String::from_utf8(answer().into_bytes(Method::Get)).unwrap();
        let head = String::from_utf8(answer().into_bytes(Method::Head)).unwrap();
        assert_eq!(whole.strip_prefix(&head), Some("nothing\n"));
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\nDate: "), "{head}");
        assert!(
            head.contains("\r\nContent-Length: 8\r\n") && head.contains("\r\nAllow: GET\r\n\r\n")
        );
        assert!(head.contains("\r\nX-Content-Type-Options: nosniff\r\n"));
    }
}
