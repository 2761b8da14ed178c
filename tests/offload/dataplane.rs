//! The pool of a running dataplane, over real sockets.

use std::sync::mpsc;
use std::time::Duration;

use ringway::config::{CoreMap, IdleMode, OffloadConfig, format_cpus};
use ringway::counters::Counter;
use ringway::dataplane::{Builder, Protocol};
use ringway::offload::CancelToken;
use ringway::sys::affinity;

use crate::common::{Client, Server, Start, wait_until};
use crate::hasher::{Hasher, hash};

const PATIENCE: Duration = Duration::from_secs(60);

fn builder(start: Start) -> (Builder, mpsc::Receiver<CancelToken>) {
    let (begun, begins) = mpsc::channel();
    let builder = start
        .listener("hasher", "")
        .builder()
        .protocol("hasher", move |context| Protocol::http(context, Hasher::telling(begun.clone())));
    (builder, begins)
}

fn counts(server: &Server) -> [u64; 5] {
    use Counter::*;
    [Offloaded, OffloadRefused, OffloadDone, OffloadCancelled, OffloadPanicked]
        .map(|counter| server.count(counter))
}

#[test]
fn work_leaves_the_lcore_and_its_answer_comes_back_g_9() {
    for idle in [IdleMode::Sleep, IdleMode::Adaptive] {
        let (builder, _begins) = builder(Start::new().lcores(2).idle(idle));
        let server = Server::run(builder);
        let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for round in 0..20 {
            for client in &mut clients {
                client.send(format!("GET /hash/{round} HTTP/1.1\r\nHost: a\r\n\r\n"));
            }
            for client in &mut clients {
                let response = client.response();
                assert_eq!((response.status(), response.body), (200, hash(round).into_bytes()));
            }
        }
        assert_eq!(counts(&server), [160, 0, 160, 0, 0]);
        server.drain();
    }
}

#[test]
fn an_lcore_goes_on_while_its_work_is_done_elsewhere_g_6() {
    let (builder, begins) = builder(Start::new().tables("[offload]\nthreads = 2\n"));
    let server = Server::run(builder);
    let mut slow = server.connect();
    slow.send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    let token = begins.recv_timeout(PATIENCE).unwrap();
    // The order of connections binds each to a thread: of two that follow each other, one is free.
    let mut others = [server.connect(), server.connect()];
    for client in &mut others {
        client.send("GET /hash/5 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    wait_until(|| server.count(Counter::OffloadDone) >= 1);
    token.cancel();
    let response = slow.response();
    assert_eq!(response.status(), 503, "what was cancelled from outside is told");
    others.iter_mut().for_each(|c| assert_eq!(c.response().body, hash(5).into_bytes()));
    server.drain();
}

#[test]
fn a_connection_that_dies_in_the_middle_cancels_its_work_a_9() {
    let (builder, begins) = builder(Start::new());
    let server = Server::run(builder);
    let mut client = server.connect();
    client.send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    let token = begins.recv_timeout(PATIENCE).unwrap();
    assert!(!token.is_cancelled());
    client.reset();
    wait_until(|| server.count(Counter::OffloadCancelled) == 1);
    assert!(token.is_cancelled());
    assert_eq!(server.connect().get("/hash/1").body, hash(1).into_bytes(), "the thread is free");
    server.drain();
}

#[test]
fn a_full_queue_is_told_and_one_place_is_enough_g_9() {
    let (builder, begins) = builder(Start::new().tables("[offload]\nqueue = 1\n"));
    let server = Server::run(builder);
    let mut first = server.connect();
    first.send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    let token = begins.recv_timeout(PATIENCE).unwrap();
    assert_eq!(server.connect().get("/hash/1").status(), 503);
    token.cancel();
    first.response();
    assert_eq!(server.connect().get("/hash/1").status(), 200);
    assert_eq!(counts(&server), [2, 1, 1, 1, 0]);
    server.drain();
}

#[test]
fn a_panic_costs_one_request_and_neither_thread_nor_lcore() {
    let (builder, _begins) = builder(Start::new());
    let server = Server::run(builder);
    let mut client = server.connect();
    assert_eq!(client.get("/panic").status(), 500);
    assert_eq!(client.get("/hash/3").body, hash(3).into_bytes());
    assert_eq!(counts(&server), [2, 0, 1, 0, 1]);
    server.drain();
}

#[test]
fn a_stop_in_the_middle_waits_for_no_work_and_loses_nothing() {
    let (builder, begins) = builder(Start::new());
    let server = Server::run(builder);
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    begins.recv_timeout(PATIENCE).unwrap();
    wait_until(|| server.count(Counter::Offloaded) == 4);
    let report = server.stop();
    assert_eq!(report.status().sum(Counter::OffloadCancelled), 4, "{report}");
}

#[test]
fn threads_on_cores_that_lcores_use_are_refused_g_9() {
    let allowed = affinity::allowed().unwrap();
    let all = CoreMap::parse_list(&format!("0@({})", format_cpus(&allowed))).unwrap();
    let (builder, _begins) = builder(Start::new());
    let error = builder.offload(OffloadConfig::on(all)).start().err().unwrap().to_string();
    assert!(error.contains("lcore 0 runs there"), "{error}");
}
