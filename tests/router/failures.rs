//! What goes wrong in a program's own code costs one request.

use ringway::counters::Counter;
use ringway::handler::http::{Body, Ctx, Failure, Pull, Reply, Request, Response, Router, Service};
use ringway::handler::websocket;
use ringway::mem::{Buf, Burst, ConnId};
use ringway::pipeline::Cx;
use ringway::pipeline::chain::websocket::MessageMeta;
use ringway::testing::{App, End};

fn count(app: &App, counter: Counter) -> u64 {
    app.cx.counters.get(counter)
}

#[test]
fn an_error_is_a_500_that_tells_nothing_and_is_counted_g_15() {
    let mut app = App::new(|_| {
        Router::new()
            .get("/number/:n", |ctx: &mut Ctx<'_>| -> Result<String, Failure> {
                let n: u8 = ctx.param("n").unwrap().parse()?;
                Ok(format!("{n}"))
            })
            .get("/teapot", |_| -> Result<&'static str, Failure> {
                Err(Failure::new(418, "short and stout"))
            })
    });
    assert_eq!(app.get("/number/7").text(), "7");
    let answer = app.get("/number/seven");
    assert_eq!((answer.status, answer.text()), (500, "internal server error\n"));
    assert_eq!(count(&app, Counter::HandlerErrors), 1);
    let answer = app.get("/teapot");
    assert_eq!((answer.status, answer.text()), (418, "short and stout\n"));
    assert_eq!(count(&app, Counter::HandlerErrors), 1, "a refusal is none");
}

#[test]
fn a_panic_costs_its_request_and_the_connection_goes_on() {
    let mut app = App::new(|_| {
        Router::new()
            .get("/", |_| "fine")
            .get("/panic", |_| -> &'static str { panic!("of the test") })
            .post("/panic", |ctx| -> &'static str { panic!("of {}", ctx.body().len()) })
    });
    let conn = app.begin(
        "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /panic HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\
         GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"",
    );
    let sent = String::from_utf8(app.take_sent(conn)).unwrap();
    let statuses: Vec<&str> = sent.split("HTTP/1.1 ").skip(1).map(|s| &s[..3]).collect();
    assert_eq!(statuses, ["500", "500", "200"], "{sent}");
    assert_eq!(count(&app, Counter::HandlerPanics), 2);
    assert_eq!(app.closed(conn), None);
}

#[test]
fn a_panic_of_a_layer_costs_its_request_on_either_way() {
    struct Out;
    impl ringway::handler::http::Middleware for Out {
        fn respond(&self, ctx: &mut Ctx<'_>, _response: &mut Response) {
            assert!(ctx.path() != b"/out", "of the test");
        }
    }
    let mut app = App::new(|_| {
        let router = Router::new().layer(Out).wrap(|ctx, next| {
            assert!(ctx.path() != b"/in", "of the test");
            next.run(ctx)
        });
        router.get("/:any", |_| "fine")
    });
    assert_eq!(app.get("/in").status, 500);
    assert_eq!(app.get("/out").status, 500);
    assert_eq!(app.get("/else").status, 200);
    assert_eq!(count(&app, Counter::HandlerPanics), 2);
}

/// An error that cannot say what it is, and a panic that panics again.
#[derive(Debug)]
struct Dumb;

impl std::fmt::Display for Dumb {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("of the test")
    }
}

impl std::error::Error for Dumb {}

impl Drop for Dumb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("of the test")
        }
    }
}

#[test]
fn what_panics_once_more_while_a_failure_is_told_costs_no_more() {
    let mut app = App::new(|_| {
        Router::new()
            .get("/dumb", |_| -> Result<&'static str, Failure> { Err(Dumb.into()) })
            .get("/again", |_| -> &'static str { std::panic::panic_any(Dumb) })
            .get("/", |_| "fine")
    });
    assert_eq!(app.get("/dumb").status, 500);
    assert_eq!(app.get("/again").status, 500);
    assert_eq!(app.get("/").status, 200);
}

/// Panics where its path says.
struct Careless;

impl Service for Careless {
    fn call(&mut self, _cx: &mut Cx, request: &Request<'_>) -> Reply {
        match request.path() {
            b"/c/pull" => Response::new(200, Body::Stream(None)).into(),
            b"/c/upgrade" => Response::upgrade("talk").into(),
            _ => Reply::Body,
        }
    }

    fn body(&mut self, _cx: &mut Cx, _conn: ConnId, _part: &Buf, _last: bool) -> Reply {
        panic!("of the test")
    }

    fn pull(&mut self, _cx: &mut Cx, _conn: ConnId) -> Pull {
        panic!("of the test")
    }

    fn upgraded(&mut self, _cx: &mut Cx, bytes: Buf, output: &mut Burst) {
        while output.push(bytes.slice(0, bytes.len())).is_ok() {}
        panic!("of the test")
    }

    fn closed(&mut self, _cx: &mut Cx, _conn: ConnId) {
        panic!("of the test")
    }
}

#[test]
fn services_that_panic_lose_what_they_were_at_and_nothing_else() {
    let mut app = App::new(|_| Router::new().mount("/c/*rest", Careless).get("/", |_| "fine"));
    assert_eq!(app.post("/c/body", "x").status, 500);
    let conn = app.begin("GET /c/pull HTTP/1.1\r\nHost: a\r\n\r\n", b"");
    assert_eq!(app.answer(conn, false), None, "what it has is not taken for all");
    assert_eq!(app.closed(conn), Some(End::Abort));
    let conn = app.begin(
        "GET /c/upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: talk\r\n\r\n",
        b"",
    );
    assert_eq!(app.answer(conn, false).unwrap().status, 101);
    app.receive(conn, "hello");
    assert_eq!(app.closed(conn), Some(End::Abort));
    assert_eq!(app.get("/").text(), "fine");
    assert!(count(&app, Counter::HandlerPanics) >= 4);
    assert_eq!(app.cx.pool.missing(), 0);
}

/// Panics at each message.
struct Nervous;

impl websocket::Service for Nervous {
    fn message(&mut self, _: &mut Cx, _: Buf, _: MessageMeta, _: &mut websocket::Out<'_>) {
        panic!("of the test")
    }
}

#[test]
fn a_websocket_whose_handler_panics_is_closed_with_1011() {
    let mut app = App::new(|_| Router::new().websocket("/ws", Nervous));
    let conn = app.begin(
        "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"",
    );
    assert_eq!(app.answer(conn, false).unwrap().status, 101);
    // "hi", masked with zeros.
    app.receive(conn, [0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    assert_eq!(app.take_sent(conn), [0x88, 2, 0x03, 0xf3]);
}
