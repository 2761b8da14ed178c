//! What a reader makes of the bytes of a connection, and how the decoders read them.

use ringway::proto::http1::{Body, BodyLength, ChunkDecoder, Fault, Head, Limits, decode_head};

/// What has been read of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whole requests that were taken.
    pub requests: u32,
    /// What came after them.
    pub end: End,
}

/// How the reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the last request, or with one after which the connection closes.
    Whole,
    /// In the middle of a request.
    Unfinished,
    /// With a refusal of this status.
    Refused(u16),
}

pub const fn requests(requests: u32) -> Verdict {
    Verdict { requests, end: End::Whole }
}

pub const fn unfinished(requests: u32) -> Verdict {
    Verdict { requests, end: End::Unfinished }
}

pub const fn refused(requests: u32, status: u16) -> Verdict {
    Verdict { requests, end: End::Refused(status) }
}

impl Verdict {
    /// Reads `bytes` as a connection does: heads and bodies one after the other.
    pub fn of(mut bytes: &[u8]) -> Self {
        let mut requests = 0;
        while !bytes.is_empty() {
            match read_request(bytes) {
                Ok(Some((len, keep_alive))) => {
                    requests += 1;
                    bytes = if keep_alive { &bytes[len..] } else { &[] };
                }
                Ok(None) => return unfinished(requests),
                Err(fault) => return refused(requests, fault.status()),
            }
        }
        Self { requests, end: End::Whole }
    }
}

/// How long the request at the start of `bytes` is, and whether another may follow.
fn read_request(bytes: &[u8]) -> Result<Option<(usize, bool)>, Fault> {
    let limits = Limits::default();
    let Some(head) = decode_head(bytes, &limits)? else { return Ok(None) };
    let body = &bytes[head.head_len as usize..];
    let body_bytes = body_len(&head, body, &limits)?;
    Ok(body_bytes.map(|len| (head.head_len as usize + len, head.keep_alive)))
}

fn body_len(head: &Head, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Fault> {
    match head.body {
        BodyLength::None => Ok(Some(0)),
        BodyLength::Length(length) => {
            let mut body = Body::new(length);
            let taken = body.take(bytes.len());
            Ok(body.is_done().then_some(taken))
        }
        BodyLength::Chunked => {
            let mut decoder = ChunkDecoder::new(limits);
            let mut len = 0;
            while len < bytes.len() && !decoder.is_done() {
                len += decoder.decode(&bytes[len..])?.consumed;
            }
            Ok(decoder.is_done().then_some(len))
        }
    }
}
