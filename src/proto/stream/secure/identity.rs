//! Who a node is: an Ed25519 key (RFC 8032), and the short address that people write down.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

mod text;

pub use text::IdentityFault;

/// What an address is hashed under, so that it is no hash that something else uses.
const ADDRESS_LABEL: &[u8] = b"ringway node 1";

/// A signature's bytes.
pub(super) type SignatureBytes = [u8; 64];

/// A node's own key pair. Its secret half is zeroised when it goes.
#[derive(Clone)]
pub struct Identity(SigningKey);

impl Identity {
    /// The identity of 32 secret bytes, which only randomness may have chosen.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The secret bytes, to be kept in a file that nobody else reads.
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The half that others know it by.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, message: &[u8]) -> SignatureBytes {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public().address())
    }
}

/// What others know a node by. That the bytes are a point of the curve is found when a signature is
/// verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key of these bytes (RFC 8032 §5.1.2).
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The address of the node.
    pub fn address(&self) -> NodeAddress {
        let hash = Sha256::new().chain_update(ADDRESS_LABEL).chain_update(self.0).finalize();
        let (address, _) = hash.0.split_first_chunk().expect("a hash has 32 bytes");
        NodeAddress(*address)
    }

    /// Whether the key's owner signed `message`. Strictly: with a key of small order one signature would
    /// hold for every message, and one with two encodings could be told from what was sent.
    pub(super) fn has_signed(&self, message: &[u8], signature: &SignatureBytes) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
            .is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        parse_hex(text).map(Self)
    }
}

/// The short name of a node, written as 32 hexadecimal digits: 128 bits of its key's hash, for which
/// nobody finds a second key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeAddress([u8; 16]);

impl NodeAddress {
    /// The address of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeAddress({self})")
    }
}

impl FromStr for NodeAddress {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        parse_hex(text).map(Self)
    }
}

/// Whether a peer that has proved who it is may go on.
pub trait Trust {
    /// Asked once in a handshake, after the peer's signature was verified.
    fn accepts(&self, peer: &PublicKey) -> bool;
}

/// The text is not as many lower-case hexadecimal digits as such a name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotHex {
    /// How many it has.
    pub digits: usize,
}

impl fmt::Display for NotHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is not {} lower-case hexadecimal digits", self.digits)
    }
}

impl std::error::Error for NotHex {}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// One name has one text: upper-case digits are refused.
fn parse_hex<const BYTES: usize>(text: &str) -> Result<[u8; BYTES], NotHex> {
    let fault = NotHex { digits: 2 * BYTES };
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(fault),
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != BYTES || !rest.is_empty() {
        return Err(fault);
    }
    let mut bytes = [0; BYTES];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_by_who_signed_it_alone() {
        let (one, other) = (Identity::from_secret(&[1; 32]), Identity::from_secret(&[2; 32]));
        let signature = one.sign(b"message");
        assert!(one.public().has_signed(b"message", &signature));
        assert!(!one.public().has_signed(b"massage", &signature));
        assert!(!other.public().has_signed(b"message", &signature));
    }

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        // The neutral point: with R = the neutral point and s = 0 the equation holds for any message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!PublicKey::from_bytes(neutral).has_signed(b"anything", &signature));
    }

    #[test]
    fn bytes_that_are_no_point_sign_nothing() {
        let signature = Identity::from_secret(&[1; 32]).sign(b"message");
        for byte in 0..=255 {
            assert!(!PublicKey::from_bytes([byte; 32]).has_signed(b"message", &signature));
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        let key = Identity::from_secret(&[1; 32]).public();
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(key.address().to_string().parse(), Ok(key.address()));
        assert_eq!(key.to_string().len(), 64);
        assert_eq!(key.address().to_string().len(), 32);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let name = Identity::from_secret(&[1; 32]).public().address().to_string();
        let longer = format!("{name}0");
        for text in ["", &name[1..], &longer, &name.to_uppercase(), &name.replace(|_| true, "é")] {
            assert_eq!(text.parse::<NodeAddress>(), Err(NotHex { digits: 32 }), "{text}");
        }
    }

    #[test]
    fn what_is_printed_of_an_identity_is_its_address() {
        let identity = Identity::from_secret(&[1; 32]);
        let address = identity.public().address();
        assert_eq!(format!("{identity:?}"), format!("Identity({address})"));
    }
}
