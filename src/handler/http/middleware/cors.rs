//! Which pages of other origins may ask (the Fetch standard, "CORS protocol").

use std::time::Duration;

use super::Middleware;
use crate::handler::http::{Ctx, Reply, Response};
use crate::proto::http1::Method;

/// Tells browsers which pages of other origins may read responses, and answers their preflight requests. Who is no
/// browser is not kept from anything by it. It belongs outside of [`Auth`](super::Auth): preflight requests have no
/// credentials.
///
/// ```
/// use ringway::handler::http::middleware::Cors;
/// use ringway::handler::http::{Ctx, Router};
///
/// let router = Router::new()
///     .layer(Cors::of(["https://example.org"]).methods("GET, PUT").headers("content-type"))
///     .get("/", |_: &mut Ctx<'_>| "welcome");
/// ```
pub struct Cors {
    /// `None`: any.
    origins: Option<Vec<String>>,
    methods: String,
    headers: String,
    credentials: bool,
    max_age: Option<String>,
}

impl Cors {
    /// Pages of these origins, such as `https://example.org`, may.
    pub fn of<O: Into<String>>(origins: impl IntoIterator<Item = O>) -> Self {
        Self { origins: Some(origins.into_iter().map(Into::into).collect()), ..Self::any() }
    }

    /// Any page may.
    pub fn any() -> Self {
        Self {
            origins: None,
            methods: "GET, HEAD, POST".to_owned(),
            headers: String::new(),
            credentials: false,
            max_age: None,
        }
    }

    /// Methods that they may use: a list with commas; unless said otherwise `GET, HEAD, POST`.
    pub fn methods(self, methods: &str) -> Self {
        Self { methods: methods.to_owned(), ..self }
    }

    /// Header fields that they may set beside those that every page may.
    pub fn headers(self, headers: &str) -> Self {
        Self { headers: headers.to_owned(), ..self }
    }

    /// They may send cookies and credentials.
    ///
    /// # Panics
    /// Where any page may: the standard forbids that, and so does prudence.
    pub fn credentials(self) -> Self {
        assert!(self.origins.is_some(), "credentials are for origins that are named");
        Self { credentials: true, ..self }
    }

    /// How long a browser may rely on a preflight's answer.
    pub fn max_age(self, time: Duration) -> Self {
        Self { max_age: Some(time.as_secs().to_string()), ..self }
    }

    /// What `Access-Control-Allow-Origin` says to a request.
    fn allowed<'a>(&'a self, ctx: &Ctx<'_>) -> Option<&'a str> {
        // Where it is the same for all it is said to all: caches keep one response.
        let Some(known) = &self.origins else { return Some("*") };
        let origin = ctx.header("origin")?;
        known.iter().find(|known| known.as_bytes() == origin).map(String::as_str)
    }

    fn preflight(&self, ctx: &Ctx<'_>) -> Response {
        let mut response = Response::empty(204);
        if self.allowed(ctx).is_none() {
            return response;
        }
        response.add_header("Access-Control-Allow-Methods", &self.methods);
        if !self.headers.is_empty() {
            response.add_header("Access-Control-Allow-Headers", &self.headers);
        }
        if let Some(seconds) = &self.max_age {
            response.add_header("Access-Control-Max-Age", seconds);
        }
        response
    }
}

impl Middleware for Cors {
    fn enter(&self, ctx: &mut Ctx<'_>) -> Option<Reply> {
        let is_preflight = ctx.method() == Method::Options
            && ctx.header("access-control-request-method").is_some()
            && ctx.header("origin").is_some();
        is_preflight.then(|| self.preflight(ctx).into())
    }

    fn respond(&self, ctx: &mut Ctx<'_>, response: &mut Response) {
        // What a cache may give to other origins has to differ by origin, whoever asks first.
        if self.origins.is_some() {
            response.add_header("Vary", "Origin");
        }
        if let Some(origin) = self.allowed(ctx) {
            response.add_header("Access-Control-Allow-Origin", origin);
            if self.credentials {
                response.add_header("Access-Control-Allow-Credentials", "true");
            }
        }
    }
}
