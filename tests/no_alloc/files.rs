//! Files that are kept in memory.

use ringway::handler::Http;
use ringway::handler::http::{Files, Request, Response, Service};
use ringway::pipeline::chain::http1::{Http1, Settings};
use ringway::pipeline::{Cx, Pipeline};
use ringway::testing::{Harness, SLOTS};

use crate::ALLOCATIONS;

const TIMES: u64 = 1000;

/// Allocations for so many requests, those of the harness among them.
fn cost(service: impl Service, lines: &str) -> u64 {
    let mut bed = Harness::build(|_| {
        let chain = Http1::new(SLOTS, Settings::for_slots(256, 64));
        (Pipeline::Http1(Box::new(chain)), Http::new(SLOTS, service))
    });
    let conn = bed.open();
    let request = format!("GET /a.txt HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    bed.receive(conn, &request);
    bed.run_offloaded();
    bed.receive(conn, &request);
    let before = ALLOCATIONS.get();
    for _ in 0..TIMES {
        bed.receive(conn, &request);
    }
    let cost = ALLOCATIONS.get() - before;
    let status: &[u8] = if lines.is_empty() { b"HTTP/1.1 200" } else { b"HTTP/1.1 304" };
    assert!(bed.sent(conn).starts_with(status) || lines.is_empty());
    cost
}

#[test]
fn a_file_that_is_kept_is_sent_without_allocating_a_15() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.txt"), "x".repeat(1000)).unwrap();
    let files = Files::new(directory.path()).unwrap().precompressed().cache_control("no-cache");
    let plain = |_: &mut Cx, _: &Request<'_>| Response::text(200, "hello");
    // What is left is the list of what was sent, which grows now and then.
    let of_the_harness = cost(plain, "") + 8;
    for lines in ["", "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\nAccept-Encoding: br\r\n"]
    {
        let cost = cost(files.clone(), lines);
        assert!(
            cost <= of_the_harness,
            "{cost} in {TIMES} requests, and {of_the_harness} without files"
        );
    }
}
