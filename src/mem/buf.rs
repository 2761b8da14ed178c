//! The owned handle of a byte range in a mempool slot. How slots are found and kept is
//! `mempool`'s business; what the bytes mean, the stages'.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

use super::conn_id::ConnId;
use super::mempool::Class;
use super::message_id::MessageId;
use super::span::Span;

/// What a buf is to the stage that meets it: one byte beside the bytes.
///
/// `OPEN`, `EOF`, `CLOSED` and `FLUSHED` come up from a transport, in order with the data; the others
/// below [`PROTOCOL`](kind::PROTOCOL) go down to it, likewise in order. The rest is a protocol's to use
/// between its own stages.
pub mod kind {
    /// Bytes of the connection.
    pub const DATA: u8 = 0;
    /// A connection began. No bytes.
    pub const OPEN: u8 = 1;
    /// The peer will send no more. No bytes.
    pub const EOF: u8 = 2;
    /// The connection is gone; nothing follows for it. No bytes.
    pub const CLOSED: u8 = 3;
    /// Close the connection once what was sent before is out. No bytes. With the meta [`LINGER`] the
    /// peer is given time to read it, although it may still be sending.
    pub const CLOSE: u8 = 4;
    /// Close the connection at once and drop what was not sent. No bytes.
    pub const ABORT: u8 = 5;
    /// Tell the author of a write from another thread that what was sent before is out. No bytes;
    /// the meta is the lcore's ticket.
    pub(crate) const NOTIFY: u8 = 6;
    /// Say [`FLUSHED`] once what was sent before on the connection is out. No bytes.
    pub const FLUSH: u8 = 7;
    /// All before a [`FLUSH`] was handed to the system. No bytes, and the meta of the `FLUSH`. One
    /// for each, unless the connection ends first: then `CLOSED` comes, and none after it.
    pub const FLUSHED: u8 = 8;
    /// Receive nothing more from the connection until [`RESUME`]; what was received still comes.
    /// Until then its `EOF` or `CLOSED` may be late. No bytes, nor harm in a second one. A handler passes on what
    /// its chain says of it, and of [`RESUME`].
    pub const PAUSE: u8 = 9;
    /// Receive again. No bytes.
    pub const RESUME: u8 = 10;
    /// Another thread has woken the connection: what its handler waits for may be there. No bytes.
    pub const WAKE: u8 = 11;
    /// Meta of a `CLOSE` that waits, a little, for the peer to close first.
    pub const LINGER: u32 = 1;
    /// The first kind that a protocol may use between its stages.
    pub const PROTOCOL: u8 = 16;
}

/// An owned range of bytes in a mempool slot, with the connection it belongs to.
///
/// Ranges of one slot share it by reference count; the slot goes back to its pool with the last of
/// them. Bytes can be changed only through the sole owner of a slot. Dropping a buf never blocks.
pub struct Buf {
    /// `None`: a marker, which has no slot and no bytes.
    class: Option<NonNull<Class>>,
    conn: ConnId,
    span: Span,
    message: MessageId,
    /// Low 8 bits: kind; high 24 bits: meta.
    tag: u32,
}

const _: () = assert!(size_of::<Buf>() == 32, "two bufs a cache line");

// SAFETY: a buf is the only way to its share of the slot; the count that the shares have in common
// is atomic, and bytes are written only by the owner of the last share.
unsafe impl Send for Buf {}
// SAFETY: through a shared reference a buf gives out only `&[u8]` and takes more shares, atomically.
unsafe impl Sync for Buf {}

impl Buf {
    /// The owner of one share of `slot`, which the caller gives up, and of `len` bytes from `start` on,
    /// which lie in it.
    #[inline]
    pub(super) fn from_slot(class: &Class, slot: u32, start: usize, len: usize) -> Self {
        let (conn, message) = (ConnId::NONE, MessageId::NONE);
        let span = Span::new(slot, class.slot_shift(), start, len);
        Self { class: Some(NonNull::from(class)), conn, span, message, tag: 0 }
    }

    /// A buf without a slot that says something about `conn`.
    #[inline]
    pub fn marker(conn: ConnId, kind: u8) -> Self {
        let (message, tag) = (MessageId::NONE, u32::from(kind));
        Self { class: None, conn, span: Span::NONE, message, tag }
    }

