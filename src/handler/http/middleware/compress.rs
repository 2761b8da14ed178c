//! Responses that are shorter on the wire (RFC 9110 §8.4, RFC 1952).

mod gzip;

use std::borrow::Cow;

use super::Middleware;
use crate::handler::http::{Body, Ctx, Response};
use crate::limits::{HTTP_COMPRESS_BYTES_MAX, HTTP_COMPRESS_BYTES_MIN};

/// Sends bodies with gzip to those who accept it, where that pays: text of
/// [`HTTP_COMPRESS_BYTES_MIN`] to [`HTTP_COMPRESS_BYTES_MAX`] bytes that a handler gave whole. Streams, files and
/// echoes go as they are, and so does what has a strong `ETag`, which promises the same bytes to all (RFC 9110
/// §8.8.1). It takes the lcore's time: some 20 ns a byte.
pub struct Compress;

impl Middleware for Compress {
    fn enters(&self) -> bool {
        false
    }

    fn respond(&self, ctx: &mut Ctx<'_>, response: &mut Response) {
        let media_type = response.media_type().map(str::as_bytes);
        let is_text = media_type.or_else(|| response.field("content-type")).is_some_and(is_text);
        if !is_text || response.field("content-encoding").is_some() {
            return;
        }
        response.add_header("Vary", "Accept-Encoding");
        let accepts = ctx.header("accept-encoding").is_some_and(accepts_gzip);
        let Body::Bytes(bytes) = response.body() else { return };
        let fits = (HTTP_COMPRESS_BYTES_MIN..=HTTP_COMPRESS_BYTES_MAX).contains(&bytes.len());
        let is_strong = response.field("etag").is_some_and(|tag| !tag.starts_with(b"W/"));
        if !accepts || !fits || is_strong || response.status() == 206 {
            return;
        }
        let packed = gzip::compress(bytes);
        if packed.len() < bytes.len() {
            *response.body_mut() = Body::Bytes(Cow::Owned(packed));
            response.add_header("Content-Encoding", "gzip");
        }
    }
}

/// Whether bodies of this type shrink, most often.
fn is_text(media_type: &[u8]) -> bool {
    const OTHERS: [&[u8]; 5] = [
        b"application/json",
        b"application/javascript",
        b"application/xml",
        b"application/wasm",
        b"image/svg+xml",
    ];
    let name = media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    name.starts_with(b"text/") || OTHERS.contains(&name)
}

/// Whether `Accept-Encoding` has gzip with a weight above 0 (RFC 9110 §12.5.3).
fn accepts_gzip(field: &[u8]) -> bool {
    let mut any = None;
    for item in field.split(|byte| *byte == b',') {
        let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let is_zero = |part: &[u8]| {
            let value = part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q="));
            value.is_some_and(|weight| weight.iter().all(|byte| b"0.".contains(byte)))
        };
        let accepted = !parts.any(is_zero);
        if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
            return accepted;
        }
        if coding == b"*" {
            any = Some(accepted);
        }
    }
    any.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_accepted_where_it_is_named_with_a_weight_above_0() {
        for (field, accepted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*", true),
            ("*;q=0", false),
            ("identity", false),
            ("", false),
            ("gzip;q=0.001", true),
        ] {
            assert_eq!(accepts_gzip(field.as_bytes()), accepted, "{field}");
        }
    }
}
