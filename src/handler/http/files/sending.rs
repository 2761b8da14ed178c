//! A file on its way to one peer: what of it is read, and what waits to be sent.

use std::collections::VecDeque;
use std::fs::File;
use std::io::IoSliceMut;
use std::sync::Arc;

use super::look::{SMALL, alloc_room};
use super::{FileState, PART_HEAD_BYTES_MAX, Site};
use crate::handler::http::Pull;
use crate::limits::{FILES_READ_BYTES, FILES_READ_SLOTS};
use crate::mem::{Buf, ConnId, Mempool};
use crate::offload::{CancelToken, Order, Task};
use crate::pipeline::Cx;
use crate::proto::files::{ByteRanges, encode_part_end, encode_part_head};
use crate::sys::beneath::read_vectored_at;

/// The ranges of a file that a peer gets.
pub(super) struct Sending {
    site: Arc<Site>,
    file: Arc<File>,
    state: FileState,
    ranges: ByteRanges,
    next: Next,
    /// Bufs to be sent, in order: at most what one reading gives, and the head of a part.
    ready: VecDeque<Buf>,
    reading: Option<Task<Read>>,
}

/// What comes behind what is ready and being read.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// The head of this range, one of several.
    Head(usize),
    /// This range, from there on.
    Content(usize, u64),
    /// What stands behind the last of several.
    End,
    Done,
}

/// What came of reading.
struct Read {
    bufs: Vec<Buf>,
    /// The file has no more, though it had when it was opened, or cannot be read.
    is_cut: bool,
}

impl Sending {
    /// `first` is what the file begins with.
    pub fn new(
        site: Arc<Site>,
        file: File,
        state: FileState,
        ranges: ByteRanges,
        first: Option<Buf>,
    ) -> Self {
        let whole = ranges.as_slice();
        let next = match whole {
            [range] => Next::Content(0, range.first),
            _ => Next::Head(0),
        };
        let (file, ready, reading) = (Arc::new(file), VecDeque::new(), None);
        let mut sending = Self { site, file, state, ranges, next, ready, reading };
        if let (Next::Content(index, 0), Some(mut first)) = (next, first) {
            first.truncate(ranges.as_slice()[index].bytes().min(first.len() as u64) as usize);
            sending.content_came(vec![first]);
        }
        sending
    }

