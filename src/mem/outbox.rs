//! Datagrams from bufs to peers, gathered for one system call.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;

use super::buf::Buf;
use crate::limits::{DATAGRAM_SENDS_MAX, TRAIN_DATAGRAMS_MAX};
use crate::sys::datagram::{CONTROL_BYTES_MAX, NAME_BYTES_MAX, write_control, write_name};
use crate::sys::udp_socket::send_many;

/// Vectors of all messages together: datagrams that lie one behind the other in a slot share one.
const VECTORS: usize = 4 * TRAIN_DATAGRAMS_MAX;

/// What a message says beside its bytes, aligned as the kernel wants control data.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Words {
    control: [u8; CONTROL_BYTES_MAX],
    name: [u8; NAME_BYTES_MAX],
}

/// Messages that wait for [`post`](Self::post), each of one datagram or of several for one peer. Allocates when it
/// is made and never again.
pub struct Outbox {
    headers: Box<[libc::mmsghdr]>,
    words: Box<[Words]>,
    vectors: Box<[libc::iovec]>,
    messages: usize,
    vectors_used: usize,
}

// SAFETY: the pointers in it are only ever read by the kernel, in `post`, for messages made since the last
// `clear` by the thread that has it.
unsafe impl Send for Outbox {}

impl Outbox {
    /// Room for [`DATAGRAM_SENDS_MAX`] messages.
    pub fn new() -> Self {
        let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: all-zero is a valid mmsghdr: null pointers and zero lengths.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let words = Words { control: [0; CONTROL_BYTES_MAX], name: [0; NAME_BYTES_MAX] };
        Self {
            headers: vec![header; DATAGRAM_SENDS_MAX].into(),
            words: vec![words; DATAGRAM_SENDS_MAX].into(),
            vectors: vec![vector; VECTORS].into(),
            messages: 0,
            vectors_used: 0,
        }
    }

    /// Whether another message, of as many bufs as may be, has room.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.messages < self.headers.len()
            && self.vectors_used + TRAIN_DATAGRAMS_MAX <= self.vectors.len()
    }

    /// Adds a message of `bufs`, at most [`TRAIN_DATAGRAMS_MAX`], from `local` to `peer`; with `segment_bytes` it is
    /// several datagrams of so many bytes, and a last one of as many or fewer.
    ///
    /// The caller keeps the bufs until it is posted or cleared, or other bytes go out.
    ///
    /// # Panics
    /// When there is no room.
    #[inline]
    pub fn push<'a>(
        &mut self,
        peer: &SocketAddr,
        local: Option<IpAddr>,
        segment_bytes: Option<u16>,
        bufs: impl Iterator<Item = &'a Buf>,
    ) {
        assert!(self.has_room(), "the outbox has room for another message");
        let first = self.vectors_used;
        for buf in bufs.take(TRAIN_DATAGRAMS_MAX) {
            let start = buf.as_ptr().cast_mut();
            if let Some(last) = self.vectors[first..self.vectors_used].last_mut()
                && last.iov_base.wrapping_byte_add(last.iov_len) == start.cast()
            {
                last.iov_len += buf.len();
                continue;
            }
            let vector = &mut self.vectors[self.vectors_used];
            (vector.iov_base, vector.iov_len) = (start.cast(), buf.len());
            self.vectors_used += 1;
        }
        let words = &mut self.words[self.messages];
        let header = &mut self.headers[self.messages].msg_hdr;
        header.msg_namelen = write_name(peer, &mut words.name) as libc::socklen_t;
        header.msg_name = words.name.as_mut_ptr().cast();
        header.msg_controllen = write_control(local, segment_bytes, &mut words.control) as _;
        header.msg_control = words.control.as_mut_ptr().cast();
        header.msg_iov = self.vectors[first..].as_mut_ptr();
        header.msg_iovlen = self.vectors_used - first;
        self.messages += 1;
    }

    /// Sends the messages from `first` on without waiting; how many the kernel took. An error is about the first
    /// of them.
    pub fn post(&mut self, socket: BorrowedFd<'_>, first: usize) -> io::Result<usize> {
        let headers = &mut self.headers[first..self.messages];
        // SAFETY: names, control data and vectors are this outbox's, and stay; the bytes lie in pools, which
        // stay mapped while bufs of theirs are out.
        unsafe { send_many(socket, headers) }
    }

    /// Messages in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.messages
    }

    /// Whether nothing is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Forgets them all.
    #[inline]
    pub fn clear(&mut self) {
        (self.messages, self.vectors_used) = (0, 0);
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}
