//! From what a handshake agreed on to the keys of each channel, direction and epoch: HKDF with SHA-256
//! (RFC 5869) all the way down.

use std::fmt;

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::aead::{KEY_BYTES, Opener, SALT_BYTES, Sealer};

/// What a stream's secrets are extracted under: they are of no use to any other protocol.
const EXTRACT_LABEL: &[u8] = b"ringway stream 1";

/// The hash of what both ends have said so far.
pub(super) type TranscriptHash = [u8; 32];

/// Which end of a stream sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The end that connected.
    Initiator,
    /// The end that accepted.
    Responder,
}

impl Direction {
    /// The way back.
    pub fn opposite(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    fn label(self) -> &'static [u8] {
        match self {
            Self::Initiator => b"i",
            Self::Responder => b"r",
        }
    }
}

/// The secrets that a session's channels are derived from, one a direction.
#[derive(Clone, Debug)]
pub struct Traffic {
    initiator: Secret,
    responder: Secret,
}

impl Traffic {
    /// The secret of what `direction` sends on a channel, at its first epoch. A channel's number
    /// comes back with another incarnation, so that no key does; that of channel 0 is 0.
    pub fn channel(&self, direction: Direction, ch: u16, incarnation: u32) -> ChannelSecret {
        let traffic = match direction {
            Direction::Initiator => &self.initiator,
            Direction::Responder => &self.responder,
        };
        let parts: [&[u8]; 3] = [b"channel", &ch.to_le_bytes(), &incarnation.to_le_bytes()];
        ChannelSecret { secret: traffic.derive(&parts), epoch: 0 }
    }
}

/// The secret of one direction of a channel during one epoch.
#[derive(Clone, Debug)]
pub struct ChannelSecret {
    secret: Secret,
    epoch: u32,
}

impl ChannelSecret {
    /// What the sender seals with.
    pub fn sealer(&self) -> Sealer {
        let (key, salt) = self.key();
        Sealer::new(&key, salt)
    }

    /// What the receiver opens with.
    pub fn opener(&self) -> Opener {
        let (key, salt) = self.key();
        Opener::new(&key, salt)
    }

    /// The secret of the next epoch. From it this one cannot be found: who takes a node's memory
    /// reads nothing of what went before.
    pub fn next(&self) -> Self {
        let epoch = self.epoch.wrapping_add(1);
        Self { secret: self.secret.derive(&[b"next"]), epoch }
    }

    /// How many secrets of the channel came before.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    fn key(&self) -> (Zeroizing<[u8; KEY_BYTES]>, [u8; SALT_BYTES]) {
        (self.secret.expand(&[b"key"]), *self.secret.expand(&[b"salt"]))
    }
}

/// What the messages of one handshake are sealed with, and the traffic after it.
pub(super) struct HandshakeSecret(Secret);

impl HandshakeSecret {
    /// Extracts it from what X25519 gave, which is no uniform key by itself (RFC 7748 §6.1).
    pub(super) fn extract(shared: &[u8; 32]) -> Self {
        let (mut prk, _) = Hkdf::<Sha256>::extract(Some(&Sha256::digest(EXTRACT_LABEL)), shared);
        let secret = Secret(Zeroizing::new(prk.0));
        prk.zeroize();
        Self(secret)
    }

    pub(super) fn sealer(&self, sender: Direction, th1: &TranscriptHash) -> Sealer {
        let (key, salt) = self.key(sender, th1);
        Sealer::new(&key, salt)
    }

    pub(super) fn opener(&self, sender: Direction, th1: &TranscriptHash) -> Opener {
        let (key, salt) = self.key(sender, th1);
        Opener::new(&key, salt)
    }

    /// The secrets of the session whose handshake is whole.
    pub(super) fn traffic(&self, th3: &TranscriptHash) -> Traffic {
        let of = |direction: Direction| self.0.derive(&[b"traffic", direction.label(), th3]);
        Traffic { initiator: of(Direction::Initiator), responder: of(Direction::Responder) }
    }

    fn key(
        &self,
        sender: Direction,
        th1: &TranscriptHash,
    ) -> (Zeroizing<[u8; KEY_BYTES]>, [u8; SALT_BYTES]) {
        let key = self.0.expand(&[b"handshake key", sender.label(), th1]);
        let salt = self.0.expand(&[b"handshake salt", sender.label(), th1]);
        (key, *salt)
    }
}

/// 32 bytes that keys are derived from. They are zeroised when it goes.
#[derive(Clone)]
struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// HKDF-Expand (RFC 5869 §2.3), the info in parts.
    fn expand<const BYTES: usize>(&self, info: &[&[u8]]) -> Zeroizing<[u8; BYTES]> {
        let mut out = Zeroizing::new([0; BYTES]);
        let hkdf = Hkdf::<Sha256>::from_prk(&self.0[..]).expect("as long as a hash");
        hkdf.expand_multi_info(info, &mut out[..]).expect("far less than 255 hashes");
        out
    }

    fn derive(&self, info: &[&[u8]]) -> Self {
        Self(self.expand(info))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic() -> Traffic {
        HandshakeSecret::extract(&[3; 32]).traffic(&[4; 32])
    }

    /// What a secret seals zeros into, by which secrets can be told apart.
    fn print(secret: &ChannelSecret) -> [u8; 16] {
        secret.sealer().seal(0, &[], &mut [])
    }

    #[test]
    fn a_secret_seals_what_it_opens_itself() {
        let secret = traffic().channel(Direction::Responder, 2, 5);
        let mut bytes = *b"hello";
        let tag = secret.sealer().seal(77, b"aad", &mut bytes);
        assert_eq!(secret.opener().open(77, b"aad", &mut bytes, &tag), Ok(()));
        assert_eq!(&bytes, b"hello");
    }

    #[test]
    fn direction_channel_incarnation_and_epoch_each_have_a_key_of_their_own() {
        use Direction::{Initiator, Responder};
        let traffic = traffic();
        let mut prints = Vec::new();
        for direction in [Initiator, Responder] {
            for (ch, incarnation) in [(0, 0), (1, 0), (1, 1), (256, 0), (u16::MAX, u32::MAX)] {
                let first = traffic.channel(direction, ch, incarnation);
                let second = first.next();
                prints.extend([print(&first), print(&second), print(&second.next())]);
            }
        }
        let all = prints.len();
        prints.sort_unstable();
        prints.dedup();
        assert_eq!((prints.len(), all), (30, 30));
    }

    #[test]
    fn epochs_are_counted() {
        let secret = traffic().channel(Direction::Initiator, 1, 0);
        assert_eq!((secret.epoch(), secret.next().epoch()), (0, 1));
        assert_eq!(secret.next().next().epoch(), 2);
    }

    #[test]
    fn what_is_printed_of_secrets_tells_nothing() {
        let secret = traffic().channel(Direction::Initiator, 1, 0);
        assert_eq!(format!("{secret:?}"), "ChannelSecret { secret: secret, epoch: 0 }");
        assert_eq!(format!("{:?}", traffic()), "Traffic { initiator: secret, responder: secret }");
    }
}
