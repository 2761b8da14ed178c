//! WebSockets as functions of whole messages (W-7, G-14).

use std::cell::RefCell;
use std::rc::Rc;

use ringway::counters::Counter;
use ringway::handler::http::{Response, Router};
use ringway::handler::websocket::{Closed, NotSent, Socket, Sockets, on_message};
use ringway::limits::WEBSOCKET_OUTGOING_MAX;
use ringway::proto::websocket::{CloseCode, Kind};
use ringway::testing::{App, End, Heard};

fn app<T: 'static>(sockets: Sockets<T>) -> App {
    App::new(|_| Router::new().websocket("/ws", sockets).get("/", |_| "beside"))
}

fn echo() -> App {
    app(on_message(|socket, message| socket.send(message).unwrap()))
}

#[test]
fn messages_are_whole_however_they_come_w_7() {
    let mut app = echo();
    let mut peer = app.websocket("/ws");
    for most in [1, 7, 1000, 100_000] {
        let text = "grüße ".repeat(500);
        peer.send(&mut app, Kind::Text, text.as_bytes(), most);
        assert_eq!(peer.heard(&mut app), [Heard::Text(text)], "{most}");
    }
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    peer.send_binary(&mut app, &bytes);
    assert!(peer.heard(&mut app) == [Heard::Binary(bytes)]);
    peer.say(&mut app, "");
    assert_eq!(peer.heard(&mut app), [Heard::text("")]);
    peer.close(&mut app, 1000);
    assert_eq!(peer.heard(&mut app), [Heard::Close(Some(1000))]);
    assert_eq!(app.closed(peer.conn()), Some(End::Linger));
    assert_eq!(app.get("/").text(), "beside");
    assert_eq!(app.cx.pool.missing(), 0);
}

#[test]
fn each_has_something_of_its_own_from_its_request_to_its_end() {
    let log = Rc::<RefCell<Vec<String>>>::default();
    let theirs = log.clone();
    let sockets = Sockets::new(|_, request| match request.target().strip_prefix(b"/ws?") {
        Some(name) => Ok((String::from_utf8_lossy(name).into_owned(), 0)),
        None => Err(Response::text(400, "who are you?")),
    });
    let mut app = app(sockets
        .on_open(|socket| {
            let hello = format!("hello, {}", socket.session.0);
            socket.send(&hello).unwrap();
        })
        .on_message(|socket, message| {
            socket.session.1 += 1;
            let said =
                format!("{}: {} {}", socket.session.1, socket.session.0, message.text().unwrap());
            socket.send(&said).unwrap();
        })
        .on_close(move |_, _, (name, count), closed| {
            theirs.borrow_mut().push(format!("{name} {count} {:?}", closed.code));
        }));
    let refused = app.request(
        "GET",
        "/ws",
        &[
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ],
        "",
    );
    assert_eq!((refused.status, refused.text()), (400, "who are you?"));
    let mut ann = app.websocket("/ws?ann");
    let mut bob = app.websocket("/ws?bob");
    ann.say(&mut app, "a");
    bob.say(&mut app, "b");
    ann.say(&mut app, "c");
    assert_eq!(ann.heard(&mut app), ["hello, ann", "1: ann a", "2: ann c"].map(Heard::text));
    assert_eq!(bob.heard(&mut app), ["hello, bob", "1: bob b"].map(Heard::text));
    ann.close(&mut app, 4000);
    app.reset(bob.conn());
    let code = CloseCode::new(4000);
    assert_eq!(*log.borrow(), [format!("ann 2 {code:?}"), "bob 1 None".to_owned()]);
}

