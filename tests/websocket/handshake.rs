//! How a WebSocket begins, or does not.

use std::net::SocketAddr;

use ringway::handler::http::{Reply, Request, Response};
use ringway::handler::websocket::{Opening, Out, Service};
use ringway::mem::Buf;
use ringway::pipeline::Cx;
use ringway::pipeline::chain::websocket::MessageMeta;
use ringway::proto::websocket::Kind;
use ringway::proto::websocket::handshake::{Client as Asker, ClientFault, Server as Offer};

use crate::common::websocket::{Peer, request};
use crate::common::{Client, Server, Start};
use crate::exchange::server;

const FIELDS: &str = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

#[test]
fn what_is_no_request_for_a_websocket_is_refused_saying_why_w_7() {
    let server = server("");
    let allow: &[(&str, &str)] = &[("allow", "GET")];
    let upgrade: &[(&str, &str)] = &[("upgrade", "websocket")];
    let version: &[(&str, &str)] = &[("sec-websocket-version", "13"), ("upgrade", "websocket")];
    for (head, status, fields) in [
        (format!("POST / HTTP/1.1\r\nContent-Length: 0\r\n{FIELDS}"), 405, allow),
        ("GET / HTTP/1.1\r\nHost: a\r\n".to_owned(), 426, upgrade),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n".to_owned(), 426, upgrade),
        (format!("GET / HTTP/1.1\r\n{}", FIELDS.replace("websocket", "h2c")), 426, upgrade),
        (format!("GET / HTTP/1.1\r\n{}", FIELDS.replace("13", "8")), 426, version),
        (format!("GET / HTTP/1.1\r\n{}", FIELDS.replace("==", "")), 400, &[]),
        (format!("GET / HTTP/1.1\r\n{FIELDS}Sec-WebSocket-Version: 13\r\n"), 400, &[]),
        (format!("GET / HTTP/1.1\r\n{FIELDS}Sec-WebSocket-Extensions: ;\r\n"), 400, &[]),
        (format!("GET / HTTP/1.1\r\n{FIELDS}Origin: http://b\r\n"), 403, &[]),
        (format!("GET / HTTP/1.1\r\n{FIELDS}Origin: null\r\n"), 403, &[]),
        (format!("GET / HTTP/1.1\r\n{FIELDS}Origin: http://a\r\n"), 101, upgrade),
    ] {
        let response = server.connect().send(&head).send("\r\n").head();
        assert_eq!(response.status(), status, "{head}{response:?}");
        for (name, value) in fields {
            assert_eq!(response.field(name), Some(*value), "{head}{response:?}");
        }
    }
    server.stop();
}

#[test]
fn a_request_with_a_body_is_none_for_a_websocket() {
    let server = server("");
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let response = server.connect().send(format!("GET / HTTP/1.1\r\n{FIELDS}{body}")).head();
        assert!((400..500).contains(&response.status()), "{response:?}");
    }
    server.stop();
}

#[test]
fn after_a_refusal_the_connection_speaks_http_and_may_ask_again_w_7() {
    let server = server("");
    let mut client = server.connect();
    assert_eq!(client.get("/").status(), 426);
    let other = format!("GET / HTTP/1.1\r\n{}\r\n", FIELDS.replace("13", "7"));
    assert_eq!(client.send(other).response().status(), 426);
    assert_eq!(client.send(format!("GET / HTTP/1.1\r\n{FIELDS}\r\n")).head().status(), 101);
    drop(client);
    server.stop();
}

/// Serves a page beside WebSockets that speak one of two protocols.
struct Chat;

impl Service for Chat {
    fn opening(&mut self, _cx: &mut Cx, request: &Request<'_>) -> Opening<'_> {
        match request.path() {
            b"/chat" => Opening::Offer(Offer { protocols: &["b", "a"], ..Offer::default() }),
            _ => Opening::Refuse(Response::text(404, "no such room")),
        }
    }

    fn request(&mut self, _cx: &mut Cx, request: &Request<'_>) -> Reply {
        match request.path() {
            b"/" => Response::text(200, "the page").into(),
            _ => Response::empty(404).into(),
        }
    }

    fn message(&mut self, _cx: &mut Cx, message: Buf, _meta: MessageMeta, out: &mut Out<'_>) {
        out.send(message);
    }
}

/// It listens behind another.
fn chat() -> (Server, SocketAddr) {
    let builder = Start::new().listener("echo", "").builder();
    let server = Server::run(builder.websocket(([127, 0, 0, 1], 0), || Chat));
    let address = server.address(1);
    (server, address)
}

#[test]
fn pages_and_websockets_share_a_listener() {
    let (server, address) = chat();
    let mut peer = Peer::connect(address);
    let mut client = Client::connect(address);
    for _ in 0..3 {
        assert_eq!(client.get("/").body, b"the page");
        peer.echoes(Kind::Text, b"beside it");
    }
    assert_eq!(client.get("/none").status(), 404);
    let elsewhere = Asker { target: "/none", ..request("localhost") };
    let refused = Peer::open(address, &elsewhere);
    assert_eq!(refused.err(), Some(ClientFault::Status(404)));
    peer.part();
    drop(client);
    server.stop();
}

#[test]
fn the_first_protocol_that_both_speak_is_chosen_w_7() {
    let (server, address) = chat();
    for (protocols, chosen) in
        [(&["a", "b"][..], Some("a")), (&["c", "b"], Some("b")), (&["c"], None), (&[], None)]
    {
        let client = Asker { protocols, ..request("localhost") };
        let mut peer = Peer::open(address, &client).unwrap();
        assert_eq!(peer.protocol.as_deref(), chosen);
        peer.echoes(Kind::Text, b"hello");
        peer.part();
    }
    server.stop();
}
