//! The five messages of the handshake, byte by byte. Every one has one length, and is refused in any
//! other; all integers are little-endian.
//!
//! | message | bytes | op | then |
//! |---|---|---|---|
//! | HELLO | 256 | 1 | version_min u16, version_max u16, offers u32, requires u32, nonce 32, ephemeral 32, cookie 32, zeros |
//! | REPLY | 183 | 2 | version u16, features u32, nonce 32, ephemeral 32, sealed proof 112 |
//! | AUTH | 113 | 3 | sealed proof 112 |
//! | READY | 33 | 4 | sealed session id 32 |
//! | RETRY | 33 | 5 | cookie 32 |
//!
//! A proof is an identity (32) and its signature (64), sealed with a tag (16). HELLO is padded so
//! that nobody gets more bytes out of a responder than they put in.

use super::aead::{Opener, Sealer, TAG_BYTES};
use super::handshake::{HandshakeFault, Offer};
use super::identity::{PublicKey, SignatureBytes};

/// The first byte of a HELLO.
pub const HELLO: u8 = 1;
/// The first byte of a REPLY.
pub const REPLY: u8 = 2;
/// The first byte of an AUTH.
pub const AUTH: u8 = 3;
/// The first byte of a READY.
pub const READY: u8 = 4;
/// The first byte of a RETRY.
pub const RETRY: u8 = 5;

/// Bytes of a HELLO.
pub const HELLO_BYTES: usize = 256;
/// Bytes of a REPLY.
pub const REPLY_BYTES: usize = REPLY_HEAD_BYTES + PROOF_BYTES;
/// Bytes of an AUTH.
pub const AUTH_BYTES: usize = 1 + PROOF_BYTES;
/// Bytes of a READY.
pub const READY_BYTES: usize = 1 + SESSION_ID_BYTES + TAG_BYTES;
/// Bytes of a RETRY.
pub const RETRY_BYTES: usize = 1 + 32;

/// Bytes of a session's id.
pub const SESSION_ID_BYTES: usize = 16;

/// Bytes of a REPLY before its sealed part.
pub(super) const REPLY_HEAD_BYTES: usize = 1 + 2 + 4 + 32 + 32;

const PROOF_BYTES: usize = 32 + 64 + TAG_BYTES;

/// Where the cookie is in a HELLO; zeros follow it.
const COOKIE_AT: usize = 1 + 2 + 2 + 4 + 4 + 32 + 32;

// What an unauthenticated peer is sent is never longer than what came from it.
const _: () = assert!(REPLY_BYTES <= HELLO_BYTES && RETRY_BYTES <= HELLO_BYTES);
const _: () = assert!(READY_BYTES <= AUTH_BYTES);

/// A HELLO, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// What the initiator speaks, offers and requires.
    pub offer: Offer,
    /// Bytes that no other handshake has.
    pub nonce: [u8; 32],
    /// The initiator's half of the key agreement.
    pub ephemeral: [u8; 32],
    /// What a RETRY brought, or zeros.
    pub cookie: [u8; 32],
}

impl Hello {
    /// Reads one. Nothing in it is authenticated.
    pub fn decode(payload: &[u8]) -> Result<Self, HandshakeFault> {
        let mut fields = Fields::of(payload, HELLO, HELLO_BYTES)?;
        let offer = Offer {
            version_min: fields.u16(),
            version_max: fields.u16(),
            offers: fields.u32(),
            requires: fields.u32(),
        };
        let (nonce, ephemeral, cookie) = (fields.take(), fields.take(), fields.take());
        let padding_is_zero = fields.0.iter().all(|&byte| byte == 0);
        if !padding_is_zero || offer.version_min > offer.version_max {
            return Err(HandshakeFault::Malformed);
        }
        Ok(Self { offer, nonce, ephemeral, cookie })
    }

    pub(super) fn encode(&self) -> [u8; HELLO_BYTES] {
        let mut out = [0; HELLO_BYTES];
        let mut room = Room(&mut out);
        room.put(&[HELLO]);
        room.put(&self.offer.version_min.to_le_bytes());
        room.put(&self.offer.version_max.to_le_bytes());
        room.put(&self.offer.offers.to_le_bytes());
        room.put(&self.offer.requires.to_le_bytes());
        room.put(&self.nonce);
        room.put(&self.ephemeral);
        room.put(&self.cookie);
        out
    }
}

/// Puts another cookie into a HELLO.
pub(super) fn set_cookie(hello: &mut [u8; HELLO_BYTES], cookie: &[u8; 32]) {
    hello[COOKIE_AT..COOKIE_AT + 32].copy_from_slice(cookie);
}

/// Whether two HELLOs are the same but for their cookies.
pub(super) fn same_but_cookie(hello: &[u8; HELLO_BYTES], other: &[u8]) -> bool {
    let (front, back) = (..COOKIE_AT, COOKIE_AT + 32..);
    other.len() == HELLO_BYTES && hello[front] == other[front] && hello[back.clone()] == other[back]
}

