//! The header fields of a response beside those that ringway writes itself. Most responses have none; those of others
//! lie in memory that the thread uses again, so that no response allocates once a thread is warm.

use std::cell::RefCell;
use std::fmt;

use crate::limits::{HTTP_SPARE_FIELDS, HTTP_SPARE_FIELDS_BYTES_MAX};
use crate::mem::Buf;
use crate::proto::http1::field_lines;

/// Names and values that are known beforehand.
pub(super) type Fixed = &'static [(&'static str, &'static [u8])];

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare(Vec::new())) };
}

/// What responses of a thread have left, empty.
#[expect(clippy::vec_box, reason = "a block is handed over as it is")]
#[derive(Default)]
struct Spare(Vec<Box<Block>>);

/// Fields of a response: a word, since responses are moved.
pub(super) struct Fields(Option<Box<Block>>);

#[derive(Default)]
struct Block {
    fixed: Fixed,
    /// Whole lines that are known to be legal.
    lines: Vec<u8>,
    /// The same in a slot. Then there are no others.
    in_slot: Option<Buf>,
}

impl Fields {
    pub const NONE: Self = Self(None);

    #[inline(always)]
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    pub fn fixed(&self) -> Fixed {
        self.0.as_ref().map_or(&[], |block| block.fixed)
    }

    /// Bytes of the others.
    #[inline(always)]
    pub fn line_bytes(&self) -> usize {
        if self.is_none() { 0 } else { self.lines().len() }
    }

    /// The others: whole lines, each with its CRLF.
    #[inline(never)]
    pub fn lines(&self) -> &[u8] {
        match &self.0 {
            None => &[],
            Some(block) => block.in_slot.as_deref().unwrap_or(&block.lines),
        }
    }

    /// The value of the first field called `name`, in any case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut fixed = self.fixed().iter();
        let fixed = fixed.find(|(known, _)| known.eq_ignore_ascii_case(name));
        fixed.map(|(_, value)| *value).or_else(|| field_lines(self.lines()).get(name))
    }

    pub fn set_fixed(&mut self, fixed: Fixed) {
        self.block().fixed = fixed;
    }

    /// Lines in a slot, in place of all lines.
    pub fn share(&mut self, lines: Buf) {
        self.clear_lines();
        self.block().in_slot = Some(lines);
    }

    /// Lines that are copied behind those that are there.
    pub fn append(&mut self, lines: &[u8]) {
        self.own_lines().extend_from_slice(lines);
    }

    /// One more line, which is legal.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let lines = self.own_lines();
        lines.reserve(name.len() + value.len() + 4);
        lines.extend_from_slice(name);
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value);
        lines.extend_from_slice(b"\r\n");
    }

    pub fn clear_lines(&mut self) {
        if let Some(block) = &mut self.0 {
            block.lines.clear();
            block.in_slot = None;
        }
    }

    fn block(&mut self) -> &mut Block {
        self.0.get_or_insert_with(take)
    }

    fn own_lines(&mut self) -> &mut Vec<u8> {
        let Block { lines, in_slot, .. } = self.block();
        // The slot is not ours alone.
        if let Some(shared) = in_slot.take() {
            lines.extend_from_slice(&shared);
        }
        lines
    }
}

impl Drop for Fields {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(block) = self.0.take() {
            give_back(block);
        }
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(field_lines(self.lines()))
            .entries(self.fixed().iter().copied())
            .finish()
    }
}

/// A block that was given back, or a fresh one.
fn take() -> Box<Block> {
    let spare = SPARE.try_with(|spare| spare.borrow_mut().0.pop());
    spare.ok().flatten().unwrap_or_default()
}

#[inline(never)]
fn give_back(mut block: Box<Block>) {
    block.fixed = &[];
    block.in_slot = None;
    block.lines.clear();
    if block.lines.capacity() > HTTP_SPARE_FIELDS_BYTES_MAX {
        return;
    }
    // A thread that ends has no use for it.
    let _ = SPARE.try_with(|spare| {
        let Spare(spare) = &mut *spare.borrow_mut();
        if spare.len() < HTTP_SPARE_FIELDS {
            spare.push(block);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare() -> usize {
        SPARE.with(|spare| spare.borrow().0.len())
    }

    #[test]
    fn what_a_response_leaves_the_next_one_finds_empty() {
        let mut fields = Fields::NONE;
        fields.push(b"X-One", b"1");
        fields.set_fixed(&[("X-Two", b"2")]);
        assert_eq!((fields.get("x-one"), fields.get("x-two")), (Some(&b"1"[..]), Some(&b"2"[..])));
        drop(fields);
        assert_eq!(spare(), 1);
        let mut fields = Fields::NONE;
        fields.append(b"X: y\r\n");
        assert_eq!(spare(), 0);
        assert_eq!((fields.lines(), fields.fixed().len()), (&b"X: y\r\n"[..], 0));
    }

    #[test]
    fn a_thread_keeps_no_more_than_it_is_allowed_to() {
        let mut many: Vec<Fields> = (0..HTTP_SPARE_FIELDS + 2).map(|_| Fields::NONE).collect();
        for fields in &mut many {
            fields.push(b"X", b"y");
        }
        drop(many);
        assert_eq!(spare(), HTTP_SPARE_FIELDS);
        SPARE.take();
        let mut long = Fields::NONE;
        long.push(b"X", &[b'y'; HTTP_SPARE_FIELDS_BYTES_MAX]);
        drop(long);
        assert_eq!(spare(), 0, "one that has grown is not kept");
    }

    #[test]
    fn lines_of_a_slot_are_copied_only_where_others_follow() {
        let pool = crate::mem::Mempool::small(1).unwrap();
        let mut slot = pool.alloc(8).unwrap();
        assert!(slot.append(b"A: b\r\n"));
        let mut fields = Fields::NONE;
        fields.share(slot);
        assert_eq!(fields.lines(), b"A: b\r\n");
        fields.push(b"C", b"d");
        assert_eq!(fields.lines(), b"A: b\r\nC: d\r\n");
        assert!(pool.alloc(1).is_some(), "the slot was given back");
    }
}