    #[inline]
    fn class(&self) -> Option<&Class> {
        // SAFETY: a class stays in place for as long as one of its slots is out (`Mempool`'s drop).
        self.class.map(|class| unsafe { class.as_ref() })
    }

    /// A marker of kind `CLOSE` that lingers.
    pub fn linger(conn: ConnId) -> Self {
        let mut marker = Self::marker(conn, kind::CLOSE);
        marker.set_kind(kind::CLOSE, kind::LINGER);
        marker
    }

    /// The connection that the bytes came from or go to.
    #[inline]
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Says which connection the bytes belong to.
    #[inline]
    pub fn set_conn(&mut self, conn: ConnId) {
        self.conn = conn;
    }

    /// The message that the bytes are of, or [`MessageId::NONE`].
    #[inline]
    pub fn message(&self) -> MessageId {
        self.message
    }

    /// Says which message the bytes are of; sub-bufs made from here on say so too.
    #[inline]
    pub fn set_message(&mut self, message: MessageId) {
        self.message = message;
    }

    /// What this buf is: see [`kind`].
    #[inline]
    pub fn kind(&self) -> u8 {
        self.tag as u8
    }

    /// A value of 24 bits that belongs to the protocol between its own stages.
    #[inline]
    pub fn meta(&self) -> u32 {
        self.tag >> 8
    }

    /// Sets [`kind`](Self::kind) and [`meta`](Self::meta) (its low 24 bits).
    #[inline]
    pub fn set_kind(&mut self, kind: u8, meta: u32) {
        self.tag = meta << 8 | u32::from(kind);
    }

    /// Bytes in range.
    #[inline]
    pub fn len(&self) -> usize {
        self.span.len()
    }

    /// Whether the range is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the whole slot holds; 0 for a marker.
    pub fn capacity(&self) -> usize {
        self.class().map_or(0, Class::slot_bytes)
    }

