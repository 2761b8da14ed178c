//! Clients that break rules, that are slow, and that are many.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;

use ringway::counters::snapshot::{LcoreSnapshot, Snapshot, State, Values};
use ringway::limits::{ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX, ADMIN_TARGET_BYTES_MAX};
use ringway::sync::AtomicUsize;

use crate::bed::Bed;
use crate::common::{Client, pattern};

/// The status that these bytes are answered with; the connection ends behind it.
fn status(bed: &Bed, bytes: impl AsRef<[u8]>) -> u16 {
    let mut client = bed.connect();
    client.try_send(bytes);
    let status = client.response().status();
    client.wait_for_the_end();
    status
}

#[test]
fn bytes_that_are_no_request_are_answered_so_and_the_next_client_is_none_the_worse() {
    let bed = Bed::start();
    let long = |what: &str, bytes: u32| what.replace('*', &"x".repeat(bytes as usize));
    for (bytes, expected) in [
        ("\0\0\0\0\0\0\0\0\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\u{2}\0 a TLS hello\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(), 505),
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET ../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 400),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 404),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), 421),
        ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n".to_owned(), 405),
        (long("GET /* HTTP/1.1\r\nHost: a\r\n\r\n", ADMIN_TARGET_BYTES_MAX), 414),
        (long("GET / HTTP/1.1\r\nHost: a\r\nX: *\r\n\r\n", ADMIN_HEAD_BYTES_MAX), 431),
        (long("GET / HTTP/1.1\r\nHost: a\r\nX: *", 40 * ADMIN_HEAD_BYTES_MAX), 431),
    ] {
        assert_eq!(status(&bed, &bytes), expected, "{:?}", &bytes[..bytes.len().min(60)]);
        assert_eq!(bed.get("/healthz").status(), 200);
    }
    for seed in 0..100 {
        let mut client = bed.connect();
        client.try_send(pattern(seed, 3000)).finish();
        client.wait_for_the_end();
    }
    assert_eq!(bed.get("/healthz").status(), 200);
}

#[test]
fn a_body_is_not_read_and_does_not_take_the_answer_away() {
    let bed = Bed::start();
    for (length, sent) in [(10, 10), (1 << 30, 100_000), (0, 5000)] {
        let mut client = bed.connect();
        client.send(format!(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        ));
        client.try_send("x".repeat(sent)).finish();
        assert_eq!(client.response().body, b"ok\n");
        client.wait_for_the_end();
    }
}

#[test]
fn a_second_request_on_a_connection_is_not_answered() {
    let bed = Bed::start();
    let mut client = bed.connect();
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2));
    let response = client.response();
    assert_eq!((response.status(), response.field("connection")), (200, Some("close")));
    client.wait_for_the_end();
}

#[test]
fn a_request_in_single_bytes_is_one_and_one_that_never_ends_is_given_up() {
    let bed = Bed::start();
    let mut client = bed.connect();
    for byte in b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.head().status(), 200);
    assert!(client.receive_all().is_empty(), "an answer to HEAD has no body");
    let mut client = bed.connect();
    client.send("GET /healthz HTTP/1.1\r\nHost: local").wait_for_the_end();
    // One that says nothing at all, and one that goes at once.
    bed.connect().wait_for_the_end();
    drop(bed.connect());
    assert_eq!(bed.get("/healthz").status(), 200);
}

#[test]
fn slow_clients_in_all_places_keep_no_other_out() {
    let bed = Bed::start();
    let slow: Vec<TcpStream> =
        (0..3 * ADMIN_CONNECTIONS_MAX).map(|_| bed.stuck("GET /healthz HTTP/1.1\r\n")).collect();
    for _ in 0..5 {
        assert_eq!(bed.get("/healthz").status(), 200);
    }
    // They go on: a byte now and then is no request, and gives no right to stay.
    for mut stream in slow {
        let _ = stream.write_all(b"X");
    }
    assert_eq!(bed.get("/healthz").status(), 200);
}

#[test]
fn a_thousand_clients_at_once_are_all_answered() {
    let bed = Bed::start();
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(bed.get("/healthz").status(), 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(answered.into_inner(), 1000);
}

#[test]
fn a_thousand_open_connections_leave_room_for_one_more() {
    let bed = Bed::start();
    let idle: Vec<_> = (0..1000).map(|_| TcpStream::connect(bed.address()).unwrap()).collect();
    assert_eq!(bed.get("/metrics").status(), 200);
    drop(idle);
    assert_eq!(bed.get("/healthz").status(), 200);
}

#[test]
fn clients_that_do_not_read_their_answers_hold_up_nobody() {
    // Far more than a socket takes by itself.
    let name = "x".repeat(8 << 20);
    let bed = Bed::telling(move || {
        let counters = Values(vec![(name.clone(), 1)]);
        let lcores = vec![LcoreSnapshot { counters, ..LcoreSnapshot::default() }];
        Snapshot { state: State::Running, lcores, ..Snapshot::default() }
    });
    let request = "GET /stats.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let rude: Vec<_> = (0..4).map(|_| bed.stuck(request)).collect();
    let others: Vec<_> = (0..ADMIN_CONNECTIONS_MAX).map(|_| bed.stuck("GET")).collect();
    assert_eq!(bed.get("/healthz").status(), 200);
    drop((rude, others));
    let mut whole = bed.connect();
    whole.send(request);
    assert!(whole.response().body.len() > 8 << 20, "who reads gets all of it");
}

#[test]
fn resets_and_half_closes_in_every_moment_do_no_harm() {
    let bed = Bed::start();
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for cut in 0..=request.len() {
        let mut gone = TcpStream::connect(bed.address()).unwrap();
        gone.write_all(&request[..cut]).unwrap();
        nix::sys::socket::setsockopt(
            &gone,
            nix::sys::socket::sockopt::Linger,
            &nix::libc::linger { l_onoff: 1, l_linger: 0 },
        )
        .unwrap();
        drop(gone);
        let mut half = TcpStream::connect(bed.address()).unwrap();
        half.write_all(&request[..cut]).unwrap();
        half.shutdown(Shutdown::Write).unwrap();
        let mut text = Vec::new();
        half.read_to_end(&mut text).unwrap();
        assert_eq!(text.is_empty(), cut < request.len());
    }
    assert_eq!(bed.get("/healthz").status(), 200);
}

#[test]
fn it_ends_at_once_even_with_clients_and_its_address_is_free_then() {
    let bed = Bed::start();
    let address = bed.address();
    let mut clients: Vec<_> = (0..10).map(|_| Client::over(bed.stuck("GET /"))).collect();
    assert_eq!(bed.get("/healthz").status(), 200);
    drop(bed);
    clients.iter_mut().for_each(Client::wait_for_the_end);
    assert!(TcpStream::connect(address).is_err());
    ringway::admin::Admin::on(address).bind(&[]).unwrap();
}

#[test]
fn who_inherits_the_socket_goes_on_and_nobody_is_refused_in_between() {
    let first = Bed::start();
    let address = first.address();
    let socket = first.serving.socket().try_clone_to_owned().unwrap();
    let bound = ringway::admin::Admin::on(address).inherit(socket, &[]).unwrap();
    assert_eq!(bound.address(), address);
    drop(first);
    // Nobody answers now, and nobody is refused: who comes waits.
    let mut waiting = Client::connect(address);
    waiting.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let tell = || Ok(Snapshot { state: State::Running, ..Snapshot::default() });
    let _serving = bound.serve(std::sync::Arc::new(tell)).unwrap();
    assert_eq!(waiting.response().status(), 200);
}
