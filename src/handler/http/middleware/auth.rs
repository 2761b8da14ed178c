//! Who may ask.

use super::Middleware;
use crate::handler::http::{Ctx, Reply, Request, Response};

/// Lets those requests pass that a function likes, and answers others with 401 and a challenge (RFC 9110 §11).
///
/// ```
/// use ringway::handler::http::middleware::Auth;
/// use ringway::handler::http::{Ctx, Router};
///
/// let router = Router::new()
///     .layer(Auth::new("Bearer", |ctx: &mut Ctx<'_>| ctx.bearer() == Some(b"secret")))
///     .get("/", |_: &mut Ctx<'_>| "welcome");
/// ```
///
/// Secrets are best compared in constant time, which `==` is not.
pub struct Auth<F> {
    challenge: &'static str,
    check: F,
}

impl<F: Fn(&mut Ctx<'_>) -> bool> Auth<F> {
    /// With the value of `WWW-Authenticate`, such as `Bearer` or `Basic realm="files"`. What `check` finds out it may
    /// hang on the request ([`Ctx::set`]).
    pub fn new(challenge: &'static str, check: F) -> Self {
        Self { challenge, check }
    }
}

impl<F: Fn(&mut Ctx<'_>) -> bool> Middleware for Auth<F> {
    fn responds(&self) -> bool {
        false
    }

    fn enter(&self, ctx: &mut Ctx<'_>) -> Option<Reply> {
        if (self.check)(ctx) {
            return None;
        }
        let response = Response::text(401, "who are you?\n");
        Some(response.header("WWW-Authenticate", self.challenge).into())
    }
}

impl<'a> Request<'a> {
    /// The token of `Authorization: Bearer` (RFC 6750 §2.1).
    pub fn bearer(&self) -> Option<&'a [u8]> {
        credentials(self.header("authorization")?, b"bearer")
    }

    /// Name and password of `Authorization: Basic` (RFC 7617). `None` too where they are no UTF-8.
    pub fn basic(&self) -> Option<(String, String)> {
        use base64ct::{Base64, Encoding};
        let encoded = credentials(self.header("authorization")?, b"basic")?;
        let mut room = vec![0; encoded.len()];
        let decoded = Base64::decode(encoded, &mut room).ok()?;
        let text = std::str::from_utf8(decoded).ok()?;
        let (name, password) = text.split_once(':')?;
        Some((name.to_owned(), password.to_owned()))
    }
}

/// What stands behind the name of a scheme, in any case (RFC 9110 §11.1).
fn credentials<'a>(value: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (name, rest) = value.split_at_checked(scheme.len())?;
    let rest = rest.strip_prefix(b" ")?;
    name.eq_ignore_ascii_case(scheme).then(|| rest.trim_ascii())
}
