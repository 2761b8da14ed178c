//! What is sent: headers before messages, and the words of the connection itself. A client hands in a fresh
//! random key for each frame (RFC 6455 §5.3), and masks with it what it puts behind a header.

use super::{Connection, Outbound, Watch};
use crate::proto::websocket::event::{Kind, Piece, Refused};
use crate::proto::websocket::header::{
    CLOSE_REASON_BYTES_MAX, CONTROL_BYTES_MAX, Encoded, HEADER_BYTES_MAX, Header, Opcode, RSV1,
};
use crate::proto::websocket::{CloseCode, Role};
use crate::time::Instant;

/// Longest control frame: two bytes, a mask, the longest payload.
pub const CONTROL_FRAME_BYTES_MAX: usize = 2 + 4 + CONTROL_BYTES_MAX;

/// Bytes of a close code.
const CODE_BYTES: usize = CONTROL_BYTES_MAX - CLOSE_REASON_BYTES_MAX;

impl Connection {
    /// The header for a message or a piece of one, to be sent right before it. Control frames may go between
    /// the pieces of a message, no other message.
    ///
    /// # Panics
    /// When a client comes without a key or a server with one, and when a message is compressed though
    /// that was not agreed on.
    pub fn message_header(
        &mut self,
        piece: Piece,
        key: Option<[u8; 4]>,
    ) -> Result<Encoded, Refused> {
        self.begin_piece(piece, key).map(|header| header.encode())
    }

    /// The same to where it is to lie; returns how long it is.
    ///
    /// # Panics
    /// As for [`message_header`](Self::message_header).
    #[inline]
    pub fn write_message_header(
        &mut self,
        piece: Piece,
        key: Option<[u8; 4]>,
        out: &mut [u8; HEADER_BYTES_MAX],
    ) -> Result<usize, Refused> {
        self.begin_piece(piece, key).map(|header| header.write(out))
    }

    #[inline(always)]
    fn begin_piece(&mut self, piece: Piece, key: Option<[u8; 4]>) -> Result<Header, Refused> {
        assert!(self.deflate || !piece.compressed, "compression was not agreed on");
        if !self.is_writable() {
            return Err(Refused::Closed);
        }
        if piece.first == self.sending {
            return Err(Refused::OutOfTurn);
        }
        self.sending = !piece.last;
        let opcode = match piece.kind {
            _ if !piece.first => Opcode::Continuation,
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        };
        let rsv = if piece.first && piece.compressed { RSV1 } else { 0 };
        Ok(self.header(opcode, piece.last, rsv, piece.bytes, key))
    }

    /// The header for the payload of a ping, to be sent right before it.
    ///
    /// # Panics
    /// When a client comes without a key or a server with one, and past [`CONTROL_BYTES_MAX`] bytes.
    pub fn ping_header(&mut self, bytes: usize, key: Option<[u8; 4]>) -> Result<Encoded, Refused> {
        self.control_header(Opcode::Ping, bytes, key)
    }

    /// The same for a pong: that of a ping that came whole has its payload.
    ///
    /// # Panics
    /// As for a ping.
    pub fn pong_header(&mut self, bytes: usize, key: Option<[u8; 4]>) -> Result<Encoded, Refused> {
        self.control_header(Opcode::Pong, bytes, key)
    }

    fn control_header(
        &self,
        opcode: Opcode,
        bytes: usize,
        key: Option<[u8; 4]>,
    ) -> Result<Encoded, Refused> {
        assert!(bytes <= CONTROL_BYTES_MAX, "control frames are short");
        if !self.is_writable() {
            return Err(Refused::Closed);
        }
        Ok(self.header(opcode, true, 0, bytes, key).encode())
    }

    /// Closes: writes a close frame to the front of `out` and returns its length. Nothing can be sent behind
    /// it; what comes is still told of, until the peer's own close. Of the reason, as many characters as fit
    /// are sent, and none without a code.
    ///
    /// # Panics
    /// When a client comes without a key or a server with one.
    pub fn close(
        &mut self,
        now: Instant,
        code: Option<CloseCode>,
        reason: &str,
        key: Option<[u8; 4]>,
        out: &mut [u8; CONTROL_FRAME_BYTES_MAX],
    ) -> Result<usize, Refused> {
        if matches!(self.outbound, Outbound::Closed | Outbound::FailDue) {
            return Err(Refused::Closed);
        }
        Ok(self.say_close(now, code, reason, key, out))
    }

    /// Writes what the connection has to say itself to the front of `out`: the length of one control frame;
    /// `None`: nothing. What was to be sent before a peer's close has to be sent before this.
    ///
    /// # Panics
    /// When a client comes without a key or a server with one.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        key: Option<[u8; 4]>,
        out: &mut [u8; CONTROL_FRAME_BYTES_MAX],
    ) -> Option<usize> {
        match (self.outbound, self.fault) {
            (Outbound::Closed, _) => None,
            (Outbound::FailDue, fault) => {
                let reason = fault.map_or("", |fault| fault.name());
                let code = fault.and_then(|fault| fault.code());
                Some(self.say_close(now, code, reason, key, out))
            }
            _ if self.take_due() => {
                let (payload, len) = (self.control, usize::from(self.control_len));
                Some(self.say(Opcode::Pong, &payload[..len], key, out))
            }
            (Outbound::CloseDue, _) => Some(self.say_close(now, self.peer_code, "", key, out)),
            (Outbound::Open, _) if self.watch == Watch::Due => {
                (self.watch, self.since) = (Watch::Pinged, now);
                Some(self.say(Opcode::Ping, &[], key, out))
            }
            (Outbound::Open, _) => None,
        }
    }

    fn say_close(
        &mut self,
        now: Instant,
        code: Option<CloseCode>,
        reason: &str,
        key: Option<[u8; 4]>,
        out: &mut [u8; CONTROL_FRAME_BYTES_MAX],
    ) -> usize {
        self.take_due();
        (self.outbound, self.since) = (Outbound::Closed, now);
        let Some(code) = code else { return self.say(Opcode::Close, &[], key, out) };
        let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
        let mut payload = [0; CONTROL_BYTES_MAX];
        let end = CODE_BYTES + reason.len();
        payload[..CODE_BYTES].copy_from_slice(&code.number().to_be_bytes());
        payload[CODE_BYTES..end].copy_from_slice(reason.as_bytes());
        self.say(Opcode::Close, &payload[..end], key, out)
    }

    /// Writes a control frame.
    fn say(
        &self,
        opcode: Opcode,
        payload: &[u8],
        key: Option<[u8; 4]>,
        out: &mut [u8; CONTROL_FRAME_BYTES_MAX],
    ) -> usize {
        let header = self.header(opcode, true, 0, payload.len(), key).encode();
        let end = header.len() + payload.len();
        out[..header.len()].copy_from_slice(&header);
        out[header.len()..end].copy_from_slice(payload);
        let key = key.unwrap_or_default().into_iter().cycle();
        out[header.len()..end].iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        end
    }

    #[inline]
    fn header(
        &self,
        opcode: Opcode,
        fin: bool,
        rsv: u8,
        bytes: usize,
        key: Option<[u8; 4]>,
    ) -> Header {
        assert!(key.is_some() == (self.role == Role::Client), "clients mask, and nobody else");
        Header { fin, rsv, opcode, mask: key, payload_bytes: bytes as u64 }
    }
}
