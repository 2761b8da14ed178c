//! Connections whose messages an attached process handles, as they come: `handler = "port:NAME"` before a
//! raw protocol, or before streams. HTTP has a handler of its own.

mod manner;

use std::collections::VecDeque;

pub use manner::Manner;
use manner::Word;

use crate::counters::{Counter, Reason};
use crate::limits::{PORT_CHANNEL_WINDOW_BUFS, PORT_PARKED_BUFS, PORT_WINDOW_BUFS};
use crate::mem::{Buf, BufList, BufStore, Burst, ConnId, SlotCounts, kind};
use crate::pipeline::{Cx, Handler};
use crate::port::{Fault, PortIndex, Received, Stall};

/// Bufs of a connection after which the transport is asked to say that they are out.
const FLUSH_BUFS: u16 = 32;

const _: () = assert!((FLUSH_BUFS as u32) < PORT_WINDOW_BUFS);

const _: () = assert!((FLUSH_BUFS as u32) < PORT_CHANNEL_WINDOW_BUFS);

/// Connections that are looked at in one turn for what waits of them.
const CATCH_UP: usize = 64;

/// Bufs that one message makes at most.
const ROOM: usize = 3;

/// What becomes of connections while no process is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unattended {
    /// They are closed.
    #[default]
    Refuse,
    /// They wait, unread, for a process that attaches.
    Park,
}

/// Who a connection belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Nobody: it is closed, or told to close.
    None,
    /// The process of this attachment, which knows of it.
    Process(u32),
    /// Whoever attaches.
    Waiting,
}

struct Conn {
    conn: ConnId,
    owner: Owner,
    /// Bufs of the process that are not known to be out.
    in_flight: u16,
    /// Of them, those since the transport was last asked, all of one channel.
    unasked: u16,
    channel: u16,
    /// The process wants nothing more of it for now.
    held: bool,
    /// What came while it waited, or while the process had enough of it.
    parked: BufList,
}

impl Conn {
    const NONE: Self = Self {
        conn: ConnId::NONE,
        owner: Owner::None,
        in_flight: 0,
        unasked: 0,
        channel: 0,
        held: false,
        parked: BufList::EMPTY,
    };

    /// Asks to be told when what the process has sent so far is out.
    fn ask(&mut self, output: &mut Burst, manner: Manner) {
        if self.unasked > 0 {
            push(output, manner.question(self.conn, self.channel, self.unasked));
            self.unasked = 0;
        }
    }
}

/// Passes connections to the process at a port, and what it says back.
pub struct Remote {
    manner: Manner,
    port: PortIndex,
    unattended: Unattended,
    conns: Box<[Conn]>,
    /// Of connections that wait.
    parked: BufStore,
    /// Which attachment the connections were told to.
    attachment: Option<u32>,
    /// After a process came or went: connections below it have been told.
    told: Option<usize>,
    /// Slots of connections of which something waits that the process knows of.
    behind: VecDeque<u32>,
    stall: Stall,
    /// How long the process may take nothing of what waits for it.
    stall_ns: u64,
}

impl Remote {
    /// A handler for connections with slots below `slots`, whose process may take `stall_ns` to take what
    /// waits for it.
    pub fn new(
        manner: Manner,
        slots: u32,
        port: PortIndex,
        unattended: Unattended,
        stall_ns: u64,
    ) -> Self {
        Self {
            manner,
            port,
            unattended,
            conns: (0..slots).map(|_| Conn::NONE).collect(),
            parked: BufStore::new(PORT_PARKED_BUFS),
            attachment: None,
            told: None,
            behind: VecDeque::with_capacity(64),
            stall: Stall::default(),
            stall_ns,
        }
    }

    fn attached(&self, cx: &mut Cx) -> Option<u32> {
        cx.ports.queue(self.port)?;
        Some(cx.ports.attachments(self.port))
    }

    /// Takes note of a process that came or went.
    fn look(&mut self, cx: &mut Cx) {
        let attachment = self.attached(cx);
        if attachment != self.attachment {
            self.behind.clear();
            self.attachment = attachment;
            self.stall.clear();
            self.told = Some(0);
        }
    }

