//! What must hold of one end of a WebSocket for any bytes. The fuzz target and `tests/fuzz_corpus.rs` share it.

use ringway::proto::websocket::{
    CONTROL_FRAME_BYTES_MAX, CloseCode, Config, Connection, Event, Fault, Inflater, Kind, Limits,
    Role,
};
use ringway::time::Instant;

const LIMITS: Limits = Limits { frame_bytes: 200, message_bytes: 250, fragments: 4 };

/// The first byte says which end it is, whether messages may be compressed, and how finely to cut; the rest is
/// what a peer sent.
pub fn check(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let role = if first & 1 == 0 { Role::Server } else { Role::Client };
    let deflate = first & 2 != 0;
    let whole = hear(role, deflate, bytes, bytes.len().max(1));
    assert_eq!(hear(role, deflate, bytes, usize::from(first >> 2 & 15) + 1), whole);
    assert_eq!(whole, Reader { role, deflate, rest: bytes }.read());
    check_inflating(&whole, usize::from(first >> 2) + 1);
}

/// What came of the bytes.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Message { kind: Kind, compressed: bool, bytes: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, Vec<u8>),
    Fault(Fault),
}

fn mask(bytes: &mut [u8], key: [u8; 4], phase: usize) {
    bytes
        .iter_mut()
        .zip(key.into_iter().cycle().skip(phase % 4))
        .for_each(|(byte, key)| *byte ^= key);
}

fn hear(role: Role, deflate: bool, bytes: &[u8], cut: usize) -> Vec<Heard> {
    let config = Config { limits: LIMITS, ..Config::new(mask) };
    let now = Instant::from_ns(1);
    let mut end = Connection::new(role, deflate, now);
    let (mut heard, mut message) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(cut) {
        let (mut piece, mut at) = (piece.to_vec(), 0);
        while at < piece.len() {
            let step = match end.receive(&config, now, &mut piece[at..]) {
                Ok(step) => step,
                Err(fault) => {
                    heard.push(Heard::Fault(fault));
                    break;
                }
            };
            assert!(step.consumed > 0 || step.event.is_some());
            let here = &piece[at..at + step.consumed];
            at += step.consumed;
            let payload = || end.control_payload().to_vec();
            match step.event {
                None => assert_eq!(at, piece.len()),
                Some(Event::Data(data)) => {
                    assert!(!data.first || message.is_empty());
                    message.extend_from_slice(&here[data.range]);
                    if data.last {
                        let (kind, compressed) = (data.kind, data.compressed);
                        let bytes = std::mem::take(&mut message);
                        heard.push(Heard::Message { kind, compressed, bytes });
                    }
                }
                Some(Event::Ping(range)) => {
                    assert!(range.is_none_or(|range| here[range] == payload()));
                    heard.push(Heard::Ping(payload()));
                }
                Some(Event::Pong) => heard.push(Heard::Pong(payload())),
                Some(Event::Close(code)) => {
                    let reason = end.close_reason().as_bytes().to_vec();
                    heard.push(Heard::Close(code.map(CloseCode::number), reason));
                }
            }
        }
    }
    check_words(&mut end, &config, now);
    heard
}

/// Whoever does not listen any more says one thing, and that is the end.
fn check_words(end: &mut Connection, config: &Config, now: Instant) {
    let key = (end.role() == Role::Client).then_some([1, 2, 3, 4]);
    let mut out = [0; CONTROL_FRAME_BYTES_MAX];
    let ends = !end.is_listening();
    let said: Vec<u8> =
        std::iter::from_fn(|| end.poll_transmit(now, key, &mut out).map(|_| out[0])).collect();
    assert_eq!(ends, end.is_over());
    assert_eq!(said.contains(&0x88), ends, "{said:x?}");
    assert!(said.iter().filter(|&&first| first == 0x88).count() <= 1 && said.len() <= 2);
    assert!(end.is_over() || end.poll_timeout(config).is_some());
}

/// Reads the same without a state, from all of the bytes at once.
struct Reader<'a> {
    role: Role,
    deflate: bool,
    rest: &'a [u8],
}

/// A message that has not ended.
struct Begun {
    kind: Kind,
    compressed: bool,
    frames: u32,
    bytes: Vec<u8>,
}

