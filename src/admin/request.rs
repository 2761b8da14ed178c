//! A request to the admin listener: what of its head counts. No socket and no clock.

use std::str;

use crate::limits::{ADMIN_HEAD_BYTES_MAX, ADMIN_TARGET_BYTES_MAX, HTTP_HEADERS_MAX};
use crate::proto::http1::{self, Fault, Head, Limits, Method, decode_head};

/// What clients may send. A body is not read, so its length does not matter.
const LIMITS: Limits = Limits {
    target_bytes: ADMIN_TARGET_BYTES_MAX,
    head_bytes: ADMIN_HEAD_BYTES_MAX,
    headers: HTTP_HEADERS_MAX as u32,
    body_bytes: u64::MAX,
};

/// A request whose head has come, as ranges of the bytes it was decoded from.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    bytes: &'a [u8],
    head: Head,
}

impl<'a> Request<'a> {
    /// The request at the start of `bytes`; `None` while its head is not whole.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<Self>, Fault> {
        Ok(decode_head(bytes, &LIMITS)?.map(|head| Self { bytes, head }))
    }

    /// What it wants to do.
    pub fn method(&self) -> Method {
        self.head.method
    }

    /// Where it wants to, as written: nothing of it is decoded, and what is not one of our paths to the byte is none.
    pub fn path(&self) -> &'a [u8] {
        http1::path(self.target())
    }

    /// The value of a key of its query, as written; empty where it has no value.
    pub fn query(&self, key: &str) -> Option<&'a [u8]> {
        let target = self.target();
        let at = target.iter().position(|&byte| byte == b'?')?;
        target[at + 1..].split(|&byte| byte == b'&').find_map(|pair| {
            let rest = pair.strip_prefix(key.as_bytes())?;
            if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b"=") }
        })
    }

    /// The host that it is meant for, without the port; `None` in HTTP/1.0 without one.
    pub fn host(&self) -> Option<&'a str> {
        let host = self.head.authority(self.bytes).or_else(|| self.field("Host"))?;
        let host = str::from_utf8(host).ok()?;
        let end = match host.strip_prefix('[') {
            Some(literal) => literal.find(']').map_or(host.len(), |at| at + 2),
            None => host.find(':').unwrap_or(host.len()),
        };
        Some(&host[..end])
    }

    /// The credentials of the scheme Bearer (RFC 6750 §2.1).
    pub fn bearer(&self) -> Option<&'a [u8]> {
        let (scheme, rest) = self.field("Authorization")?.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then(|| rest.trim_ascii())
    }

    /// Cookies of that name (RFC 6265 §4.2.1): there may be several, of other paths.
    pub fn cookies(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.head.headers(self.bytes);
        let fields = fields.filter(|(field, _)| field.eq_ignore_ascii_case(b"Cookie"));
        fields.flat_map(|(_, value)| value.split(|&byte| byte == b';')).filter_map(move |pair| {
            pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")
        })
    }

    /// Whether it asks for OpenMetrics, which scrapers do that know it.
    pub fn wants_openmetrics(&self) -> bool {
        self.accepts(b"application/openmetrics-text")
    }

    /// Whether a page is what it asks for: it is a browser.
    pub fn wants_html(&self) -> bool {
        self.accepts(b"text/html")
    }

    fn accepts(&self, media_type: &[u8]) -> bool {
        let named = |one: &[u8]| {
            let one = one.split(|&byte| byte == b';').next().unwrap_or_default();
            one.trim_ascii().eq_ignore_ascii_case(media_type)
        };
        self.field("Accept").is_some_and(|accept| accept.split(|&byte| byte == b',').any(named))
    }

    fn target(&self) -> &'a [u8] {
        &self.bytes[self.head.target_range()]
    }

    fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.head.header(self.bytes, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request<'_> {
        Request::decode(text.as_bytes()).unwrap().expect("it is whole")
    }

    #[test]
    fn paths_and_queries_are_taken_as_they_are_written() {
        let of = |target: &str| {
            let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let request = request(&text);
            let query = |key| request.query(key).map(|value| String::from_utf8_lossy(value).into());
            let path: String = String::from_utf8_lossy(request.path()).into();
            (path, query("token"), query("buckets"))
        };
        let none = None::<String>;
        assert_eq!(of("/"), ("/".into(), none.clone(), none.clone()));
        assert_eq!(of("/a/../b?buckets"), ("/a/../b".into(), none.clone(), Some(String::new())));
        let both = of("http://localhost:1/x?buckets=1&token=abc&token=def");
        assert_eq!(both, ("/x".into(), Some("abc".into()), Some("1".into())));
        assert_eq!(of("/x?tokens=abc&buckets1"), ("/x".into(), none.clone(), none));
    }

    #[test]
    fn the_host_is_that_of_the_target_before_that_of_the_field_and_has_no_port() {
        for (target, host, expected) in [
            ("/", "localhost:9090", "localhost"),
            ("/", "[::1]:9090", "[::1]"),
            ("/", "[::1]", "[::1]"),
            ("http://other/", "localhost", "other"),
        ] {
            let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(request(&text).host(), Some(expected));
        }
        assert_eq!(request("GET / HTTP/1.0\r\n\r\n").host(), None);
    }

    #[test]
    fn credentials_stand_behind_their_scheme_and_cookies_behind_their_name() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nauthorization: bearer  abc\r\n\
                    Cookie: x=1; admin=2;admin=3\r\nCookie: admin=4; admins=5\r\n\r\n";
        assert_eq!(request(text).bearer(), Some(&b"abc"[..]));
        assert!(request(text).cookies("admin").eq([b"2", b"3", b"4"]));
        let text = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic abc\r\n\r\n";
        assert_eq!(request(text).bearer(), None);
    }

    #[test]
    fn what_is_accepted_is_read_without_parameters() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\n\
                    Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3\r\n\r\n";
        assert!(request(text).wants_openmetrics() && !request(text).wants_html());
        let text = "GET / HTTP/1.1\r\nHost: a\r\nAccept: application/xml, Text/HTML\r\n\r\n";
        assert!(!request(text).wants_openmetrics() && request(text).wants_html());
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_a_request_or_is_not_and_every_question_has_an_answer(
            target in "[!-~]{0,40}",
            fields in proptest::collection::vec(
                ("(Host|Cookie|Authorization|Accept|X)", "[ -~]{0,40}"), 0..5
            ),
        ) {
            let mut text = format!("GET {target} HTTP/1.1\r\n");
            for (name, value) in fields {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str("\r\n");
            if let Ok(Some(request)) = Request::decode(text.as_bytes()) {
                assert!(request.path().len() <= text.len());
                assert!(request.host().is_none_or(|host| text.contains(host)));
                for key in ["token", "", "a"] {
                    assert!(request.query(key).is_none_or(|value| !value.contains(&b'&')));
                    assert!(request.cookies(key).all(|value| !value.contains(&b';')));
                }
                let _ = (request.bearer(), request.wants_html(), request.wants_openmetrics());
            }
        }
    }

    #[test]
    fn heads_and_targets_have_bounds() {
        let long = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes));
        let most = ADMIN_TARGET_BYTES_MAX as usize - 1;
        assert!(Request::decode(long(most).as_bytes()).is_ok());
        assert_eq!(Request::decode(long(most + 1).as_bytes()).unwrap_err().status(), 414);
        let wide = |bytes: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(bytes));
        let room = ADMIN_HEAD_BYTES_MAX as usize - wide(0).len();
        assert!(Request::decode((wide(room - 4) + "\r\n\r\n").as_bytes()).unwrap().is_some());
        let refused = Request::decode((wide(room - 3) + "\r\n\r\n").as_bytes()).unwrap_err();
        assert_eq!(refused.status(), 431);
    }
}
