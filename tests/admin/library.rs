//! The admin listener of a dataplane in the process of the test.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use ringway::admin::Admin;
use ringway::dataplane::{Dataplane, Protocol};
use ringway::handler::http::{Request, Response};
use ringway::mem::Burst;
use ringway::pipeline::{Cx, Handler};

use crate::bed::get;
use crate::common::{Client, Server, Start, wait_until};
use crate::prometheus::parse;

fn admin(plane: &Dataplane) -> SocketAddr {
    plane.admin(|admin| admin.address()).expect("it was asked for")
}

fn health(plane: &Dataplane) -> (u16, String) {
    let response = get(admin(plane), "/healthz", "");
    (response.status(), String::from_utf8(response.body.clone()).unwrap())
}

fn loopback() -> Admin {
    Admin::on(([127, 0, 0, 1], 0))
}

#[test]
fn latencies_of_a_listener_are_a_histogram_of_all_that_was_measured() {
    let start = Start::new().listener("http", "").listener("echo", "");
    let builder = start.tables("[stats]\nsampling = 1\n").builder();
    let server = Server::run(builder.admin(loopback()));
    let mut client = server.connect();
    for _ in 0..20 {
        client.get("/");
    }
    let metrics = || {
        let body = get(admin(server.plane()), "/metrics", "").body;
        parse(str::from_utf8(&body).unwrap()).unwrap()
    };
    let counts = || -> Vec<f64> {
        let metrics = metrics();
        let name = "ringway_listener_latency_seconds";
        let found = metrics.iter().find(|metric| metric.name == name).unwrap();
        let counts = found.samples.iter().filter(|sample| sample.name.ends_with("_count"));
        counts.map(|sample| sample.value).collect()
    };
    wait_until(|| counts() == [20.0, 0.0]);
    let stats = get(admin(server.plane()), "/stats.json?buckets=1", "").body;
    let stats: serde_json::Value = serde_json::from_slice(&stats).unwrap();
    let buckets = stats["listeners"][0]["latency"]["buckets"].as_array().unwrap();
    let sum: u64 = buckets.iter().map(|bucket| bucket[1].as_u64().unwrap()).sum();
    assert_eq!(sum, 20);
    assert!(stats["listeners"][0]["slowest"]["conn"].as_str().unwrap().starts_with("0:"));
}

#[test]
fn an_lcore_that_hangs_is_no_good_health_until_it_comes_round() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = Arc::new(Mutex::new(hold));
    let builder =
        Start::new().tables("[stats]\nwatchdog_ms = 500\n").listener("held", "").builder();
    let builder = builder.protocol("held", move |context| {
        let hold = hold.clone();
        Protocol::http(context, move |_: &mut Cx, _: &Request<'_>| {
            hold.lock().unwrap().recv().unwrap();
            Response::text(200, "at last")
        })
    });
    let server = Server::run(builder.admin(loopback()));
    assert_eq!(health(server.plane()), (200, "ok\n".into()));
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until(|| health(server.plane()).0 == 503);
    let why = health(server.plane()).1;
    assert!(why.starts_with("lcore 0 has been silent for ") && why.contains("handler"), "{why}");
    release.send(()).unwrap();
    assert_eq!(client.response().status(), 200);
    wait_until(|| health(server.plane()).0 == 200);
}

/// Breaks its lcore with the first thing that it hears.
struct Broken;

impl Handler for Broken {
    fn process(&mut self, _cx: &mut Cx, input: &mut Burst, _output: &mut Burst) {
        input.pop();
        panic!("on purpose");
    }
}

#[test]
fn an_lcore_that_has_ended_is_no_good_health() {
    let builder =
        Start::new().listener("echo", "").builder().listen(([127, 0, 0, 1], 0), || Broken);
    let plane = builder.admin(loopback()).start().unwrap();
    assert_eq!(health(&plane).0, 200);
    let _client = Client::connect(plane.addresses()[1].ip().unwrap());
    wait_until(|| health(&plane).0 == 503);
    wait_until(|| health(&plane).1 == "lcore 0 has ended\n");
}
