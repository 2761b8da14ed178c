//! What a peer is told of its upload.

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::sink::{Fail, Standing, Stored};
use crate::handler::http::{Body, Response};

/// Three bytes make four.
const SHA256_BASE64_BYTES: usize = 32_usize.div_ceil(3) * 4;

/// It is there now, under its name.
pub(super) fn stored(form: bool, stored: &[Stored]) -> Response {
    let all_new = stored.iter().all(|stored| !stored.replaced);
    let status = if all_new { 201 } else { 200 };
    match (form, stored) {
        (false, [stored]) => {
            let mut room = [0; SHA256_BASE64_BYTES];
            let digits = Base64::encode(&stored.sha256, &mut room).expect("there is room");
            let digest = format!("sha-256=:{digits}:");
            json_response(status, &as_json(stored))
                .header("Repr-Digest", digest)
                .header("ETag", stored.tag.as_bytes())
        }
        _ => {
            let files: Vec<Value> = stored.iter().map(as_json).collect();
            json_response(status, &json!({ "files": files }))
        }
    }
}

fn as_json(stored: &Stored) -> Value {
    let digits: String = stored.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "path": format!("/{}", stored.path), "bytes": stored.bytes, "sha256": digits })
}

fn json_response(status: u16, value: &Value) -> Response {
    let text = format!("{value}\n").into_bytes();
    Response::new(status, Body::Bytes(text.into())).content_type("application/json")
}

/// A part of it is there, and the next begins at `offset`.
pub(super) fn part(offset: u64) -> Response {
    Response::empty(202).header("Upload-Offset", offset.to_string()).header("Upload-Complete", "?0")
}

/// How far an upload is: the answer to HEAD.
pub(super) fn standing(standing: &Standing) -> Response {
    match standing {
        Standing::Nothing => Response::text(404, "not found\n"),
        Standing::Part(offset) => Response::empty(204)
            .header("Upload-Offset", offset.to_string())
            .header("Upload-Complete", "?0")
            .header("Cache-Control", "no-store"),
        // The head alone is sent.
        Standing::Whole(bytes) => Response::new(200, Body::Stream(Some(*bytes)))
            .header("Upload-Offset", bytes.to_string())
            .header("Upload-Complete", "?1")
            .header("Cache-Control", "no-store"),
    }
}

/// It came to nothing.
pub(super) fn failed(fail: Fail) -> Response {
    let response = Response::text(fail.status, fail.text);
    match fail.offset {
        Some(offset) => response.header("Upload-Offset", offset.to_string()),
        None => response,
    }
}

/// 405, with what is allowed.
pub(super) fn not_allowed(resumable: bool, files: bool) -> Response {
    let allow = match (resumable, files) {
        (_, true) => "GET, HEAD, PUT, POST",
        (true, false) => "HEAD, PUT, POST",
        (false, false) => "PUT, POST",
    };
    Response::text(405, "that method is not allowed here\n").header("Allow", allow)
}
