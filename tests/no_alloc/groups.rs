//! Messages to groups, and from other threads.

use std::sync::mpsc;

use ringway::dataplane::Protocol;
use ringway::handler::websocket::{Out, Service};
use ringway::mem::{Buf, ConnId};
use ringway::pipeline::Cx;
use ringway::pipeline::chain::websocket::MessageMeta;
use ringway::pipeline::write::{ConnHandle, Group, Message};

use super::websocket::{UPGRADE, frame, message};
use crate::common::{Client, Server, Start};
use crate::{allocations, cost_of_asking, serves_without_allocating};

/// All who come are members, and all hear what one says.
struct Room {
    group: Group,
    opened: mpsc::SyncSender<ConnHandle>,
}

impl Service for Room {
    fn opened(&mut self, cx: &mut Cx, conn: ConnId, _out: &mut Out<'_>) {
        self.group.join(cx, conn);
        let _ = self.opened.try_send(cx.conn_handle(conn));
    }

    fn message(&mut self, cx: &mut Cx, message: Buf, _meta: MessageMeta, _out: &mut Out<'_>) {
        // In and out again costs nothing either.
        let conn = message.conn();
        assert!(self.group.leave(cx, conn) && self.group.join(cx, conn));
        assert!(self.group.publish(Message::Binary(&message), &[]).is_ok());
    }
}

fn room(group: &Group) -> (Server, mpsc::Receiver<ConnHandle>) {
    let (group, (tell, opened)) = (group.clone(), mpsc::sync_channel(16));
    // However slow the machine is: nobody is pinged.
    let start = Start::new().listener("room", "ping_interval_ms = 0");
    let builder = start.builder().protocol("room", move |context| {
        Protocol::websocket(context, Room { group: group.clone(), opened: tell.clone() })
    });
    (Server::run(builder), opened)
}

fn come(server: &Server) -> Client {
    let mut client = server.connect();
    assert_eq!(client.send(UPGRADE).send("\r\n").head().status(), 101);
    client
}

#[test]
fn a_publish_to_a_group_allocates_nothing_a_15() {
    let group = Group::new();
    let (server, _opened) = room(&group);
    let mut others = [come(&server), come(&server), come(&server)];
    for bytes in [1, 300, 1000] {
        let payload = vec![7; bytes];
        let (frame, mut open) = (frame(0, &payload), false);
        serves_without_allocating(&server, &format!("a publish of {bytes} bytes"), |client| {
            if !std::mem::replace(&mut open, true) {
                assert_eq!(client.send(UPGRADE).send("\r\n").head().status(), 101);
            }
            client.send(&frame);
            for client in others.iter_mut().chain([client]) {
                assert!(message(client) == (payload.clone(), false));
            }
        });
    }
    server.stop();
}

#[test]
fn a_write_of_another_thread_allocates_nothing_on_the_lcore_a_15() {
    const WRITES: usize = 10_000;
    let (server, opened) = room(&Group::new());
    let mut client = come(&server);
    let handle = opened.recv().unwrap();
    let mut write = |times: usize| {
        for _ in 0..times {
            assert!(handle.write(Message::Text("hello")).is_ok());
            assert_eq!(client.receive(7), b"\x81\x05hello");
        }
    };
    write(500);
    let asking = cost_of_asking(&server);
    let before = allocations(&server);
    write(WRITES);
    assert_eq!(allocations(&server) - before - asking, 0);
    server.stop();
}
