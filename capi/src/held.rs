//! The messages with slots that a program has. It names them by number, so that one it no longer has
//! is refused, whatever it kept.

use dataplane::attach::Message;

/// Place in the list and generation of that place; 0 names none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Handle(pub u64);

struct Entry {
    /// From 1 on, so that no handle is 0.
    generation: u32,
    queue: u32,
    /// It came from an allocation, and so may grow.
    empty: bool,
    message: Option<Message>,
}

/// All of them, over all queues of a port.
#[derive(Default)]
pub struct Held {
    entries: Vec<Entry>,
    free: Vec<u32>,
}

impl Held {
    /// Keeps a message of `queue`; `empty`: it came from an allocation.
    pub fn put(&mut self, queue: u32, empty: bool, message: Message) -> Handle {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { generation: 0, queue, empty, message: None });
            (self.entries.len() - 1) as u32
        });
        let entry = &mut self.entries[index as usize];
        let generation = entry.generation.checked_add(1).unwrap_or(1);
        *entry = Entry { generation, queue, empty, message: Some(message) };
        Handle(u64::from(generation) << 32 | u64::from(index))
    }

    fn entry(&mut self, handle: Handle) -> Option<&mut Entry> {
        let generation = (handle.0 >> 32) as u32;
        let entry = self.entries.get_mut(handle.0 as u32 as usize)?;
        (entry.generation == generation && entry.message.is_some()).then_some(entry)
    }

    /// A message that the program has, and whether it came from an allocation.
    pub fn get(&mut self, queue: u32, handle: Handle) -> Option<(&mut Message, bool)> {
        let entry = self.entry(handle).filter(|entry| entry.queue == queue)?;
        let empty = entry.empty;
        Some((entry.message.as_mut()?, empty))
    }

    /// Takes it out.
    pub fn take(&mut self, handle: Handle) -> Option<Message> {
        let message = self.entry(handle)?.message.take();
        self.free.push(handle.0 as u32);
        message
    }
}

#[cfg(test)]
mod tests {
    use dataplane::mem::ConnId;

    use super::*;

    #[test]
    fn a_message_is_had_until_it_is_taken_and_never_under_an_old_number() {
        let mut held = Held::default();
        let message = || Message::marker(ConnId::NONE, 0);
        let first = held.put(0, true, message());
        assert!(first.0 != 0 && held.get(0, first).is_some());
        assert!(held.get(1, first).is_none(), "it is of another queue");
        assert!(held.take(first).is_some() && held.take(first).is_none());
        let second = held.put(1, false, message());
        assert_eq!(first.0 as u32, second.0 as u32, "the place is used again");
        assert!(held.take(first).is_none() && held.get(1, second).is_some());
        assert!(held.take(Handle(0)).is_none() && held.take(Handle(u64::MAX)).is_none());
    }
}
