//! The handshake as a peer of whom nothing is known may go through it: in order, in few bytes, in little
//! time (D-12).

use super::{Cause, Config, Connection, Mode, Role, SharedTrust, State};
use crate::limits::{
    STREAM_HANDSHAKE_BYTES_MAX, STREAM_HANDSHAKE_DATAGRAM_BYTES_MAX, STREAM_HANDSHAKE_TRIES_MAX,
    STREAM_REPEAT_NS,
};
use crate::proto::stream::Fault;
use crate::proto::stream::control::op;
use crate::proto::stream::event::{Dropped, Received};
use crate::proto::stream::header::{Flags, HEADER_BYTES, Header, PacketType};
use crate::proto::stream::notice::Error;
use crate::proto::stream::secure::handshake::{
    Agreed, HandshakeFault, Initiator, Responder, Secrets,
};
use crate::proto::stream::secure::identity::Identity;
use crate::proto::stream::secure::messages::REPLY_BYTES;
use crate::time::Instant;

/// A handshake, until it is whole and, over datagrams, until the peer has shown that it knows.
pub(super) struct Greeting {
    party: Party,
    trust: SharedTrust,
    /// What is to be sent.
    due: Option<Due>,
    /// A responder's last answer.
    answer: [u8; REPLY_BYTES],
    /// Times that the initiator has sent what is due, and when it does again.
    tries: u32,
    repeat_at: Option<Instant>,
    deadline: Instant,
    bytes_max: usize,
    received_bytes: usize,
    sent_bytes: usize,
}

enum Party {
    Initiator(Initiator),
    Responder(Responder),
}

/// A part of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Hello,
    Auth,
    /// So many bytes of the responder's last answer.
    Answer(usize),
}

impl Greeting {
    pub(super) fn new(
        now: Instant,
        role: Role,
        config: &Config,
        identity: &Identity,
        trust: SharedTrust,
        secrets: Secrets,
    ) -> Self {
        let offer = config.offer;
        let (party, due) = match role {
            Role::Initiator => {
                (Party::Initiator(Initiator::new(identity, offer, secrets)), Some(Due::Hello))
            }
            Role::Responder { session_id } => {
                let responder = Responder::new(identity, offer, secrets, session_id);
                (Party::Responder(responder), None)
            }
        };
        Self {
            party,
            trust,
            due,
            answer: [0; REPLY_BYTES],
            tries: 0,
            repeat_at: None,
            deadline: now.after_ns(config.handshake_timeout_ns),
            bytes_max: match config.mode {
                Mode::Stream => STREAM_HANDSHAKE_BYTES_MAX,
                Mode::Datagram => STREAM_HANDSHAKE_DATAGRAM_BYTES_MAX,
            },
            received_bytes: 0,
            sent_bytes: 0,
        }
    }

    /// When to look again.
    pub(super) fn next_at(&self) -> Instant {
        self.repeat_at.map_or(self.deadline, |at| at.min(self.deadline))
    }

    /// Time has passed: whether there is some left.
    pub(super) fn on_time(&mut self, now: Instant) -> Result<(), Fault> {
        if now >= self.deadline {
            return Err(Fault::HandshakeTimeout);
        }
        if self.repeat_at.is_some_and(|at| at <= now) {
            self.repeat_at = None;
            self.due = Some(match &self.party {
                Party::Initiator(initiator) if initiator.auth().is_some() => Due::Auth,
                _ => Due::Hello,
            });
        }
        Ok(())
    }

    /// Whether a part is to be sent.
    pub(super) const fn is_due(&self) -> bool {
        self.due.is_some()
    }

    /// Writes the part that is due; `None` where none is, or more would go to a stranger than came.
    pub(super) fn write(&mut self, now: Instant, mode: Mode, out: &mut [u8]) -> Option<usize> {
        let payload: &[u8] = match (self.due?, &self.party) {
            (Due::Answer(len), _) => &self.answer[..len],
            (Due::Auth, Party::Initiator(initiator)) => initiator.auth()?,
            (_, Party::Initiator(initiator)) => initiator.hello(),
            (_, Party::Responder(_)) => return None,
        };
        let len = payload.len();
        if !self.may_answer(mode, HEADER_BYTES + len) {
            return None;
        }
        out[..len].copy_from_slice(payload);
        self.due = None;
        if mode == Mode::Datagram && matches!(self.party, Party::Initiator(_)) {
            let wait = STREAM_REPEAT_NS << self.tries;
            self.tries += 1;
            self.repeat_at = (self.tries < STREAM_HANDSHAKE_TRIES_MAX).then(|| now.after_ns(wait));
        }
        Some(len)
    }

    /// Whether so many bytes may go out. Over datagrams a responder may have got its HELLO from anybody who
    /// names another as its sender: that one is not sent more than it could have sent by itself.
    pub(super) fn may_answer(&self, mode: Mode, bytes: usize) -> bool {
        let is_responder = matches!(self.party, Party::Responder(_));
        let spoofable = is_responder && mode == Mode::Datagram;
        !spoofable || self.sent_bytes + bytes <= self.received_bytes
    }

