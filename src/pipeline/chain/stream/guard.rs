//! Over datagrams anybody can begin a handshake in somebody else's name. While many are half done, only who
//! has got a cookie at its address gets further: a RETRY costs no curve and keeps nothing.

use crate::limits::STREAM_GREETINGS_HIGH;
use crate::mem::ConnId;
use crate::proto::stream::secure::cookie::Cookies;
use crate::proto::stream::secure::messages::{Hello, RETRY_BYTES};
use crate::proto::stream::{Flags, HEADER_BYTES, Header, PacketType};
use crate::time::Instant;

/// Bytes of a packet with a RETRY.
pub(super) const RETRY_PACKET_BYTES: usize = HEADER_BYTES + RETRY_BYTES;

/// What becomes of a packet of somebody unknown.
pub(super) enum Verdict {
    Passes,
    /// It is answered with this packet, and dropped.
    Asked([u8; RETRY_PACKET_BYTES]),
    Dropped,
}

pub(super) struct Guard {
    cookies: Cookies,
    /// Sessions that are not connected.
    pub greeting: usize,
}

impl Guard {
    pub fn new(secret: [u8; 32]) -> Self {
        Self { cookies: Cookies::new(secret), greeting: 0 }
    }

    /// Looks at the packet of a connection that is not connected. The transport gives each address a connection
    /// of its own, so its id stands for the address.
    pub fn look_at(&self, conn: ConnId, packet: &[u8], now: Instant) -> Verdict {
        if self.greeting < STREAM_GREETINGS_HIGH {
            return Verdict::Passes;
        }
        let hello = packet.get(HEADER_BYTES..).and_then(|payload| Hello::decode(payload).ok());
        let Some(hello) = hello else { return Verdict::Dropped };
        let address: [u8; 8] = bytemuck::cast(conn);
        if self.cookies.holds(&address, &hello, now) {
            return Verdict::Passes;
        }
        let mut retry = [0; RETRY_PACKET_BYTES];
        let (size, packet_type) = (RETRY_BYTES as u32, PacketType::Control);
        let header = Header { size, packet_type, seq_id: 0, ch_id: 0, flags: Flags::NONE };
        retry[..HEADER_BYTES].copy_from_slice(&header.encode());
        retry[HEADER_BYTES..].copy_from_slice(&self.cookies.retry(&address, &hello, now));
        Verdict::Asked(retry)
    }
}
