//! Bodies that handlers get whole, however they come.

use std::sync::Arc;

use ringway::handler::http::{Ctx, Failure, Json, Pull, Response, Router};
use ringway::testing::{App, End};

fn app() -> App {
    App::new(|_| {
        Router::new().post("/len", |ctx| format!("{} {}", ctx.body().len(), sum(ctx.body()))).post(
            "/sum",
            |ctx: &mut Ctx<'_>| -> Result<_, Failure> {
                let numbers: Vec<i64> = ctx.json()?;
                Ok(Json(numbers.iter().sum::<i64>()))
            },
        )
    })
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

#[test]
fn a_body_is_whole_however_it_is_cut() {
    let body: Vec<u8> = (0..9000).map(|n| n as u8).collect();
    let want = format!("{} {}", body.len(), sum(&body));
    for cut in [1, 100, 2047, 2048, usize::MAX] {
        let mut app = app();
        let conn = app.open();
        let head =
            format!("POST /len HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        app.receive_cut(conn, [head.as_bytes(), &body].concat(), cut);
        assert_eq!(app.answer(conn, false).unwrap().text(), want, "cut to {cut}");
    }
}

#[test]
fn chunks_are_put_together_and_an_empty_body_is_none() {
    let mut app = app();
    let conn = app.begin(
        "POST /len HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"3\r\nabc\r\n1\r\nd\r\n0\r\nX-End: 1\r\n\r\n",
    );
    assert_eq!(app.answer(conn, false).unwrap().text(), "4 394");
    assert_eq!(app.post("/len", "").text(), "0 0");
    let conn = app
        .begin("POST /len HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\n\r\n");
    assert_eq!(app.answer(conn, false).unwrap().text(), "0 0");
}

#[test]
fn a_peer_that_waits_for_100_is_told_to_go_on_once_the_layers_let_it() {
    let mut app = App::new(|_| {
        Router::new()
            .wrap(|ctx, next| match ctx.header("x-key") {
                Some(_) => next.run(ctx),
                None => Failure::new(401, "no key").into(),
            })
            .post("/", |ctx| format!("got {}", ctx.body().len()))
    });
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n";
    let conn = app.begin(&format!("{head}X-Key: 1\r\n\r\n"), b"");
    assert_eq!(app.take_sent(conn), b"HTTP/1.1 100 Continue\r\n\r\n");
    app.receive(conn, "hello");
    assert_eq!(app.answer(conn, false).unwrap().text(), "got 5");
    let conn = app.begin(&format!("{head}\r\n"), b"");
    assert_eq!(app.answer(conn, false).unwrap().status, 401, "nothing of the body is asked for");
}

#[test]
fn json_comes_in_and_goes_out_and_what_is_none_is_refused() {
    let mut app = app();
    let json = &["Content-Type: application/json; charset=utf-8"];
    let answer = app.request("POST", "/sum", json, "[1, 2, 39]");
    assert_eq!((answer.status, answer.text()), (200, "42"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let answer = app.request("POST", "/sum", &["Content-Type: application/vnd.x+JSON"], "[]");
    assert_eq!(answer.text(), "0");
    let answer = app.request("POST", "/sum", json, "[1, ");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("line 1"), "{}", answer.text());
    assert_eq!(app.post("/sum", "[1]").status, 415);
}

#[test]
fn a_body_is_given_part_by_part_as_long_as_somebody_takes_it() {
    let token = Arc::new(());
    let theirs = token.clone();
    let mut app = App::new(|_| {
        Router::new().get("/:parts", move |ctx: &mut Ctx<'_>| {
            let parts: usize = ctx.param("parts").unwrap().parse().unwrap();
            let (mut given, held) = (0, theirs.clone());
            let length = ctx.query("sized").map(|_| parts as u64 * 1000);
            Response::parts(length, move |cx, conn| {
                let _ = &held;
                given += 1;
                match given {
                    7 => panic!("of the test"),
                    n if n > parts => return Pull::End,
                    _ => {}
                }
                let Some(mut part) = cx.alloc(1000, conn) else { return Pull::Busy };
                assert!(part.append(&[b'a' + given as u8; 1000]));
                Pull::Part(part)
            })
        })
    });
    for target in ["/5", "/5?sized"] {
        let answer = app.get(target);
        assert_eq!((answer.status, answer.body.len()), (200, 5000), "{target}");
        assert_eq!(answer.header("content-length").is_some(), target.contains("sized"));
    }
    let head = app.request("HEAD", "/5?sized", &[], "");
    assert_eq!((head.header("content-length"), head.body.len()), (Some("5000"), 0));
    let conn = app.begin("GET /9?sized HTTP/1.1\r\nHost: a\r\n\r\n", b"");
    assert_eq!(app.closed(conn), Some(End::Abort), "a panic cuts it short");
    assert_eq!(app.cx.pool.missing(), 0);
    assert_eq!(Arc::strong_count(&token), 2, "each function is gone with its response");
}

#[test]
fn a_connection_that_dies_in_the_middle_of_a_body_leaves_nothing() {
    let mut app = app();
    for _ in 0..3 {
        let conn =
            app.begin("POST /len HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n", b"half");
        app.reset(conn);
    }
    assert_eq!(app.cx.pool.missing(), 0);
    let conn = app.begin("POST /len HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n", b"ab");
    assert_eq!(app.answer(conn, false).unwrap().text(), "2 195");
}
