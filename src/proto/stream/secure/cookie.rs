//! Cookies: how a responder over datagrams learns that a peer is where it says it is, without keeping
//! anything of it (the idea of RFC 6347 §4.2.1).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::messages::{self, Hello, RETRY_BYTES};
use crate::limits::STREAM_COOKIE_SLOT_NS;
use crate::time::Instant;

/// Makes and checks cookies, all with one secret, which is zeroised when it goes.
pub struct Cookies(Zeroizing<[u8; 32]>);

impl Cookies {
    /// Cookies of this secret, which only randomness may have chosen; each process has its own.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The RETRY for a HELLO that came from `address`, in whatever form the caller always has addresses
    /// in.
    pub fn retry(&self, address: &[u8], hello: &Hello, now: Instant) -> [u8; RETRY_BYTES] {
        messages::encode_retry(&self.cookie(address, hello, slot(now)))
    }

    /// Whether a HELLO from `address` has the cookie that was sent there, at most two slots of time
    /// ago.
    pub fn holds(&self, address: &[u8], hello: &Hello, now: Instant) -> bool {
        let of = |slot| self.cookie(address, hello, slot).ct_eq(&hello.cookie);
        let slot = slot(now);
        (of(slot) | of(slot.wrapping_sub(1))).into()
    }

    fn cookie(&self, address: &[u8], hello: &Hello, slot: u64) -> [u8; 32] {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0[..]).expect("a key of any length will do");
        let mac = mac.chain_update(address).chain_update(hello.nonce);
        mac.chain_update(slot.to_le_bytes()).finalize().into_bytes().0
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookies")
    }
}

fn slot(now: Instant) -> u64 {
    now.as_ns() / STREAM_COOKIE_SLOT_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::stream::secure::handshake::Offer;

    const SECRET: [u8; 32] = [9; 32];
    const OFFER: Offer = Offer { version_min: 1, version_max: 1, offers: 0, requires: 0 };

    fn at(slots: u64) -> Instant {
        Instant::from_ns(slots * STREAM_COOKIE_SLOT_NS + 1)
    }

    /// A HELLO with the cookie that was made for it.
    fn hello(address: &[u8], now: Instant) -> Hello {
        let mut hello = Hello { offer: OFFER, nonce: [1; 32], ephemeral: [2; 32], cookie: [0; 32] };
        let retry = Cookies::new(SECRET).retry(address, &hello, now);
        hello.cookie = messages::decode_retry(&retry).unwrap();
        hello
    }

    #[test]
    fn a_cookie_holds_in_its_slot_of_time_and_the_next() {
        let (cookies, hello) = (Cookies::new(SECRET), hello(b"here", at(7)));
        let holds = |slot| cookies.holds(b"here", &hello, at(slot));
        assert_eq!([6, 7, 8, 9].map(holds), [false, true, true, false]);
    }

    #[test]
    fn a_cookie_is_of_one_address_one_nonce_and_one_secret() {
        let (cookies, mut hello) = (Cookies::new(SECRET), hello(b"here", at(0)));
        assert!(cookies.holds(b"here", &hello, at(0)));
        assert!(!cookies.holds(b"there", &hello, at(0)));
        assert!(!Cookies::new([8; 32]).holds(b"here", &hello, at(0)));
        hello.nonce[0] ^= 1;
        assert!(!cookies.holds(b"here", &hello, at(0)));
    }

    #[test]
    fn any_change_of_a_cookie_is_found() {
        let (cookies, hello) = (Cookies::new(SECRET), hello(b"here", at(0)));
        for at_byte in 0..32 {
            let mut changed = hello;
            changed.cookie[at_byte] ^= 1;
            assert!(!cookies.holds(b"here", &changed, at(0)));
        }
        assert!(!cookies.holds(b"here", &Hello { cookie: [0; 32], ..hello }, at(0)));
    }

    #[test]
    fn nothing_of_the_secret_is_printed() {
        assert_eq!(format!("{:?}", Cookies::new(SECRET)), "Cookies");
    }
}
