//! A room on a dataplane: all who come are members, and what one says the others hear.

use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, SyncSender};

use ringway::dataplane::Protocol;
use ringway::handler::websocket::{Out, Service};
use ringway::mem::{Buf, ConnId};
use ringway::pipeline::Cx;
use ringway::pipeline::chain::websocket::MessageMeta;
use ringway::pipeline::write::{ConnHandle, Group, Message};
use ringway::proto::websocket::Kind;

use crate::common::websocket::Peer;
use crate::common::{Server, Start, wait_until};

/// One text is `leave`, one `join`; `echo ...` comes back piece by piece; all else is for the others.
struct Room {
    group: Group,
    opened: SyncSender<ConnHandle>,
    echoing: bool,
}

impl Service for Room {
    fn opened(&mut self, cx: &mut Cx, conn: ConnId, _out: &mut Out<'_>) {
        assert!(self.group.join(cx, conn) && !self.group.join(cx, conn));
        self.opened.send(cx.conn_handle(conn)).unwrap();
    }

    fn message(&mut self, cx: &mut Cx, message: Buf, meta: MessageMeta, out: &mut Out<'_>) {
        let conn = message.conn();
        self.echoing |= meta.first && message.starts_with(b"echo");
        if self.echoing {
            self.echoing &= !meta.last;
            return out.send(message);
        }
        match &*message {
            b"leave" => assert!(self.group.leave(cx, conn) && !self.group.contains(cx, conn)),
            b"join" => assert!(self.group.join(cx, conn) && self.group.contains(cx, conn)),
            bytes => {
                let message = match meta.kind {
                    Kind::Text => Message::Text(std::str::from_utf8(bytes).unwrap()),
                    Kind::Binary => Message::Binary(bytes),
                };
                self.group.publish(message, &[conn]).unwrap();
            }
        }
    }
}

/// A server with the room, and who has come.
pub struct Bed {
    pub server: Server,
    pub group: Group,
    opened: Mutex<Receiver<ConnHandle>>,
}

impl Bed {
    pub fn new(lcores: usize) -> Self {
        let group = Group::new();
        let (tell, opened) = mpsc::sync_channel(1024);
        let theirs = group.clone();
        let builder =
            Start::new().listener("room", "ping_interval_ms = 0").lcores(lcores).builder();
        let builder = builder.protocol("room", move |context| {
            let (group, opened) = (theirs.clone(), tell.clone());
            Protocol::websocket(context, Room { group, opened, echoing: false })
        });
        Self { server: Server::run(builder), group, opened: Mutex::new(opened) }
    }

    /// A member.
    pub fn come(&self) -> (Peer, ConnHandle) {
        let peer = Peer::connect(self.server.address(0));
        (peer, self.opened.lock().unwrap().recv().unwrap())
    }

    pub fn come_all(&self, count: usize) -> Vec<(Peer, ConnHandle)> {
        (0..count).map(|_| self.come()).collect()
    }

    /// Waits until the group has so many.
    pub fn wait_for(&self, members: usize) {
        wait_until(|| self.group.len() == members);
    }

    /// All is accounted for, and nobody is left.
    pub fn end(self) {
        self.server.stop();
        assert_eq!(self.group.len(), 0);
    }
}