    pub(super) fn on_sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes;
    }

    /// A part has come.
    fn on_part(&mut self, payload: &[u8]) -> Result<Option<Agreed>, HandshakeFault> {
        let op = payload.first().copied().unwrap_or(0);
        match (&mut self.party, op) {
            (Party::Initiator(initiator), op::RETRY) => {
                initiator.on_retry(payload)?;
                self.due = Some(Due::Hello);
            }
            (Party::Initiator(initiator), op::REPLY) => {
                let is_news = initiator.auth().is_none();
                initiator.on_reply(payload, &*self.trust)?;
                if is_news {
                    (self.due, self.tries, self.repeat_at) = (Some(Due::Auth), 0, None);
                }
            }
            (Party::Initiator(initiator), op::READY) => {
                return initiator.on_ready(payload).map(Some);
            }
            (Party::Responder(responder), op::HELLO) => {
                let reply = responder.on_hello(payload)?;
                self.due = Some(Due::Answer(reply.len()));
                self.answer[..reply.len()].copy_from_slice(reply);
            }
            (Party::Responder(responder), op::AUTH) => {
                let (ready, agreed) = responder.on_auth(payload, &*self.trust)?;
                self.due = Some(Due::Answer(ready.len()));
                self.answer[..ready.len()].copy_from_slice(ready);
                return Ok(Some(agreed));
            }
            _ => return Err(HandshakeFault::OutOfOrder),
        }
        Ok(None)
    }

    /// A part has come again after the handshake was whole: a responder says the same again.
    pub(super) fn on_repetition(&mut self, payload: &[u8]) {
        let Party::Responder(responder) = &self.party else { return };
        if payload.first() == Some(&op::AUTH)
            && let Some(ready) = responder.again(payload)
        {
            self.due = Some(Due::Answer(ready.len()));
            self.answer[..ready.len()].copy_from_slice(ready);
        }
    }

    /// Whether a fault says something about the peer, and not only about whoever sent the packet.
    fn is_final(&self, fault: HandshakeFault) -> bool {
        match fault {
            HandshakeFault::Unauthorised | HandshakeFault::Reflected => true,
            // The connection was made for this HELLO.
            HandshakeFault::Version { .. } | HandshakeFault::Features { .. } => {
                matches!(self.party, Party::Responder(_))
            }
            _ => false,
        }
    }
}

impl Connection {
    /// A packet has come while nobody knows who the peer is.
    pub(super) fn receive_greeting(
        &mut self,
        now: Instant,
        header: Header,
        body: &[u8],
    ) -> Result<Received, Fault> {
        let is_datagram = self.is_datagram();
        let State::Greeting(greeting) = &mut self.state else {
            return self.unproved(Fault::Control);
        };
        if header.flags != Flags::NONE {
            // Over datagrams what a responder says on the open stream may overtake its READY, however much
            // that is; it costs no more than this look.
            return self.unproved(Fault::HandshakeOrder);
        }
        greeting.received_bytes += HEADER_BYTES + body.len();
        if greeting.received_bytes > greeting.bytes_max {
            return Err(Fault::HandshakeTooLong);
        }
        if !is_datagram && header.seq_id != self.receive.next() as u32 {
            return Err(Fault::HandshakeOrder);
        }
        let outcome = match header.packet_type {
            PacketType::Control => greeting.on_part(body),
            PacketType::Error => return self.on_early_error(body),
            _ => Err(HandshakeFault::OutOfOrder),
        };
        match outcome {
            Ok(agreed) => {
                if !is_datagram {
                    self.receive.accept(u64::from(header.seq_id));
                }
                self.statistics.received.add(body.len());
                if let Some(agreed) = agreed {
                    self.greeted(now, agreed);
                }
                Ok(Received::Consumed)
            }
            Err(fault) => self.on_handshake_fault(fault),
        }
    }

    fn greeted(&mut self, now: Instant, agreed: Agreed) {
        self.connect(now, agreed);
        if let State::Greeting(greeting) = std::mem::replace(&mut self.state, State::Over) {
            // Its answer, if it has one, is still to be sent.
            let kept = matches!(greeting.party, Party::Responder(_)).then_some(greeting);
            self.state = State::Open(kept);
        }
    }

    fn on_handshake_fault(&mut self, fault: HandshakeFault) -> Result<Received, Fault> {
        let State::Greeting(greeting) = &self.state else { return self.unproved(fault.into()) };
        if self.is_datagram() && !greeting.is_final(fault) {
            return self.unproved(fault.into());
        }
        self.ending.explain(&fault);
        Err(fault.into())
    }

    /// The peer does not want us.
    fn on_early_error(&mut self, body: &[u8]) -> Result<Received, Fault> {
        let error = match Error::decode(body) {
            Ok(error) if error.ch == 0 => error,
            Ok(_) => return self.unproved(Fault::HandshakeOrder),
            Err(fault) => return self.unproved(fault),
        };
        self.ending.hear(error.text);
        self.end(Cause::Peer(error.code));
        Ok(Received::Consumed)
    }

    /// A packet in the clear on a stream that is connected: over datagrams a part of the handshake may be
    /// late, or its answer lost.
    pub(super) fn on_late_greeting(&mut self, header: Header, body: &[u8]) -> Received {
        let is_part = header.packet_type == PacketType::Control
            && body.first().is_some_and(|&op| (op::HELLO..=op::RETRY).contains(&op));
        if !is_part {
            self.statistics.malformed += 1;
            return Received::Dropped(Dropped::Malformed);
        }
        if let State::Open(Some(greeting)) = &mut self.state {
            greeting.received_bytes += HEADER_BYTES + body.len();
            greeting.on_repetition(body);
        }
        Received::Consumed
    }
}

impl From<HandshakeFault> for Fault {
    fn from(fault: HandshakeFault) -> Self {
        match fault {
            HandshakeFault::Malformed => Self::HandshakeSyntax,
            HandshakeFault::OutOfOrder => Self::HandshakeOrder,
            HandshakeFault::Version { .. } => Self::Version,
            HandshakeFault::Features { .. } => Self::Features,
            HandshakeFault::Unauthorised => Self::NotTrusted,
            _ => Self::Proof,
        }
    }
}
