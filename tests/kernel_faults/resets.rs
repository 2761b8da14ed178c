//! ECONNRESET and EPIPE, in every state that a connection can be in.

use ringway::counters::Counter;

use crate::common::{Client, Server, Start, pattern, wait_until};

const ROUNDS: usize = 10;

/// Brings connections into a state, resets them, and sees that others are served.
fn reset_when(server: &Server, address: usize, state: impl Fn(&mut Client)) {
    for round in 0..ROUNDS {
        let mut clients: Vec<_> =
            (0..10).map(|_| Client::connect(server.address(address))).collect();
        clients.iter_mut().for_each(&state);
        if round % 2 == 0 {
            // Every other time the reset meets what has settled.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        clients.into_iter().for_each(Client::reset);
        assert_eq!(server.connect().get("/").status(), 200);
    }
    server.wait_for_no_connections();
}

fn both() -> Server {
    Start::new().listener("http", "").listener("echo", "").start()
}

#[test]
fn a_reset_right_after_the_connection_began_is_survived() {
    let server = both();
    reset_when(&server, 0, |_| ());
    server.drain();
}

#[test]
fn a_reset_in_a_head_and_in_a_body_is_survived() {
    let server = both();
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    reset_when(&server, 0, |client| {
        client.send(&head[..30]);
    });
    reset_when(&server, 0, |client| {
        client.send(head).send(pattern(1, 50_000));
    });
    reset_when(&server, 0, |client| {
        client.send(head).send(pattern(1, 100_000));
    });
    server.drain();
}

#[test]
fn a_reset_while_a_reply_is_on_its_way_is_survived() {
    let server = both();
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    reset_when(&server, 0, |client| {
        client.send(request);
    });
    reset_when(&server, 0, |client| {
        client.send(request.repeat(500));
    });
    reset_when(&server, 1, |client| {
        client.send(pattern(2, 200_000));
    });
    server.drain();
}

#[test]
fn a_reset_of_a_connection_whose_sends_are_stuck_is_survived() {
    let server = both();
    reset_when(&server, 1, |client| {
        let bytes = pattern(3, 1 << 20);
        client.stream().set_write_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
        (0..8).for_each(|_| {
            client.try_send(&bytes);
        });
    });
    assert!(server.count(Counter::RxPaused) > 0);
    server.drain();
}

#[test]
fn a_reset_of_a_closing_connection_is_survived() {
    let server = both();
    let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    // We have closed our side and wait for the peer's.
    reset_when(&server, 0, |client| assert_eq!(client.send(last).response().status(), 200));
    // The peer has closed his side before.
    reset_when(&server, 1, |client| {
        client.send("bytes").finish();
    });
    server.drain();
}

#[test]
fn a_reset_during_a_drain_is_survived() {
    for _ in 0..ROUNDS {
        let server = both();
        let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
        }
        wait_until(|| server.count(Counter::Messages) == 20);
        server.plane().drain();
        clients.into_iter().for_each(Client::reset);
        server.account();
    }
}