    /// Tells connections what has become of their process, as far as there is room: those of one that
    /// is gone are cut off, those that wait are told to the one that came.
    fn tell(&mut self, cx: &mut Cx, output: &mut Burst) {
        while let Some(slot) = self.told
            && output.room() >= ROOM
        {
            let Some(conn) = self.conns.get_mut(slot) else {
                self.told = None;
                return;
            };
            let owner = conn.owner;
            match owner {
                Owner::Process(attachment) if self.attachment != Some(attachment) => {
                    while self.parked.pop(&mut conn.parked).is_some() {}
                    conn.owner = Owner::None;
                    push(output, self.manner.bereft(conn.conn));
                }
                Owner::Waiting
                    if self.attachment.is_some() && !self.introduce(cx, slot, output) =>
                {
                    return;
                }
                _ => {}
            }
            self.told = Some(slot + 1);
        }
    }

    /// Tells the process of a connection that waited, and what came on it meanwhile. `false`: there
    /// is no room in the ring for all of it yet.
    fn introduce(&mut self, cx: &mut Cx, slot: usize, output: &mut Burst) -> bool {
        let conn = &mut self.conns[slot];
        let (Some(queue), Some(attachment)) = (cx.ports.queue(self.port), self.attachment) else {
            return true;
        };
        // The first of what waits is its beginning; what came behind it follows as from one that is behind.
        if let Some(begin) = self.parked.pop(&mut conn.parked)
            && let Err(begin) = queue.send(begin, 0)
        {
            let back = self.parked.push_front(&mut conn.parked, begin);
            assert!(back.is_ok(), "it was just popped");
            return false;
        }
        conn.owner = Owner::Process(attachment);
        if conn.parked.is_empty() {
            self.manner.receive(conn.conn, true, output);
        } else {
            self.behind.push_back(slot as u32);
        }
        true
    }

    /// A message of a connection. It comes back when the process has no room for it.
    fn on_message(&mut self, cx: &mut Cx, message: Buf, output: &mut Burst) -> Result<(), Buf> {
        let conn = message.conn();
        let slot = conn.slot() as usize;
        match self.manner.hear(message.kind()) {
            Word::Begins => return self.on_begin(cx, message, output),
            Word::Goes => {}
            Word::Back => {
                push(output, message);
                return Ok(());
            }
            Word::Nothing => return Ok(()),
        }
        let entry = &mut self.conns[slot];
        if entry.conn != conn {
            if !self.manner.may_be_unknown(message.kind()) {
                cx.drop_buf(message, Reason::StaleConnection);
            }
            return Ok(());
        }
        match (entry.owner, message.kind()) {
            (Owner::Process(attachment), kind) if self.attachment == Some(attachment) => {
                if kind == kind::FLUSHED {
                    return self.on_flushed(cx, message);
                }
                let queue = cx.ports.queue(self.port).expect("its attachment is the current one");
                let waits = !entry.parked.is_empty() || !queue.may_send(&message);
                if waits && kind != kind::CLOSED {
                    self.fall_behind(cx, message, output);
                    return Ok(());
                }
                let mut message = message;
                // A peer may have ended a stream in order before the process has taken what it said last.
                if waits && self.manner == Manner::Streams {
                    match self.parked.push(&mut entry.parked, message) {
                        Ok(()) => return Ok(()),
                        Err(back) => message = back,
                    }
                }
                queue.send(message, 0)?;
                if kind == kind::CLOSED {
                    while self.parked.pop(&mut entry.parked).is_some() {}
                    *entry = Conn::NONE;
                }
            }
            (Owner::Waiting, kind::CLOSED) => {
                while self.parked.pop(&mut entry.parked).is_some() {}
                *entry = Conn::NONE;
            }
            (Owner::Waiting, _) => self.park(cx, message, output),
            (_, kind::CLOSED) => {
                while self.parked.pop(&mut entry.parked).is_some() {}
                *entry = Conn::NONE;
            }
            _ => {
                self.manner.answer_for_nobody(&message, output);
                cx.drop_buf(message, Reason::AfterClose);
            }
        }
        Ok(())
    }

