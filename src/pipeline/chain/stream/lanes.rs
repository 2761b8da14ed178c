//! What of the channels of a session waits in the chain: messages for credit, pieces for the rest, credit
//! for a backlog to go.

use std::sync::Arc;

use crate::limits::{CLASSES_MAX, STREAM_COMPRESS_NS_PER_BYTE_MAX};
use crate::mem::{Buf, BufList, BufStore, SlotCounts};
use crate::proto::stream::compress::Compressor;

/// Slots of each size that hold pieces of compressed messages, over all sessions of a chain: each has a token of
/// its size.
#[derive(Clone)]
pub(super) struct Assemblies(Arc<[Arc<()>; CLASSES_MAX]>);

impl Assemblies {
    /// None.
    pub fn new() -> Self {
        Self(Arc::new(std::array::from_fn(|_| Arc::new(()))))
    }

    /// How many.
    pub fn slots(&self) -> SlotCounts {
        std::array::from_fn(|class| Arc::strong_count(&self.0[class]) as u32 - 1)
    }

    /// Counts a slot from here on.
    pub fn begin(&self, buf: Buf) -> Assembly {
        let class = buf.size_class().unwrap_or_default();
        Assembly { buf, _token: self.0[class].clone() }
    }
}

/// Pieces of a compressed message.
pub(super) struct Assembly {
    pub buf: Buf,
    _token: Arc<()>,
}

/// One channel of which something is kept.
pub(super) struct Lane {
    channel: u16,
    /// Messages that wait, oldest first, of which so many bytes of the first are out.
    pub list: BufList,
    bufs: u32,
    pub sent: u32,
    /// Packets that were handed on, and that the peer has no credit for yet.
    owed: u32,
    /// Pieces of a compressed message, put together.
    pub assembly: Option<Assembly>,
    pub compressor: Compressor,
}

/// Those of a session, by channel.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    waiting: u32,
    owing: bool,
}

impl Lanes {
    /// Bufs that wait, over all channels.
    pub fn waiting(&self) -> u32 {
        self.waiting
    }

    /// Of a channel: bufs that wait, and packets that the peer gets credit for later.
    pub fn of_channel(&self, channel: u16) -> (u32, u32) {
        let index = self.lanes.binary_search_by_key(&channel, |lane| lane.channel);
        index.map_or((0, 0), |index| (self.lanes[index].bufs, self.lanes[index].owed))
    }

    /// The lane of a channel, if it has one.
    pub fn get_mut(&mut self, channel: u16) -> Option<&mut Lane> {
        let index = self.lanes.binary_search_by_key(&channel, |lane| lane.channel).ok()?;
        self.lanes.get_mut(index)
    }

    /// The same, made where there is none.
    pub fn of(&mut self, channel: u16) -> &mut Lane {
        let index = match self.lanes.binary_search_by_key(&channel, |lane| lane.channel) {
            Ok(index) => index,
            Err(index) => {
                self.lanes.insert(index, Lane::new(channel));
                index
            }
        };
        &mut self.lanes[index]
    }

    /// Whether messages of a channel wait.
    pub fn waits(&self, channel: u16) -> bool {
        self.waiting > 0
            && self
                .lanes
                .binary_search_by_key(&channel, |lane| lane.channel)
                .is_ok_and(|index| !self.lanes[index].list.is_empty())
    }

    /// Puts a message behind those that wait on its channel; gives it back when the store is full.
    pub fn push(&mut self, store: &mut BufStore, channel: u16, message: Buf) -> Result<(), Buf> {
        let lane = self.of(channel);
        store.push(&mut lane.list, message)?;
        lane.bufs += 1;
        self.waiting += 1;
        Ok(())
    }

    /// Puts back what was taken from the front; gives it back when the store is full.
    pub fn push_front(
        &mut self,
        store: &mut BufStore,
        channel: u16,
        message: Buf,
    ) -> Result<(), Buf> {
        let lane = self.of(channel);
        store.push_front(&mut lane.list, message)?;
        lane.bufs += 1;
        self.waiting += 1;
        Ok(())
    }

    /// Takes the oldest message that waits on a channel.
    pub fn pop(&mut self, store: &mut BufStore, channel: u16) -> Option<Buf> {
        let lane = self.get_mut(channel)?;
        let message = store.pop(&mut lane.list)?;
        lane.bufs -= 1;
        self.waiting -= 1;
        Some(message)
    }

