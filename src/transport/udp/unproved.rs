//! Peers of whom it is not known that they hear us, in the order in which they came.

/// No place, or none on that side.
const NIL: u32 = u32::MAX;

/// A queue of places, out of which each can be taken at once. Allocates only when it is made.
pub struct Unproved {
    /// For each place in the queue the one before it and the one behind it.
    links: Box<[(u32, u32)]>,
    oldest: u32,
    youngest: u32,
}

impl Unproved {
    /// Without anybody, for so many places.
    pub fn new(places: usize) -> Self {
        Self { links: vec![(NIL, NIL); places].into(), oldest: NIL, youngest: NIL }
    }

    /// The place that was added first of those that are in it.
    pub fn oldest(&self) -> Option<usize> {
        (self.oldest != NIL).then_some(self.oldest as usize)
    }

    /// Adds a place that is not in it.
    pub fn add(&mut self, place: usize) {
        self.links[place] = (self.youngest, NIL);
        match self.youngest {
            NIL => self.oldest = place as u32,
            before => self.links[before as usize].1 = place as u32,
        }
        self.youngest = place as u32;
    }

    /// Takes out a place that is in it.
    pub fn take_out(&mut self, place: usize) {
        let (before, behind) = std::mem::replace(&mut self.links[place], (NIL, NIL));
        match before {
            NIL => self.oldest = behind,
            before => self.links[before as usize].1 = behind,
        }
        match behind {
            NIL => self.youngest = before,
            behind => self.links[behind as usize].0 = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_does_what_a_list_does(ops in prop::collection::vec(0usize..6, 1..300)) {
            let (mut unproved, mut oracle) = (Unproved::new(6), Vec::new());
            for place in ops {
                if let Some(at) = oracle.iter().position(|other| *other == place) {
                    oracle.remove(at);
                    unproved.take_out(place);
                } else {
                    oracle.push(place);
                    unproved.add(place);
                }
                prop_assert_eq!(unproved.oldest(), oracle.first().copied());
            }
            for place in oracle {
                prop_assert_eq!(unproved.oldest(), Some(place));
                unproved.take_out(place);
            }
            prop_assert_eq!(unproved.oldest(), None);
        }
    }
}
