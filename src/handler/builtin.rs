//! The endpoints that `ringway run` serves over HTTP without any program behind it.

use std::fmt::Write;

use super::http::{Body, Reply, Request, Response, Service};
use super::status;
use crate::counters::Totals;
use crate::mem::{Buf, ConnId};
use crate::pipeline::Cx;
use crate::proto::http1::Method;

/// `GET /`, `POST /ping`, `POST /echo`, `GET /health`, `GET /api/status` (G-1, G-2, G-3, G-19).
pub struct Builtin {
    status: Totals,
}

impl Builtin {
    /// Endpoints that report on `status`.
    pub fn new(status: Totals) -> Self {
        Self { status }
    }

    fn api_status(&self, cx: &mut Cx) -> Option<Response> {
        let mut text = BufText(cx.alloc(8192, ConnId::NONE)?);
        // What does not fit is cut off by nobody: the largest status is far below the slot.
        let fits = status::write_json(&self.status, &mut text).is_ok();
        assert!(fits, "a status fits a large slot");
        Some(Response::new(200, Body::Buf(text.0)).content_type("application/json"))
    }
}

/// A buf to write text to.
struct BufText(Buf);

impl Write for BufText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.append(text.as_bytes()) { Ok(()) } else { Err(std::fmt::Error) }
    }
}

/// The one method of an endpoint, and its `Allow` field; GET stands for HEAD too.
const fn allow(method: Method) -> &'static [(&'static str, &'static [u8])] {
    match method {
        Method::Get => &[("Allow", b"GET, HEAD, OPTIONS")],
        _ => &[("Allow", b"POST, OPTIONS")],
    }
}

impl Service for Builtin {
    #[inline]
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        let wanted = match request.path() {
            b"/" | b"/health" | b"/api/status" => Method::Get,
            b"/ping" | b"/echo" => Method::Post,
            path => return missing(path, request.method()).into(),
        };
        match request.method() {
            method if method == wanted => {}
            Method::Head if wanted == Method::Get => {}
            Method::Options => return Response::empty(204).static_fields(allow(wanted)).into(),
            _ => {
                let refusal = Response::text(405, "method not allowed\n");
                return refusal.static_fields(allow(wanted)).into();
            }
        }
        match request.path() {
            b"/" => Response::text(200, "hello! I'm go server !").into(),
            b"/ping" => Response::text(200, "pong").into(),
            b"/echo" => Response::echo().into(),
            b"/health" => {
                let body = "{\"status\":\"ok\"}\n";
                Response::text(200, body).content_type("application/json").into()
            }
            _ => self.api_status(cx).into(),
        }
    }
}

/// No such resource; `OPTIONS *` asks about the server itself (RFC 9110 §9.3.7).
#[cold]
fn missing(path: &[u8], method: Method) -> Response {
    match (path, method) {
        (b"*", Method::Options) => {
            Response::empty(204).static_fields(&[("Allow", b"GET, HEAD, POST, OPTIONS")])
        }
        _ => Response::text(404, "not found\n"),
    }
}
