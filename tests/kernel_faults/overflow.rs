//! A completion queue that is too short for what happens at once.

use ringway::config::IoBackend;
use ringway::counters::Counter;
use ringway::dataplane::Tuning;
use ringway::sys::uring::Mode;

use crate::common::{Start, pattern, wait_until};

fn eight_entries(tuning: &mut Tuning) {
    tuning.sq_entries = 8;
    tuning.cq_entries = 8;
}

/// Lets bursts of connections send, all while the lcore looks elsewhere, and checks each echo.
fn bursts_over(mode: Mode) -> u64 {
    let start = Start::new().io(IoBackend::IoUring).listener("echo", "").tuning(eight_entries);
    let server = start.tuning(|tuning| tuning.mode = mode).start();
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    wait_until(|| server.count(Counter::Accepted) == 200);
    for round in 0..10u64 {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let wait =
            Box::new(move |_: &mut _| assert!(held.recv().is_err(), "it ends when `hold` does"));
        assert!(server.plane().handle(0).post(ringway::lcore::Mail::Call(wait)).is_ok());
        let body = |n: usize| pattern(round << 32 | n as u64, 1000);
        for (n, client) in clients.iter_mut().enumerate() {
            client.send(body(n));
        }
        drop(hold);
        for (n, client) in clients.iter_mut().enumerate() {
            assert!(client.receive(1000) == body(n), "round {round}: the bytes of another");
        }
    }
    let overflows = server.count(Counter::CqOverflows);
    println!("{mode}: overflowed {overflows} times");
    drop(clients);
    server.wait_for_no_connections();
    server.drain();
    overflows
}

#[test]
fn a_completion_queue_that_overflows_loses_nothing() {
    let overflows = bursts_over(Mode::Defer) + bursts_over(Mode::Coop) + bursts_over(Mode::Plain);
    assert!(overflows > 0);
}
