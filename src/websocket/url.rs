//! Where a WebSocket is: `ws://host:port/path?query` (RFC 6455 §3).

use std::fmt;

use super::Error;

/// The port of `ws://` where none is named.
const PORT: u16 = 80;

/// A place that can be connected to. All of it is printable ASCII without blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// The name or address, an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query, from the first `/` on.
    pub target: String,
    /// The value of Host: as in the URL.
    pub authority: String,
}

impl Url {
    /// Reads one.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let fail = |why, remedy| Error::Url { url: url.to_owned(), why, remedy };
        let Some(scheme) = url.find("://") else {
            return Err(fail("it has no scheme", "write ws://HOST:PORT/PATH"));
        };
        let (scheme, rest) = (&url[..scheme], &url[scheme + 3..]);
        match &*scheme.to_ascii_lowercase() {
            "ws" => {}
            "wss" => {
                return Err(fail(
                    "wss:// is WebSocket over TLS, which ringway does not speak yet",
                    "connect with ws:// to where the server, or a proxy that ends TLS, listens without it",
                ));
            }
            _ => return Err(fail("its scheme is not that of WebSocket", "write ws:// in front")),
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            let remedy = "write blanks as %20, and other characters as their bytes in %XX";
            return Err(fail("it has blanks, or characters that are not ASCII", remedy));
        }
        if rest.contains('#') {
            return Err(fail("it has a fragment (#…)", "leave that away: a server never sees it"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            let remedy = "send it as a field, Authorization, and leave it out of the URL";
            return Err(fail("it has a user's name before the host", remedy));
        }
        let (host, port) = host_and_port(authority)
            .ok_or_else(|| fail("its host or port is malformed", "write ws://HOST:PORT/PATH"))?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        let (host, authority) = (host.to_owned(), authority.to_owned());
        Ok(Self { host, port, target: format!("{slash}{target}"), authority })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ws://{}{}", self.authority, self.target)
    }
}

/// `name`, `name:80`, `1.2.3.4:80`, `[::1]:80`.
fn host_and_port(authority: &str) -> Option<(&str, u16)> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(address) => {
            let (address, rest) = address.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, rest)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => PORT,
        Some("") => PORT,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    (!host.is_empty() && port > 0).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, u16, String, String) {
        let url = Url::parse(url).unwrap();
        (url.host, url.port, url.target, url.authority)
    }

    #[test]
    fn a_url_is_taken_apart() {
        let cases = [
            ("ws://a", ("a", 80, "/", "a")),
            ("WS://a:8080", ("a", 8080, "/", "a:8080")),
            ("ws://a:/b", ("a", 80, "/b", "a:")),
            ("ws://1.2.3.4:5/b/c?d=e", ("1.2.3.4", 5, "/b/c?d=e", "1.2.3.4:5")),
            ("ws://a?b", ("a", 80, "/?b", "a")),
            ("ws://[::1]:65535/", ("::1", 65535, "/", "[::1]:65535")),
            ("ws://[2001:db8::2]", ("2001:db8::2", 80, "/", "[2001:db8::2]")),
        ];
        for (url, (host, port, target, authority)) in cases {
            assert_eq!(parts(url), (host.into(), port, target.into(), authority.into()), "{url}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_what_mends_it() {
        let cases = [
            ("localhost:80", "no scheme"),
            ("http://a/", "scheme is not"),
            ("wss://a/", "TLS, which ringway does not speak yet"),
            ("ws://a/b c", "blanks"),
            ("ws://a/é", "ASCII"),
            ("ws://a/b\r\nX: y", "blanks"),
            ("ws://a/b#c", "fragment"),
            ("ws://me:secret@a/", "user's name"),
            ("ws://", "malformed"),
            ("ws:///b", "malformed"),
            ("ws://:80/", "malformed"),
            ("ws://a:0/", "malformed"),
            ("ws://a:65536/", "malformed"),
            ("ws://a:+80/", "malformed"),
            ("ws://a:80:80/", "malformed"),
            ("ws://[::1/", "malformed"),
            ("ws://[::1]x/", "malformed"),
            ("ws://[a]/", "malformed"),
        ];
        for (url, why) in cases {
            let error = Url::parse(url).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("; "), "{url}: {error}");
        }
    }
}
