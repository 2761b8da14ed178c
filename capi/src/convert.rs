//! A message as C sees it, and how it becomes the library's again.

use std::ffi::c_int;

use dataplane::attach::Message;
use dataplane::mem::ConnId;

use crate::errors::RINGWAY_EINVAL;

/// What passes through a port: something about a connection, with bytes or without. It may be copied
/// as one likes; the slot under it is the program's once.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Msg {
    /// The connection; a program passes it back as it came.
    pub conn: u64,
    /// The first of the bytes; null where there are none. Received bytes may be read only.
    pub data: *mut u8,
    /// How many they are.
    pub len: u32,
    /// How many may be written from `data` on: 0, unless the message came from `ringway_alloc`.
    pub capacity: u32,
    /// Number of the request, to be repeated in what answers it; or of a connection that was asked for.
    pub request: u32,
    /// 24 bits that the kind explains.
    pub meta: u32,
    /// ringway's number of the slot; 0: there is none. Leave it as it is.
    pub handle: u64,
    /// What it is: `RINGWAY_DATA` and so on.
    pub kind: u8,
}

/// The number of a connection.
pub fn number_of(conn: ConnId) -> u64 {
    bytemuck::cast(conn)
}

/// The connection of a number: any is one, of which there may be nothing.
pub fn conn_of(number: u64) -> ConnId {
    bytemuck::cast(number)
}

impl Msg {
    /// A message that was received, under no handle yet.
    pub fn received(message: &Message) -> Self {
        let bytes = message.bytes();
        let data = if bytes.is_empty() { std::ptr::null_mut() } else { bytes.as_ptr().cast_mut() };
        Self { data, len: bytes.len() as u32, ..Self::marker(message) }
    }

    /// One that is to be written to, under no handle yet.
    pub fn allocated(message: &mut Message) -> Self {
        let room = message.spare_mut();
        let (data, capacity) = (room.as_mut_ptr(), room.len() as u32);
        Self { data, capacity, ..Self::marker(message) }
    }

    fn marker(message: &Message) -> Self {
        let &Message { conn, number: request, kind, meta, .. } = message;
        let (data, conn) = (std::ptr::null_mut(), number_of(conn));
        Self { conn, data, len: 0, capacity: 0, request, meta, handle: 0, kind }
    }

    /// Where the range begins among `room` bytes at `base`, if it lies there.
    fn start(&self, base: *const u8, room: usize) -> Option<usize> {
        if self.len == 0 {
            return Some(0);
        }
        let start = self.data.addr().checked_sub(base.addr())?;
        let end = start.checked_add(self.len as usize)?;
        (end <= room).then_some(start)
    }

    /// Writes what this says over `message`, whose slot it names: kind, connection, and range. Nothing is
    /// changed when the range is not right.
    pub fn apply(&self, message: &mut Message, empty: bool) -> Result<(), c_int> {
        let len = self.len as usize;
        let range = if empty { &*message.spare_mut() } else { message.bytes() };
        let start = self.start(range.as_ptr(), range.len()).ok_or(RINGWAY_EINVAL)?;
        if empty {
            message.grow(start + len);
        }
        message.advance(start);
        message.truncate(len);
        (message.conn, message.number) = (conn_of(self.conn), self.request);
        (message.kind, message.meta) = (self.kind, self.meta & 0x00ff_ffff);
        Ok(())
    }

    /// The library's message, of one that has no slot.
    pub fn to_marker(self) -> Result<Message, c_int> {
        if self.len > 0 {
            return Err(RINGWAY_EINVAL);
        }
        let mut message = Message::marker(conn_of(self.conn), self.kind);
        (message.number, message.meta) = (self.request, self.meta & 0x00ff_ffff);
        Ok(message)
    }
}