    /// Keeps a message for later. What nobody has room for costs its connection.
    fn park(&mut self, cx: &mut Cx, message: Buf, output: &mut Burst) {
        let conn = message.conn();
        let entry = &mut self.conns[conn.slot() as usize];
        if let Err(message) = self.parked.push(&mut entry.parked, message) {
            while self.parked.pop(&mut entry.parked).is_some() {}
            entry.owner = Owner::None;
            push(output, Buf::marker(conn, kind::ABORT));
            cx.drop_buf(message, Reason::Protocol);
        }
    }

    /// The process has enough of this connection: what came waits, and no more is received.
    #[cold]
    fn fall_behind(&mut self, cx: &mut Cx, message: Buf, output: &mut Burst) {
        let conn = message.conn();
        if self.conns[conn.slot() as usize].parked.is_empty() {
            self.behind.push_back(conn.slot());
            self.manner.receive(conn, false, output);
        }
        self.park(cx, message, output);
    }

    /// Sends what waits of connections that the process has taken something of.
    fn catch_up(&mut self, cx: &mut Cx, output: &mut Burst) {
        for _ in 0..self.behind.len().min(CATCH_UP) {
            if output.is_full() {
                return;
            }
            let Some(slot) = self.behind.pop_front() else { return };
            let entry = &mut self.conns[slot as usize];
            let Some(queue) = cx.ports.queue(self.port) else { break };
            while self.parked.front(&entry.parked).is_some_and(|buf| queue.may_send(buf))
                && let Some(message) = self.parked.pop(&mut entry.parked)
            {
                let ends = message.kind() == kind::CLOSED;
                if let Err(message) = queue.send(message, 0) {
                    let back = self.parked.push_front(&mut entry.parked, message);
                    assert!(back.is_ok(), "it was just popped");
                    return self.behind.push_front(slot);
                }
                if ends {
                    *entry = Conn::NONE;
                }
            }
            if !entry.parked.is_empty() {
                self.behind.push_back(slot);
            } else if matches!(entry.owner, Owner::Process(_)) && !entry.held {
                self.manner.receive(entry.conn, true, output);
            }
        }
    }

    fn on_begin(&mut self, cx: &mut Cx, message: Buf, output: &mut Burst) -> Result<(), Buf> {
        let conn = message.conn();
        let entry = &mut self.conns[conn.slot() as usize];
        if !entry.parked.is_empty() {
            // Of one that has ended, and whose slot this has: the process has had the time.
            if let (Some(queue), Owner::Process(owner)) = (cx.ports.queue(self.port), entry.owner)
                && self.attachment == Some(owner)
                && queue.send(Buf::marker(entry.conn, kind::CLOSED), 0).is_err()
            {
                return Err(message);
            }
            while self.parked.pop(&mut entry.parked).is_some() {}
            *entry = Conn::NONE;
        }
        match (cx.ports.queue(self.port), self.attachment, self.unattended) {
            (Some(queue), Some(attachment), _) => {
                queue.send(message, 0)?;
                *entry = Conn { conn, owner: Owner::Process(attachment), ..Conn::NONE };
            }
            (.., Unattended::Refuse) => {
                cx.counters.add(Counter::PortUnattended, 1);
                push(output, self.manner.refusal(conn));
                *entry = Conn { conn, ..Conn::NONE };
            }
            (.., Unattended::Park) => {
                *entry = Conn { conn, owner: Owner::Waiting, ..Conn::NONE };
                self.manner.receive(conn, false, output);
                self.park(cx, message, output);
            }
        }
        Ok(())
    }

    /// What the process had sent is out: it may send as much again.
    fn on_flushed(&mut self, cx: &mut Cx, flushed: Buf) -> Result<(), Buf> {
        let entry = &mut self.conns[flushed.conn().slot() as usize];
        let (bufs, word) = self.manner.credit(&flushed);
        let queue = cx.ports.queue(self.port).expect("its attachment is the current one");
        queue.send(word, 0).map_err(|_| flushed)?;
        entry.in_flight = entry.in_flight.saturating_sub(bufs);
        Ok(())
    }

