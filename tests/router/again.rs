//! Requests whose answer waits: asked again, or answered by somebody else meanwhile.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringway::handler::http::middleware::{RateLimit, Timeout};
use ringway::handler::http::{
    Body, Ctx, Failure, Middleware, Next, Pull, Reply, Request, Response, Router, Service,
};
use ringway::mem::{Buf, ConnId};
use ringway::pipeline::Cx;
use ringway::testing::App;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Busy so many times, and then of a word.
struct Busy(Rc<Cell<u32>>);

impl Service for Busy {
    fn call(&mut self, _cx: &mut Cx, _request: &Request<'_>) -> Reply {
        match self.0.get() {
            0 => Response::text(200, "done").into(),
            left => {
                self.0.set(left - 1);
                Reply::Busy
            }
        }
    }
}

#[test]
fn a_request_that_is_asked_again_passes_its_layers_once_a_10() {
    let left = Rc::new(Cell::new(5));
    let mut app = App::new(|_| {
        Router::new().layer(RateLimit::per_connection(1, 2)).mount("/", Busy(left.clone()))
    });
    let conn = app.begin(GET, b"");
    (0..10).for_each(|_| app.run());
    assert_eq!(app.answer(conn, false).unwrap().text(), "done");
    left.set(1000);
    let conn = app.begin(GET, b"");
    app.reset(conn);
    assert_eq!(app.cx.pool.missing(), 0, "who is gone is not asked for");
    left.set(0);
    assert_eq!(app.get("/").text(), "done");
}

#[test]
fn a_handler_that_finds_no_slot_for_its_answer_to_a_body_is_asked_again_with_all_of_it() {
    let left = Rc::new(Cell::new(0));
    let theirs = left.clone();
    let mut app = App::new(|_| {
        Router::new().post("/", move |ctx| {
            theirs.set(theirs.get() - 1);
            let text = String::from_utf8_lossy(ctx.body()).into_owned();
            (theirs.get() <= 0).then(|| Response::text(200, text))
        })
    });
    for (body, cut) in [("hello", usize::MAX), ("hello", 3)] {
        left.set(3);
        let conn = app.open();
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{body}");
        app.receive_cut(conn, &request, cut);
        (0..10).for_each(|_| app.run());
        assert_eq!(app.answer(conn, false).map(|a| a.text().to_owned()).as_deref(), Some(body));
    }
    assert_eq!(app.cx.pool.missing(), 0);
}

#[test]
fn a_layer_that_finds_out_elsewhere_whom_to_refuse_is_not_gone_around_by_a_body() {
    let mut app = App::new(|_| {
        Router::new()
            .wrap(|ctx, _next| ctx.offload(|_| Failure::new(403, "not you")))
            .post("/", |_| "secret")
    });
    let conn = app.begin("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n", b"body");
    assert_eq!(app.sent(conn), b"");
    app.run_offloaded();
    assert_eq!(app.answer(conn, false).unwrap().status, 403);
    app.receive(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
    app.run_offloaded();
    app.receive(conn, "dy");
    assert_eq!(app.answer(conn, false).unwrap().status, 403);
    assert_eq!(app.closed(conn), None);
}

#[test]
fn work_that_gives_no_answer_is_a_500() {
    let mut app =
        App::new(|_| Router::new().get("/", |ctx| ctx.offload(|_| -> Option<Response> { None })));
    let conn = app.begin(GET, b"");
    app.run_offloaded();
    assert_eq!(app.answer(conn, false).map(|answer| answer.status), Some(500));
}

#[test]
fn a_handler_may_say_itself_how_long_its_answer_may_take() {
    let mut app = App::new(|_| {
        let slow = |ctx: &mut Ctx<'_>| {
            ctx.answer_by(ctx.cx.now.after_ns(1_000_000_000));
            Reply::Later
        };
        let most = Timeout::after(Duration::from_secs(3600));
        Router::new().layer(most).get("/", slow).post("/", slow)
    });
    let get = app.begin(GET, b"");
    let post = app.begin("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", b"x");
    app.advance(Duration::from_secs(3));
    for conn in [get, post] {
        assert_eq!(app.answer(conn, false).map(|answer| answer.status), Some(503));
    }
}

