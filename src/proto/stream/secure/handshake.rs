//! The handshake: after HELLO, REPLY, AUTH and READY both ends know who the other is, that it means this
//! very session, and keys that nobody else has.
//!
//! It is SIGMA with the initiator's identity hidden from whoever has not proved its own: an ephemeral
//! X25519 agreement (RFC 7748), signed with Ed25519 (RFC 8032) over everything that was said so far,
//! identities sealed with keys of the agreement. A fault leaves either end as it was: over datagrams,
//! where anybody can send anything, the message counts as never seen; over a byte stream it ends the
//! connection.

use std::fmt;

use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey as Ephemeral, StaticSecret};
use zeroize::Zeroize;

use super::identity::{Identity, PublicKey, SignatureBytes};
use super::keys::{Direction, HandshakeSecret, Traffic, TranscriptHash};
use super::messages::{HELLO_BYTES, REPLY_HEAD_BYTES, SESSION_ID_BYTES};

mod initiator;
mod responder;

pub use initiator::Initiator;
pub use responder::Responder;

/// Packets are sealed.
pub const ENCRYPT: u32 = 1;
/// Messages may be compressed.
pub const COMPRESS: u32 = 2;

/// Short messages may share a packet.
pub const BATCH: u32 = 4;

const FEATURE_NAMES: [(u32, &str); 3] =
    [(ENCRYPT, "encrypt"), (COMPRESS, "compress"), (BATCH, "batch")];

/// What one end speaks, and what it does not do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The oldest version of the wire that it speaks.
    pub version_min: u16,
    /// The newest.
    pub version_max: u16,
    /// Features that it has, a bit each.
    pub offers: u32,
    /// Those among them without which it does not go on.
    pub requires: u32,
}

impl Offer {
    /// The version and the features of a session with a peer that offers `theirs`.
    fn agree(&self, theirs: &Self) -> Result<(u16, u32), HandshakeFault> {
        let version = self.version_max.min(theirs.version_max);
        if version < self.version_min.max(theirs.version_min) {
            let range = |offer: &Self| (offer.version_min, offer.version_max);
            return Err(HandshakeFault::Version { ours: range(self), theirs: range(theirs) });
        }
        let features = self.offers & theirs.offers;
        check_features(features, self.requires | theirs.requires)?;
        Ok((version, features))
    }

    /// Whether a responder may choose this of what we offered.
    fn check(&self, version: u16, features: u32) -> Result<(), HandshakeFault> {
        if !(self.version_min..=self.version_max).contains(&version) {
            let ours = (self.version_min, self.version_max);
            return Err(HandshakeFault::Version { ours, theirs: (version, version) });
        }
        check_features(features, self.requires)?;
        if features & !self.offers != 0 { Err(HandshakeFault::Malformed) } else { Ok(()) }
    }
}

fn check_features(common: u32, required: u32) -> Result<(), HandshakeFault> {
    match required & !common {
        0 => Ok(()),
        _ => Err(HandshakeFault::Features { common, required }),
    }
}

/// The randomness of one handshake: fresh each time, from whoever owns the connection. Zeroised when it
/// goes.
pub struct Secrets {
    /// Sent in the open.
    pub nonce: [u8; 32],
    /// Our half of the key agreement.
    pub ephemeral: [u8; 32],
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.ephemeral.zeroize();
        self.nonce.zeroize();
    }
}

/// What both ends have once the handshake is whole.
#[derive(Debug)]
pub struct Agreed {
    /// The version of the wire.
    pub version: u16,
    /// The features in use, a bit each.
    pub features: u32,
    /// Who the other end is.
    pub peer: PublicKey,
    /// The session's name, chosen by the responder.
    pub session_id: [u8; SESSION_ID_BYTES],
    /// Where all its keys come from.
    pub traffic: Traffic,
}