    /// What the process says of a connection.
    fn on_word(&mut self, cx: &mut Cx, word: Buf, output: &mut Burst) -> Result<(), Fault> {
        let conn = word.conn();
        let owner = self.attachment.map_or(Owner::None, Owner::Process);
        let entry = self.conns.get_mut(conn.slot() as usize);
        let Some(entry) = entry.filter(|e| e.conn == conn && e.owner == owner) else {
            // It may have ended while the word was under way.
            cx.drop_buf(word, Reason::StaleConnection);
            return Ok(());
        };
        if self.manner.is_message(word.kind()) {
            self.on_answer(cx, word, output);
            return Ok(());
        }
        match word.kind() {
            kind::PAUSE | kind::RESUME if self.manner == Manner::Bytes => {
                entry.held = word.kind() == kind::PAUSE;
                // While something of it waits here it is not received from, whatever the process says.
                if entry.parked.is_empty() {
                    push(output, word);
                }
            }
            kind if self.manner.may_say(kind) => push(output, word),
            _ => return Err(Fault::Kind),
        }
        Ok(())
    }

    /// A message that the process sends.
    fn on_answer(&mut self, cx: &mut Cx, mut word: Buf, output: &mut Burst) {
        let conn = word.conn();
        let entry = &mut self.conns[conn.slot() as usize];
        let most = self.manner.window_bufs();
        if u32::from(entry.in_flight) >= most {
            cx.drop_buf(word, Reason::Protocol);
            // Once; the process is still to hear that the connection is gone.
            if u32::from(entry.in_flight) == most {
                entry.in_flight += 1;
                push(output, Buf::marker(conn, kind::ABORT));
            }
            return;
        }
        let channel = self.manner.admit(&mut word);
        if channel != entry.channel {
            entry.ask(output, self.manner);
            entry.channel = channel;
        }
        entry.in_flight += 1;
        entry.unasked += 1;
        push(output, word);
        if entry.unasked >= FLUSH_BUFS {
            entry.ask(output, self.manner);
        }
    }

    /// Something waits for the process: gives it up if it has taken nothing for too long.
    fn look_for_stall(&mut self, cx: &mut Cx) {
        let queue = cx.ports.queue(self.port);
        if queue.is_some_and(|queue| self.stall.look(queue, cx.now, self.stall_ns)) {
            cx.counters.add(Counter::PortFaults, 1);
            cx.ports.cut(self.port, Fault::Stalled);
            self.look(cx);
        }
    }

    /// Takes what the process says, as far as there is room.
    fn listen(&mut self, cx: &mut Cx, output: &mut Burst) {
        while output.room() >= ROOM && !cx.backlogged {
            let Some(queue) = cx.ports.queue(self.port) else { return };
            let fault = match queue.receive() {
                Received::Nothing => return,
                Received::Message(word, _) => self.on_word(cx, word, output).err(),
                Received::Fault(fault) => Some(fault),
            };
            if let Some(fault) = fault {
                cx.counters.add(Counter::PortFaults, 1);
                cx.ports.cut(self.port, fault);
                return self.look(cx);
            }
        }
    }
}

impl Handler for Remote {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        self.look(cx);
        while output.room() >= ROOM
            && let Some(message) = input.pop()
        {
            match self.on_message(cx, message, output) {
                Ok(()) if self.behind.is_empty() => self.stall.clear(),
                Ok(()) => {}
                Err(message) => {
                    let back = input.unpop(message);
                    assert!(back.is_ok(), "it was just popped");
                    return self.look_for_stall(cx);
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Cx, output: &mut Burst) -> bool {
        self.look(cx);
        self.tell(cx, output);
        self.listen(cx, output);
        self.catch_up(cx, output);
        if !self.behind.is_empty() {
            self.look_for_stall(cx);
        }
        if let Some(queue) = cx.ports.queue(self.port) {
            cx.counters.add(Counter::CopiedBytes, queue.flush());
        }
        self.told.is_some() || output.room() < ROOM
    }

    fn waiting(&self) -> SlotCounts {
        *self.parked.slots()
    }

    fn is_polled(&self) -> bool {
        true
    }
}

#[inline]
fn push(output: &mut Burst, buf: Buf) {
    let pushed = output.push(buf);
    assert!(pushed.is_ok(), "room was checked");
}
