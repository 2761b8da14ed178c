//! A listener that is traced and captured.

use std::sync::mpsc;

use ringway::lcore::Mail;
use ringway::lcore::capture::{Boundaries, CaptureOptions, Capturer};
use ringway::lcore::trace::{TraceOptions, Tracer};
use ringway::lcore::watch::{Boundary, Watch};
use ringway::time::Instant;

use crate::common::{Server, Start};
use crate::serves_without_allocating;

fn watch(server: &Server, watch: Box<Watch>) {
    let (done, answer) = mpsc::channel();
    let call = Mail::Call(Box::new(move |lcore| {
        let _ = done.send(lcore.watch(0, watch).is_ok());
    }));
    assert!(server.plane().handle(0).post(call).is_ok());
    assert!(answer.recv().unwrap(), "the listener is there");
}

#[test]
fn who_looks_brings_all_memory_along_a_15() {
    let server = Start::new().listener("http", "").start();
    let (conn, until) = (None, Instant::from_ns(u64::MAX));
    let (shows_bytes, shows_decrypted, passes) = (true, true, u32::MAX);
    let options = TraceOptions { conn, passes, until, shows_bytes, shows_decrypted };
    let (tracer, mut records, _) = Tracer::new(options);
    let stages = Boundary::ALL.into_iter();
    let stages = stages.fold(Boundaries::default(), |all, (stage, _)| all.with(stage));
    let (snaplen, packets, decrypted) = (100_000, u64::MAX, true);
    let options = CaptureOptions { stages, conn, snaplen, packets, until, decrypted };
    let (capturer, mut bytes, _) = Capturer::new(options);
    watch(&server, Watch::tracing(tracer));
    watch(&server, Watch::capturing(capturer));
    // Nobody reads: the rings are full before the end.
    serves_without_allocating(&server, "GET / that is looked at", |client| {
        assert_eq!(client.get("/").status(), 200);
    });
    assert!(records.dequeue().is_some() && bytes.dequeue().is_some());
    server.stop();
}
