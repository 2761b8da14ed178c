//! Where a peer is, or where to wait for one.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;
use crate::proto::stream::Mode;

/// Where a stream leads, or where a listener listens: `tcp:HOST:PORT`, `http://HOST:PORT/PATH`,
/// `udp:HOST:PORT`, `unix:PATH` or `port:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host and a port over TCP.
    Tcp(String),
    /// The same over TCP, beginning as HTTP with a GET of `target`.
    Http {
        /// The host and the port.
        at: String,
        /// A path, and a query if there is one: `session` in it names the session, by 32 hexadecimal digits.
        target: String,
    },
    /// The same over UDP.
    Udp(String),
    /// The path of a Unix socket, or an abstract name after an `@`.
    Unix(PathBuf),
    /// A port of a dataplane on this machine, at which this process attaches.
    Port(String),
}

impl Address {
    /// What becomes of packets there.
    pub fn mode(&self) -> Mode {
        match self {
            Self::Udp(_) => Mode::Datagram,
            Self::Tcp(_) | Self::Http { .. } | Self::Unix(_) | Self::Port(_) => Mode::Stream,
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        let address = match scheme {
            "tcp" if has_port(rest) => Self::Tcp(rest.to_owned()),
            "udp" if has_port(rest) => Self::Udp(rest.to_owned()),
            "http" => http(rest).ok_or_else(|| refused(text, "it is no http://HOST:PORT/PATH"))?,
            "unix" if !rest.is_empty() => Self::Unix(rest.into()),
            "port" if !rest.is_empty() => Self::Port(rest.to_owned()),
            "tcp" | "udp" => return Err(refused(text, "it has no port")),
            "unix" | "port" => return Err(refused(text, "nothing follows the colon")),
            _ => {
                return Err(refused(
                    text,
                    "it does not begin with tcp:, http:, udp:, unix: or port:",
                ));
            }
        };
        Ok(address)
    }
}

/// `//HOST:PORT`, with a target behind it or none.
fn http(rest: &str) -> Option<Address> {
    let rest = rest.strip_prefix("//")?;
    let (at, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let target = if target.is_empty() { "/" } else { target };
    let legal = has_port(at) && target.bytes().all(|byte| byte.is_ascii_graphic());
    legal.then(|| Address::Http { at: at.to_owned(), target: target.to_owned() })
}

fn has_port(rest: &str) -> bool {
    rest.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn refused(text: &str, why: &str) -> Error {
    Error::new(
        format!("use the address `{text}`"),
        why,
        "write tcp:HOST:PORT, http://HOST:PORT/PATH, udp:HOST:PORT, unix:PATH or port:NAME",
    )
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => write!(f, "tcp:{at}"),
            Self::Http { at, target } => write!(f, "http://{at}{target}"),
            Self::Udp(at) => write!(f, "udp:{at}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Port(name) => write!(f, "port:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in [
            "tcp:127.0.0.1:7",
            "udp:[::1]:65535",
            "unix:/a b/c",
            "unix:@x",
            "port:feed",
            "http://a:80/b?session=1",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_would_be_one() {
        for text in [
            "",
            "127.0.0.1:7",
            "tcp:",
            "tcp:host",
            "udp:h:x",
            "tcp::7",
            "unix:",
            "port:",
            "http:a:1",
            "http://a/",
            "http://a:1/ b",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.remedy().contains("tcp:HOST:PORT"), "{error}");
        }
    }
}
