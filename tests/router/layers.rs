//! Layers around handlers: their order, and those that come along.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringway::handler::http::middleware::{
    AccessLog, Auth, Compress, Cors, Log, RateLimit, RequestId, Timeout,
};
use ringway::handler::http::{Ctx, Middleware, Reply, Request, Response, Router, Service};
use ringway::limits::{HTTP_COMPRESS_BYTES_MAX, HTTP_COMPRESS_BYTES_MIN};
use ringway::mem::{Buf, ConnId};
use ringway::pipeline::Cx;
use ringway::testing::App;

/// Writes down when it is passed.
struct Named(&'static str, Rc<RefCell<Vec<String>>>);

impl Middleware for Named {
    fn enter(&self, _ctx: &mut Ctx<'_>) -> Option<Reply> {
        self.1.borrow_mut().push(format!("{} in", self.0));
        None
    }

    fn respond(&self, _ctx: &mut Ctx<'_>, response: &mut Response) {
        self.1.borrow_mut().push(format!("{} out {}", self.0, response.status()));
    }
}

#[test]
fn the_first_layer_is_the_outermost_and_those_of_groups_are_inside_a_10() {
    let passed = Rc::<RefCell<Vec<String>>>::default();
    let layer = |name| Named(name, passed.clone());
    let mut app = App::new(|_| {
        Router::new()
            .layer(layer("a"))
            .get("/", |_| "root")
            .group("/g", |group| {
                group.layer(layer("c")).post("/", |ctx| format!("{}", ctx.body().len())).wrap(
                    |ctx, next| match ctx.query("stop") {
                        Some(_) => Response::text(403, "stop").into(),
                        None => next.run(ctx),
                    },
                )
            })
            .layer(layer("b"))
    });
    let take = || std::mem::take(&mut *passed.borrow_mut()).join(", ");
    app.get("/");
    assert_eq!(take(), "a in, b in, b out 200, a out 200");
    app.get("/nothing");
    assert_eq!(take(), "a in, b in, b out 404, a out 404");
    app.post("/g/", "body");
    assert_eq!(take(), "a in, b in, c in, c out 200, b out 200, a out 200");
    app.post("/g/?stop", "body");
    assert_eq!(take(), "a in, b in, c in, c out 403, b out 403, a out 403");
    app.get("/g/");
    assert_eq!(take(), "a in, b in, c in, c out 405, b out 405, a out 405");
}

/// Has nothing to do on the way in: writes down what else it hears.
struct Listens(&'static str, Rc<RefCell<Vec<String>>>);

impl Middleware for Listens {
    fn enters(&self) -> bool {
        false
    }

    fn wait(&self, _ctx: &mut Ctx<'_>) {
        self.1.borrow_mut().push(format!("{} waits", self.0));
    }

    fn respond(&self, _ctx: &mut Ctx<'_>, response: &mut Response) {
        self.1.borrow_mut().push(format!("{} out {}", self.0, response.status()));
    }
}

#[test]
fn a_layer_that_is_not_entered_hears_of_requests_that_have_come_as_far() {
    let heard = Rc::<RefCell<Vec<String>>>::default();
    let layer = |name| Listens(name, heard.clone());
    let mut app = App::new(|_| {
        Router::new()
            .layer(layer("a"))
            .layer(Auth::new("Bearer", |ctx: &mut Ctx<'_>| ctx.query("known").is_some()))
            .layer(layer("b"))
            .wrap(|ctx, next| match ctx.query("later") {
                Some(_) => ctx.offload(|_| "later"),
                None => next.run(ctx),
            })
            .layer(layer("c"))
            .get("/", |_| "fine")
            .post("/", |ctx| format!("{}", ctx.body().len()))
    });
    let take = || std::mem::take(&mut *heard.borrow_mut()).join(", ");
    app.get("/");
    assert_eq!(take(), "a out 401");
    app.get("/?known=1");
    assert_eq!(take(), "c out 200, b out 200, a out 200", "nothing waits");
    app.post("/?known=1", "x");
    assert_eq!(take(), "a waits, b waits, c waits, c out 200, b out 200, a out 200");
    let conn = app.begin("GET /?known=1&later=1 HTTP/1.1\r\nHost: a\r\n\r\n", b"");
    assert_eq!(take(), "a waits, b waits");
    app.run_offloaded();
    assert_eq!(app.answer(conn, false).unwrap().text(), "later");
    assert_eq!(take(), "b out 200, a out 200");
}

#[test]
fn requests_are_named_and_a_name_that_came_along_is_kept() {
    let mut app = App::new(|_| {
        let name = |ctx: &mut Ctx<'_>| ctx.request_id().unwrap().to_string();
        Router::new().layer(RequestId::new()).get("/", name).post("/", name)
    });
    let (one, two) = (app.get("/"), app.post("/", "x"));
    assert_ne!(one.text(), two.text());
    for answer in [&one, &two] {
        assert_eq!(answer.header("x-request-id"), Some(answer.text()));
        assert_eq!(answer.text().len(), 16);
    }
    let longest = "a".repeat(64);
    for (given, kept) in [("abc-1.2", true), (&longest, true), ("a b", false), ("", false)] {
        let answer = app.request("GET", "/", &[&format!("X-Request-Id: {given}")], "");
        assert_eq!(answer.text() == given, kept, "{given}");
    }
    let past = format!("X-Request-Id: {longest}a");
    assert_eq!(app.request("GET", "/", &[&past], "").text().len(), 16);
}

#[test]
fn rates_are_limited_at_their_burst_and_recover() {
    let mut app =
        App::new(|_| Router::new().layer(RateLimit::per_connection(10, 3)).get("/", |_| "fine"));
    let conn = app.open();
    let ask = |app: &mut App, conn| {
        app.receive(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        app.answer(conn, false).unwrap()
    };
    let statuses: Vec<u16> = (0..5).map(|_| ask(&mut app, conn).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert_eq!(ask(&mut app, conn).header("retry-after"), Some("1"));
    app.advance(Duration::from_millis(99));
    assert_eq!(ask(&mut app, conn).status, 429);
    app.advance(Duration::from_millis(1));
    assert_eq!(ask(&mut app, conn).status, 200, "a tenth of a second is one more");
    assert_eq!(ask(&mut app, conn).status, 429);
    let other = app.open();
    assert_eq!(ask(&mut app, other).status, 200, "others are others");
}

#[test]
fn rates_are_counted_by_a_field_or_overall() {
    let mut app = App::new(|_| {
        Router::new()
            .group("/key", |g| g.layer(RateLimit::per_header("x-key", 1, 1)).get("/", |_| "fine"))
            .group("/all", |g| g.layer(RateLimit::overall(1, 1)).get("/", |_| "fine"))
    });
    let ask = |app: &mut App, path, key: &str| app.request("GET", path, &[key], "").status;
    assert_eq!(ask(&mut app, "/key/", "X-Key: a"), 200);
    assert_eq!(ask(&mut app, "/key/", "X-Key: a"), 429);
    // Keys are hashed, each time otherwise: that all of these fall into the bucket of the first is as good as impossible.
    let others = ["X-Key: b", "X-Key: c", "X-Key: d", "X-Key: e"];
    assert!(others.iter().any(|key| ask(&mut app, "/key/", key) == 200));
    assert_eq!(ask(&mut app, "/all/", "X-Key: a"), 200);
    assert_eq!(ask(&mut app, "/all/", "X-Key: b"), 429);
}

#[test]
fn who_has_no_credentials_is_challenged() {
    let mut app = App::new(|_| {
        let basic = |ctx: &mut Ctx<'_>| ctx.basic() == Some(("ann".into(), "a:b".into()));
        Router::new()
            .group("/bearer", |g| {
                g.layer(Auth::new("Bearer", |ctx: &mut Ctx<'_>| ctx.bearer() == Some(b"s3cret")))
                    .get("/", |_| "in")
            })
            .group("/basic", |g| g.layer(Auth::new("Basic realm=\"x\"", basic)).get("/", |_| "in"))
    });
    let ask = |app: &mut App, path, value: &str| {
        app.request("GET", path, &[&format!("Authorization: {value}")], "").status
    };
    assert_eq!(ask(&mut app, "/bearer/", "bearer s3cret"), 200);
    for wrong in ["Bearer s3cre", "Bearer", "Basic s3cret", "Bearers3cret", "é"] {
        assert_eq!(ask(&mut app, "/bearer/", wrong), 401, "{wrong}");
    }
    assert_eq!(app.get("/bearer/").header("www-authenticate"), Some("Bearer"));
    assert_eq!(ask(&mut app, "/basic/", "Basic YW5uOmE6Yg=="), 200);
    for wrong in ["Basic YW5uOmE6Yg", "Basic %%%", "Basic YW5u", "Basic"] {
        assert_eq!(ask(&mut app, "/basic/", wrong), 401, "{wrong}");
    }
}

#[test]
fn browsers_hear_which_origins_may_read_and_what_they_may_send() {
    let mut app = App::new(|_| {
        let some = Cors::of(["https://a.example"]).methods("GET, PUT").headers("x-key");
        let some = some.credentials().max_age(Duration::from_secs(60));
        Router::new()
            .group("/some", |g| g.layer(some).get("/", |_| "text"))
            .group("/any", |g| g.layer(Cors::any()).get("/", |_| "text"))
    });
    let (good, bad) = ("Origin: https://a.example", "Origin: https://b.example");
    let wants = "Access-Control-Request-Method: PUT";
    let answer = app.request("OPTIONS", "/some/", &[good, wants], "");
    assert_eq!((answer.status, answer.text()), (204, ""));
    for (name, value) in [
        ("access-control-allow-origin", "https://a.example"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "x-key"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "60"),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let answer = app.request("OPTIONS", "/some/", &[bad, wants], "");
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.header("access-control-allow-methods"), None);
    let answer = app.request("GET", "/some/", &[good], "");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
    assert_eq!(app.get("/some/").header("vary"), Some("Origin"), "caches keep them apart");
    let answer = app.request("GET", "/any/", &[bad], "");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let any = app.get("/any/");
    let said = any.header("access-control-allow-origin");
    assert_eq!(said, Some("*"), "caches may give it to others");
    let plain = app.request("OPTIONS", "/any/", &[], "");
    assert_eq!(plain.header("allow"), Some("GET, HEAD, OPTIONS"), "no preflight");
}

#[test]
fn text_that_is_long_enough_goes_compressed_to_those_who_accept_it() {
    let mut app = App::new(|_| {
        Router::new()
            .layer(Compress)
            .get("/text/:bytes", |ctx| {
                "ab".repeat(ctx.param("bytes").unwrap().parse::<usize>().unwrap() / 2)
            })
            .get("/noise", |_| {
                let mut state = 1_u64;
                let noise = (0..4096).map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 56) as u8
                });
                Response::new(
                    200,
                    ringway::handler::http::Body::Bytes(noise.collect::<Vec<_>>().into()),
                )
                .content_type("text/plain")
            })
    });
    let gzip = &["Accept-Encoding: gzip"];
    for (bytes, packed) in [
        (HTTP_COMPRESS_BYTES_MIN - 2, false),
        (HTTP_COMPRESS_BYTES_MIN, true),
        (HTTP_COMPRESS_BYTES_MAX, true),
        (HTTP_COMPRESS_BYTES_MAX + 2, false),
    ] {
        let path = format!("/text/{bytes}");
        let answer = app.request("GET", &path, gzip, "");
        assert_eq!(answer.header("content-encoding").is_some(), packed, "{bytes}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        let want = "ab".repeat(bytes / 2).into_bytes();
        let got = if packed { gunzip(&answer.body) } else { answer.body };
        assert!(got == want, "{bytes}");
        assert_eq!(app.get(&path).header("content-encoding"), None, "only who asks");
    }
    assert_eq!(app.request("GET", "/noise", gzip, "").header("content-encoding"), None);
}

#[test]
fn what_promises_to_be_the_same_byte_for_byte_is_not_compressed() {
    let mut app = App::new(|_| {
        Router::new().layer(Compress).get("/:tag", |ctx| {
            let tag =
                format!("{}\"1\"", if ctx.param("tag").unwrap() == "weak" { "W/" } else { "" });
            Response::text(200, "ab".repeat(1000)).header("ETag", tag)
        })
    });
    let gzip = &["Accept-Encoding: gzip"];
    for (path, packed) in [("/strong", None), ("/weak", Some("gzip"))] {
        let answer = app.request("GET", path, gzip, "");
        assert_eq!(answer.header("content-encoding"), packed, "{path}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    }
}

/// By the other hand's reader: Python's.
fn gunzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let script =
        "import sys,gzip; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    let mut python = Command::new("python3");
    let mut python =
        python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = python.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

/// Never answers.
struct Silent(Rc<RefCell<usize>>);

impl Service for Silent {
    fn call(&mut self, _cx: &mut Cx, _request: &Request<'_>) -> Reply {
        Reply::Later
    }

    fn body(&mut self, _cx: &mut Cx, _conn: ConnId, _part: &Buf, _last: bool) -> Reply {
        Reply::Later
    }

    fn closed(&mut self, _cx: &mut Cx, _conn: ConnId) {
        *self.0.borrow_mut() += 1;
    }
}

#[test]
fn what_takes_too_long_is_answered_with_503_and_its_service_hears_of_it() {
    let closed = Rc::<RefCell<usize>>::default();
    let mut app = App::new(|_| {
        Router::new()
            .layer(Timeout::after(Duration::from_secs(5)))
            .mount("/silent", Silent(closed.clone()))
            .post("/body", |_| "thanks")
    });
    let silent = app.begin("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n", b"");
    let half = app.begin("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", b"half");
    app.advance(Duration::from_millis(4900));
    assert_eq!((app.sent(silent), app.sent(half)), (&b""[..], &b""[..]));
    app.advance(Duration::from_millis(1200));
    assert_eq!(app.answer(silent, false).unwrap().status, 503);
    assert_eq!(app.answer(half, false).unwrap().status, 503);
    assert_eq!(*closed.borrow(), 1);
    app.receive(silent, "GET /body HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(app.answer(silent, false).unwrap().status, 405, "the connection goes on");
}

/// What was written to it.
#[derive(Clone, Default)]
struct Paper(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_response_has_a_line_in_the_log_and_none_is_waited_for() {
    let paper = Paper::default();
    let log = AccessLog::to(paper.clone()).unwrap();
    let lines = log.lines();
    let mut app = App::new(|_| {
        Router::new()
            .layer(RequestId::new())
            .layer(Log::new(&lines))
            .get("/a", |_| "text")
            .get("/illegal", |_| Response::text(200, "").header("X", "a\r\nb"))
    });
    let id = app.get("/a?q=1").header("x-request-id").unwrap().to_owned();
    app.post("/a", "body");
    app.get(&format!("/{}", "x".repeat(500)));
    app.request("GET", "/a", &["X-Request-Id: theirs"], "");
    app.get("/illegal");
    assert_eq!(lines.lost(), 0);
    drop(log);
    let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    let got: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(got.len(), 5, "{text}");
    assert_eq!(got[3][7], "theirs");
    assert_eq!(got[4][2..5], ["GET", "/illegal", "500"], "as the peer sees it");
    assert_eq!(got[0][2..6], ["GET", "/a?q=1", "200", "4"]);
    assert_eq!(got[0][7], id);
    assert_eq!(got[1][2..5], ["POST", "/a", "405"]);
    assert_eq!((got[2][3].len(), got[2][4]), (120, "404"));
}
