//! Sending: queues by peer, and one system call for what many of them get. Datagrams of one size to one
//! peer go as a train.
//!
//! Nothing of a send is left when the call returns: the bufs are home before the next receive wants slots,
//! and no order is lost to operations that overtake each other.

use std::io;
use std::os::fd::AsFd;

use super::{Post, Udp, op};
use crate::counters::{Counter, Reason};
use crate::limits::{TRAIN_BYTES_MAX, TRAIN_DATAGRAMS_MAX};
use crate::mem::{Buf, kind};
use crate::transport::{Engine, Io, Notice, Token};

/// Bytes of the headers before a datagram's, over IPv4 and IPv6: what a length of 16 bits leaves.
const HEADERS_V4: usize = 20 + 8;
const HEADERS_V6: usize = 40 + 8;

/// A run of bufs at the front of a peer's queue that goes as one message.
struct Run {
    bufs: usize,
    bytes: usize,
    segment: usize,
}

impl<E: Engine> Udp<E> {
    /// Queues `buf`; gives it back when the store is full.
    #[inline]
    pub(super) fn queue(&mut self, io: &mut Io, place: usize, buf: Buf) -> Result<(), Buf> {
        let conn = &mut self.conns[place];
        let why = match (conn.close_wanted, conn.is_full() && !buf.is_empty()) {
            (true, _) => Some(Reason::AfterClose),
            // The system takes nothing, and this peer has had its share of what may wait.
            (_, true) => Some(Reason::SendRefused),
            _ => None,
        };
        if let Some(why) = why {
            io.counters.drop_one(why);
            settle(io, &buf, false);
            return Ok(());
        }
        let bytes = buf.len() as u64;
        self.tx.push(&mut conn.tx, buf)?;
        conn.tx_bytes += bytes;
        conn.tx_bufs += 1;
        self.soil(place);
        Ok(())
    }

    /// Has the next flush visit a peer.
    #[inline]
    pub(super) fn soil(&mut self, place: usize) {
        let conn = &mut self.conns[place];
        if !std::mem::replace(&mut conn.dirty, true) {
            self.dirty.push_back(place as u32);
        }
    }

    pub(super) fn send_all(&mut self, io: &mut Io) {
        while !self.blocked && self.settle_fronts(io) && !self.dirty.is_empty() {
            // The first has something to send.
            self.gather();
            self.post_all(io);
        }
    }

    /// Fills the outbox from the queues, up to the first marker of each.
    fn gather(&mut self) {
        self.outbox.clear();
        self.posts.clear();
        for at in 0..self.dirty.len() {
            let place = self.dirty[at];
            let has_room = match self.conns[place as usize].tx_bufs {
                // What most have, where there are many.
                1 => self.gather_one(place),
                _ => self.gather_runs(place),
            };
            if !has_room {
                return;
            }
        }
    }

    /// Adds the one buf that a queue has; whether there was room.
    #[inline]
    fn gather_one(&mut self, place: u32) -> bool {
        let front = self.tx.front(&self.conns[place as usize].tx).filter(|buf| !buf.is_empty());
        let (Some(buf), Some(ends)) = (front, self.places.ends(place as usize)) else {
            return true;
        };
        if !self.outbox.has_room() {
            return false;
        }
        self.outbox.push(&ends.remote, ends.local, None, std::iter::once(buf));
        self.posts.push(Post { place, bufs: 1, bytes: buf.len() as u32, segment: None });
        true
    }

