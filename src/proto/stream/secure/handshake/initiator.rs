//! The end that connects.

use x25519_dalek::{PublicKey as Ephemeral, StaticSecret};

use super::{Agreed, HandshakeFault, Offer, Secrets, agree, hash, sign, statement, th1};
use crate::limits::STREAM_RETRIES_MAX;
use crate::proto::stream::secure::identity::{Identity, PublicKey, Trust};
use crate::proto::stream::secure::keys::{Direction, HandshakeSecret, TranscriptHash};
use crate::proto::stream::secure::messages::{
    self, AUTH, AUTH_BYTES, HELLO_BYTES, Hello, Proof, REPLY_BYTES, REPLY_HEAD_BYTES, ReplyHead,
};

/// The initiator's half of the handshake.
///
/// Send [`hello`](Self::hello); a RETRY goes to [`on_retry`](Self::on_retry), and `hello` is sent
/// again; the REPLY goes to [`on_reply`](Self::on_reply), whose AUTH is sent; the READY goes to
/// [`on_ready`](Self::on_ready).
pub struct Initiator {
    identity: Identity,
    offer: Offer,
    ephemeral: StaticSecret,
    hello: [u8; HELLO_BYTES],
    /// Cookies that `hello` went out with: none at first, and that of each RETRY. The last is in it.
    cookies: [[u8; 32]; 1 + STREAM_RETRIES_MAX],
    retries: usize,
    answered: Option<Answered>,
    is_done: bool,
}

/// What is known since the REPLY.
struct Answered {
    reply: [u8; REPLY_BYTES],
    auth: [u8; AUTH_BYTES],
    version: u16,
    features: u32,
    peer: PublicKey,
    secret: HandshakeSecret,
    th1: TranscriptHash,
    th3: TranscriptHash,
}

impl Initiator {
    /// Begins a handshake.
    pub fn new(identity: &Identity, offer: Offer, secrets: Secrets) -> Self {
        let ephemeral = StaticSecret::from(secrets.ephemeral);
        let hello = Hello {
            offer,
            nonce: secrets.nonce,
            ephemeral: Ephemeral::from(&ephemeral).to_bytes(),
            cookie: [0; 32],
        };
        Self {
            identity: identity.clone(),
            offer,
            ephemeral,
            hello: hello.encode(),
            cookies: [[0; 32]; 1 + STREAM_RETRIES_MAX],
            retries: 0,
            answered: None,
            is_done: false,
        }
    }

    /// The HELLO, the same for each repetition until a RETRY came.
    pub fn hello(&self) -> &[u8; HELLO_BYTES] {
        &self.hello
    }

    /// The AUTH, for each repetition, once a REPLY was accepted.
    pub fn auth(&self) -> Option<&[u8; AUTH_BYTES]> {
        self.answered.as_ref().map(|answered| &answered.auth)
    }

    /// Takes the cookie of a RETRY into [`hello`](Self::hello). A RETRY proves nothing, so only some
    /// are heeded: whoever sends others cannot keep a handshake from going on.
    pub fn on_retry(&mut self, payload: &[u8]) -> Result<(), HandshakeFault> {
        if self.answered.is_some() || self.retries == STREAM_RETRIES_MAX {
            return Err(HandshakeFault::OutOfOrder);
        }
        let cookie = messages::decode_retry(payload)?;
        messages::set_cookie(&mut self.hello, &cookie);
        self.retries += 1;
        self.cookies[self.retries] = cookie;
        Ok(())
    }

    /// Takes the REPLY, and gives the AUTH that is to be sent. The same REPLY again gives the same AUTH.
    pub fn on_reply(&mut self, payload: &[u8], trust: &dyn Trust) -> Result<&[u8], HandshakeFault> {
        match &self.answered {
            None => {
                let answered = self.answer(payload, trust)?;
                Ok(&self.answered.insert(answered).auth)
            }
            Some(answered) if answered.reply == *payload => {
                Ok(&self.answered.as_ref().expect("it was just looked at").auth)
            }
            Some(_) => Err(HandshakeFault::OutOfOrder),
        }
    }

    fn answer(&self, payload: &[u8], trust: &dyn Trust) -> Result<Answered, HandshakeFault> {
        let head = ReplyHead::decode(payload)?;
        self.offer.check(head.version, head.features)?;
        let secret = agree(&self.ephemeral, &head.ephemeral)?;
        let (hello, th1, proof) = self.open(&secret, payload)?;
        let peer = proof.identity;
        if peer == self.identity.public() {
            return Err(HandshakeFault::Reflected);
        }
        let statement = statement(Direction::Responder, &th1, &peer);
        if !peer.has_signed(&statement, &proof.signature) {
            return Err(HandshakeFault::Signature);
        }
        if !trust.accepts(&peer) {
            return Err(HandshakeFault::Unauthorised);
        }
        let th2 = hash(&[&hello, payload]);
        let auth = self.prove(&secret, &th1, &th2);
        let th3 = hash(&[&hello, payload, &auth]);
        let reply = payload.try_into().map_err(|_| HandshakeFault::Malformed)?;
        let (version, features) = (head.version, head.features);
        Ok(Answered { reply, auth, version, features, peer, secret, th1, th3 })
    }

    /// Opens the responder's proof. It may answer an earlier HELLO than the last: anybody can send a
    /// RETRY while the REPLY is already under way.
    fn open(
        &self,
        secret: &HandshakeSecret,
        reply: &[u8],
    ) -> Result<([u8; HELLO_BYTES], TranscriptHash, Proof), HandshakeFault> {
        for cookie in self.cookies[..=self.retries].iter().rev() {
            let mut hello = self.hello;
            messages::set_cookie(&mut hello, cookie);
            let th1 = th1(&hello, reply);
            let opener = secret.opener(Direction::Responder, &th1);
            if let Ok(proof) = Proof::open(&opener, 0, &th1, &reply[REPLY_HEAD_BYTES..]) {
                return Ok((hello, th1, proof));
            }
        }
        Err(HandshakeFault::Forged)
    }

    fn prove(
        &self,
        secret: &HandshakeSecret,
        th1: &TranscriptHash,
        th2: &TranscriptHash,
    ) -> [u8; AUTH_BYTES] {
        let mut auth = [AUTH; AUTH_BYTES];
        let signature = sign(&self.identity, Direction::Initiator, th2);
        let proof = Proof { identity: self.identity.public(), signature };
        proof.seal(&secret.sealer(Direction::Initiator, th1), 0, th2, &mut auth[1..]);
        auth
    }

    /// Takes the READY. What was agreed on is given once: keys that began again would seal two packets
    /// with one nonce.
    pub fn on_ready(&mut self, payload: &[u8]) -> Result<Agreed, HandshakeFault> {
        let Some(answered) = self.answered.as_ref().filter(|_| !self.is_done) else {
            return Err(HandshakeFault::OutOfOrder);
        };
        let Answered { version, features, peer, secret, th1, th3, .. } = answered;
        let sealed = messages::ready_id(payload)?;
        let opener = secret.opener(Direction::Responder, th1);
        let session_id = messages::open_from_end(&opener, 1, th3, sealed)?;
        let traffic = secret.traffic(th3);
        self.is_done = true;
        Ok(Agreed { version: *version, features: *features, peer: *peer, session_id, traffic })
    }
}
