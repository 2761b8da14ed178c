//! The one door to AES-256-GCM (NIST SP 800-38D): packets are sealed and opened in place, with a key
//! schedule that was set up when the epoch began.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Bytes of the part of a nonce that a key comes with; the counter makes up the rest.
pub const SALT_BYTES: usize = 4;

/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;

/// The bytes are not what the key's owner sealed, or not with this counter and these associated bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

/// Seals packets of one direction of a channel during one epoch.
///
/// Nobody may seal twice with one counter: the difference of the two packets would show, and the key
/// to all tags (SP 800-38D, appendix A).
#[derive(Debug)]
pub struct Sealer(Keyed);

impl Sealer {
    /// Sets up the key schedule.
    pub fn new(key: &[u8; KEY_BYTES], salt: [u8; SALT_BYTES]) -> Self {
        Self(Keyed::new(key, salt))
    }

    /// Encrypts `bytes` in place and gives the tag of both them and `aad`.
    pub fn seal(&self, counter: u64, aad: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        let nonce = self.0.nonce(counter);
        let sealed = self.0.cipher.encrypt_inout_detached(&nonce, aad, bytes.into());
        sealed.expect("no slice is as long as 64 GiB").0
    }
}

/// Opens what the [`Sealer`] of the same key sealed.
#[derive(Debug)]
pub struct Opener(Keyed);

impl Opener {
    /// Sets up the key schedule.
    pub fn new(key: &[u8; KEY_BYTES], salt: [u8; SALT_BYTES]) -> Self {
        Self(Keyed::new(key, salt))
    }

    /// Decrypts `bytes` in place. Where it fails, what is in them afterwards is of no use to anybody.
    pub fn open(
        &self,
        counter: u64,
        aad: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Forged> {
        let nonce = self.0.nonce(counter);
        let opened = self.0.cipher.decrypt_inout_detached(&nonce, aad, bytes.into(), tag.into());
        opened.map_err(|_| Forged)
    }
}

/// A key's schedule, which is zeroised when it goes, and its part of the nonce.
struct Keyed {
    cipher: Aes256Gcm,
    salt: [u8; SALT_BYTES],
}

impl Keyed {
    fn new(key: &[u8; KEY_BYTES], salt: [u8; SALT_BYTES]) -> Self {
        Self { cipher: Aes256Gcm::new(key.into()), salt }
    }

    fn nonce(&self, counter: u64) -> Nonce<aes_gcm::aead::consts::U12> {
        let mut nonce = Nonce::default();
        nonce[..SALT_BYTES].copy_from_slice(&self.salt);
        nonce[SALT_BYTES..].copy_from_slice(&counter.to_le_bytes());
        nonce
    }
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AES-256-GCM")
    }
}

#[cfg(test)]
mod tests;
