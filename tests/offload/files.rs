//! Parts of a file, read off the lcore into slots of its pool, and sent from there.

use std::sync::{Arc, mpsc};

use ringway::dataplane::Protocol;
use ringway::handler::Http;
use ringway::mem::Mempool;
use ringway::pipeline::Pipeline;
use ringway::pipeline::chain::http1::{Http1, Settings};
use ringway::testing::{Harness, SLOTS};

use crate::common::{Server, Start, pattern};
use crate::hasher::{Hasher, PART_BYTES};

fn file(bytes: &[u8]) -> Arc<std::fs::File> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Arc::new(file.reopen().unwrap())
}

#[test]
fn a_file_goes_out_in_parts_that_pool_threads_read_into_bufs_g_9() {
    let bytes = pattern(1, 3 * PART_BYTES + 100);
    let file = file(&bytes);
    let builder = Start::new().listener("parts", "").builder();
    let server = Server::run(builder.protocol("parts", move |context| {
        let mut service = Hasher::telling(mpsc::channel().0);
        service.file = Some(file.clone());
        Protocol::http(context, service)
    }));
    let mut client = server.connect();
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        let response = client.get(&format!("/part/{}", got.len()));
        assert_eq!(response.status(), 200);
        got.extend(response.body);
    }
    assert!(got == bytes);
    server.stop();
}

#[test]
fn a_part_that_is_not_wanted_any_more_gives_its_slot_back() {
    let (mut service, _begins) = Hasher::new();
    service.file = Some(file(&[b'x'; 100]));
    let pool = Mempool::small(64).unwrap();
    let mut bed = Harness::build_on(pool.clone(), |_| {
        let chain = Http1::new(SLOTS, Settings::for_slots(64, 8));
        (Pipeline::Http1(Box::new(chain)), Http::new(SLOTS, service))
    });
    let conn = bed.open();
    bed.receive(conn, "GET /part/0 HTTP/1.1\r\nHost: a\r\n\r\n");
    let held: Vec<_> = std::iter::from_fn(|| pool.alloc(PART_BYTES)).collect();
    bed.run_offloaded();
    let none = String::from_utf8_lossy(&bed.take_sent(conn)).into_owned();
    assert!(none.starts_with("HTTP/1.1 503 ") && none.ends_with("no slot"), "{none}");
    drop(held);
    bed.receive(conn, "GET /part/0 HTTP/1.1\r\nHost: a\r\n\r\n");
    bed.run_offloaded();
    assert!(bed.sent(conn).ends_with(&[b'x'; 100]));
    bed.receive(conn, "GET /part/0 HTTP/1.1\r\nHost: a\r\n\r\n");
    bed.reset(conn);
    bed.run_offloaded();
    bed.finish();
}