/// What a REPLY says in the open.
pub(super) struct ReplyHead {
    pub(super) version: u16,
    pub(super) features: u32,
    pub(super) nonce: [u8; 32],
    pub(super) ephemeral: [u8; 32],
}

impl ReplyHead {
    pub(super) fn decode(payload: &[u8]) -> Result<Self, HandshakeFault> {
        let mut fields = Fields::of(payload, REPLY, REPLY_BYTES)?;
        Ok(Self {
            version: fields.u16(),
            features: fields.u32(),
            nonce: fields.take(),
            ephemeral: fields.take(),
        })
    }

    pub(super) fn encode(&self, out: &mut [u8]) {
        let mut room = Room(out);
        room.put(&[REPLY]);
        room.put(&self.version.to_le_bytes());
        room.put(&self.features.to_le_bytes());
        room.put(&self.nonce);
        room.put(&self.ephemeral);
    }
}

/// The cookie of a RETRY.
pub(super) fn decode_retry(payload: &[u8]) -> Result<[u8; 32], HandshakeFault> {
    Ok(Fields::of(payload, RETRY, RETRY_BYTES)?.take())
}

/// A RETRY with this cookie.
pub(super) fn encode_retry(cookie: &[u8; 32]) -> [u8; RETRY_BYTES] {
    let mut out = [RETRY; RETRY_BYTES];
    out[1..].copy_from_slice(cookie);
    out
}

/// Who an end says it is, and its signature of what was said.
pub(super) struct Proof {
    pub(super) identity: PublicKey,
    pub(super) signature: SignatureBytes,
}

impl Proof {
    /// Writes it sealed.
    pub(super) fn seal(&self, sealer: &Sealer, counter: u64, aad: &[u8; 32], out: &mut [u8]) {
        let mut room = Room(out);
        room.put(self.identity.as_bytes());
        room.put(&self.signature);
        seal_at_end(sealer, counter, aad, out);
    }

    /// Reads the sealed one that a REPLY or an AUTH ends with.
    pub(super) fn open(
        opener: &Opener,
        counter: u64,
        aad: &[u8; 32],
        sealed: &[u8],
    ) -> Result<Self, HandshakeFault> {
        let plain: [u8; 96] = open_from_end(opener, counter, aad, sealed)?;
        let mut fields = Fields(&plain);
        let identity = PublicKey::from_bytes(fields.take());
        Ok(Self { identity, signature: fields.take() })
    }
}

/// The sealed proof of an AUTH.
pub(super) fn auth_proof(payload: &[u8]) -> Result<&[u8], HandshakeFault> {
    Ok(Fields::of(payload, AUTH, AUTH_BYTES)?.0)
}

/// The sealed id of a READY.
pub(super) fn ready_id(payload: &[u8]) -> Result<&[u8], HandshakeFault> {
    Ok(Fields::of(payload, READY, READY_BYTES)?.0)
}

/// Seals what `out` holds before room for a tag, and puts the tag there.
pub(super) fn seal_at_end(sealer: &Sealer, counter: u64, aad: &[u8; 32], out: &mut [u8]) {
    let (plain, tag) = out.split_last_chunk_mut().expect("its room has a tag's");
    *tag = sealer.seal(counter, aad, plain);
}

/// Opens what stands before a tag.
pub(super) fn open_from_end<const BYTES: usize>(
    opener: &Opener,
    counter: u64,
    aad: &[u8; 32],
    sealed: &[u8],
) -> Result<[u8; BYTES], HandshakeFault> {
    let (bytes, tag) = sealed.split_last_chunk().ok_or(HandshakeFault::Malformed)?;
    let mut plain: [u8; BYTES] = bytes.try_into().map_err(|_| HandshakeFault::Malformed)?;
    opener.open(counter, aad, &mut plain, tag).map_err(|_| HandshakeFault::Forged)?;
    Ok(plain)
}

/// What is left to read of a message whose length was checked.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// What follows the op of a message.
    fn of(payload: &'a [u8], op: u8, bytes: usize) -> Result<Self, HandshakeFault> {
        match payload {
            [first, rest @ ..] if *first == op && payload.len() == bytes => Ok(Self(rest)),
            _ => Err(HandshakeFault::Malformed),
        }
    }

    fn take<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        let (field, rest) = self.0.split_first_chunk().expect("the message's length was checked");
        self.0 = rest;
        *field
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}

/// What is left to write of a message that has room for its fields.
struct Room<'a>(&'a mut [u8]);

impl Room<'_> {
    fn put(&mut self, field: &[u8]) {
        let (here, rest) = std::mem::take(&mut self.0).split_at_mut(field.len());
        here.copy_from_slice(field);
        self.0 = rest;
    }
}
