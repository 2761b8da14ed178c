//! Offloaded work on a harness: no thread, and each step when the test wants it.

use std::sync::mpsc;

use ringway::counters::Counter;
use ringway::handler::Http;
use ringway::limits::OFFLOAD_QUEUE;
use ringway::offload::CancelToken;
use ringway::pipeline::Pipeline;
use ringway::pipeline::chain::http1::{Http1, Settings};
use ringway::testing::{Harness, SLOTS};

use crate::hasher::{Hasher, hash};

type Bed = Harness<Http<Hasher>>;

fn bed() -> (Bed, mpsc::Receiver<CancelToken>) {
    let (service, begins) = Hasher::new();
    let harness = Harness::build(|_| {
        let chain = Http1::new(SLOTS, Settings::for_slots(256, 64));
        (Pipeline::Http1(Box::new(chain)), Http::new(SLOTS, service))
    });
    (harness, begins)
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn sent(bed: &Bed, conn: ringway::mem::ConnId) -> String {
    String::from_utf8_lossy(bed.sent(conn)).into_owned()
}

#[test]
fn a_response_comes_when_its_work_is_done_and_in_its_turn_g_9() {
    let (mut bed, _begins) = bed();
    let [a, b] = [bed.open(), bed.open()];
    bed.receive(a, [get("/hash/10"), get("/hash/20")].concat());
    bed.receive(b, get("/hash/30"));
    assert_eq!((bed.sent(a), bed.sent(b)), (&b""[..], &b""[..]));
    assert!(bed.run_one_offloaded());
    assert!(sent(&bed, a).ends_with(&hash(10)) && bed.sent(b).is_empty());
    assert_eq!(
        bed.run_offloaded(),
        2,
        "the second of the first connection was asked for meanwhile"
    );
    assert!(sent(&bed, a).ends_with(&hash(20)) && sent(&bed, b).ends_with(&hash(30)));
    assert_eq!(bed.run_offloaded(), 0);
    assert_eq!(bed.cx.counters.get(Counter::OffloadDone), 3);
    bed.finish();
}

#[test]
fn the_death_of_a_connection_drops_its_work_before_it_begins_a_9() {
    let (mut bed, begins) = bed();
    let conn = bed.open();
    bed.receive(conn, get("/block"));
    bed.reset(conn);
    assert_eq!(bed.run_offloaded(), 1, "what is left of it is taken off the queue");
    assert!(begins.try_recv().is_err(), "it never began");
    assert_eq!(bed.cx.counters.get(Counter::OffloadCancelled), 1);
    bed.finish();
}

#[test]
fn a_panic_is_an_answer_of_one_request() {
    let (mut bed, _begins) = bed();
    let conn = bed.open();
    bed.receive(conn, [get("/panic"), get("/hash/1")].concat());
    bed.run_offloaded();
    let text = sent(&bed, conn);
    assert!(text.starts_with("HTTP/1.1 500 ") && text.ends_with(&hash(1)), "{text}");
    assert_eq!(bed.cx.counters.get(Counter::OffloadPanicked), 1);
    bed.finish();
}

#[test]
fn at_the_limit_of_its_queue_an_lcore_refuses_one_more() {
    let (mut bed, _begins) = bed();
    let conn = bed.open();
    let work = |_: &CancelToken| ();
    let spawn = |bed: &Bed| bed.cx.offload.spawn(conn, ringway::offload::Order::Any, work);
    let tasks: Vec<_> = (0..OFFLOAD_QUEUE).map(|_| spawn(&bed).expect("room")).collect();
    bed.receive(conn, get("/hash/1"));
    assert!(sent(&bed, conn).starts_with("HTTP/1.1 503 "));
    assert!(bed.run_one_offloaded());
    bed.receive(conn, get("/hash/1"));
    assert_eq!(bed.run_offloaded(), OFFLOAD_QUEUE as usize);
    assert!(sent(&bed, conn).ends_with(&hash(1)), "one was done, so there was room for one");
    assert_eq!(bed.cx.counters.get(Counter::OffloadRefused), 1);
    drop(tasks);
    bed.finish();
}
