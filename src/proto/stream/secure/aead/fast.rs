//! AES-256-GCM of AWS-LC.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{Forged, KEY_BYTES, NONCE_BYTES, TAG_BYTES};

/// A key's schedule, in memory that AWS-LC zeroises when it frees it.
pub(super) struct Schedule(LessSafeKey);

impl Schedule {
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        let key =
            UnboundKey::new(&AES_256_GCM, key).expect("a key of the right length, and memory");
        Self(LessSafeKey::new(key))
    }

    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        bytes: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let sealed = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), bytes);
        let tag = sealed.expect("no slice is as long as 64 GiB");
        tag.as_ref().try_into().expect("a tag has 16 bytes")
    }

    pub(super) fn seal_copy(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        room: &mut [u8],
        head: usize,
        bytes: &[u8],
    ) {
        let (head, out) = room.split_at_mut(head);
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let sealed = self.0.seal_in_place_scatter(nonce, Aad::from(aad), head, bytes, out);
        sealed.expect("no slice is as long as 64 GiB, and there is room for the tag");
    }

    pub(super) fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Forged> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place_separate_tag(nonce, Aad::from(aad), tag, bytes);
        opened.map(|_| ()).map_err(|_| Forged)
    }
}
