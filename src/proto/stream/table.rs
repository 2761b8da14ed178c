//! The channels that are open, found by the number that a packet names (D-4).

use super::channel::Channel;

/// Marks a place that never held anything, or does not any more.
const FREE: u16 = u16::MAX;

/// Where a channel is in the table. It holds until the channel is taken out.
pub(super) type Slot = u16;

/// Channels by number, in constant time. A peer's numbers cost no memory: the index has twice as many
/// places as there may be channels, and however the numbers were chosen no more are looked at than there
/// are channels.
#[derive(Debug)]
pub(super) struct Table {
    index: Index,
    /// As many as were ever open at a time.
    slots: Vec<Option<Channel>>,
    free: Vec<Slot>,
    channels_max: usize,
}

impl Table {
    /// An empty table for so many.
    pub(super) fn new(channels_max: usize) -> Self {
        Self { index: Index::new(channels_max), slots: Vec::new(), free: Vec::new(), channels_max }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() == self.channels_max
    }

    #[inline]
    pub(super) fn find(&self, ch: u16) -> Option<Slot> {
        self.index.find(ch)
    }

    #[inline]
    pub(super) fn at(&mut self, slot: Slot) -> &mut Channel {
        self.slots[usize::from(slot)].as_mut().expect("a slot is used while its channel is open")
    }

    #[inline]
    pub(super) fn get(&self, ch: u16) -> Option<&Channel> {
        self.slots[usize::from(self.find(ch)?)].as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, ch: u16) -> Option<(Slot, &mut Channel)> {
        let slot = self.find(ch)?;
        Some((slot, self.at(slot)))
    }

    /// Puts a channel in whose number is not open.
    ///
    /// # Panics
    /// When the table is full.
    pub(super) fn insert(&mut self, channel: Channel) -> Slot {
        assert!(!self.is_full(), "there are as many channels as there may be");
        let ch = channel.id;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[usize::from(slot)] = Some(channel);
                slot
            }
            None => {
                self.slots.push(Some(channel));
                // Whatever is taken out fits without asking for memory.
                self.free.reserve(self.slots.len());
                self.slots.len() as Slot - 1
            }
        };
        self.index.insert(ch, slot);
        slot
    }

    /// Takes a channel out.
    pub(super) fn remove(&mut self, slot: Slot) -> Channel {
        let channel = self.slots[usize::from(slot)].take().expect("it is open");
        self.index.remove(channel.id);
        self.free.push(slot);
        channel
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.slots.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Channel)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(slot, channel)| Some((slot as Slot, channel.as_mut()?)))
    }
}

/// From numbers to slots: open addressing, where an entry is in the first free place from its own on.
#[derive(Debug)]
struct Index {
    entries: Box<[Entry]>,
    mask: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    ch: u16,
    slot: u16,
}

impl Index {
    fn new(channels_max: usize) -> Self {
        let places = (2 * channels_max).next_power_of_two().max(2);
        let entries = vec![Entry { ch: 0, slot: FREE }; places].into_boxed_slice();
        Self { entries, mask: places - 1 }
    }

    /// Numbers are given out one after the other, every second to each end.
    #[inline]
    fn home(&self, ch: u16) -> usize {
        usize::from(ch.rotate_right(1)) & self.mask
    }

    /// Where a number is, or would be put.
    #[inline]
    fn place(&self, ch: u16) -> usize {
        let mut place = self.home(ch);
        while self.entries[place].slot != FREE && self.entries[place].ch != ch {
            place = (place + 1) & self.mask;
        }
        place
    }

    #[inline]
    fn find(&self, ch: u16) -> Option<u16> {
        let slot = self.entries[self.place(ch)].slot;
        (slot != FREE).then_some(slot)
    }

    fn insert(&mut self, ch: u16, slot: u16) {
        let place = self.place(ch);
        debug_assert!(self.entries[place].slot == FREE, "channel {ch} is open");
        self.entries[place] = Entry { ch, slot };
    }

    /// Takes a number out, and moves those behind it up that would no longer be found.
    fn remove(&mut self, ch: u16) {
        let mut hole = self.place(ch);
        let mut place = hole;
        loop {
            self.entries[hole].slot = FREE;
            loop {
                place = (place + 1) & self.mask;
                let entry = self.entries[place];
                if entry.slot == FREE {
                    return;
                }
                let distance = |from: usize| place.wrapping_sub(from) & self.mask;
                if distance(self.home(entry.ch)) >= distance(hole) {
                    self.entries[hole] = entry;
                    hole = place;
                    break;
                }
            }
        }
    }
}

/// Slots that have something to say, visited in turn.
#[derive(Debug)]
pub(super) struct SlotSet {
    words: Box<[u64]>,
    /// Where the next look begins, so that nobody waits for ever.
    cursor: usize,
}

impl SlotSet {
    pub(super) fn new(channels_max: usize) -> Self {
        Self { words: vec![0; channels_max.div_ceil(64)].into_boxed_slice(), cursor: 0 }
    }

    #[inline]
    pub(super) fn insert(&mut self, slot: Slot) {
        self.words[usize::from(slot) / 64] |= 1 << (slot % 64);
    }

    #[inline]
    pub(super) fn remove(&mut self, slot: Slot) {
        self.words[usize::from(slot) / 64] &= !(1 << (slot % 64));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Takes one out: of the word that the look begins in the lowest, then of the others.
    pub(super) fn pop(&mut self) -> Option<Slot> {
        for _ in 0..self.words.len() {
            let word = &mut self.words[self.cursor];
            if *word != 0 {
                let bit = word.trailing_zeros() as usize;
                *word &= *word - 1;
                return Some((self.cursor * 64 + bit) as Slot);
            }
            self.cursor = (self.cursor + 1) % self.words.len();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_index_finds_what_a_map_finds(
            // Numbers that all want the same few places, among others.
            ops in prop::collection::vec((prop_oneof![0u16..40, (0u16..40).prop_map(|n| n << 10)], any::<bool>()), 0..300),
        ) {
            let (mut index, mut oracle) = (Index::new(16), HashMap::new());
            for (slot, (ch, add)) in ops.into_iter().enumerate() {
                if !add && oracle.remove(&ch).is_some() {
                    index.remove(ch);
                } else if add && oracle.len() < 16 && !oracle.contains_key(&ch) {
                    index.insert(ch, slot as u16);
                    oracle.insert(ch, slot as u16);
                }
                for ch in (0..40).chain((0..40).map(|n| n << 10)) {
                    prop_assert_eq!(index.find(ch), oracle.get(&ch).copied());
                }
            }
        }

        #[test]
        fn a_set_of_slots_gives_each_once(ops in prop::collection::vec((0u16..200, 0u8..3), 0..200)) {
            let (mut set, mut oracle) = (SlotSet::new(200), BTreeSet::new());
            for (slot, op) in ops {
                match op {
                    0 => { set.insert(slot); oracle.insert(slot); }
                    1 => { set.remove(slot); oracle.remove(&slot); }
                    _ => match set.pop() {
                        Some(slot) => prop_assert!(oracle.remove(&slot)),
                        None => prop_assert!(oracle.is_empty()),
                    },
                }
            }
            while let Some(slot) = set.pop() {
                prop_assert!(oracle.remove(&slot));
            }
            prop_assert!(oracle.is_empty());
        }
    }
}
