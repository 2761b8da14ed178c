//! A port as a program in C has it: the attachment, and the messages that the program holds.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::time::Duration;

use dataplane::attach::{Attachment, Message, Options, Queue};
use dataplane::error::{Error, Result};
use dataplane::mem::Trust;
use dataplane::port::Role;

use crate::convert::{Msg, conn_of};
use crate::errors::{
    RINGWAY_EAGAIN, RINGWAY_EGONE, RINGWAY_EINVAL, RINGWAY_EMSGSIZE, RINGWAY_ETURN,
};
use crate::held::{Handle, Held};
use crate::kinds::{
    RINGWAY_BODY, RINGWAY_FOLLOW, RINGWAY_REQUEST, RINGWAY_TRUST_DEFAULT, RINGWAY_TRUST_ISOLATED,
    RINGWAY_TRUST_SHARED,
};

/// A port that the program is attached to.
pub struct Port {
    // Before the attachment: what is held has its memory there.
    held: Held,
    pub(crate) attachment: Attachment,
}

impl Port {
    pub(crate) fn attach(socket_path: &str, name: &str, trust: u32) -> Result<Self> {
        let follow = trust & RINGWAY_FOLLOW != 0;
        let trust = match trust & !RINGWAY_FOLLOW {
            RINGWAY_TRUST_DEFAULT => None,
            RINGWAY_TRUST_SHARED => Some(Trust::Shared),
            RINGWAY_TRUST_ISOLATED => Some(Trust::Isolated),
            _ => {
                let what = format!("attach to port `{name}`");
                let why = format!("there is no trust {trust}");
                return Err(Error::new(what, why, "pass one of RINGWAY_TRUST_…"));
            }
        };
        let options = Options { trust, follow, ..Options::default() };
        let attachment = Attachment::connect(socket_path, name, options)?;
        Ok(Self { held: Held::default(), attachment })
    }

    pub(crate) fn queue(&mut self, index: u32) -> std::result::Result<&mut Queue, c_int> {
        self.attachment.queues().get_mut(index as usize).ok_or(RINGWAY_EINVAL)
    }

    pub(crate) fn connect(&mut self, index: u32, number: &mut u32) -> c_int {
        match self.queue(index) {
            Ok(queue) if queue.role() == Role::Peer => {
                *number = queue.connect();
                0
            }
            Ok(_) => RINGWAY_EINVAL,
            Err(code) => code,
        }
    }

    pub(crate) fn receive(&mut self, index: u32, msgs: &mut [MaybeUninit<Msg>]) -> c_int {
        let Some(queue) = self.attachment.queues().get_mut(index as usize) else {
            return RINGWAY_EINVAL;
        };
        let mut count = 0;
        for place in msgs.iter_mut().take(c_int::MAX as usize) {
            let Some(message) = queue.receive() else { break };
            let mut msg = Msg::received(&message);
            if msg.len > 0 {
                msg.handle = self.held.put(index, false, message).0;
            }
            place.write(msg);
            count += 1;
        }
        count
    }

    pub(crate) fn alloc(
        &mut self,
        index: u32,
        conn: u64,
        bytes: u32,
    ) -> std::result::Result<Msg, c_int> {
        let queue = self.queue(index)?;
        if bytes as usize > queue.slot_bytes_max() {
            return Err(RINGWAY_EMSGSIZE);
        }
        let mut message = queue.alloc(conn_of(conn), bytes as usize).ok_or(RINGWAY_EAGAIN)?;
        let mut msg = Msg::allocated(&mut message);
        msg.handle = self.held.put(index, true, message).0;
        Ok(msg)
    }

    pub(crate) fn alloc_part(
        &mut self,
        index: u32,
        asked: &Msg,
        bytes: u32,
    ) -> std::result::Result<Msg, c_int> {
        let queue = self.queue(index)?;
        if bytes as usize > queue.slot_bytes_max() {
            return Err(RINGWAY_EMSGSIZE);
        }
        let mut request = Message::marker(conn_of(asked.conn), RINGWAY_REQUEST);
        request.number = asked.request;
        let Some(mut part) = queue.alloc_for(&request, bytes as usize) else {
            let waits = queue.room_for(&request) == 0 && !queue.is_turn(&request);
            return Err(if waits { RINGWAY_ETURN } else { RINGWAY_EAGAIN });
        };
        (part.kind, part.number) = (RINGWAY_BODY, asked.request);
        let mut msg = Msg::allocated(&mut part);
        msg.handle = self.held.put(index, true, part).0;
        Ok(msg)
    }

    pub(crate) fn send(&mut self, index: u32, msgs: &[Msg]) -> c_int {
        let mut count = 0;
        for msg in msgs.iter().take(c_int::MAX as usize) {
            let message = match self.message_of(index, msg) {
                Ok(message) => message,
                Err(code) => return if count == 0 { code } else { count },
            };
            match self.queue(index) {
                Ok(queue) => queue.send(message),
                Err(code) => return code,
            }
            count += 1;
        }
        count
    }

    /// Takes what `msg` names out of what the program has; it stays there when something is wrong.
    fn message_of(&mut self, queue: u32, msg: &Msg) -> std::result::Result<Message, c_int> {
        if msg.handle == 0 {
            return msg.to_marker();
        }
        let handle = Handle(msg.handle);
        let (message, empty) = self.held.get(queue, handle).ok_or(RINGWAY_EINVAL)?;
        msg.apply(message, empty)?;
        self.held.take(handle).ok_or(RINGWAY_EINVAL)
    }

    pub(crate) fn release(&mut self, msg: &Msg) -> c_int {
        if msg.handle == 0 || self.held.take(Handle(msg.handle)).is_some() {
            0
        } else {
            RINGWAY_EINVAL
        }
    }

    pub(crate) fn flush(&mut self) -> c_int {
        self.attachment.queues().iter_mut().for_each(Queue::flush);
        0
    }

    pub(crate) fn wait(&mut self, timeout_ms: c_int) -> c_int {
        let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        match self.attachment.wait(timeout) {
            Ok(()) => self.attachment.has_input().into(),
            Err(_) => RINGWAY_EGONE,
        }
    }

    pub(crate) fn prepare_sleep(&mut self) -> c_int {
        self.flush();
        let sleeps = self.attachment.prepare_sleep();
        if !sleeps {
            // Some of the queues may have announced it.
            self.attachment.awake();
        }
        sleeps.into()
    }
}
