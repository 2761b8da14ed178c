//! A chat with rooms: `cargo run --release --example chat`, then open <http://localhost:8080/> in two tabs.
//! Another address: `… --example chat -- 0.0.0.0:9000`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ringway::dataplane::Builder;
use ringway::handler::http::{Body, Request, Response, Router};
use ringway::handler::websocket::{Message, Socket, Sockets};
use ringway::pipeline::write::{self, Group};
use serde_json::{Value, json};

/// Those of a room who are named: as many as fit one slot, however their names are escaped.
const NAMED_MAX: usize = 64;

/// The rooms. The lock is for those who come and go: what is said passes without it.
#[derive(Clone, Default)]
struct Chat(Arc<Mutex<HashMap<String, Room>>>);

#[derive(Clone, Default)]
struct Room {
    group: Group,
    names: Vec<String>,
}

/// Who somebody is.
struct Guest {
    name: String,
    room: String,
    group: Group,
}

impl Chat {
    fn router(&self) -> Router {
        let [enter, leave] = [self.clone(), self.clone()];
        let guests = Sockets::new(|_, request| Guest::of(request))
            .on_open(move |guest| enter.enter(guest))
            .on_message(said)
            .on_close(move |_, _, guest, _| leave.leave(&guest));
        Router::new().get("/", |_| page()).websocket("/chat", guests)
    }

    fn enter(&self, socket: &mut Socket<'_, '_, Guest>) {
        let mut rooms = self.0.lock().expect("nobody panics with it");
        let room = rooms.entry(socket.session.room.clone()).or_default();
        room.names.push(socket.session.name.clone());
        socket.session.group = room.group.clone();
        socket.join(&room.group.clone());
        room.tell();
    }

    fn leave(&self, guest: &Guest) {
        let mut rooms = self.0.lock().expect("nobody panics with it");
        let Some(room) = rooms.get_mut(&guest.room) else { return };
        if let Some(at) = room.names.iter().position(|name| *name == guest.name) {
            room.names.remove(at);
        }
        room.tell();
        if room.names.is_empty() {
            rooms.remove(&guest.room);
        }
    }
}

impl Room {
    /// Tells all who are there who is there.
    fn tell(&self) {
        let names = &self.names[..self.names.len().min(NAMED_MAX)];
        if let Err(why) = publish(&self.group, &json!({ "here": names })) {
            eprintln!("nobody hears who is there: {why}");
        }
    }
}

impl Guest {
    fn of(request: &Request<'_>) -> Result<Self, Response> {
        let value = |key| request.query(key).filter(|value| (1..=32).contains(&value.len()));
        let (Some(name), Some(room)) = (value("name"), value("room")) else {
            return Err(Response::text(400, "say ?name=…&room=…, with 1 to 32 bytes each\n"));
        };
        Ok(Self { name: name.into_owned(), room: room.into_owned(), group: Group::new() })
    }
}

fn said(socket: &mut Socket<'_, '_, Guest>, message: Message<'_>) {
    let Some(text) = message.text() else { return };
    let line = json!({ "from": socket.session.name, "text": text });
    // Whoever said it is to know that nobody hears it, as where it is longer than a slot.
    if let Err(why) = publish(&socket.session.group, &line) {
        let _ = socket.send(&json!({ "error": format!("not said: {why}") }).to_string());
    }
}

/// One buffer for all who are there, on whatever core they are.
fn publish(group: &Group, value: &Value) -> Result<(), write::Refused> {
    group.publish(write::Message::Text(&value.to_string()), &[])
}

fn page() -> Response {
    Response::new(200, Body::Bytes(include_bytes!("chat.html").into()))
        .content_type("text/html; charset=utf-8")
}

fn main() -> ringway::error::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".to_owned());
    let address: SocketAddr = address.parse().expect("an address and port, such as 127.0.0.1:8080");
    let chat = Chat::default();
    println!("http://{address}/");
    let router = move |_: &mut _| chat.router();
    println!("{}", Builder::on_one_core()?.router(address, router).run()?);
    Ok(())
}
