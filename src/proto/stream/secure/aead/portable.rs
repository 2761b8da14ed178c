//! AES-256-GCM in Rust, on whatever the CPU has for it.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};

use super::{Forged, KEY_BYTES, NONCE_BYTES, TAG_BYTES};

/// A key's schedule. The crate zeroises it when it goes.
pub(super) struct Schedule(Aes256Gcm);

impl Schedule {
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        bytes: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        let sealed = self.0.encrypt_inout_detached(nonce.into(), aad, bytes.into());
        sealed.expect("no slice is as long as 64 GiB").0
    }

    /// A copy, and then in place: the crate takes a message in one piece only.
    pub(super) fn seal_copy(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        room: &mut [u8],
        head: usize,
        bytes: &[u8],
    ) {
        let (message, tag) = room.split_at_mut(head + bytes.len());
        message[head..].copy_from_slice(bytes);
        tag.copy_from_slice(&self.seal(nonce, aad, message));
    }

    pub(super) fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Forged> {
        let opened = self.0.decrypt_inout_detached(nonce.into(), aad, bytes.into(), tag.into());
        opened.map_err(|_| Forged)
    }
}
