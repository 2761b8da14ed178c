//! Routers and the layers around their handlers.

use std::time::Duration;

use ringway::handler::http::Router;
use ringway::handler::http::middleware::{RateLimit, RequestId, Timeout};
use ringway::testing::App;

use crate::ALLOCATIONS;

const TIMES: u64 = 1000;

/// Allocations for so many requests on a connection that is kept.
fn cost(router: Router, request: &str) -> u64 {
    let mut app = App::new(|_| router);
    let conn = app.open();
    let mut ask = || {
        app.receive(conn, request);
        let answered = app.sent(conn).starts_with(b"HTTP/1.1 200");
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
