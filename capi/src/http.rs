//! Requests and responses: where the parts of a request lie in its message, and answers in one call.

use std::ffi::{CStr, c_char, c_int};

use dataplane::attach::{Message, Queue};
use dataplane::limits::{LARGE_SLOT_BYTES, SMALL_SLOT_BYTES};
use dataplane::pipeline::chain::http1::HeadMeta;
use dataplane::port::ResponseMeta;
use dataplane::proto::http1;

use crate::convert::{Msg, conn_of};
use crate::errors::{RINGWAY_EAGAIN, RINGWAY_EINVAL, RINGWAY_EMSGSIZE};
use crate::kinds::{RINGWAY_BODY, RINGWAY_REQUEST, RINGWAY_RESPONSE};
use crate::port::Port;
use crate::{text, with_port};

/// Most bytes of fields and body together that `ringway_respond` takes: what the dataplane lends
/// of large slots.
pub const RINGWAY_RESPOND_BYTES_MAX: usize = 131072;

/// Most bytes of the field lines of a response.
pub const RINGWAY_FIELDS_BYTES_MAX: usize = 8191;

const _: () = assert!(RINGWAY_FIELDS_BYTES_MAX == ResponseMeta::FIELDS_BYTES_MAX as usize);

/// A range of bytes in a message; `data` is null where there is no such thing. It ends with its message.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Bytes {
    /// The first.
    pub data: *const c_char,
    /// How many they are. No zero follows them.
    pub len: usize,
}

impl Bytes {
    fn of(bytes: Option<&[u8]>) -> Self {
        let data = bytes.map_or(std::ptr::null(), |bytes| bytes.as_ptr().cast());
        Self { data, len: bytes.map_or(0, <[u8]>::len) }
    }
}

/// The bytes of a request's head; `None`: it is none.
///
/// # Safety
/// `msg` is null or points to a message as it was received, which the program still has.
unsafe fn head<'a>(msg: *const Msg) -> Option<&'a [u8]> {
    // SAFETY: promised by the caller.
    let msg = unsafe { msg.as_ref() }.filter(|msg| msg.kind == RINGWAY_REQUEST)?;
    if msg.data.is_null() {
        return None;
    }
    // SAFETY: the range lies in the slot of the message, which the program has, as it promised.
    Some(unsafe { std::slice::from_raw_parts(msg.data, msg.len as usize) })
}

fn word(head: &[u8], index: usize) -> Option<&[u8]> {
    // An empty line may stand before a request (RFC 9112 §2.2).
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    head.split(|&byte| byte == b' ').nth(index)
}

/// The field lines: behind the first line, without the empty one.
fn lines(head: &[u8]) -> &[u8] {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let begin = head.iter().position(|&byte| byte == b'\n').map_or(head.len(), |at| at + 1);
    let lines = &head[begin..];
    lines.strip_suffix(b"\r\n").unwrap_or(lines)
}

/// The method of a request, such as `GET`.
///
/// # Safety
/// `msg` is a message as it was received, which the program still has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_request_method(msg: *const Msg) -> Bytes {
    // SAFETY: promised by the caller.
    let head = unsafe { head(msg) };
    Bytes::of(head.and_then(|head| word(head, 0)))
}

/// The target of a request as it came, such as `/path?query`.
///
/// # Safety
/// As for `ringway_request_method`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_request_target(msg: *const Msg) -> Bytes {
    // SAFETY: promised by the caller.
    let head = unsafe { head(msg) };
    Bytes::of(head.and_then(|head| word(head, 1)))
}

/// The value of the first field of that name, whatever its case.
///
/// # Safety
/// As for `ringway_request_method`; `name` ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_request_header(msg: *const Msg, name: *const c_char) -> Bytes {
    // SAFETY: promised by the caller.
    let head = unsafe { head(msg) };
    // SAFETY: promised by the caller.
    let name = unsafe { text(name) };
    Bytes::of(head.zip(name).and_then(|(head, name)| http1::header(head, name)))
}

/// All field lines of a request, each ended by CRLF, to be read one by one.
///
/// # Safety
/// As for `ringway_request_method`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_request_fields(msg: *const Msg) -> Bytes {
    // SAFETY: promised by the caller.
    let head = unsafe { head(msg) };
    Bytes::of(head.map(lines))
}

/// 1 when messages of kind `RINGWAY_BODY` follow the request's head, the last of them with meta 1.
///
/// # Safety
/// `msg` is null or points to a message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_request_has_body(msg: *const Msg) -> c_int {
    // SAFETY: promised by the caller.
    let msg = unsafe { msg.as_ref() }.filter(|msg| msg.kind == RINGWAY_REQUEST);
    msg.is_some_and(|msg| HeadMeta::of_meta(msg.meta).has_body()).into()
}

