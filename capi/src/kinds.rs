//! Numbers that a program meets in messages. They are literals, so that the header has them, and are
//! held to the library's own.

use dataplane::mem::{Trust, kind};
use dataplane::pipeline::chain::http1;
use dataplane::port::kind as port_kind;

/// Share the bytes as the port's listener has it.
pub const RINGWAY_TRUST_DEFAULT: u32 = 0;
/// Map the dataplane's mempool: no byte is copied.
pub const RINGWAY_TRUST_SHARED: u32 = 1;
/// Map the port's own memory alone: each payload is copied once on its way.
pub const RINGWAY_TRUST_ISOLATED: u32 = 2;
/// Beside one of these: be told when another instance takes over (`ringway_has_moved`).
pub const RINGWAY_FOLLOW: u32 = 16;

/// Both ways, raw connections: bytes.
pub const RINGWAY_DATA: u8 = 0;
/// Received: a connection began.
pub const RINGWAY_OPEN: u8 = 1;
/// Received: the peer will send no more.
pub const RINGWAY_EOF: u8 = 2;
/// Received: the connection is gone, or its request has lost its client.
pub const RINGWAY_CLOSED: u8 = 3;
/// Sent: close once all before it is out.
pub const RINGWAY_CLOSE: u8 = 4;
/// Sent: close now.
pub const RINGWAY_ABORT: u8 = 5;
/// Sent: receive nothing more for a while.
pub const RINGWAY_PAUSE: u8 = 9;
/// Sent: receive again.
pub const RINGWAY_RESUME: u8 = 10;
/// Received: the head of a request.
pub const RINGWAY_REQUEST: u8 = 16;
/// Both ways: the next bytes of a body; meta 1 on the last, which may have none.
pub const RINGWAY_BODY: u8 = 17;
/// Received: the trailer fields of a body, whole lines, before its last part.
pub const RINGWAY_TRAILERS: u8 = 19;
/// Sent: a response, or its beginning; meta from `ringway_response_meta`.
pub const RINGWAY_RESPONSE: u8 = 67;

const _: () = {
    assert!(RINGWAY_TRUST_SHARED == Trust::Shared as u32);
    assert!(RINGWAY_TRUST_ISOLATED == Trust::Isolated as u32);
    assert!(RINGWAY_DATA == kind::DATA && RINGWAY_OPEN == kind::OPEN);
    assert!(RINGWAY_EOF == kind::EOF && RINGWAY_CLOSED == kind::CLOSED);
    assert!(RINGWAY_CLOSE == kind::CLOSE && RINGWAY_ABORT == kind::ABORT);
    assert!(RINGWAY_PAUSE == kind::PAUSE && RINGWAY_RESUME == kind::RESUME);
    assert!(RINGWAY_REQUEST == http1::HEAD && RINGWAY_BODY == http1::BODY);
    assert!(RINGWAY_TRAILERS == http1::TRAILERS && RINGWAY_RESPONSE == port_kind::RESPONSE);
};
