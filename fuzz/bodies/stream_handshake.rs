//! What must hold of both ends of a handshake whatever they are sent, in whatever state: they never
//! agree with anybody who has no keys. The fuzz target and `tests/fuzz_corpus.rs` share it.

use ringway::proto::stream::secure::handshake::{
    Agreed, ENCRYPT, HandshakeFault, Initiator, Offer, Responder, Secrets,
};
use ringway::proto::stream::secure::identity::Identity;
use ringway::proto::stream::secure::keys::Direction;
use ringway::proto::stream::secure::messages::{
    AUTH_BYTES, HELLO_BYTES, READY_BYTES, REPLY_BYTES, RETRY_BYTES,
};
use ringway::proto::stream::secure::trust::Anyone;

const OFFER: Offer = Offer { version_min: 1, version_max: 1, offers: 3, requires: ENCRYPT };

/// Lengths that messages have, and others.
const LENGTHS: [usize; 8] =
    [HELLO_BYTES, REPLY_BYTES, AUTH_BYTES, READY_BYTES, RETRY_BYTES, 0, 1, 64];

fn secrets(of: u8) -> Secrets {
    Secrets { nonce: [of; 32], ephemeral: [of; 32] }
}

/// Both ends, and the last message of each kind that was really sent.
struct Bed {
    initiator: Initiator,
    responder: Responder,
    sent: [Vec<u8>; 4],
    at_initiator: Option<Agreed>,
    at_responder: Option<Agreed>,
}

impl Bed {
    fn new() -> Self {
        let (one, other) = (Identity::from_secret(&[1; 32]), Identity::from_secret(&[2; 32]));
        let initiator = Initiator::new(&one, OFFER, secrets(3));
        let responder = Responder::new(&other, OFFER, secrets(4), [5; 16]);
        let sent = [initiator.hello().to_vec(), Vec::new(), Vec::new(), Vec::new()];
        Self { initiator, responder, sent, at_initiator: None, at_responder: None }
    }

    /// Hands a message to one of the calls.
    fn hand(&mut self, call: u8, message: &[u8]) {
        let fault = match call % 6 {
            0 => self.responder.on_hello(message).map(|reply| self.sent[1] = reply.to_vec()),
            1 => self.initiator.on_retry(message),
            2 => {
                let auth = self.initiator.on_reply(message, &Anyone);
                auth.map(|auth| self.sent[2] = auth.to_vec())
            }
            3 => self.responder.on_auth(message, &Anyone).map(|(ready, agreed)| {
                self.sent[3] = ready.to_vec();
                assert!(self.at_responder.replace(agreed).is_none(), "agreed twice");
            }),
            4 => self.initiator.on_ready(message).map(|agreed| {
                assert!(self.at_initiator.replace(agreed).is_none(), "agreed twice");
            }),
            _ => {
                let again = self.responder.again(message);
                assert!(again.is_none_or(|again| again.len() <= message.len()));
                Ok(())
            }
        };
        if let Err(fault) = fault {
            assert!(!fault.to_string().is_empty() && fault != HandshakeFault::Unauthorised);
        }
        self.look();
    }

    /// Whoever has agreed has done so with the other, whose last message was not made up.
    fn look(&self) {
        let key = |of: u8| Identity::from_secret(&[of; 32]).public();
        if let Some(agreed) = &self.at_responder {
            assert!(agreed.peer == key(1) && agreed.features & ENCRYPT != 0);
        }
        if let Some(agreed) = &self.at_initiator {
            assert!(agreed.peer == key(2) && agreed.session_id == [5; 16]);
            let other = self.at_responder.as_ref().expect("the responder was first");
            for direction in [Direction::Initiator, Direction::Responder] {
                let print = |agreed: &Agreed| {
                    agreed.traffic.channel(direction, 1, 0).sealer().seal(0, &[], &mut [])
                };
                assert_eq!(print(agreed), print(other));
            }
        }
    }
}

/// Each step's first byte says what is called and with what: a message that was really sent, the same
/// with a byte changed (two more bytes), or so many of the bytes that follow.
pub fn check(mut bytes: &[u8]) {
    let mut bed = Bed::new();
    while let Some((&step, rest)) = bytes.split_first() {
        bytes = rest;
        let (call, what) = (step & 7, step >> 3);
        let mut message = match what {
            0..8 => bed.sent[usize::from(what % 4)].clone(),
            _ => {
                let length = LENGTHS[usize::from(what % 8)].min(bytes.len());
                let (message, rest) = bytes.split_at(length);
                bytes = rest;
                message.to_vec()
            }
        };
        if let (4..8, [at, change, rest @ ..]) = (what, bytes) {
            bytes = rest;
            let length = message.len().max(1);
            if let Some(byte) = message.get_mut(usize::from(*at) % length) {
                *byte ^= change;
            }
        }
        bed.hand(call, &message);
    }
}
