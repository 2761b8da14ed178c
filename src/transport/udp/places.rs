//! Who has each place, and the place of each peer.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr};

/// No place.
const NIL: u32 = u32::MAX;

/// Who a peer is: whoever sends from this address to that one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The peer's.
    pub remote: SocketAddr,
    /// Ours, where the socket has more than one: answers come from it.
    pub local: Option<IpAddr>,
}

/// In as few words as hold it: it is done for each run of datagrams.
impl Hash for Ends {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.remote {
            SocketAddr::V4(v4) => {
                state.write_u64(u64::from(v4.ip().to_bits()) << 16 | u64::from(v4.port()));
            }
            SocketAddr::V6(v6) => {
                state.write_u128(v6.ip().to_bits());
                state.write_u64(u64::from(v6.scope_id()) << 16 | u64::from(v6.port()));
            }
        }
        match &self.local {
            Some(IpAddr::V4(v4)) => state.write_u32(v4.to_bits()),
            Some(IpAddr::V6(v6)) => state.write_u128(v6.to_bits()),
            None => {}
        }
    }
}

/// Who has a place.
#[derive(Clone, Copy)]
struct Tenant {
    ends: Option<Ends>,
    /// The next place whose peer hashes alike.
    next: u32,
}

/// Places by who has them, and the other way round. Places are taken from the first on, so that few peers
/// lie in few pages: a table that strews them costs each look-up a miss. A peer that goes leaves nothing behind.
///
/// Allocates only when it is made. The hash is keyed: an attacker chooses his port, and maybe his address.
pub struct Places {
    hash: RandomState,
    /// The first place of each chain: a power of two of them, twice as many as there are places.
    heads: Box<[u32]>,
    tenants: Box<[Tenant]>,
}

impl Places {
    /// So many places, all free.
    pub fn new(count: usize) -> Self {
        Self {
            hash: RandomState::new(),
            heads: vec![NIL; (2 * count).next_power_of_two()].into(),
            tenants: vec![Tenant { ends: None, next: NIL }; count].into(),
        }
    }

    /// Who has a place.
    #[inline]
    pub fn ends(&self, place: usize) -> Option<&Ends> {
        self.tenants.get(place)?.ends.as_ref()
    }

    /// The place of a peer.
    #[inline]
    pub fn get(&self, ends: &Ends) -> Option<usize> {
        let mut place = self.heads[self.chain(ends)];
        loop {
            let tenant = self.tenants.get(place as usize)?;
            if tenant.ends.as_ref() == Some(ends) {
                return Some(place as usize);
            }
            place = tenant.next;
        }
    }

    /// Gives a peer that has none a free place.
    pub fn insert(&mut self, place: usize, ends: &Ends) {
        debug_assert!(self.tenants[place].ends.is_none(), "the place is free");
        let chain = self.chain(ends);
        let head = &mut self.heads[chain];
        self.tenants[place] = Tenant { ends: Some(*ends), next: *head };
        *head = place as u32;
    }

    /// The place is free again.
    pub fn remove(&mut self, place: usize) {
        let Some(ends) = self.tenants[place].ends.take() else { return };
        let (chain, next) = (self.chain(&ends), self.tenants[place].next);
        let mut link = &mut self.heads[chain];
        while *link != place as u32 {
            link = &mut self.tenants[*link as usize].next;
        }
        *link = next;
    }

    #[inline]
    fn chain(&self, ends: &Ends) -> usize {
        self.hash.hash_one(ends) as usize & (self.heads.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn ends(n: u16) -> Ends {
        let remote = match n % 3 {
            0 => SocketAddr::new([10, 0, (n >> 8) as u8, n as u8].into(), n),
            1 => SocketAddr::new([0xfe80, 0, 0, 0, 0, 0, 0, n].into(), 7),
            _ => SocketAddr::new([127, 0, 0, 1].into(), n),
        };
        let local = n.is_multiple_of(2).then(|| IpAddr::from([192, 0, 2, 1]));
        Ends { remote, local }
    }

    proptest! {
        /// Chains are long where there are few heads: 4 places have 8.
        #[test]
        fn places_do_what_a_map_does(ops in prop::collection::vec((0u16..12, 0usize..4), 1..300)) {
            let mut places = Places::new(4);
            let mut oracle: HashMap<usize, u16> = HashMap::new();
            for (n, place) in ops {
                let has_none = !oracle.values().any(|other| *other == n);
                if let Some(tenant) = oracle.remove(&place) {
                    prop_assert_eq!(places.ends(place), Some(&ends(tenant)));
                    places.remove(place);
                } else if has_none {
                    places.insert(place, &ends(n));
                    oracle.insert(place, n);
                }
                let tenant = oracle.get(&place).map(|n| ends(*n));
                prop_assert_eq!(places.ends(place), tenant.as_ref());
                for n in 0..12 {
                    let expected = oracle.iter().find(|(_, other)| **other == n);
                    prop_assert_eq!(places.get(&ends(n)), expected.map(|(place, _)| *place));
                }
            }
        }
    }

    #[test]
    fn a_place_that_is_free_can_be_freed() {
        let mut places = Places::new(1);
        places.remove(0);
        assert_eq!((places.get(&ends(1)), places.ends(0), places.ends(1)), (None, None, None));
    }
}
