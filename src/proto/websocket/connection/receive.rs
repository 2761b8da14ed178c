//! What becomes of bytes that have come.

use std::ops::Range;

use super::{Connection, Inbound, Outbound, Ping, Watch};
use crate::proto::websocket::event::{Data, Event, Kind, Step};
use crate::proto::websocket::header::{
    Decoded, HEADER_BYTES_MAX, Header, Opcode, RSV1, ShortHeader,
};
use crate::proto::websocket::{CloseCode, Config, Fault, Role, Utf8};
use crate::time::Instant;

/// Payload that is unmasked before it is looked at: what a core's first cache holds beside other things.
const IN_CACHE_BYTES: usize = 16 * 1024;

impl Connection {
    /// Takes bytes that have come, up to the first thing that there is to tell of, and unmasks their payload
    /// where it lies. The bytes behind [`Step::consumed`] are untouched, to be given again. Headers and
    /// control frames may be cut anywhere.
    ///
    /// Once the peer has closed or broken a rule, bytes are consumed and nothing is told of them.
    #[inline]
    pub fn receive(
        &mut self,
        config: &Config,
        now: Instant,
        bytes: &mut [u8],
    ) -> Result<Step, Fault> {
        if bytes.is_empty() || !self.is_listening() {
            return Ok(Step { consumed: bytes.len(), event: None });
        }
        self.heard = now;
        self.watch = Watch::Heard;
        let read = match self.read_short(config, bytes) {
            Some(read) => read,
            None => self.read(config, bytes),
        };
        read.inspect_err(|&fault| self.fail(fault))
    }

    /// A whole message in one short frame, as most are: it leaves nothing to be remembered. `None`: it is something
    /// else, and nothing was done.
    #[inline]
    fn read_short(&mut self, config: &Config, bytes: &mut [u8]) -> Option<Result<Step, Fault>> {
        let header = Header::decode_short(bytes)?;
        let (kind, limits) = (header.kind, &config.limits);
        let (start, payload_bytes) = (ShortHeader::BYTES, u64::from(header.payload_bytes));
        let may_begin = self.inbound == Inbound::Header
            && self.head_len == 0
            && self.message.is_none()
            && self.role == Role::Server
            && payload_bytes <= limits.frame_bytes.min(limits.message_bytes)
            && limits.fragments > 0;
        let end = start + usize::from(header.payload_bytes);
        let payload = bytes.get_mut(start..end).filter(|_| may_begin)?;
        (config.mask)(payload, header.key, 0);
        if kind == Kind::Text && Utf8::check(payload).is_err() {
            return Some(Err(Fault::Text));
        }
        let data = Data {
            range: start..end,
            kind,
            first: true,
            last: true,
            frame_first: true,
            frame_last: true,
            compressed: false,
        };
        Some(Ok(Step { consumed: end, event: Some(Event::Data(data)) }))
    }

    #[inline]
    fn read(&mut self, config: &Config, bytes: &mut [u8]) -> Result<Step, Fault> {
        let mut at = 0;
        if self.inbound == Inbound::Header {
            let Some((header, end)) = self.read_header(bytes)? else {
                return Ok(Step { consumed: bytes.len(), event: None });
            };
            self.begin_frame(config, &header)?;
            at = end;
        }
        let left = bytes.len() - at;
        let end = at + self.frame_left.min(left as u64) as usize;
        if end == at && self.frame_left > 0 {
            return Ok(Step { consumed: at, event: None });
        }
        self.frame_left -= (end - at) as u64;
        let event = if self.opcode.is_control() {
            self.read_control(config, bytes, at..end)?
        } else {
            Some(Event::Data(self.read_data(config, bytes, at..end)?))
        };
        Ok(Step { consumed: end, event })
    }

    /// The header, and where in `bytes` it ends; `None`: it ends behind them.
    #[inline]
    fn read_header(&mut self, bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
        if self.head_len > 0 {
            return self.join_header(bytes);
        }
        match Header::decode(bytes)? {
            Decoded::Whole(header, end) => Ok(Some((header, end))),
            Decoded::Need(_) => {
                self.head[..bytes.len()].copy_from_slice(bytes);
                self.head_len = bytes.len() as u8;
                Ok(None)
            }
        }
    }

    /// The same, where it began in other bytes.
    #[inline(never)]
    fn join_header(&mut self, bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
        let (mut have, mut at) = (usize::from(self.head_len), 0);
        let mut head = [0; HEADER_BYTES_MAX];
        head[..have].copy_from_slice(&self.head[..have]);
        loop {
            let need = match Header::decode(&head[..have])? {
                Decoded::Whole(header, _) => {
                    self.head_len = 0;
                    return Ok(Some((header, at)));
                }
                Decoded::Need(need) => need,
            };
            let more = (need - have).min(bytes.len() - at);
            if more == 0 {
                self.head[..have].copy_from_slice(&head[..have]);
                self.head_len = have as u8;
                return Ok(None);
            }
            head[have..have + more].copy_from_slice(&bytes[at..at + more]);
            have += more;
            at += more;
        }
    }

