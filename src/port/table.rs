//! The ports that an lcore knows by name, and what is attached to each of them now.

use super::{Fault, Queue};
use crate::error::{Error, Result};
use crate::limits::{PORT_NAME_BYTES_MAX, PORTS_MAX};

/// A port among those of its dataplane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortIndex(u8);

impl PortIndex {
    /// As a number, for a token.
    pub fn number(self) -> u32 {
        self.0.into()
    }

    /// The port of such a number.
    pub fn of_number(number: u32) -> Option<Self> {
        (number < PORTS_MAX as u32).then_some(Self(number as u8))
    }
}

/// One lcore's ports. A handler looks up the queue of its own in every turn: it comes and goes.
#[derive(Default)]
pub struct PortTable {
    seats: Vec<Seat>,
}

struct Seat {
    name: String,
    /// Index of the listener that the port is for.
    listener: u8,
    queue: Option<Box<Queue>>,
    /// The listener is to get a turn, whatever the process says.
    called: bool,
    /// Processes that have been attached so far.
    attachments: u32,
}

impl Seat {
    /// Whether it was a port's that is gone. No port has an empty name.
    fn is_free(&self) -> bool {
        self.name.is_empty()
    }
}

/// Whether `name` may be a port's: letters, digits, `-`, `_` and `.`.
pub fn is_port_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=PORT_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal)
}

impl PortTable {
    /// Adds the port `name` for the listener at index `listener`.
    ///
    /// # Errors
    /// When another listener has it, the name is not legal, or there are too many.
    pub fn add(&mut self, name: &str, listener: u8) -> Result<PortIndex> {
        let refuse = |why: String, remedy: &str| {
            Err(Error::new(format!("make the port `{name}`"), why, remedy))
        };
        if !is_port_name(name) {
            let why = "it is no legal name".to_owned();
            return refuse(why, "use up to 32 letters, digits, `-`, `_` and `.`");
        }
        if let Some(seat) = self.seats.iter().find(|seat| seat.name == name) {
            let why = format!("listener {} has it already", seat.listener);
            return refuse(why, "give each port a name of its own");
        }
        // Its count goes on in a seat that another port had, so that nobody takes one's process for the other's.
        if let Some(free) = self.seats.iter().position(Seat::is_free) {
            let seat = &mut self.seats[free];
            (seat.name, seat.listener) = (name.to_owned(), listener);
            return Ok(PortIndex(free as u8));
        }
        if self.seats.len() == PORTS_MAX {
            return refuse(format!("there are {PORTS_MAX} already"), "remove listeners with ports");
        }
        let index = PortIndex(self.seats.len() as u8);
        self.seats.push(Seat {
            name: name.to_owned(),
            listener,
            queue: None,
            called: false,
            attachments: 0,
        });
        Ok(index)
    }

    /// Forgets the ports of a listener that is gone, and ends the attachments to them.
    pub fn remove(&mut self, listener: u8) {
        self.close(listener);
        for seat in self.seats.iter_mut().filter(|seat| seat.listener == listener) {
            seat.name.clear();
        }
    }

    /// The port called `name`.
    pub fn named(&self, name: &str) -> Option<PortIndex> {
        let is_it = |seat: &Seat| seat.name == name && !seat.is_free();
        self.seats.iter().position(is_it).map(|index| PortIndex(index as u8))
    }

    /// The queue of what is attached.
    #[inline]
    pub fn queue(&mut self, port: PortIndex) -> Option<&mut Queue> {
        self.seats.get_mut(usize::from(port.0))?.queue.as_deref_mut()
    }

    /// The same, to look at.
    pub fn peek(&self, port: PortIndex) -> Option<&Queue> {
        self.seats.get(usize::from(port.0))?.queue.as_deref()
    }

    /// How many processes have been attached to a port so far: a handler that remembers it knows
    /// whether the one that it spoke to is still there.
    #[inline]
    pub fn attachments(&self, port: PortIndex) -> u32 {
        self.seats.get(usize::from(port.0)).map_or(0, |seat| seat.attachments)
    }

    /// Attaches a process's queue in place of what was attached, which is dropped: what it was lent
    /// is home then.
    pub fn attach(&mut self, port: PortIndex, queue: Queue) {
        let seat = &mut self.seats[usize::from(port.0)];
        seat.queue = Some(Box::new(queue));
        seat.attachments = seat.attachments.wrapping_add(1);
    }

    /// Takes the queue of a process away that is gone, or cut off.
    pub fn detach(&mut self, port: PortIndex) -> Option<Box<Queue>> {
        self.seats[usize::from(port.0)].queue.take()
    }

    /// Cuts the process off that is attached: it hears of it, and so does who looks after attachments.
    /// All that it was lent is home when this returns.
    pub fn cut(&mut self, port: PortIndex, fault: Fault) {
        if let Some(queue) = self.detach(port) {
            queue.lifeline().cut(fault);
        }
    }

    /// The listeners, one bit each, whose ports have something to say.
    #[inline]
    pub fn due(&self) -> u32 {
        let input =
            |seat: &Seat| seat.called || seat.queue.as_ref().is_some_and(|queue| queue.has_input());
        let due = self.seats.iter().filter(|seat| input(seat));
        due.fold(0, |due, seat| due | 1 << seat.listener)
    }

    /// Gets the listener of a port a turn, for what was done out of turn.
    pub fn call(&mut self, port: PortIndex) {
        self.seats[usize::from(port.0)].called = true;
    }

    /// It has its turn.
    pub fn hang_up(&mut self, port: PortIndex) {
        self.seats[usize::from(port.0)].called = false;
    }

    /// The listener of a port.
    pub fn listener(&self, port: PortIndex) -> u8 {
        self.seats[usize::from(port.0)].listener
    }

    /// Announces sleep to all that are attached; `false` when one has something to say after all. Then,
    /// and after the sleep, call [`awake`](Self::awake).
    #[must_use = "sleep only when this returns true"]
    pub fn sleep_unless_input(&self) -> bool {
        self.queues().all(Queue::sleep_unless_input)
    }

    /// Ends the announcement of sleep.
    pub fn awake(&self) {
        self.queues().for_each(Queue::awake);
    }

    /// Ends the attachments to the ports of a listener that is gone.
    pub fn close(&mut self, listener: u8) {
        for seat in self.seats.iter_mut().filter(|seat| seat.listener == listener) {
            seat.called = false;
            if let Some(queue) = seat.queue.take() {
                queue.lifeline().end();
            }
        }
    }

    /// The queues that are attached.
    pub fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.seats.iter().filter_map(|seat| seat.queue.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_goes_with_its_listener_leaves_its_name_and_seat_to_another() {
        let mut ports = PortTable::default();
        let (first, second) = (ports.add("a", 0).unwrap(), ports.add("b", 1).unwrap());
        assert!(ports.add("a", 2).unwrap_err().why().contains("listener 0 has it"));
        ports.remove(0);
        assert_eq!((ports.named("a"), ports.named("b")), (None, Some(second)));
        assert_eq!(ports.named(""), None, "a free seat has no name");
        assert_eq!(ports.add("c", 2).unwrap(), first);
        assert_eq!((ports.named("c"), ports.listener(first)), (Some(first), 2));
        for name in 0..PORTS_MAX - 2 {
            ports.add(&format!("n{name}"), 3).unwrap();
        }
        assert!(ports.add("more", 3).is_err(), "no seat is left");
        ports.remove(2);
        assert_eq!(ports.add("more", 3).unwrap(), first);
    }
}