#[test]
fn a_close_says_why_both_ways_w_7() {
    let log = Rc::<RefCell<Vec<Closed>>>::default();
    let theirs = log.clone();
    let mut app = app(on_message(|socket, message| {
        let (code, text) = (CloseCode::new(4001).unwrap(), message.text().unwrap());
        socket.send("last words").unwrap();
        if text == "later" {
            // It is sent in pieces, and what is said behind it waits.
            socket.send(&"x".repeat(100_000)).unwrap();
        }
        socket.close_with(code, text);
    })
    .on_close(move |_, _, (), closed| theirs.borrow_mut().push(closed)));
    let longest = "é".repeat(62);
    for (said, heard) in
        [("", ""), ("enough", "enough"), ("later", "later"), (&longest, &longest[..122])]
    {
        let mut peer = app.websocket("/ws");
        let conn = peer.conn();
        peer.say(&mut app, said);
        let sent = app.take_sent(conn);
        let frame = [&[0x88, 2 + heard.len() as u8], &4001_u16.to_be_bytes()[..], heard.as_bytes()];
        assert!(sent.ends_with(&frame.concat()), "{said}: {:?}", sent.last_chunk::<16>());
        // A mask of zeros leaves things as they are.
        let payload = [&4002_u16.to_be_bytes()[..], "tschüß".as_bytes()].concat();
        let head = [0x88, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        app.receive(conn, [&head[..], &payload].concat());
        app.reset(conn);
        let closed = Closed { code: CloseCode::new(4002), reason: "tschüß".into() };
        assert_eq!(log.borrow_mut().pop(), Some(closed));
    }
    let peer = app.websocket("/ws");
    app.reset(peer.conn());
    assert_eq!(log.borrow_mut().pop(), Some(Closed::default()), "gone without a word");
}

/// Counts itself.
struct Counted(Rc<RefCell<usize>>);

impl Counted {
    fn new(count: &Rc<RefCell<usize>>) -> Self {
        *count.borrow_mut() += 1;
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        *self.0.borrow_mut() -= 1;
    }
}

#[test]
fn a_handshake_that_is_refused_leaves_nothing_and_has_no_end_g_14() {
    let (alive, ended) = (Rc::<RefCell<usize>>::default(), Rc::<RefCell<usize>>::default());
    let (made, closed) = (alive.clone(), ended.clone());
    let sockets = Sockets::new(move |_, _| Ok(Counted::new(&made)));
    let sockets = sockets.on_close(move |_, _, _, _| *closed.borrow_mut() += 1);
    let mut app = App::new(|_| {
        let router = Router::new().wrap(|ctx, next| match ctx.query("no") {
            Some(_) => {
                let _ = next.run(ctx);
                Response::text(403, "no").into()
            }
            None => next.run(ctx),
        });
        router.websocket("/ws", sockets)
    });
    let fields = ["Upgrade: websocket", "Connection: Upgrade"];
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for (target, more, status) in [
        ("/ws", ["Sec-WebSocket-Version: 12", key, "X: 1"], 426),
        ("/ws", ["Sec-WebSocket-Version: 13", "X: 1", "X: 1"], 400),
        ("/ws", ["Sec-WebSocket-Version: 13", key, "Origin: http://else.example"], 403),
        ("/ws?no", ["Sec-WebSocket-Version: 13", key, "X: 1"], 403),
    ] {
        let fields = [&fields[..], &more[..]].concat();
        assert_eq!(app.request("GET", target, &fields, "").status, status, "{more:?}");
        assert_eq!((*alive.borrow(), *ended.borrow()), (0, 0), "{target} {more:?}");
    }
    app.starve(true);
    let fields = [&fields[..], &["Sec-WebSocket-Version: 13", key]].concat().join("\r\n");
    let conn = app.begin(&format!("GET /ws HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"), b"");
    assert_eq!((*alive.borrow(), app.sent(conn)), (1, &b""[..]));
    app.reset(conn);
    app.starve(false);
    assert_eq!((*alive.borrow(), *ended.borrow()), (0, 0), "gone before it was open");
    let peer = app.websocket("/ws");
    assert_eq!((*alive.borrow(), *ended.borrow()), (1, 0));
    app.reset(peer.conn());
    assert_eq!((*alive.borrow(), *ended.borrow()), (0, 1));
}

#[test]
fn long_and_short_messages_find_room_wherever_the_burst_ends() {
    for before in 0..=ringway::limits::BURST_MAX {
        let mut app = app(on_message(move |socket, _| {
            for _ in 0..before {
                socket.send("x").unwrap();
            }
            for _ in 0..3 {
                socket.send(&*vec![1; 80_000]).unwrap();
                socket.send("y").unwrap();
            }
        }));
        let mut peer = app.websocket("/ws");
        peer.say(&mut app, "go");
        assert_eq!(peer.heard(&mut app).len(), before + 6, "{before}");
        assert!(!app.paused(peer.conn()), "{before}");
    }
}

#[test]
fn who_closes_hears_no_more() {
    let mut app = app(on_message(|socket, message| {
        if message.text() == Some("bye") {
            socket.close(CloseCode::NORMAL);
            socket.ping();
        } else {
            panic!("of the test: it has closed");
        }
    }));
    let mut peer = app.websocket("/ws");
    peer.say(&mut app, "bye");
    peer.send(&mut app, Kind::Text, b"and another thing", 5);
    assert_eq!(peer.heard(&mut app), [Heard::Close(Some(1000))]);
    assert_eq!(app.closed(peer.conn()), Some(End::Linger));
    assert_eq!(app.cx.counters.get(Counter::HandlerPanics), 0);
}

/// Sends `count` messages of so many bytes at once, and then closes.
fn burst(count: usize, bytes: usize) -> App {
    app(on_message(move |socket, _| {
        for n in 0..count {
            socket.send(&*vec![n as u8; bytes]).unwrap();
        }
        socket.ping();
        socket.close(CloseCode::NORMAL);
        assert_eq!(socket.send("more"), Err(NotSent::Closing));
    }))
}

#[test]
fn any_number_of_messages_of_any_length_comes_in_order_and_the_close_behind_them() {
    for (count, bytes) in [(1, 10), (5, 10), (6, 10), (100, 10), (3, 20_000), (40, 50_000), (2, 0)]
    {
        let mut app = burst(count, bytes);
        let mut peer = app.websocket("/ws");
        peer.say(&mut app, "go");
        let heard = peer.heard(&mut app);
        let mut want: Vec<Heard> =
            (0..count).map(|n| Heard::Binary(vec![n as u8; bytes])).collect();
        want.extend([Heard::Ping, Heard::Close(Some(1000))]);
        assert!(heard == want, "{count} of {bytes}: {} heard", heard.len());
        assert_eq!(app.closed(peer.conn()), Some(End::Linger));
        assert_eq!(app.cx.pool.missing(), 0);
    }
}

#[test]
fn who_does_not_take_what_is_sent_is_not_read_and_past_a_bound_the_handler_is_told() {
    let refused = Rc::<RefCell<usize>>::default();
    let theirs = refused.clone();
    let mut app = app(on_message(move |socket: &mut Socket<'_, '_, ()>, _| {
        // Without a slot all of it waits.
        let hoard: Vec<_> = std::iter::from_fn(|| socket.cx.pool.alloc(1)).collect();
        let hoard2: Vec<_> = std::iter::from_fn(|| socket.cx.pool.alloc(16_000)).collect();
        for n in 0..WEBSOCKET_OUTGOING_MAX + 2 {
            *theirs.borrow_mut() += usize::from(socket.send(&n.to_string()).is_err());
        }
        drop((hoard, hoard2));
    }));
    let mut peer = app.websocket("/ws");
    peer.say(&mut app, "go");
    let heard = peer.heard(&mut app);
    assert_eq!((heard.len(), *refused.borrow()), (WEBSOCKET_OUTGOING_MAX, 2));
    assert_eq!(heard.last(), Some(&Heard::Text((WEBSOCKET_OUTGOING_MAX - 1).to_string())));
    assert!(!app.paused(peer.conn()), "it is read from again");
}

#[test]
fn a_function_that_panics_costs_its_websocket_and_its_end_is_told() {
    let ended = Rc::<RefCell<usize>>::default();
    let theirs = ended.clone();
    let sockets = on_message(|_, message| assert!(message.text() != Some("panic"), "of the test"));
    let mut app = app(sockets.on_close(move |_, _, (), _| *theirs.borrow_mut() += 1));
    let mut peer = app.websocket("/ws");
    peer.say(&mut app, "panic");
    peer.say(&mut app, "panic");
    assert_eq!(app.cx.counters.get(Counter::HandlerPanics), 1, "once is enough");
    assert_eq!(peer.heard(&mut app), [Heard::Close(Some(1011))]);
    app.reset(peer.conn());
    assert_eq!(*ended.borrow(), 1);
}

#[test]
fn the_peer_is_told_that_the_dataplane_goes_away() {
    let mut app = echo();
    let mut peer = app.websocket("/ws");
    app.drain();
    assert_eq!(peer.heard(&mut app), [Heard::Close(Some(1001))]);
}

#[test]
fn pages_of_other_origins_are_refused_unless_they_are_named() {
    let mut app = App::new(|_| {
        let sockets = on_message(|_, _| {}).origins(&["https://a.example"]);
        Router::new().websocket("/ws", sockets)
    });
    let fields = |origin| {
        [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            origin,
        ]
    };
    for (origin, status) in [
        ("Origin: https://a.example", 101),
        ("Origin: http://test", 101),
        ("Origin: https://b.example", 403),
        ("Origin: null", 403),
        ("X-No: browser", 101),
    ] {
        assert_eq!(app.request("GET", "/ws", &fields(origin), "").status, status, "{origin}");
    }
}