/// Why a message of the handshake is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFault {
    /// A message of another length or kind than is due, or with a field that no such message has.
    Malformed,
    /// Its turn is not now.
    OutOfOrder,
    /// No version is spoken by both: the ranges.
    Version {
        /// What this end speaks, from and to.
        ours: (u16, u16),
        /// What the other does.
        theirs: (u16, u16),
    },
    /// Somebody requires what not both have.
    Features {
        /// What both offer.
        common: u32,
        /// What either requires.
        required: u32,
    },
    /// The other end's half of the key agreement leads to a key that anybody knows (RFC 7748 §6.1).
    WeakKey,
    /// A sealed part does not open: it was changed, or belongs to another handshake.
    Forged,
    /// The peer's signature does not hold.
    Signature,
    /// The peer says that it is us.
    Reflected,
    /// Who the peer is was proved, and it is nobody we trust.
    Unauthorised,
}

impl fmt::Display for HandshakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("a handshake message is malformed"),
            Self::OutOfOrder => f.write_str("a handshake message is not the one that is due"),
            Self::Version { ours, theirs } => write!(
                f,
                "no version in common: {} to {} here, {} to {} there",
                ours.0, ours.1, theirs.0, theirs.1
            ),
            Self::Features { common, required } => {
                write!(f, "both have {}, but {} is required", Names(*common), Names(*required))
            }
            Self::WeakKey => f.write_str("the key agreement has no secret in it"),
            Self::Forged => f.write_str("a handshake message was not sealed by the peer"),
            Self::Signature => f.write_str("the signature does not hold"),
            Self::Reflected => f.write_str("the peer has this node's own identity"),
            Self::Unauthorised => f.write_str("the peer's identity is not trusted"),
        }
    }
}

impl std::error::Error for HandshakeFault {}

/// Features by name.
struct Names(u32);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut separator) = (self.0, "");
        for (bit, name) in FEATURE_NAMES {
            if rest & bit != 0 {
                write!(f, "{separator}{name}")?;
                (rest, separator) = (rest & !bit, "+");
            }
        }
        match (rest, separator) {
            (0, "") => f.write_str("nothing"),
            (0, _) => Ok(()),
            _ => write!(f, "{separator}{rest:#x}"),
        }
    }
}

/// The secret of two halves of a key agreement.
fn agree(ours: &StaticSecret, theirs: &[u8; 32]) -> Result<HandshakeSecret, HandshakeFault> {
    let shared = ours.diffie_hellman(&Ephemeral::from(*theirs));
    match shared.was_contributory() {
        true => Ok(HandshakeSecret::extract(shared.as_bytes())),
        false => Err(HandshakeFault::WeakKey),
    }
}

/// The hash of what was said up to the open part of a REPLY.
fn th1(hello: &[u8; HELLO_BYTES], reply: &[u8]) -> TranscriptHash {
    hash(&[hello, &reply[..REPLY_HEAD_BYTES]])
}

fn hash(parts: &[&[u8]]) -> TranscriptHash {
    let hashed = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part));
    hashed.finalize().0
}

/// Bytes before what a signature is about; both ends' have this length.
const CONTEXT_BYTES: usize = 26;
const INITIATOR_CONTEXT: &[u8; CONTEXT_BYTES] = b"ringway stream 1 initiator";
const RESPONDER_CONTEXT: &[u8; CONTEXT_BYTES] = b"ringway stream 1 responder";

/// What an end signs. The identity is in it so that nobody can claim another's signature, and which end
/// it is so that nobody can send it back.
fn statement(
    signer: Direction,
    transcript: &TranscriptHash,
    identity: &PublicKey,
) -> [u8; CONTEXT_BYTES + 1 + 32 + 32] {
    let mut out = [0; CONTEXT_BYTES + 1 + 32 + 32];
    out[..CONTEXT_BYTES].copy_from_slice(match signer {
        Direction::Initiator => INITIATOR_CONTEXT,
        Direction::Responder => RESPONDER_CONTEXT,
    });
    out[CONTEXT_BYTES + 1..][..32].copy_from_slice(transcript);
    out[CONTEXT_BYTES + 1 + 32..].copy_from_slice(identity.as_bytes());
    out
}

fn sign(identity: &Identity, signer: Direction, transcript: &TranscriptHash) -> SignatureBytes {
    identity.sign(&statement(signer, transcript, &identity.public()))
}

#[cfg(test)]
mod tests;