/// The meta of a message of kind `RINGWAY_RESPONSE`, for programs that send their responses in parts:
/// the message begins with `fields_bytes` of field lines, each ended by CRLF, and `whole` is 1 when the
/// body is all in it. Else messages of kind `RINGWAY_BODY` follow, the last with meta 1. All have the
/// `conn` and `request` of the request.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_response_meta(status: u32, fields_bytes: u32, whole: c_int) -> u32 {
    let status = status.min(999) as u16;
    let fields_bytes = fields_bytes.min(RINGWAY_FIELDS_BYTES_MAX as u32) as u16;
    ResponseMeta { status, whole: whole != 0, fields_bytes }.to_meta()
}

/// Answers a request: `fields` are field lines, each ended by CRLF (null: none; ringway adds
/// `Date` and the length), `body` its `body_bytes` bytes. All is copied. The request's message stays the
/// program's, to release.
///
/// Returns 0; `RINGWAY_EAGAIN` when the dataplane has lent too few slots right now; `RINGWAY_EMSGSIZE` for
/// more than `RINGWAY_FIELDS_BYTES_MAX` of fields or `RINGWAY_RESPOND_BYTES_MAX` in all: send it in parts.
/// With an error nothing was sent.
///
/// # Safety
/// See `ringway_attach`; `request` points to a message, `fields` to a text that ends with a zero or
/// nowhere, `body` to its bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_respond(
    port: *mut Port,
    queue: u32,
    request: *const Msg,
    status: u32,
    fields: *const c_char,
    body: *const u8,
    body_bytes: usize,
) -> c_int {
    // SAFETY: promised by the caller.
    let Some(request) = (unsafe { request.as_ref() }) else { return RINGWAY_EINVAL };
    if body.is_null() && body_bytes > 0 {
        return RINGWAY_EINVAL;
    }
    let fields = if fields.is_null() { c"".as_ptr() } else { fields };
    // SAFETY: promised by the caller. It need not be UTF-8.
    let fields = unsafe { CStr::from_ptr(fields) }.to_bytes();
    let body = if body_bytes == 0 {
        &[]
    } else {
        // SAFETY: promised by the caller.
        unsafe { std::slice::from_raw_parts(body, body_bytes) }
    };
    let answer = |port: &mut Port| match port.queue(queue) {
        Ok(queue) => respond(queue, request, status, fields, body),
        Err(code) => code,
    };
    // SAFETY: promised by the caller.
    unsafe { with_port(port, answer) }
}

fn respond(queue: &mut Queue, request: &Msg, status: u32, fields: &[u8], body: &[u8]) -> c_int {
    if !(100..=999).contains(&status) {
        return RINGWAY_EINVAL;
    }
    let bytes = fields.len() + body.len();
    if fields.len() > RINGWAY_FIELDS_BYTES_MAX || bytes > RINGWAY_RESPOND_BYTES_MAX {
        return RINGWAY_EMSGSIZE;
    }
    let mut asked = Message::marker(conn_of(request.conn), 0);
    asked.number = request.request;
    let Some(mut parts) = alloc(queue, &asked, fields, body) else {
        return RINGWAY_EAGAIN;
    };
    let last = parts.len() - 1;
    for (index, part) in parts.iter_mut().enumerate() {
        part.number = request.request;
        (part.kind, part.meta) = match index {
            0 => {
                let whole = c_int::from(last == 0);
                (RINGWAY_RESPONSE, ringway_response_meta(status, fields.len() as u32, whole))
            }
            _ => (RINGWAY_BODY, u32::from(index == last)),
        };
    }
    parts.into_iter().for_each(|part| queue.send(part));
    0
}

/// As many slots as it takes, filled; `None`, and what there was given back, when there are too few.
fn alloc(
    queue: &mut Queue,
    asked: &Message,
    fields: &[u8],
    mut body: &[u8],
) -> Option<Vec<Message>> {
    let mut parts = Vec::with_capacity(1);
    let mut fields = Some(fields);
    while fields.is_some() || !body.is_empty() {
        let front = fields.take().unwrap_or_default();
        let large = (front.len() + body.len()).min(LARGE_SLOT_BYTES as usize);
        let small = large.min(SMALL_SLOT_BYTES as usize).max(front.len());
        let mut part = queue.alloc_for(asked, large).or_else(|| queue.alloc_for(asked, small))?;
        let (now, later) = body.split_at(body.len().min(part.spare_mut().len() - front.len()));
        if !part.append(front) || !part.append(now) {
            return None;
        }
        body = later;
        parts.push(part);
    }
    Some(parts)
}