    /// The same of a queue with any number of them.
    fn gather_runs(&mut self, place: u32) -> bool {
        let conn = &self.conns[place as usize];
        let Some(ends) = self.places.ends(place as usize) else { return true };
        let mut bufs = self.tx.iter(&conn.tx).take_while(|buf| !buf.is_empty()).peekable();
        let most = TRAIN_BYTES_MAX - if ends.remote.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 };
        let segment_max = if self.sends_trains { usize::from(conn.segment_max) } else { 0 };
        while bufs.peek().is_some() {
            if !self.outbox.has_room() {
                return false;
            }
            let rest = bufs.clone();
            let run = next_run(&mut bufs, segment_max, most);
            let segment = (run.bufs > 1).then_some(run.segment as u16);
            self.outbox.push(&ends.remote, ends.local, segment, rest.take(run.bufs));
            let (bufs, bytes) = (run.bufs as u32, run.bytes as u32);
            self.posts.push(Post { place, bufs, bytes, segment });
        }
        true
    }

    /// Hands the outbox to the system. What it does not take stays in its queue, or is dropped where it never
    /// will be taken.
    fn post_all(&mut self, io: &mut Io) {
        let mut next = 0;
        while next < self.posts.len() {
            match self.outbox.post(self.socket.as_fd(), next) {
                Ok(taken) => {
                    self.posted(io, next, taken);
                    next += taken;
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_room(io);
                    break;
                }
                // Gathered anew, and otherwise.
                Err(why) if self.takes_no_train(next, &why) => break,
                Err(why) => {
                    self.refused(io, next, &why);
                    next += 1;
                }
            }
        }
        self.outbox.clear();
    }

    /// `count` messages from `first` on are with the system.
    fn posted(&mut self, io: &mut Io, first: usize, count: usize) {
        let now_s = super::seconds(io.now);
        let (mut all_bufs, mut all_bytes) = (0, 0);
        for index in first..first + count {
            let Post { place, bufs, bytes, .. } = self.posts[index];
            (all_bufs, all_bytes) = (all_bufs + u64::from(bufs), all_bytes + u64::from(bytes));
            let conn = &mut self.conns[place as usize];
            (conn.heard_s, conn.answered) = (now_s, true);
            self.take_from_queue(place, bufs, bytes);
        }
        io.count(Counter::Sends, count as u64);
        io.count(Counter::TxBufs, all_bufs);
        io.count(Counter::TxBytes, all_bytes);
    }

    #[inline]
    fn take_from_queue(&mut self, place: u32, bufs: u32, bytes: u32) {
        let conn = &mut self.conns[place as usize];
        conn.tx_bufs -= bufs;
        conn.tx_bytes -= u64::from(bytes);
        (0..bufs).for_each(|_| drop(self.tx.pop(&mut conn.tx)));
    }

    /// The system does not take this: it is longer than its way allows, or there is no way, or no room.
    #[cold]
    fn refused(&mut self, io: &mut Io, index: usize, why: &io::Error) {
        let Post { place, bufs, bytes, .. } = self.posts[index];
        let reason = match why.raw_os_error() {
            Some(libc::EMSGSIZE) => Reason::DatagramTooLong,
            _ => Reason::SendRefused,
        };
        (0..bufs).for_each(|_| io.counters.drop_one(reason));
        tracing::debug!(%why, "datagrams were not sent");
        self.take_from_queue(place, bufs, bytes);
    }

    /// Whether this was a train and trains are what is wrong with it: such as these do not go to this peer, or
    /// none do, or none to anybody. What else is wrong shows when they go one by one.
    #[cold]
    fn takes_no_train(&mut self, index: usize, why: &io::Error) -> bool {
        let Post { place, segment: Some(segment), .. } = self.posts[index] else { return false };
        let segment_max = &mut self.conns[place as usize].segment_max;
        match why.raw_os_error() {
            // Longer than the way takes whole: singly they go in fragments.
            Some(libc::EMSGSIZE) => *segment_max = segment - 1,
            // The way has no checksums done for it, or something that knows no trains.
            Some(libc::EINVAL | libc::EIO) => *segment_max = 0,
            Some(libc::EOPNOTSUPP | libc::ENOPROTOOPT) => {
                tracing::warn!("datagrams are sent one by one: the system takes no trains ({why})");
                self.sends_trains = false;
            }
            _ => return false,
        }
        true
    }

    /// The socket takes no more: goes on once it does.
    #[cold]
    fn wait_for_room(&mut self, io: &mut Io) {
        self.blocked = true;
        let token = Token::new(op::ROOM, self.index, 0, self.id.generation()).user_data();
        E::of(io).poll_writable(self.socket.as_fd(), token);
    }

    pub(super) fn on_room(&mut self) {
        self.blocked = false;
    }

    /// Waits no more for room that nobody needs.
    pub(super) fn give_up_room(&self, io: &mut Io) {
        if self.blocked {
            let token = |op| Token::new(op, self.index, 0, self.id.generation()).user_data();
            E::of(io).cancel(token(op::ROOM), token(op::CANCEL));
        }
    }

    /// Answers the markers in front of the first dirty peers' queues, and lets go of peers that have nothing
    /// behind them, up to one that has. `false`: the rx queue has no room for an answer, so the next flush
    /// goes on.
    fn settle_fronts(&mut self, io: &mut Io) -> bool {
        while let Some(&first) = self.dirty.front() {
            let place = first as usize;
            if !self.settle_front(io, place) {
                return false;
            }
            let conn = &mut self.conns[place];
            if !conn.tx.is_empty() {
                break;
            }
            conn.dirty = false;
            self.dirty.pop_front();
            if conn.is_open && conn.close_wanted {
                self.forget(io, place);
            }
        }
        true
    }

    fn settle_front(&mut self, io: &mut Io, place: usize) -> bool {
        while let Some(front) = self.tx.front(&self.conns[place].tx)
            && front.is_empty()
        {
            if front.kind() == kind::FLUSH && self.rx.len() == self.rx.capacity() {
                return false;
            }
            let conn = &mut self.conns[place];
            let marker = self.tx.pop(&mut conn.tx).expect("it was just seen");
            conn.tx_bufs -= 1;
            self.answer(io, marker);
        }
        true
    }

    fn answer(&mut self, io: &mut Io, mut marker: Buf) {
        if marker.kind() == kind::FLUSH {
            marker.set_kind(kind::FLUSHED, marker.meta());
            self.rx.push_back(super::Arrival { buf: marker, segment: 0 });
        } else {
            io.notices.push(Notice { ticket: marker.meta(), sent: true });
        }
    }

    pub(super) fn drop_unsent(&mut self, io: &mut Io, place: usize) {
        while let Some(buf) = self.tx.pop(&mut self.conns[place].tx) {
            io.counters.drop_one(Reason::Unsent);
            settle(io, &buf, false);
        }
        let conn = &mut self.conns[place];
        (conn.tx_bytes, conn.tx_bufs) = (0, 0);
    }
}

/// Takes from `bufs` what goes as one message of at most `most` bytes: datagrams as long as the first, and one
/// shorter at the end, if the first is no longer than `segment_max`.
#[inline]
fn next_run<'a>(
    bufs: &mut std::iter::Peekable<impl Iterator<Item = &'a Buf>>,
    segment_max: usize,
    most: usize,
) -> Run {
    let segment = bufs.next().map_or(0, |first| first.len());
    let mut run = Run { bufs: 1, bytes: segment, segment };
    let mut last = segment;
    while segment <= segment_max
        && last == segment
        && run.bufs < TRAIN_DATAGRAMS_MAX
        && let Some(next) =
            bufs.next_if(|next| next.len() <= segment && run.bytes + next.len() <= most)
    {
        last = next.len();
        run.bytes += last;
        run.bufs += 1;
    }
    run
}

/// Tells the author of a write that waits to be told.
pub(super) fn settle(io: &mut Io, buf: &Buf, sent: bool) {
    if buf.kind() == kind::NOTIFY {
        io.notices.push(Notice { ticket: buf.meta(), sent });
    }
}