    /// Bytes of the slot behind the range.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.class().map_or(0, |class| {
            class.slot_bytes() - self.span.offset(class.slot_bytes()) - self.len()
        })
    }

    /// The NUMA node that the slot's pool was placed on.
    pub fn numa_node(&self) -> Option<u32> {
        self.class().and_then(Class::numa_node)
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        let Some(class) = self.class() else { return &[] };
        // SAFETY: the range lies in our slot, whose memory is always initialised, and nobody writes
        // to it while a share like ours is out.
        unsafe { std::slice::from_raw_parts(class.at(self.span), self.len()) }
    }

    /// Where the bytes lie, for the kernel to read.
    pub(super) fn as_ptr(&self) -> *const u8 {
        self.bytes().as_ptr()
    }

    /// Whether no other buf shares the slot.
    #[inline]
    pub fn is_unique(&self) -> bool {
        self.class()
            .is_some_and(|class| class.table().is_unique(self.span.slot(class.slot_shift())))
    }

    /// The bytes, to change in place. `None` while another buf shares the slot.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if !self.is_unique() {
            return None;
        }
        let class = self.class()?;
        // SAFETY: as in `bytes`; nobody else has a share, and `self` is borrowed exclusively.
        Some(unsafe { std::slice::from_raw_parts_mut(class.at(self.span), self.len()) })
    }

    /// The free bytes behind the range, to fill before [`grow`](Self::grow). `None` while another
    /// buf shares the slot.
    #[inline]
    pub fn spare_mut(&mut self) -> Option<&mut [u8]> {
        if !self.is_unique() {
            return None;
        }
        let tailroom = self.tailroom();
        let class = self.class()?;
        // SAFETY: the bytes from the end of the range to the end of the slot lie in our slot, which
        // nobody else has a share of.
        let pointer = unsafe { class.at(self.span).add(self.len()) };
        // SAFETY: as above; slots are always initialised, and `self` is borrowed exclusively.
        Some(unsafe { std::slice::from_raw_parts_mut(pointer, tailroom) })
    }

    /// Takes `bytes` of the spare room into the range.
    ///
    /// # Panics
    /// When there are fewer than that behind the range.
    #[inline]
    pub fn grow(&mut self, bytes: usize) {
        assert!(bytes <= self.tailroom(), "a buf cannot grow past its slot");
        self.span.grow(bytes);
    }

    /// Lets `write` fill the spare room from its start, and takes as many bytes as it says into the
    /// range. `None`, and no bytes taken: the slot is shared, or `write` gave up.
    ///
    /// # Panics
    /// When it says more than it was given.
    #[inline]
    pub fn fill(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<usize> {
        let room = self.spare_mut()?;
        let most = room.len();
        let written = write(room)?;
        assert!(written <= most, "more than there is room");
        self.span.grow(written);
        Some(written)
    }

    /// Copies `bytes` behind the range; `false`, and nothing done, when they do not fit or the slot
    /// is shared.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.spare_mut().and_then(|spare| spare.get_mut(..bytes.len())) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.grow(bytes.len());
        true
    }

    /// Drops `bytes` from the front of the range. One that becomes empty stays where it was, so that its
    /// sole owner may fill it anew.
    ///
    /// # Panics
    /// When the range has fewer.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.len(), "advance past the end of a buf");
        self.span.advance(bytes);
    }

    /// Bytes of the slot before the range.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.offset()
    }

    /// Takes `bytes` before the range in: what lies there is to be written over.
    ///
    /// # Panics
    /// When there are fewer than that before the range.
    #[inline]
    pub fn retreat(&mut self, bytes: usize) {
        assert!(bytes <= self.headroom(), "a buf cannot begin before its slot");
        self.span.retreat(bytes);
    }

    /// Shortens the range to its first `bytes`; longer is no change.
    #[inline]
    pub fn truncate(&mut self, bytes: usize) {
        self.span.truncate(bytes);
    }

    /// A second owner of the bytes from `start` to `end` (counted in this range), of the same slot,
    /// connection, message, kind and meta. No bytes move.
    ///
    /// # Panics
    /// When `start..end` is not within the range.
    #[inline]
    pub fn slice(&self, start: usize, end: usize) -> Self {
        assert!(start <= end && end <= self.len(), "a slice outside its buf");
        if let Some(class) = self.class() {
            class.table().share(self.span.slot(class.slot_shift()));
        }
        Self {
            class: self.class,
            conn: self.conn,
            span: self.span.part(start, end),
            message: self.message,
            tag: self.tag,
        }
    }

    /// Splits the first `bytes` off as a buf of their own; this one keeps the rest.
    ///
    /// # Panics
    /// When the range has fewer.
    #[inline]
    pub fn split_to(&mut self, bytes: usize) -> Self {
        let front = self.slice(0, bytes);
        self.advance(bytes);
        front
    }

    /// Where the slot's class stands among its pool's, smallest slots first; `None` for a marker.
    #[inline]
    pub fn size_class(&self) -> Option<usize> {
        self.class().map(Class::index)
    }

    /// Whether both lie in one slot.
    #[inline]
    pub fn is_in_slot_of(&self, other: &Self) -> bool {
        self.class.is_some() && self.class == other.class && self.slot() == other.slot()
    }

    /// The class that the slot belongs to; `None` for a marker.
    #[inline]
    pub(super) fn owner(&self) -> Option<NonNull<Class>> {
        self.class
    }

    /// Where in the slot the range starts.
    #[inline]
    pub(super) fn offset(&self) -> usize {
        self.class().map_or(0, |class| self.span.offset(class.slot_bytes()))
    }

    /// Makes it a marker. Its share of the slot is the caller's, or lost.
    #[inline]
    pub(super) fn disown(&mut self) {
        (self.class, self.span) = (None, Span::NONE);
    }

    /// The slot's number in its class.
    #[inline]
    pub(super) fn slot(&self) -> u32 {
        self.class().map_or(0, |class| self.span.slot(class.slot_shift()))
    }

    /// Where it lies in its class; whoever knows the class needs no look at it for that.
    #[inline]
    pub(super) fn span(&self) -> Span {
        self.span
    }
}

impl Deref for Buf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Drop for Buf {
    #[inline]
    fn drop(&mut self) {
        if let Some(class) = self.class() {
            class.release(self.span.slot(class.slot_shift()));
        }
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buf")
            .field("conn", &self.conn)
            .field("message", &self.message)
            .field("kind", &self.kind())
            .field("meta", &self.meta())
            .field("bytes", &self.bytes().escape_ascii().to_string())
            .finish()
    }
}
