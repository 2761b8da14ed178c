//! Peers by the thousand that go away in the middle, of a request and of a response.

use std::thread;

use crate::common::{Client, Server, pattern};
use crate::floods::{http, stands};

const ROUNDS: usize = 1000;
const PEERS: usize = 4;
/// No time limit does the work of noticing that a peer is gone.
const PATIENT: &str =
    "head_timeout_ms = 3600000, body_timeout_ms = 3600000, keep_alive_timeout_ms = 3600000";

/// Four peers connect, act and reset, again and again.
fn abort(server: &Server, act: impl Fn(&mut Client, usize) + Sync) {
    thread::scope(|scope| {
        for _ in 0..PEERS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let mut client = server.connect();
                    act(&mut client, round);
                    client.reset();
                }
            });
        }
    });
}

#[test]
fn requests_that_are_cut_off_anywhere_leave_nothing_behind() {
    stands(http(PATIENT), |server| {
        let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let request = [&head[..], b"400\r\n", &pattern(3, 1024), b"\r\n0\r\n\r\n"].concat();
        abort(server, |client, round| {
            client.try_send(&request[..1 + round * 37 % request.len()]);
        });
    });
}

#[test]
fn responses_that_are_cut_off_anywhere_leave_nothing_behind() {
    stands(http(PATIENT), |server| {
        let one = [
            &b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n"[..],
            &pattern(4, 3000),
        ];
        let requests = one.concat().repeat(20);
        abort(server, |client, round| {
            client.try_send(&requests);
            client.receive(1 + round * 37 % 3000);
        });
    });
}
