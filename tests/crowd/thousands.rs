//! Ten thousand connections, open at once: all busy, most idle, all gone.

use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::command::{end, resident_kib, start, status, wait_until_all_are_gone};
use ringway::limits::{HTTP_STASHES_SHARE, SMALL_SLOTS};

use crate::common::{Client, pattern, uninterrupted};

const CROWD: usize = 10_000;

/// Descriptors that this process and the server, which has places for adopted sockets, need beside
/// those of the crowd.
const OTHERS: u64 = 300;

/// Requests that are half said at a time: fewer than the heads that a listener keeps parts of.
const HALVES: usize = 1000;

const _: () = assert!(HALVES < (SMALL_SLOTS / HTTP_STASHES_SHARE) as usize);

/// What the server may take more of memory for the crowd, in KiB.
const GROWTH_KIB_MAX: i64 = 16 * 1024;

/// As many of the crowd as this process may have open.
fn crowd() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let fits = hard.saturating_sub(OTHERS).min(CROWD as u64) as usize;
    if fits < CROWD {
        eprintln!("{fits} connections in place of {CROWD}: the limit on open files is {hard}");
    }
    fits
}

/// A request that no other connection or round has, and its body.
fn request(conn: usize, round: usize) -> (Vec<u8>, Vec<u8>) {
    let body = pattern((conn << 8 | round) as u64, 20 + (conn * 7 + round) % 300);
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    ([head.as_bytes(), &body].concat(), body)
}

/// One round over all of `clients`, each a step of `stride` after the last. All ask before the first
/// reads its answer, the second half of what they say behind the first half of many others'.
fn serve_all(clients: &mut [Client], stride: usize, round: usize) {
    let count = clients.len();
    let order: Vec<usize> = (0..count).map(|n| n * stride % count).collect();
    for many in order.chunks(HALVES) {
        for half in 0..2 {
            for &conn in many {
                let (request, _) = request(conn, round);
                let (first, second) = request.split_at(1 + (conn + round) % (request.len() - 1));
                clients[conn].send([first, second][half]);
            }
        }
        // No more halves are in the server's hands than one chunk has, however slow it is.
        for &conn in many {
            uninterrupted(|| clients[conn].stream().peek(&mut [0])).expect("an answer");
        }
    }
    for &conn in order.iter().rev() {
        let response = clients[conn].response();
        let same = response.status() == 200 && response.body == request(conn, round).1;
        assert!(same, "connection {conn}, round {round}: {}", response.head);
    }
}

/// A stride that visits each of `count` once.
fn stride(count: usize, least: usize) -> usize {
    let divides = |a: usize, b: usize| {
        let (mut a, mut b) = (a, b);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a > 1
    };
    (least..).find(|&stride| !divides(stride, count)).expect("there is a prime")
}

#[test]
fn ten_thousand_connections_are_served_on_one_lcore_and_none_is_dropped_g_4_g_5() {
    let count = crowd();
    if count < 100 {
        return eprintln!("skipped: too few files may be open");
    }
    // One more, for the status when they have gone.
    let server = start(count + 1);
    let before = resident_kib(&server);
    let mut clients: Vec<Client> = (0..count).map(|_| server.connect()).collect();
    for (round, least) in [1, 7, 4999].into_iter().enumerate() {
        serve_all(&mut clients, stride(count, least), round);
    }
    check_status(&mut clients[0], count);
    let grown = resident_kib(&server) - before;
    println!("{count} connections: {before} KiB beside the pools before, {grown:+} KiB with them");
    assert!(grown <= GROWTH_KIB_MAX, "{grown} KiB more for {count} connections");
    busy_among_idle(&mut clients);
    serve_all(&mut clients, stride(count, 2999), 9);
    check_status(&mut clients[1], count);
    let grown_later = resident_kib(&server) - before;
    assert!(grown_later <= GROWTH_KIB_MAX, "{grown_later} KiB more after more requests");
    for (conn, client) in clients.into_iter().enumerate() {
        if conn % 2 == 0 { client.reset() } else { drop(client) }
    }
    wait_until_all_are_gone(&server);
    end(server);
}

/// All of them, and nobody else, ever were accepted.
fn check_status(client: &mut Client, count: usize) {
    let status = status(client);
    let counters = &status["counters"];
    assert_eq!((&status["connections"], &counters["accepted"]), (&count.into(), &count.into()));
    assert_eq!(counters["closed"], 0, "{status}");
}

/// Some go on asking, the others are idle.
fn busy_among_idle(clients: &mut [Client]) {
    let every = clients.len() / 50;
    let mut busy: Vec<&mut Client> = clients.iter_mut().step_by(every).collect();
    thread::scope(|scope| {
        for some in busy.chunks_mut(13) {
            scope.spawn(|| {
                for round in 0..100 {
                    some.iter_mut().enumerate().for_each(|(n, client)| {
                        client.send(request(n, round).0).send(request(!n & 0xff, round).0);
                    });
                    for (n, client) in some.iter_mut().enumerate() {
                        assert!(client.response().body == request(n, round).1);
                        assert!(client.response().body == request(!n & 0xff, round).1);
                    }
                }
            });
        }
    });
}
