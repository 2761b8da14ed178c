//! The request target's four forms (RFC 9112 §3.2), and what may name a host in it and in Host.
//! Decoding percent signs is a handler's business.

use super::fields::alphabet;
use super::{Fault, Method};

/// `reg-name` of RFC 3986 §3.2.2: unreserved, percent-encoded and sub-delims, without the comma,
/// which would make a list of hosts.
const HOST: [bool; 256] = alphabet(b"-._~%!$&'()*+;=");

/// Which of the four forms a request target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`: the usual one.
    Origin,
    /// `http://host/path?query`, as sent to a proxy; every server must take it (§3.2.2).
    Absolute,
    /// `host:port`: with CONNECT only (§3.2.3).
    Authority,
    /// `*`: with OPTIONS only (§3.2.4).
    Asterisk,
}

impl TargetForm {
    /// The form of `target`, if `method` may use it.
    #[inline(always)]
    pub(super) fn of(method: Method, target: &[u8]) -> Result<Self, Fault> {
        if target.first() == Some(&b'/') && method != Method::Connect {
            return Ok(Self::Origin);
        }
        Self::of_rare(method, target)
    }

    #[cold]
    fn of_rare(method: Method, target: &[u8]) -> Result<Self, Fault> {
        match method {
            Method::Connect if is_authority(target) => Ok(Self::Authority),
            Method::Options if target == b"*" => Ok(Self::Asterisk),
            Method::Connect => Err(Fault::Target),
            _ if authority_of_absolute(target).is_some_and(is_host) => Ok(Self::Absolute),
            _ => Err(Fault::Target),
        }
    }
}

/// The path of a target in origin or absolute form, without its query: `/a` of `/a?b` and of
/// `http://host/a?b`, `/` of `http://host`. The other two forms have no path and come back whole.
#[inline]
pub fn path(target: &[u8]) -> &[u8] {
    let target = match target {
        [b'/', ..] => target,
        _ => authority_at(target).map_or(target, |at| after_authority(&target[at..])),
    };
    let end = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    if target.starts_with(b"?") { b"/" } else { &target[..end] }
}

/// The `host[:port]` that a target itself names: of `http://host/a` and of CONNECT's `host:port`.
/// It counts, and what the Host field says does not (RFC 9112 §3.2.2).
pub fn authority(target: &[u8]) -> Option<&[u8]> {
    match target {
        [b'/', ..] | b"*" => None,
        _ => authority_of_absolute(target).or(is_authority(target).then_some(target)),
    }
}

fn after_authority(rest: &[u8]) -> &[u8] {
    match rest.iter().position(|&byte| byte == b'/' || byte == b'?') {
        Some(at) => &rest[at..],
        None => b"/",
    }
}

fn authority_of_absolute(target: &[u8]) -> Option<&[u8]> {
    let rest = &target[authority_at(target)?..];
    rest.split(|&byte| byte == b'/' || byte == b'?').next()
}

/// Where the authority starts in `scheme://authority…`; `None` when there is no scheme (RFC 3986
/// §3.1).
fn authority_at(target: &[u8]) -> Option<usize> {
    let colon = target.iter().position(|&byte| byte == b':')?;
    let scheme = &target[..colon];
    let legal = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    (legal && target[colon..].starts_with(b"://")).then_some(colon + 3)
}

/// `host:port` with both parts there (RFC 9112 §3.2.3).
fn is_authority(target: &[u8]) -> bool {
    let port = target.iter().rposition(|&byte| byte == b':').map(|colon| &target[colon + 1..]);
    is_host(target) && port.is_some_and(|port| !port.is_empty() && !port.contains(&b']'))
}

/// `uri-host [":" port]` (RFC 9110 §7.2) with a host in it: no userinfo, no list.
pub(super) fn is_host(value: &[u8]) -> bool {
    host_and_port_end(value) == Some(value.len())
}

/// How much of `value` is a host and perhaps a port; `None` without a host.
#[inline(always)]
pub(super) fn host_and_port_end(value: &[u8]) -> Option<usize> {
    let host = match name_end(value) {
        0 => ip_literal_end(value)?,
        end => end,
    };
    let Some((b':', port)) = value[host..].split_first() else { return Some(host) };
    let digits = port.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(port.len());
    Some(host + 1 + digits)
}

/// Length of the longest prefix of `value` that a name may be made of. Whole chunks first: their
/// loop needs no counting.
#[inline(always)]
fn name_end(value: &[u8]) -> usize {
    let (chunks, rest) = value.as_chunks::<8>();
    let mut end = 0;
    for chunk in chunks {
        for (at, &byte) in chunk.iter().enumerate() {
            if !HOST[byte as usize] {
                return end + at;
            }
        }
        end += 8;
    }
    end + rest.iter().position(|&byte| !HOST[byte as usize]).unwrap_or(rest.len())
}

/// Length of `[IPv6address]`.
#[cold]
fn ip_literal_end(value: &[u8]) -> Option<usize> {
    let end = value.iter().position(|&byte| byte == b']')?;
    let [b'[', address @ ..] = &value[..end] else { return None };
    let legal = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    (address.contains(&b':') && address.iter().all(legal)).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_recognised_with_the_methods_that_may_use_it() {
        use Method::{Connect, Get, Options};
        let cases: [(Method, &[u8], Result<TargetForm, Fault>); 16] = [
            (Get, b"/", Ok(TargetForm::Origin)),
            (Get, b"//a?b", Ok(TargetForm::Origin)),
            (Options, b"/x", Ok(TargetForm::Origin)),
            (Get, b"http://a/b", Ok(TargetForm::Absolute)),
            (Options, b"http://a", Ok(TargetForm::Absolute)),
            (Options, b"*", Ok(TargetForm::Asterisk)),
            (Get, b"*", Err(Fault::Target)),
            (Options, b"**", Err(Fault::Target)),
            (Connect, b"a:80", Ok(TargetForm::Authority)),
            (Connect, b"[::1]:80", Ok(TargetForm::Authority)),
            (Connect, b"a", Err(Fault::Target)),
            (Connect, b"a:", Err(Fault::Target)),
            (Connect, b"/a:80", Err(Fault::Target)),
            (Get, b"a:80", Err(Fault::Target)),
            (Get, b"a/b", Err(Fault::Target)),
            (Get, b"http:///b", Err(Fault::Target)),
        ];
        for (method, target, expected) in cases {
            let found = TargetForm::of(method, target);
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(target));
        }
    }

    #[test]
    fn a_path_has_neither_query_nor_authority() {
        let cases: [(&[u8], &[u8]); 9] = [
            (b"/", b"/"),
            (b"/a/b?c=/d?e", b"/a/b"),
            (b"/?", b"/"),
            (b"http://host", b"/"),
            (b"http://host?q", b"/"),
            (b"http://host:80/a?b", b"/a"),
            (b"/see?u=http://x/y", b"/see"),
            (b"/p://x/y", b"/p://x/y"),
            (b"*", b"*"),
        ];
        for (target, expected) in cases {
            assert_eq!(path(target), expected, "{}", String::from_utf8_lossy(target));
        }
    }
}
