//! Routers and the layers around their handlers.

use std::time::Duration;

use ringway::handler::http::middleware::{Compress, Cors, RateLimit, RequestId, Timeout};
use ringway::handler::http::{Response, Router};
use ringway::testing::App;

use crate::ALLOCATIONS;

const TIMES: u64 = 1000;

/// Allocations for so many requests on a connection that is kept.
fn cost(router: Router, request: &str) -> u64 {
    let mut app = App::new(|_| router);
    let conn = app.open();
    let mut ask = || {
        app.receive(conn, request);
        let answered = app.sent(conn).starts_with(b"HTTP/1.1 20");
        assert!(answered, "{}", String::from_utf8_lossy(app.sent(conn)));
    };
    ask();
    let before = ALLOCATIONS.get();
    for _ in 0..TIMES {
        ask();
    }
    ALLOCATIONS.get() - before
}

#[test]
fn a_router_and_three_layers_allocate_nothing_a_15() {
    let layered = Router::new()
        .layer(RequestId::new().silent())
        .layer(RateLimit::per_connection(u32::MAX, u32::MAX))
        .layer(Timeout::after(Duration::from_secs(30)))
        .get("/", |_| "hello")
        .get("/users/:id", |ctx| if ctx.param("id").is_some() { "somebody" } else { "nobody" });
    let plain = Router::new().get("/", |_| "hello");
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    // What is left is the list of what was sent, which grows now and then.
    assert!(cost(plain, request) < 30);
    assert!(cost(layered, request) < 30);
}

const ASKED: &str = "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://example.org\r\n\r\n";

#[test]
fn layers_that_add_fields_to_responses_allocate_nothing_a_15() {
    let layered = |router: Router| {
        let cors = Cors::of(["https://example.org"]).methods("GET, PUT").credentials();
        let router = router.layer(RequestId::new()).layer(cors).layer(Compress);
        router.get("/", |_| "hello").get("/own", |_| Response::text(200, "hello").header("X", "y"))
    };
    let known = ASKED.replace("Origin", "X-Request-Id: known\r\nOrigin");
    let own = ASKED.replace("GET /", "GET /own");
    for request in [ASKED, &known, &own] {
        assert!(cost(layered(Router::new()), request) < 30, "{request}");
    }
    assert!(cost(Router::new().layer(Cors::any()).get("/", |_| "hello"), ASKED) < 30);
}

#[test]
fn an_answer_to_a_preflight_request_allocates_nothing_a_15() {
    let cors = Cors::any().headers("content-type").max_age(Duration::from_secs(60));
    let router = Router::new().layer(cors).put("/", |_| "hello");
    let preflight = ASKED
        .replace("GET", "OPTIONS")
        .replace("Origin", "Access-Control-Request-Method: PUT\r\nOrigin");
    assert!(cost(router, &preflight) < 30);
}