impl Reader<'_> {
    fn read(mut self) -> Vec<Heard> {
        let (mut heard, mut begun) = (Vec::new(), None);
        loop {
            match self.frame(&mut begun, &mut heard) {
                Ok(true) => {}
                Ok(false) => return heard,
                Err(fault) => {
                    heard.push(Heard::Fault(fault));
                    return heard;
                }
            }
        }
    }

    /// Whether another may follow.
    fn frame(&mut self, begun: &mut Option<Begun>, heard: &mut Vec<Heard>) -> Result<bool, Fault> {
        let &[first, second, ref after @ ..] = self.rest else { return Ok(false) };
        let (fin, rsv, opcode) = (first >= 0x80, first & 0x70, first & 15);
        let is_control = opcode >= 8;
        match opcode {
            0..=2 | 8..=10 => {}
            _ => return Err(Fault::ReservedOpcode),
        }
        if is_control && !fin {
            return Err(Fault::ControlFragmented);
        }
        if is_control && second & 0x7f > 125 {
            return Err(Fault::ControlTooLong);
        }
        let length_bytes = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let masked = second >= 0x80;
        let Some((head, body)) = after.split_at_checked(length_bytes + if masked { 4 } else { 0 })
        else {
            return Ok(false);
        };
        let (length, key) = head.split_at(length_bytes);
        let long = length.iter().fold(0u64, |length, &byte| length << 8 | u64::from(byte));
        let len = match (length_bytes, long) {
            (0, _) => u64::from(second & 0x7f),
            (_, 0x8000_0000_0000_0000..) => return Err(Fault::LengthTooLarge),
            (2, 126..) | (8, 0x1_0000..) => long,
            _ => return Err(Fault::LengthNotMinimal),
        };
        match (self.role, masked) {
            (Role::Server, false) => return Err(Fault::NotMasked),
            (Role::Client, true) => return Err(Fault::Masked),
            _ => {}
        }
        if rsv & !(if self.deflate && (1..3).contains(&opcode) { 0x40 } else { 0 }) != 0 {
            return Err(Fault::ReservedBits);
        }
        if !is_control {
            self.begin(opcode, rsv != 0, len, begun)?;
        }
        let there = body.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        let (payload, rest) = body.split_at(there);
        let mut payload = payload.to_vec();
        mask(&mut payload, key.try_into().unwrap_or_default(), 0);
        let whole = there as u64 == len;
        self.rest = rest;
        if is_control {
            return if whole { control(opcode, payload, heard) } else { Ok(false) };
        }
        let message = begun.as_mut().expect("it was begun");
        message.bytes.extend(payload);
        let ends = fin && whole;
        if message.kind == Kind::Text && !message.compressed {
            match std::str::from_utf8(&message.bytes) {
                Err(error) if ends || error.error_len().is_some() => return Err(Fault::Text),
                _ => {}
            }
        }
        if ends {
            let Begun { kind, compressed, bytes, .. } = begun.take().expect("it was begun");
            heard.push(Heard::Message { kind, compressed, bytes });
        }
        Ok(whole)
    }

    fn begin(
        &self,
        opcode: u8,
        compressed: bool,
        len: u64,
        begun: &mut Option<Begun>,
    ) -> Result<(), Fault> {
        match (opcode, begun.is_some()) {
            (0, false) => return Err(Fault::NothingToContinue),
            (0, true) => {}
            (_, true) => return Err(Fault::Interleaved),
            (_, false) => {
                let kind = if opcode == 1 { Kind::Text } else { Kind::Binary };
                *begun = Some(Begun { kind, compressed, frames: 0, bytes: Vec::new() });
            }
        }
        let message = begun.as_mut().expect("it was begun");
        if len > LIMITS.frame_bytes {
            return Err(Fault::FrameTooLarge);
        }
        let excess = if message.compressed { LIMITS.message_bytes / 8 + 1024 } else { 0 };
        if message.bytes.len() as u64 + len > LIMITS.message_bytes + excess {
            return Err(Fault::MessageTooLarge);
        }
        if message.frames == LIMITS.fragments {
            return Err(Fault::TooManyFragments);
        }
        message.frames += 1;
        Ok(())
    }
}

fn control(opcode: u8, payload: Vec<u8>, heard: &mut Vec<Heard>) -> Result<bool, Fault> {
    let close = match (opcode, &payload[..]) {
        (9, _) => Heard::Ping(payload),
        (10, _) => Heard::Pong(payload),
        (_, []) => Heard::Close(None, Vec::new()),
        (_, [_]) => return Err(Fault::CloseLength),
        (_, [high, low, reason @ ..]) => {
            let number = u16::from_be_bytes([*high, *low]);
            match number {
                1000..=1003 | 1007..=1014 | 3000..=4999 => {}
                _ => return Err(Fault::CloseCode),
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(Fault::CloseReason);
            }
            Heard::Close(Some(number), reason.to_vec())
        }
    };
    heard.push(close);
    Ok(opcode != 8)
}

/// What is compressed yields the same, or is refused, with any cut and room.
fn check_inflating(heard: &[Heard], room: usize) {
    let mut inflaters = [(); 2].map(|()| Inflater::new(false));
    for one in heard {
        let Heard::Message { compressed: true, bytes, .. } = one else { continue };
        let (whole, cut) = (
            inflate(&mut inflaters[0], bytes, bytes.len().max(1), 4096),
            inflate(&mut inflaters[1], bytes, room, room),
        );
        assert_eq!(cut, whole);
        match whole {
            Ok(message) => assert!(message.len() as u64 <= LIMITS.message_bytes),
            Err(_) => return,
        }
    }
}

fn inflate(
    inflater: &mut Inflater,
    bytes: &[u8],
    cut: usize,
    room: usize,
) -> Result<Vec<u8>, Fault> {
    let (mut out, mut message, mut at) = (vec![0; room], Vec::new(), 0);
    loop {
        let end = bytes.len().min(at + cut);
        let last = end == bytes.len();
        let progress = inflater.inflate(LIMITS.message_bytes, &bytes[at..end], last, &mut out)?;
        message.extend_from_slice(&out[..progress.written]);
        at += progress.consumed;
        if progress.done && last {
            return Ok(message);
        }
    }
}
