//! Work that leaves the lcore, and the answers that come back (G-9, A-9).

use std::sync::Arc;
use std::time::Duration;

use ringway::handler::http::middleware::{RequestId, Timeout};
use ringway::handler::http::{Failure, Router};
use ringway::handler::websocket::on_message;
use ringway::offload::Failed;
use ringway::testing::{App, End, Heard};

#[test]
fn an_answer_comes_from_the_pool_through_the_layers_g_9() {
    let mut app = App::new(|_| {
        Router::new()
            .layer(RequestId::new())
            .get("/double/:n", |ctx| {
                let n = ctx.param("n").map(String::from).unwrap_or_default();
                ctx.offload(move |_| -> Result<String, Failure> {
                    Ok((n.parse::<u32>()? * 2).to_string())
                })
            })
            .post("/length", |ctx| {
                let body = ctx.body().to_vec();
                ctx.offload(move |_| body.len().to_string())
            })
            .get("/panic", |ctx| ctx.offload(|_| -> String { panic!("of the test") }))
    });
    let conn = app.begin("GET /double/21 HTTP/1.1\r\nHost: a\r\n\r\n", b"");
    assert_eq!(app.sent(conn), b"");
    assert_eq!(app.run_offloaded(), 1);
    let answer = app.answer(conn, false).unwrap();
    assert_eq!((answer.status, answer.text()), (200, "42"));
    assert_eq!(answer.header("x-request-id").map(str::len), Some(16));
    for (head, body, status, text) in [
        ("GET /double/x HTTP/1.1\r\nHost: a\r\n\r\n", "", 500, "internal server error\n"),
        ("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n", "", 500, "internal server error\n"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n", "four", 200, "4"),
    ] {
        app.receive(conn, [head, body].concat());
        assert_eq!(app.run_offloaded(), 1);
        let answer = app.answer(conn, false).unwrap();
        assert_eq!((answer.status, answer.text()), (status, text), "{head}");
    }
    assert_eq!(app.closed(conn), None);
}

/// Whether the work still has what it was given.
fn holder()
-> (Arc<()>, impl FnMut(&mut ringway::handler::http::Ctx<'_>) -> ringway::handler::http::Reply) {
    let token = Arc::new(());
    let theirs = token.clone();
    (token, move |ctx: &mut ringway::handler::http::Ctx<'_>| {
        let held = theirs.clone();
        ctx.offload(move |_| format!("{}", Arc::strong_count(&held)))
    })
}

#[test]
fn a_panic_of_what_is_done_with_the_outcome_closes_a_websocket_in_order() {
    let mut app = App::new(|_| {
        Router::new().websocket(
            "/ws",
            on_message(|socket, _| {
                assert!(socket.offload(|_| 1, |_, _| panic!("of the test")));
            }),
        )
    });
    let mut peer = app.websocket("/ws");
    peer.say(&mut app, "go");
    assert_eq!(app.run_offloaded(), 1);
    assert_eq!(peer.heard(&mut app), [Heard::Close(Some(1011))]);
    assert_eq!(app.closed(peer.conn()), Some(End::Linger));
}

#[test]
fn work_is_given_up_when_its_connection_dies_or_its_time_is_over_a_9() {
    let (token, handler) = holder();
    let mut app =
        App::new(|_| Router::new().layer(Timeout::after(Duration::from_secs(2))).get("/", handler));
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let conn = app.begin(request, b"");
    assert_eq!(Arc::strong_count(&token), 3);
    app.reset(conn);
    assert_eq!(Arc::strong_count(&token), 2, "it never begins");
    app.run_offloaded();
    let late = app.begin(request, b"");
    app.advance(Duration::from_secs(4));
    assert_eq!(app.answer(late, false).unwrap().status, 503);
    assert_eq!(Arc::strong_count(&token), 2);
    app.receive(late, request);
    app.run_offloaded();
    assert_eq!(app.answer(late, false).unwrap().status, 200, "the next is another");
}

#[test]
fn a_websockets_work_comes_back_in_order_and_ends_with_it() {
    let mut app = App::new(|_| {
        let sockets = on_message(|socket, message| {
            let text = message.text().unwrap().to_owned();
            let then = |socket: &mut ringway::handler::websocket::Socket<'_, '_, ()>,
                        done: Result<String, Failed>| {
                let _ = match done {
                    Ok(text) => socket.send(&text),
                    Err(why) => socket.send(&why.to_string()),
                };
            };
            assert!(socket.offload(
                move |_| {
                    assert!(text != "panic", "of the test");
                    text.to_uppercase()
                },
                then
            ));
        });
        Router::new().websocket("/ws", sockets)
    });
    let mut peer = app.websocket("/ws");
    for text in ["a", "b", "panic", "c"] {
        peer.say(&mut app, text);
    }
    assert_eq!(peer.heard(&mut app), []);
    assert_eq!(app.run_offloaded(), 4);
    let heard = peer.heard(&mut app);
    assert_eq!(heard[..2], ["A", "B"].map(Heard::text));
    assert_eq!((heard.len(), &heard[3]), (4, &Heard::text("C")));
    peer.say(&mut app, "never");
    app.reset(peer.conn());
    app.run_offloaded();
    assert_eq!(app.closed(peer.conn()), Some(End::Reset));
}
