//! The one door to AES-256-GCM (NIST SP 800-38D): packets are sealed and opened in place, or sealed on their
//! way to another place, with a key schedule that was set up when the epoch began.
//!
//! Two implementations stand behind it, and one of them is built: AWS-LC where the feature `fast-aead` is
//! on, or else the portable aes-gcm. They are not both kept for a key, to pick one by a packet's length:
//! AWS-LC is the faster from 16 bytes on, and below there is no packet (docs/BENCHMARKS.md).

#[cfg(feature = "fast-aead")]
mod fast;
#[cfg(any(test, not(feature = "fast-aead")))]
mod portable;

#[cfg(feature = "fast-aead")]
use fast::Schedule;
#[cfg(not(feature = "fast-aead"))]
use portable::Schedule;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Bytes of the part of a nonce that a key comes with; the counter makes up the rest.
pub const SALT_BYTES: usize = 4;

/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;

/// Bytes of a nonce (SP 800-38D §8.2: 96 bits, or it would have to be hashed first).
const NONCE_BYTES: usize = 12;

/// The bytes are not what the key's owner sealed, or not with this counter and these associated bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

/// Seals packets of one direction of a channel during one epoch.
///
/// Nobody may seal twice with one counter: the difference of the two packets would show, and the key
/// to all tags (SP 800-38D, appendix A).
pub struct Sealer(Keyed<Schedule>);

impl Sealer {
    /// Sets up the key schedule.
    pub fn new(key: &[u8; KEY_BYTES], salt: [u8; SALT_BYTES]) -> Self {
        Self(Keyed { schedule: Schedule::new(key), salt })
    }

    /// Encrypts `bytes` in place and gives the tag of both them and `aad`.
    pub fn seal(&self, counter: u64, aad: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        self.0.schedule.seal(&self.0.nonce(counter), aad, bytes)
    }

    /// Encrypts the first `head` bytes of `room` where they lie, and `bytes` to behind them, with the tag at the end:
    /// `room` is exactly as long as all three. It takes no longer than in place.
    pub fn seal_copy(&self, counter: u64, aad: &[u8], room: &mut [u8], head: usize, bytes: &[u8]) {
        assert_eq!(room.len(), head + bytes.len() + TAG_BYTES);
        self.0.schedule.seal_copy(&self.0.nonce(counter), aad, room, head, bytes);
    }
}

/// Opens what the [`Sealer`] of the same key sealed.
pub struct Opener(Keyed<Schedule>);

impl Opener {
    /// Sets up the key schedule.
    pub fn new(key: &[u8; KEY_BYTES], salt: [u8; SALT_BYTES]) -> Self {
        Self(Keyed { schedule: Schedule::new(key), salt })
    }

    /// Decrypts `bytes` in place. Where it fails, what is in them afterwards is of no use to anybody.
    pub fn open(
        &self,
        counter: u64,
        aad: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Forged> {
        self.0.schedule.open(&self.0.nonce(counter), aad, bytes, tag)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener")
    }
}

/// A key's schedule, which is zeroised when it goes, and its part of the nonce.
struct Keyed<S> {
    schedule: S,
    salt: [u8; SALT_BYTES],
}

impl<S> Keyed<S> {
    fn nonce(&self, counter: u64) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        nonce[..SALT_BYTES].copy_from_slice(&self.salt);
        nonce[SALT_BYTES..].copy_from_slice(&counter.to_le_bytes());
        nonce
    }
}

#[cfg(test)]
mod tests;
