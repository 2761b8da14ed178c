//! Writes from other threads, and what their authors hear of them (G-8).

use std::sync::mpsc::{self, Receiver};

use ringway::lcore::{Mail, Written};
use ringway::limits::{TX_HIGH_BUFS, WRITE_BACKLOG_MESSAGES_MAX};
use ringway::mem::{Buf, ConnId};

use super::adopt::{adopt, tcp_pair};
use crate::common::{Client, Server, Start, pattern, wait_until};

/// A buf of the dataplane's pool, addressed.
fn buf(server: &Server, conn: ConnId, bytes: &[u8]) -> Buf {
    let (_, pool) = server.plane().pools().iter().next().unwrap();
    let mut buf = pool.alloc(bytes.len()).expect("a free slot");
    assert!(buf.append(bytes));
    buf.set_conn(conn);
    buf
}

/// Writes and gives what will be heard of it. A full box is tried again.
fn write(server: &Server, conn: ConnId, bytes: &[u8]) -> Receiver<Written> {
    let (told, outcome) = mpsc::channel();
    let done = Box::new(move |written| told.send(written).unwrap());
    let handle = server.plane().handle(0);
    let mut mail = Mail::Write { buf: buf(server, conn, bytes), done: Some(done) };
    while let Err(back) = handle.post(mail) {
        mail = back;
        std::thread::yield_now();
    }
    outcome
}

/// A connection that is served by `server` and known by its id.
fn known(server: &Server) -> (Client, ConnId) {
    let (ours, theirs) = tcp_pair();
    let conn = adopt(server, 0, 0, theirs.into()).unwrap();
    (Client::over(ours), conn)
}

#[test]
fn a_write_from_another_thread_arrives_and_its_author_hears_sent_g_8() {
    let server = Server::echo();
    let (mut client, conn) = known(&server);
    assert_eq!(write(&server, conn, b"from outside").recv(), Ok(Written::Sent));
    assert_eq!(client.receive(12), b"from outside");
    drop(client);
    server.stop();
}

#[test]
fn writes_of_many_threads_arrive_whole_and_each_thread_s_in_order_g_8() {
    const THREADS: u8 = 4;
    const WRITES: u32 = 500;
    const WINDOW: usize = 50;
    let server = Server::echo();
    let (mut client, conn) = known(&server);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let server = &server;
            scope.spawn(move || {
                let message = |n: u32| [&[thread], &n.to_le_bytes()[..]].concat();
                // A window, as every author needs one: what is too much at once is refused.
                for first in (0..WRITES).step_by(WINDOW) {
                    let window = first..first + WINDOW as u32;
                    let heard: Vec<_> = window.map(|n| write(server, conn, &message(n))).collect();
                    heard.iter().for_each(|one| assert_eq!(one.recv(), Ok(Written::Sent)));
                }
            });
        }
        let mut next = [0; THREADS as usize];
        for _ in 0..u32::from(THREADS) * WRITES {
            let message = client.receive(5);
            let expected = &mut next[usize::from(message[0])];
            assert_eq!(message[1..], u32::to_le_bytes(*expected));
            *expected += 1;
        }
    });
    drop(client);
    server.stop();
}

#[test]
fn a_write_to_a_connection_that_is_gone_is_lost_g_8() {
    let server = Server::echo();
    let (mut client, conn) = known(&server);
    client.finish();
    assert_eq!(client.receive_all(), b"");
    drop(client);
    server.wait_for_no_connections();
    assert_eq!(write(&server, conn, b"too late").recv(), Ok(Written::Lost));
    assert_eq!(write(&server, ConnId::NONE, b"to nobody").recv(), Ok(Written::Lost));
    server.stop();
}

/// Writes to a peer that reads nothing until a write has to wait; returns that one.
fn write_until_one_waits(server: &Server, conn: ConnId) -> mpsc::Receiver<Written> {
    let chunk = pattern(1, 16_000);
    let a_while = std::time::Duration::from_millis(200);
    (0..2000)
        .map(|_| write(server, conn, &chunk))
        .find(|one| one.recv_timeout(a_while).is_err())
        .expect("the system's buffers end somewhere")
}

#[test]
fn writes_that_wait_when_their_connection_is_lost_are_told_so_g_8() {
    let server = Server::echo();
    let (client, conn) = known(&server);
    let first = write_until_one_waits(&server, conn);
    let behind: Vec<_> = (0..3).map(|_| write(&server, conn, b"behind it")).collect();
    client.reset();
    for one in std::iter::once(&first).chain(&behind) {
        assert_eq!(one.recv(), Ok(Written::Lost));
    }
    server.wait_for_no_connections();
    server.stop();
}

#[test]
fn writes_to_a_peer_that_takes_nothing_are_refused_once_too_much_waits_g_8() {
    let server = Server::echo();
    let (client, conn) = known(&server);
    let first = write_until_one_waits(&server, conn);
    // What the transport takes ahead, what may wait behind it, and one more.
    let most = (WRITE_BACKLOG_MESSAGES_MAX + TX_HIGH_BUFS + 1) as usize;
    let heard: Vec<_> = (0..most).map(|_| write(&server, conn, b"one more")).collect();
    wait_until(|| heard.last().is_some_and(|one| one.try_recv() == Ok(Written::Refused)));
    client.reset();
    assert_eq!((first.recv(), heard[0].recv()), (Ok(Written::Lost), Ok(Written::Lost)));
    server.wait_for_no_connections();
    server.stop();
}

#[test]
fn every_author_hears_of_his_write_though_the_dataplane_stops_g_8() {
    for _ in 0..10 {
        let server = Start::new().listener("echo", "").start();
        let (client, conn) = known(&server);
        let heard: Vec<_> = (0..50).map(|_| write(&server, conn, b"before the end")).collect();
        server.stop();
        for one in heard {
            assert!(one.recv().is_ok(), "each author hears once");
        }
        drop(client);
    }
}