/// Streams, reads on or upgrades, and hears of its ends.
struct Begun(Rc<RefCell<Vec<&'static str>>>);

impl Service for Begun {
    fn call(&mut self, _cx: &mut Cx, request: &Request<'_>) -> Reply {
        match request.path() {
            b"/s/stream" => Response::new(200, Body::Stream(None)).into(),
            b"/s/both" => Response::new(200, Body::Stream(None)).reading_on().into(),
            b"/s/upgrade" => Response::upgrade("talk").into(),
            b"/s/nothing" => Reply::Body,
            b"/s/panic" => panic!("of the test"),
            b"/s/panics" if request.has_body() => Reply::Body,
            b"/s/panics" => Reply::Later,
            _ => Reply::Later,
        }
    }

    fn body(&mut self, _cx: &mut Cx, _conn: ConnId, part: &Buf, last: bool) -> Reply {
        self.0.borrow_mut().push(if last { "last" } else { "part" });
        assert!(**part != *b"panic", "of the test");
        Reply::Body
    }

    fn woken(&mut self, _cx: &mut Cx, _conn: ConnId) -> Option<Response> {
        panic!("of the test")
    }

    fn pull(&mut self, _cx: &mut Cx, _conn: ConnId) -> Pull {
        Pull::End
    }

    fn closed(&mut self, _cx: &mut Cx, _conn: ConnId) {
        self.0.borrow_mut().push("closed");
    }
}

/// Answers something else on the way out, in one of three ways.
struct Instead;

/// The same around what comes next.
fn instead(ctx: &mut Ctx<'_>, next: Next<'_>) -> Reply {
    let reply = next.run(ctx);
    if ctx.query("call").is_some() { Response::text(200, "other").into() } else { reply }
}

impl Middleware for Instead {
    fn respond(&self, ctx: &mut Ctx<'_>, response: &mut Response) {
        assert!(ctx.query("panic").is_none(), "of the test");
        if ctx.query("respond").is_some() {
            *response = Response::text(200, "other");
        }
        if ctx.query("illegal").is_some() {
            response.add_header("X", "a\r\nb");
        }
    }
}

#[test]
fn a_service_hears_when_what_it_began_is_not_to_be() {
    let heard = Rc::<RefCell<Vec<&'static str>>>::default();
    let mut app = App::new(|_| {
        Router::new().layer(Instead).wrap(instead).mount("/s/*rest", Begun(heard.clone()))
    });
    let upgrade = "Connection: upgrade\r\nUpgrade: talk\r\n";
    for (path, how) in [
        ("stream", "call"),
        ("stream", "respond"),
        ("stream", "panic"),
        ("stream", "illegal"),
        ("upgrade", "call"),
        ("upgrade", "respond"),
        ("upgrade", "panic"),
        ("upgrade", "illegal"),
        ("later", "call"),
    ] {
        let conn =
            app.begin(&format!("GET /s/{path}?{how} HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n"), b"");
        let status = app.answer(conn, false).unwrap().status;
        assert_eq!(status == 500, how == "panic" || how == "illegal", "{path} {how}");
        assert_eq!(*heard.borrow(), ["closed"], "{path} {how}");
        app.reset(conn);
        assert_eq!(std::mem::take(&mut *heard.borrow_mut()), ["closed"], "{path} {how}: twice");
    }
}

#[test]
fn a_service_that_panics_hears_that_it_is_over() {
    let heard = Rc::<RefCell<Vec<&'static str>>>::default();
    let mut app = App::new(|_| Router::new().mount("/s/*rest", Begun(heard.clone())));
    assert_eq!(app.get("/s/panic").status, 500);
    assert_eq!(app.post("/s/panics", "panic").status, 500);
    let conn = app.begin("GET /s/panics HTTP/1.1\r\nHost: a\r\n\r\n", b"");
    app.wake(conn);
    assert_eq!(app.answer(conn, false).unwrap().status, 500);
    assert_eq!(*heard.borrow(), ["closed", "last", "closed", "closed"]);
}

#[test]
fn what_is_over_is_not_told_of_again_when_a_later_request_comes_to_nothing() {
    let heard = Rc::<RefCell<Vec<&'static str>>>::default();
    let mut app = App::new(|_| {
        Router::new().mount("/s/*rest", Begun(heard.clone())).get("/", |_| "never sent")
    });
    let conn = app.begin("GET /s/stream HTTP/1.1\r\nHost: a\r\n\r\n", b"");
    assert_eq!(app.answer(conn, false).unwrap().text(), "");
    app.starve(true);
    app.receive(conn, GET);
    assert_eq!(app.sent(conn), b"");
    app.reset(conn);
    app.starve(false);
    assert_eq!(*heard.borrow(), [""; 0]);
}

#[test]
fn a_service_that_gives_no_answer_hears_that_it_is_over() {
    let heard = Rc::<RefCell<Vec<&'static str>>>::default();
    let mut app = App::new(|_| Router::new().mount("/s/*rest", Begun(heard.clone())));
    assert_eq!(app.post("/s/nothing", "x").status, 500);
    assert_eq!(*heard.borrow(), ["last", "closed"]);
}

#[test]
fn a_service_reads_on_when_its_own_stream_is_over() {
    let heard = Rc::<RefCell<Vec<&'static str>>>::default();
    let mut app = App::new(|_| Router::new().mount("/s/*rest", Begun(heard.clone())));
    let conn = app.begin("POST /s/both HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n", b"");
    assert_eq!(app.answer(conn, false).unwrap().text(), "");
    app.receive(conn, "bo");
    app.receive(conn, "dy");
    assert_eq!(*heard.borrow(), ["part", "last"]);
}
