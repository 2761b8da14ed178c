//! Numbers of a dataplane in the process of the test, each of its passes measured.

use std::time::Duration;

use ringway::counters::snapshot::{ListenerSnapshot, Snapshot, StageSnapshot, State};

use ringway::dataplane::Protocol;
use ringway::handler::http::Router;

use crate::common::{Client, Server, Start, wait_until};

const ALL: &str = "[stats]\nsampling = 1\n";

fn look(server: &Server) -> Snapshot {
    server.plane().observer().unwrap().snapshot().unwrap()
}

fn stage<'a>(stages: &'a [StageSnapshot], name: &str) -> &'a StageSnapshot {
    stages.iter().find(|stage| stage.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// Looks until it is so.
fn wait_for(server: &Server, so: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let mut seen = look(server);
    wait_until(|| {
        seen = look(server);
        so(&seen)
    });
    seen
}

#[test]
fn each_listener_counts_for_itself_and_its_lcore_for_all() {
    let start = Start::new().listener("http", "").listener("echo", "").tables(ALL);
    let server = start.start();
    let (mut http, mut echo) = (server.connect(), Client::connect(server.address(1)));
    for _ in 0..5 {
        http.get("/");
    }
    echo.send(b"seven b").receive(7);
    // A send is counted when the kernel says that it is done, which the peer may know before.
    let seen = wait_for(&server, |seen| seen.listeners[1].counters.get("tx_bytes") == 7);
    let [first, second] = &seen.listeners[..] else { panic!("{:?}", seen.listeners) };
    assert_eq!((first.protocol.as_str(), second.protocol.as_str()), ("http", "echo"));
    assert_eq!((first.address.clone(), second.address.clone()), {
        let address = |index| server.address(index).to_string();
        (address(0), address(1))
    });
    let bytes = |listener: &ListenerSnapshot, name| listener.counters.get(name);
    assert_eq!((bytes(second, "rx_bytes"), bytes(second, "tx_bytes")), (7, 7));
    assert_eq!((first.connections, second.connections), (1, 1));
    assert_eq!((bytes(first, "messages"), seen.sum("accepted")), (5, 2));
    assert_eq!(seen.sum("rx_bytes"), bytes(first, "rx_bytes") + 7);
    drop(http);
    let seen = wait_for(&server, |seen| seen.listeners[0].connections == 0);
    assert_eq!((seen.listeners[0].counters.get("closed"), seen.lcores[0].connections), (1, 1));
}

#[test]
fn every_stage_of_every_request_is_measured_where_all_passes_are() {
    let server = Start::new().listener("http", "").tables(ALL).start();
    let mut client = server.connect();
    for _ in 0..20 {
        client.get("/");
    }
    let latencies = |seen: &Snapshot| seen.listeners[0].latency.count();
    let seen = wait_for(&server, |seen| latencies(seen) == 20);
    let listener = &seen.listeners[0];
    // Markers go through stages as well: at least the one that the connection began with.
    for name in ["rx", "ingress", "handler"] {
        let stage = stage(&listener.stages, name);
        assert!(stage.bufs > 20 && stage.bufs <= 20 + 5, "{stage:?}");
        assert_eq!(stage.calls, stage.bufs_per_call.iter().sum::<u64>(), "{stage:?}");
    }
    for name in ["egress", "tx"] {
        assert_eq!(stage(&listener.stages, name).bufs, 20, "{name}");
    }
    assert!(stage(&listener.stages, "flush").cycles > 0);
    let slowest = listener.slowest.as_ref().expect("one of them was");
    assert!(listener.latency.quantile(1.0).unwrap() * 17 / 16 >= slowest.ns, "{slowest:?}");
    assert_eq!(slowest.conn.split(':').next(), Some("0"));
    let lcore = &seen.lcores[0];
    let turns = stage(&lcore.stages, "turns");
    let of_stages = listener.stages.iter().map(|stage| stage.cycles).sum::<u64>();
    assert!(turns.cycles >= of_stages, "{turns:?} {of_stages}");
    assert!(stage(&lcore.stages, "completions").bufs >= 40, "a receive and a send each");
}

#[test]
fn an_answer_that_comes_later_counts_from_when_its_request_came() {
    let builder = Start::new().tables(ALL).listener("slow", "").builder();
    let builder = builder.protocol("slow", |context| {
        let router = Router::new().get("/", |ctx| {
            ctx.offload(|_| {
                std::thread::sleep(Duration::from_millis(20));
                "later"
            })
        });
        Protocol::router(context, router)
    });
    let server = Server::run(builder);
    assert_eq!(server.connect().get("/").status(), 200);
    let seen = wait_for(&server, |seen| seen.listeners[0].latency.count() == 1);
    let latency = seen.listeners[0].latency.quantile(1.0).unwrap();
    assert!(latency >= 20_000_000, "{latency}");
}

#[test]
fn nothing_is_measured_where_nothing_is_to_be() {
    let server = Start::new().listener("http", "").tables("[stats]\nsampling = 0\n").start();
    server.connect().get("/");
    let seen = wait_for(&server, |seen| seen.sum("messages") == 1);
    let measured = |stages: &[StageSnapshot]| stages.iter().any(|stage| stage.calls > 0);
    assert!(!measured(&seen.listeners[0].stages) && !measured(&seen.lcores[0].stages));
    assert_eq!((seen.listeners[0].latency.count(), seen.sampling), (0, 0));
}

#[test]
fn whoever_looks_hears_that_it_drains() {
    let server = Start::new().listener("http", "").lcores(2).start();
    let observer = server.plane().observer().unwrap();
    let seen = observer.snapshot().unwrap();
    assert_eq!((seen.state, seen.lcores.len(), seen.generation), (State::Running, 2, 1));
    assert!(seen.pools.iter().any(|pool| pool.slots > 0 && pool.slot_bytes == 2048));
    let report = server.drain();
    assert_eq!(observer.snapshot().unwrap().state, State::Ended);
    drop(report);
}
