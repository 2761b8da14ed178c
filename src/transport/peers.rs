//! How many connections each address has on one listener of one lcore.

use std::collections::HashMap;
use std::net::IpAddr;

/// Who counts as one: an IPv4 address, or the /64 of an IPv6 one, which is what one household has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Household {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl From<IpAddr> for Household {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// Connections by address, each up to a bound. Allocates only when it is made. The hash is keyed: an
/// attacker chooses his IPv6 prefix.
pub(super) struct Peers {
    most: u32,
    counts: HashMap<Household, u32>,
    /// Whose connection each slot is.
    slots: Box<[Option<Household>]>,
}

impl Peers {
    /// At most `most` for each address, over connections in slots below `slots`.
    pub fn new(most: u32, slots: u32) -> Self {
        // Twice as much as ever lies in it: then what was taken out is cleared away in place.
        let counts = HashMap::with_capacity(2 * slots as usize);
        Self { most, counts, slots: (0..slots).map(|_| None).collect() }
    }

    /// Whether `address` has as many as it may.
    pub fn is_full(&self, address: IpAddr) -> bool {
        let household = Household::from(address);
        self.counts.get(&household).is_some_and(|count| *count >= self.most)
    }

    /// Counts a connection from `address` in `slot`; `false`, and nothing done, when it has enough.
    pub fn admit(&mut self, slot: u32, address: IpAddr) -> bool {
        let household = Household::from(address);
        let count = self.counts.entry(household).or_insert(0);
        if *count >= self.most {
            return false;
        }
        *count += 1;
        self.slots[slot as usize] = Some(household);
        true
    }

    /// The connection in `slot` is gone.
    pub fn release(&mut self, slot: u32) {
        let Some(household) = self.slots[slot as usize].take() else { return };
        let count = self.counts.get_mut(&household).expect("it was admitted");
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&household);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_own_bound_and_what_is_released_is_free_again() {
        let mut peers = Peers::new(2, 8);
        assert!(peers.admit(0, ip("192.0.2.1")) && peers.admit(1, ip("192.0.2.1")));
        assert!(!peers.admit(2, ip("192.0.2.1")));
        assert!(peers.admit(2, ip("192.0.2.2")));
        peers.release(0);
        peers.release(0);
        assert!(peers.admit(3, ip("192.0.2.1")));
        assert!(!peers.admit(0, ip("192.0.2.1")));
    }

    #[test]
    fn an_ipv6_peer_counts_by_its_64_bit_prefix_and_a_mapped_ipv4_one_as_itself() {
        let mut peers = Peers::new(1, 8);
        assert!(peers.admit(0, ip("2001:db8:0:1::1")));
        assert!(!peers.admit(1, ip("2001:db8:0:1:ffff::2")));
        assert!(peers.admit(1, ip("2001:db8:0:2::1")));
        assert!(peers.admit(2, ip("::ffff:192.0.2.1")) && peers.admit(3, ip("::ffff:192.0.2.2")));
        assert!(!peers.admit(4, ip("192.0.2.1")));
    }

    #[test]
    fn coming_and_going_for_ever_takes_no_more_memory() {
        let mut peers = Peers::new(1, 16);
        let capacity = peers.counts.capacity();
        for n in 0..100_000u32 {
            peers.release(n % 16);
            assert!(peers.admit(n % 16, std::net::Ipv4Addr::from(n).into()));
        }
        assert_eq!((peers.counts.len(), peers.counts.capacity()), (16, capacity));
    }
}
