//! Many short queues of bufs in one fixed store: what waits for each connection.

use super::{Buf, ConnId, SlotCounts};
use crate::limits::CLASSES_MAX;

const NIL: u32 = u32::MAX;

/// A store of bufs in linked lists. Its size is the bound on all of them together.
pub struct BufStore {
    nodes: Box<[Node]>,
    free: u32,
    held: u32,
    /// Slots that its bufs lie in. Those of one slot that stand side by side in a queue count once.
    slots: SlotCounts,
}

struct Node {
    buf: Buf,
    next: u32,
}

/// One queue in a [`BufStore`]. It owns its bufs only together with the store.
#[derive(Debug, Clone, Copy)]
pub struct BufList {
    head: u32,
    tail: u32,
}

impl BufList {
    /// An empty queue.
    pub const EMPTY: Self = Self { head: NIL, tail: NIL };

    /// Whether nothing waits in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == NIL
    }
}

fn nothing() -> Buf {
    Buf::marker(ConnId::NONE, 0)
}

impl BufStore {
    /// Room for `capacity` bufs.
    pub fn new(capacity: usize) -> Self {
        let last = capacity as u32 - 1;
        let next = |index| if index == last { NIL } else { index + 1 };
        let nodes = (0..=last).map(|index| Node { buf: nothing(), next: next(index) }).collect();
        Self { nodes, free: 0, held: 0, slots: [0; CLASSES_MAX] }
    }

    /// How many slots of each size its bufs hold: of one slot that bufs of several queues share, as
    /// many as there are queues.
    #[inline]
    pub fn slots(&self) -> &SlotCounts {
        &self.slots
    }

    /// Whether nothing is in any of its queues.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Bufs that it has room for.
    #[inline]
    pub fn room(&self) -> usize {
        self.nodes.len() - self.held as usize
    }

    /// Whether more than half of that is taken.
    #[inline]
    pub fn is_more_than_half_full(&self) -> bool {
        self.held as usize > self.nodes.len() / 2
    }

    /// Appends to a queue; gives the buf back when the store is full.
    #[inline]
    pub fn push(&mut self, list: &mut BufList, buf: Buf) -> Result<(), Buf> {
        let index = self.free;
        let Some(node) = self.nodes.get_mut(index as usize) else { return Err(buf) };
        self.free = node.next;
        self.held += 1;
        *node = Node { buf, next: NIL };
        match list.tail {
            NIL => list.head = index,
            tail => self.nodes[tail as usize].next = index,
        }
        if let Some(class) = self.own_class(index, list.tail) {
            self.slots[class] += 1;
        }
        list.tail = index;
        Ok(())
    }

    /// Puts back what was the oldest of a queue; gives the buf back when the store is full.
    pub fn push_front(&mut self, list: &mut BufList, buf: Buf) -> Result<(), Buf> {
        let index = self.free;
        let Some(node) = self.nodes.get_mut(index as usize) else { return Err(buf) };
        self.free = node.next;
        self.held += 1;
        *node = Node { buf, next: list.head };
        if let Some(class) = self.own_class(index, list.head) {
            self.slots[class] += 1;
        }
        list.head = index;
        if list.tail == NIL {
            list.tail = index;
        }
        Ok(())
    }

    /// Takes the oldest of a queue.
    #[inline]
    pub fn pop(&mut self, list: &mut BufList) -> Option<Buf> {
        let index = list.head;
        let next = self.nodes.get(index as usize)?.next;
        if let Some(class) = self.own_class(index, next) {
            self.slots[class] -= 1;
        }
        let node = self.nodes.get_mut(index as usize)?;
        let buf = std::mem::replace(&mut node.buf, nothing());
        list.head = node.next;
        if list.head == NIL {
            list.tail = NIL;
        }
        node.next = self.free;
        self.free = index;
        self.held -= 1;
        Some(buf)
    }

    /// The class of the slot that a buf brings, or takes along: none where its neighbour lies in it too.
    #[inline]
    fn own_class(&self, index: u32, neighbour: u32) -> Option<usize> {
        let buf = &self.nodes[index as usize].buf;
        let class = buf.size_class()?;
        let shared =
            self.nodes.get(neighbour as usize).is_some_and(|node| node.buf.is_in_slot_of(buf));
        (!shared).then_some(class)
    }

    /// The oldest of a queue.
    #[inline]
    pub fn front(&self, list: &BufList) -> Option<&Buf> {
        self.nodes.get(list.head as usize).map(|node| &node.buf)
    }

    /// The oldest of a queue, to change.
    #[inline]
    pub fn front_mut(&mut self, list: &BufList) -> Option<&mut Buf> {
        self.nodes.get_mut(list.head as usize).map(|node| &mut node.buf)
    }

    /// The bufs of a queue, oldest first.
    #[inline]
    pub fn iter(&self, list: &BufList) -> impl Iterator<Item = &Buf> + Clone {
        let mut index = list.head;
        std::iter::from_fn(move || {
            let node = self.nodes.get(index as usize)?;
            index = node.next;
            Some(&node.buf)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn tagged(n: u32) -> Buf {
        Buf::marker(ConnId::new(0, n, 0), 0)
    }

    #[test]
    fn a_full_store_gives_the_buf_back_and_takes_one_again_after_a_pop() {
        let mut store = BufStore::new(2);
        let mut list = BufList::EMPTY;
        store.push(&mut list, tagged(1)).unwrap();
        store.push(&mut list, tagged(2)).unwrap();
        assert_eq!(store.push(&mut list, tagged(3)).unwrap_err().conn().slot(), 3);
        assert_eq!(store.pop(&mut list).unwrap().conn().slot(), 1);
        store.push(&mut list, tagged(3)).unwrap();
    }

    proptest! {
        #[test]
        fn lists_in_one_store_do_what_deques_do(ops in prop::collection::vec(0u8..10, 1..500)) {
            let mut store = BufStore::new(16);
            let mut lists = [BufList::EMPTY; 4];
            let mut oracle: [VecDeque<u32>; 4] = Default::default();
            for (n, op) in ops.into_iter().enumerate() {
                let which = usize::from(op % 4);
                let fits = oracle.iter().map(VecDeque::len).sum::<usize>() < 16;
                if op < 4 {
                    let pushed = store.push(&mut lists[which], tagged(n as u32));
                    prop_assert_eq!(pushed.is_ok(), fits);
                    if fits { oracle[which].push_back(n as u32) }
                } else if op >= 8 {
                    let pushed = store.push_front(&mut lists[which], tagged(n as u32));
                    prop_assert_eq!(pushed.is_ok(), fits);
                    if fits { oracle[which].push_front(n as u32) }
                } else {
                    let popped = store.pop(&mut lists[which]).map(|buf| buf.conn().slot());
                    prop_assert_eq!(popped, oracle[which].pop_front());
                }
                let listed: Vec<u32> = store.iter(&lists[which]).map(|b| b.conn().slot()).collect();
                prop_assert_eq!(&listed, oracle[which].make_contiguous());
                prop_assert_eq!(lists[which].is_empty(), listed.is_empty());
                prop_assert_eq!(store.is_empty(), oracle.iter().all(VecDeque::is_empty));
            }
        }
    }
}