    /// What is sent next. `End` before all was given: the file has less by now.
    pub fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        loop {
            if let Some(part) = self.ready.pop_front() {
                self.read_ahead(cx, conn);
                return Pull::Part(part);
            }
            if let Some(reading) = &mut self.reading {
                let Some(read) = reading.poll() else { return Pull::Wait };
                self.reading = None;
                match read {
                    Ok(Read { bufs, is_cut: false }) if bufs.is_empty() => return Pull::Busy,
                    Ok(Read { bufs, is_cut }) => {
                        self.content_came(bufs);
                        if is_cut {
                            self.next = Next::Done;
                        }
                        continue;
                    }
                    Err(_) => return Pull::End,
                }
            }
            if matches!(self.next, Next::Done) {
                return Pull::End;
            }
            if !self.get_on(cx, conn) {
                return Pull::Busy;
            }
        }
    }

    /// Sees to it that something is read while what is ready is sent.
    pub fn read_ahead(&mut self, cx: &mut Cx, conn: ConnId) {
        let ready: usize = self.ready.iter().map(|buf| buf.len()).sum();
        if self.reading.is_none() && ready < FILES_READ_BYTES {
            self.get_on(cx, conn);
        }
    }

    /// The next bytes of the range are here.
    fn content_came(&mut self, bufs: Vec<Buf>) {
        let Next::Content(index, at) = self.next else { return };
        let at = at + bufs.iter().map(|buf| buf.len() as u64).sum::<u64>();
        self.ready.extend(bufs.into_iter().filter(|buf| !buf.is_empty()));
        let ranges = self.ranges.as_slice();
        self.next = match () {
            () if at <= ranges[index].last => Next::Content(index, at),
            () if ranges.len() == 1 => Next::Done,
            () if index + 1 < ranges.len() => Next::Head(index + 1),
            () => Next::End,
        };
    }

    /// Does the next step; `false` when there is no room for it.
    fn get_on(&mut self, cx: &mut Cx, conn: ConnId) -> bool {
        match self.next {
            Next::Content(index, at) => self.read(cx, conn, index, at),
            Next::Head(index) => {
                let range = self.ranges.as_slice()[index];
                let (site, state) = (&self.site, &self.state);
                let head = frame(cx, conn, |room| {
                    encode_part_head(room, &site.boundary, state.media_type, &range, state.size)
                });
                let next = Next::Content(index, range.first);
                head.is_some_and(|head| self.frame_came(head, next))
            }
            Next::End => {
                let boundary = &self.site.boundary;
                let end = frame(cx, conn, |room| encode_part_end(room, boundary));
                end.is_some_and(|end| self.frame_came(end, Next::Done))
            }
            Next::Done => false,
        }
    }

    fn frame_came(&mut self, frame: Buf, next: Next) -> bool {
        self.ready.push_back(frame);
        self.next = next;
        true
    }

    fn read(&mut self, cx: &mut Cx, conn: ConnId, index: usize, at: u64) -> bool {
        let (file, pool) = (Arc::clone(&self.file), cx.pool.clone());
        let bytes = self.ranges.as_slice()[index].last + 1 - at;
        let work = move |cancel: &CancelToken| read(&file, &pool, at, bytes, cancel);
        self.reading = cx.offload.spawn(conn, Order::Any, work).ok();
        self.reading.is_some()
    }
}

/// What stands around ranges, in a slot of its own.
fn frame(cx: &Cx, conn: ConnId, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<Buf> {
    let mut frame = cx.alloc(PART_HEAD_BYTES_MAX, conn)?;
    frame.fill(write)?;
    Some(frame)
}

/// Reads up to `bytes` from `at` on, as much as is read at a time and finds slots. No slot and not cut: again later.
fn read(file: &File, pool: &Mempool, at: u64, bytes: u64, cancel: &CancelToken) -> Read {
    let wanted = bytes.min(FILES_READ_BYTES as u64) as usize;
    let mut bufs = alloc_rooms(pool, wanted);
    let mut left = wanted;
    let rooms = bufs.iter_mut().filter_map(|buf| {
        let room = buf.spare_mut()?;
        let most = room.len().min(left);
        left -= most;
        Some(IoSliceMut::new(&mut room[..most]))
    });
    let mut rooms: Vec<IoSliceMut<'_>> = rooms.collect();
    if rooms.is_empty() || cancel.is_cancelled() {
        return Read { bufs: Vec::new(), is_cut: false };
    }
    let got = read_vectored_at(file, &mut rooms, at);
    let lens: Vec<usize> = rooms.iter().map(|room| room.len()).collect();
    let mut got = got.unwrap_or(0);
    let is_cut = got == 0;
    for (buf, most) in bufs.iter_mut().zip(lens) {
        buf.grow(most.min(got));
        got -= most.min(got);
    }
    // Where fewer came than there was room for, the next reading tells whether that is the end.
    Read { bufs, is_cut }
}

/// Slots for up to `bytes`: large ones, or as much in small ones; one alone while the pool is short of those, too.
fn alloc_rooms(pool: &Mempool, bytes: usize) -> Vec<Buf> {
    let most = if pool.is_short(SMALL) { 1 } else { FILES_READ_SLOTS };
    let (mut bufs, mut room) = (Vec::new(), 0);
    while room < bytes && bufs.len() < most {
        let Some(buf) = alloc_room(pool, bytes - room) else { break };
        room += buf.tailroom();
        bufs.push(buf);
    }
    bufs
}