    /// Whether compressed messages wait for their rest.
    pub fn assembles(&self) -> bool {
        self.lanes.iter().any(|lane| lane.assembly.is_some())
    }

    /// Notes packets that the peer gets credit for later.
    pub fn owe(&mut self, channel: u16, packets: u32) {
        let lane = self.of(channel);
        lane.owed = lane.owed.saturating_add(packets);
        self.owing = true;
    }

    /// Gives the credit that is owed on channels of which fewer than `high` bufs wait.
    pub fn pay(&mut self, high: u32, mut give: impl FnMut(u16, u32)) {
        if !std::mem::take(&mut self.owing) {
            return;
        }
        for lane in &mut self.lanes {
            if lane.owed > 0 && lane.bufs >= high {
                self.owing = true;
            } else if lane.owed > 0 {
                give(lane.channel, std::mem::take(&mut lane.owed));
            }
        }
    }

    /// A channel that something waits on, at or above `from`.
    pub fn next_waiting(&self, from: u16) -> Option<u16> {
        let first = self.lanes.partition_point(|lane| lane.channel < from);
        self.lanes[first..].iter().find(|lane| !lane.list.is_empty()).map(|lane| lane.channel)
    }

    /// Forgets a channel; each message that waits on it goes to `drop`.
    pub fn end(&mut self, store: &mut BufStore, channel: u16, drop: impl FnMut(Buf)) {
        if let Ok(index) = self.lanes.binary_search_by_key(&channel, |lane| lane.channel) {
            let mut lane = self.lanes.remove(index);
            self.waiting -= empty(store, &mut lane.list, drop);
        }
    }

    /// Forgets all channels.
    pub fn clear(&mut self, store: &mut BufStore, mut drop: impl FnMut(Buf)) {
        for mut lane in self.lanes.drain(..) {
            empty(store, &mut lane.list, &mut drop);
        }
        self.waiting = 0;
    }
}

fn empty(store: &mut BufStore, list: &mut BufList, mut drop: impl FnMut(Buf)) -> u32 {
    let mut dropped = 0;
    while let Some(buf) = store.pop(list) {
        drop(buf);
        dropped += 1;
    }
    dropped
}

impl Lane {
    fn new(channel: u16) -> Self {
        Self {
            channel,
            list: BufList::EMPTY,
            bufs: 0,
            sent: 0,
            owed: 0,
            assembly: None,
            compressor: Compressor::new(STREAM_COMPRESS_NS_PER_BYTE_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::ConnId;

    fn tagged(n: u32) -> Buf {
        Buf::marker(ConnId::new(0, n, 0), 0)
    }

    #[test]
    fn messages_of_each_channel_wait_in_order_and_all_are_counted() {
        let (mut lanes, mut store) = (Lanes::default(), BufStore::new(4));
        for (n, channel) in [7, 2, 7, 2].into_iter().enumerate() {
            lanes.push(&mut store, channel, tagged(n as u32)).unwrap();
        }
        assert!(lanes.push(&mut store, 9, tagged(4)).is_err(), "the store is full");
        assert_eq!(
            (lanes.waiting(), lanes.next_waiting(0), lanes.next_waiting(3)),
            (4, Some(2), Some(7))
        );
        let first = lanes.pop(&mut store, 7).unwrap();
        assert_eq!(first.conn().slot(), 0);
        lanes.push_front(&mut store, 7, first).unwrap();
        let slots: Vec<_> =
            std::iter::from_fn(|| lanes.pop(&mut store, 7)).map(|b| b.conn().slot()).collect();
        assert_eq!(slots, [0, 2]);
        assert_eq!((lanes.of_channel(7), lanes.of_channel(2)), ((0, 0), (2, 0)));
        assert!(lanes.waits(2) && !lanes.waits(7));
        let mut dropped = 0;
        lanes.end(&mut store, 2, |_| dropped += 1);
        assert_eq!((dropped, lanes.waiting()), (2, 0));
    }

    #[test]
    fn credit_that_is_owed_is_given_once() {
        let mut lanes = Lanes::default();
        for channel in [3, 3, 1] {
            lanes.owe(channel, 1);
        }
        assert_eq!(lanes.of_channel(3), (0, 2));
        let mut given = Vec::new();
        lanes.pay(1, |channel, packets| given.push((channel, packets)));
        lanes.pay(1, |channel, packets| given.push((channel, packets)));
        assert_eq!(given, [(1, 1), (3, 2)]);
    }
}