    /// Whether such a frame may come now.
    #[inline]
    fn begin_frame(&mut self, config: &Config, header: &Header) -> Result<(), Fault> {
        self.key = match (self.role, header.mask) {
            (Role::Server, Some(key)) => key,
            (Role::Client, None) => [0; 4],
            (Role::Server, None) => return Err(Fault::NotMasked),
            (Role::Client, Some(_)) => return Err(Fault::Masked),
        };
        let begins = matches!(header.opcode, Opcode::Text | Opcode::Binary);
        let known = if self.deflate && begins { RSV1 } else { 0 };
        if header.rsv & !known != 0 {
            return Err(Fault::ReservedBits);
        }
        if header.opcode.is_control() {
            (self.control_len, self.ping) = (0, Ping::Whole);
        } else {
            self.begin_data(config, header)?;
        }
        self.opcode = header.opcode;
        self.frame_left = header.payload_bytes;
        self.inbound = Inbound::Payload;
        Ok(())
    }

    #[inline]
    fn begin_data(&mut self, config: &Config, header: &Header) -> Result<(), Fault> {
        match (header.opcode, self.message) {
            (Opcode::Continuation, None) => return Err(Fault::NothingToContinue),
            (Opcode::Continuation, Some(_)) => {}
            (_, Some(_)) => return Err(Fault::Interleaved),
            (opcode, None) => {
                let text = opcode == Opcode::Text;
                self.message = Some(if text { Kind::Text } else { Kind::Binary });
                self.compressed = header.rsv != 0;
                self.message_first = true;
                (self.message_bytes, self.fragments) = (0, 0);
            }
        }
        let limits = &config.limits;
        if header.payload_bytes > limits.frame_bytes {
            return Err(Fault::FrameTooLarge);
        }
        self.message_bytes = self.message_bytes.saturating_add(header.payload_bytes);
        if self.message_bytes > limits.wire_bytes(self.compressed) {
            return Err(Fault::MessageTooLarge);
        }
        if self.fragments == limits.fragments {
            return Err(Fault::TooManyFragments);
        }
        self.fragments += 1;
        self.fin = header.fin;
        self.frame_first = true;
        Ok(())
    }

    #[inline]
    fn read_data(
        &mut self,
        config: &Config,
        bytes: &mut [u8],
        range: Range<usize>,
    ) -> Result<Data, Fault> {
        let kind = self.message.expect("a frame of data is one of a message");
        let is_text = kind == Kind::Text && !self.compressed;
        let mut rest = &mut bytes[range.clone()];
        while let Some(part) = rest.split_off_mut(..IN_CACHE_BYTES) {
            self.read_part(config, part, is_text)?;
        }
        self.read_part(config, rest, is_text)?;
        let frame_last = self.frame_left == 0;
        let last = frame_last && self.fin;
        let data = Data {
            range,
            kind,
            first: self.message_first,
            last,
            frame_first: self.frame_first,
            frame_last,
            compressed: self.compressed,
        };
        (self.message_first, self.frame_first) = (false, false);
        if frame_last {
            self.inbound = Inbound::Header;
        }
        if last {
            self.message = None;
            if is_text {
                self.utf8.end().map_err(|_| Fault::Text)?;
            }
        }
        Ok(data)
    }

    /// Unmasks bytes of the current frame, and looks at them while they are near.
    #[inline]
    fn read_part(&mut self, config: &Config, part: &mut [u8], is_text: bool) -> Result<(), Fault> {
        self.unmask(config, part);
        if is_text {
            self.utf8.push(part).map_err(|_| Fault::Text)?;
        }
        Ok(())
    }

    /// Unmasks the next bytes of the current frame.
    #[inline]
    fn unmask(&mut self, config: &Config, bytes: &mut [u8]) {
        if self.role == Role::Server {
            (config.mask)(bytes, self.key, 0);
            // As an integer: rotating an array is a call.
            let turns = 8 * (bytes.len() % 4) as u32;
            self.key = u32::from_le_bytes(self.key).rotate_right(turns).to_le_bytes();
        }
    }

    /// Takes payload of a control frame, and says what it is once it is whole.
    fn read_control(
        &mut self,
        config: &Config,
        bytes: &mut [u8],
        range: Range<usize>,
    ) -> Result<Option<Event>, Fault> {
        let payload = &mut bytes[range.clone()];
        self.unmask(config, payload);
        let have = usize::from(self.control_len);
        self.control[have..have + payload.len()].copy_from_slice(payload);
        self.control_len += payload.len() as u8;
        if self.frame_left > 0 {
            self.ping = Ping::Cut;
            return Ok(None);
        }
        self.inbound = Inbound::Header;
        match self.opcode {
            Opcode::Ping if self.ping == Ping::Cut => {
                if self.is_writable() {
                    self.ping = Ping::Due;
                }
                Ok(Some(Event::Ping(None)))
            }
            Opcode::Ping => Ok(Some(Event::Ping(Some(range)))),
            Opcode::Pong => Ok(Some(Event::Pong)),
            _ => self.read_close().map(Some),
        }
    }

    /// A close is whole.
    fn read_close(&mut self) -> Result<Event, Fault> {
        self.peer_code = match *self.control_payload() {
            [] => None,
            [_] => return Err(Fault::CloseLength),
            [high, low, ref reason @ ..] => {
                let number = u16::from_be_bytes([high, low]);
                let code = CloseCode::new(number).ok_or(Fault::CloseCode)?;
                std::str::from_utf8(reason).map_err(|_| Fault::CloseReason)?;
                Some(code)
            }
        };
        self.inbound = Inbound::Closed;
        if self.outbound == Outbound::Open {
            self.outbound = Outbound::CloseDue;
        }
        Ok(Event::Close(self.peer_code))
    }
}
