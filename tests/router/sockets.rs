//! A router on real lcores.

use ringway::dataplane::Protocol;
use ringway::handler::http::middleware::{RateLimit, RequestId};
use ringway::handler::http::{Ctx, Failure, Router};
use ringway::handler::websocket;

use crate::common::{Server, Start, pattern};

fn routes() -> Router {
    Router::new()
        .layer(RequestId::new())
        .layer(RateLimit::per_connection(1_000_000, 1_000_000))
        .get("/hello/:name", |ctx| format!("hello, {}", ctx.param("name").unwrap_or_default()))
        .post("/length", |ctx: &mut Ctx<'_>| ctx.body().len().to_string())
        .get("/error", |_| -> Result<&'static str, Failure> {
            Err("x".parse::<u8>().unwrap_err())?
        })
        .websocket("/ws", websocket::Echo)
}

fn server() -> Server {
    let builder = Start::new().listener("app", "").lcores(2).builder();
    Server::run(builder.protocol("app", |context| Protocol::router(context, routes())))
}

#[test]
fn a_router_answers_over_sockets_on_each_lcore() {
    let server = server();
    for _ in 0..8 {
        let mut client = server.connect();
        let got = client.get("/hello/you?x");
        assert_eq!((got.status(), &*got.body), (200, &b"hello, you"[..]));
        assert!(got.field("X-Request-Id").is_some());
        let body = pattern(1, 300_000);
        assert_eq!(client.post("/length", &body).body, b"300000");
        assert_eq!(client.get("/error").status(), 500);
        assert_eq!(client.get("/nothing").status(), 404);
        client.send(
            "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        );
        assert_eq!(client.head().status(), 101);
        client.send([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
        assert_eq!(client.receive(4), [0x81, 2, b'h', b'i']);
    }
    server.drain();
}

#[test]
fn routes_that_make_no_sense_are_an_error_of_the_start() {
    let builder = Start::new().listener("app", "").builder();
    let builder = builder.protocol("app", |context| {
        Protocol::router(context, Router::new().get("/a", |_| "").get("/a", |_| ""))
    });
    let error = builder.start().err().unwrap().to_string();
    assert!(error.contains("Get at `/a`"), "{error}");
    let settings = Start::new().listener("app", "compress = true").builder();
    let error = settings.protocol("app", |context| Protocol::router(context, routes()));
    let error = error.start().err().unwrap().to_string();
    assert!(error.contains("compress"), "{error}");
}
