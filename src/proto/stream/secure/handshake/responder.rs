//! The end that accepts.

use x25519_dalek::{PublicKey as Ephemeral, StaticSecret};

use super::{Agreed, HandshakeFault, Offer, Secrets, agree, hash, sign, statement, th1};
use crate::proto::stream::secure::identity::{Identity, PublicKey, Trust};
use crate::proto::stream::secure::keys::{Direction, HandshakeSecret, TranscriptHash};
use crate::proto::stream::secure::messages::{
    self, AUTH_BYTES, HELLO_BYTES, Hello, Proof, READY, READY_BYTES, REPLY_BYTES, REPLY_HEAD_BYTES,
    ReplyHead, SESSION_ID_BYTES,
};

/// The responder's half of the handshake.
///
/// The HELLO goes to [`on_hello`](Self::on_hello), whose REPLY is sent; the AUTH goes to
/// [`on_auth`](Self::on_auth), whose READY is sent. What comes once more is answered by
/// [`again`](Self::again).
pub struct Responder {
    identity: Identity,
    offer: Offer,
    nonce: [u8; 32],
    ephemeral: StaticSecret,
    session_id: [u8; SESSION_ID_BYTES],
    greeted: Option<Greeted>,
    done: Option<Done>,
}

/// What is known since the HELLO.
struct Greeted {
    hello: [u8; HELLO_BYTES],
    reply: [u8; REPLY_BYTES],
    version: u16,
    features: u32,
    secret: HandshakeSecret,
    th1: TranscriptHash,
    th2: TranscriptHash,
}

/// What came last and how it was answered.
struct Done {
    auth: [u8; AUTH_BYTES],
    ready: [u8; READY_BYTES],
}

impl Responder {
    /// Awaits a handshake. `session_id` is fresh randomness as well.
    pub fn new(
        identity: &Identity,
        offer: Offer,
        secrets: Secrets,
        session_id: [u8; SESSION_ID_BYTES],
    ) -> Self {
        Self {
            identity: identity.clone(),
            offer,
            nonce: secrets.nonce,
            ephemeral: StaticSecret::from(secrets.ephemeral),
            session_id,
            greeted: None,
            done: None,
        }
    }

    /// Takes the HELLO, and gives the REPLY that is to be sent. The same HELLO again gives the same
    /// REPLY.
    pub fn on_hello(&mut self, payload: &[u8]) -> Result<&[u8], HandshakeFault> {
        if self.greeted.is_some() {
            return self.again(payload).ok_or(HandshakeFault::OutOfOrder);
        }
        let greeted = self.greet(payload)?;
        Ok(&self.greeted.insert(greeted).reply)
    }

    /// The same bytes as the first time, for a HELLO or an AUTH that was answered already.
    pub fn again(&self, payload: &[u8]) -> Option<&[u8]> {
        if let Some(done) = &self.done
            && done.auth == *payload
        {
            return Some(&done.ready);
        }
        let greeted = self.greeted.as_ref()?;
        messages::same_but_cookie(&greeted.hello, payload).then_some(&greeted.reply[..])
    }

    fn greet(&self, payload: &[u8]) -> Result<Greeted, HandshakeFault> {
        let hello = Hello::decode(payload)?;
        let (version, features) = self.offer.agree(&hello.offer)?;
        let secret = agree(&self.ephemeral, &hello.ephemeral)?;
        let head = ReplyHead {
            version,
            features,
            nonce: self.nonce,
            ephemeral: Ephemeral::from(&self.ephemeral).to_bytes(),
        };
        let mut reply = [0; REPLY_BYTES];
        head.encode(&mut reply);
        let hello = payload.try_into().map_err(|_| HandshakeFault::Malformed)?;
        let th1 = th1(&hello, &reply);
        let signature = sign(&self.identity, Direction::Responder, &th1);
        let proof = Proof { identity: self.identity.public(), signature };
        let sealer = secret.sealer(Direction::Responder, &th1);
        proof.seal(&sealer, 0, &th1, &mut reply[REPLY_HEAD_BYTES..]);
        let th2 = hash(&[&hello, &reply]);
        Ok(Greeted { hello, reply, version, features, secret, th1, th2 })
    }

    /// Takes the AUTH, and gives the READY that is to be sent. What was agreed on is given once: keys
    /// that began again would seal two packets with one nonce.
    pub fn on_auth(
        &mut self,
        payload: &[u8],
        trust: &dyn Trust,
    ) -> Result<(&[u8], Agreed), HandshakeFault> {
        let Some(greeted) = self.greeted.as_ref().filter(|_| self.done.is_none()) else {
            return Err(HandshakeFault::OutOfOrder);
        };
        let auth = payload.try_into().map_err(|_| HandshakeFault::Malformed)?;
        let peer = self.verify(greeted, &auth, trust)?;
        let th3 = hash(&[&greeted.hello, &greeted.reply, &auth]);
        let ready = self.welcome(greeted, &th3);
        let agreed = Agreed {
            version: greeted.version,
            features: greeted.features,
            peer,
            session_id: self.session_id,
            traffic: greeted.secret.traffic(&th3),
        };
        Ok((&self.done.insert(Done { auth, ready }).ready, agreed))
    }

    fn verify(
        &self,
        greeted: &Greeted,
        auth: &[u8; AUTH_BYTES],
        trust: &dyn Trust,
    ) -> Result<PublicKey, HandshakeFault> {
        let opener = greeted.secret.opener(Direction::Initiator, &greeted.th1);
        let sealed = messages::auth_proof(auth)?;
        let Proof { identity, signature } = Proof::open(&opener, 0, &greeted.th2, sealed)?;
        if identity == self.identity.public() {
            return Err(HandshakeFault::Reflected);
        }
        let statement = statement(Direction::Initiator, &greeted.th2, &identity);
        if !identity.has_signed(&statement, &signature) {
            return Err(HandshakeFault::Signature);
        }
        if trust.accepts(&identity) { Ok(identity) } else { Err(HandshakeFault::Unauthorised) }
    }

    fn welcome(&self, greeted: &Greeted, th3: &TranscriptHash) -> [u8; READY_BYTES] {
        let mut ready = [READY; READY_BYTES];
        ready[1..][..SESSION_ID_BYTES].copy_from_slice(&self.session_id);
        let sealer = greeted.secret.sealer(Direction::Responder, &greeted.th1);
        messages::seal_at_end(&sealer, 1, th3, &mut ready[1..]);
        ready
    }
}
