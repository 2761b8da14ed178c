//! Streams whose peer is reached through a port of a dataplane: here the dataplane passes bytes on to
//! another process at another port, which passes them on to a listener.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ringway::attach::{Attachment, Message, Options as AttachOptions, Queue};
use ringway::control::Control;
use ringway::mem::{ConnId, kind};
use ringway::stream::{Address, Anyone, ChannelOptions, Client, Listener, Options, Stream};
use tempfile::TempDir;

use super::rig::{TYPE, identity, listener, node, options};
use crate::common::{Server, Start, pattern, uninterrupted};

/// Passes the bytes of one connection at a port on to a socket, and back, until either ends. Says when it is
/// attached.
fn relay(control: &Path, to: &str, attached: &Sender<()>) {
    let mut port = Attachment::connect(control, "app", AttachOptions::default()).unwrap();
    attached.send(()).unwrap();
    let (mut socket, mut conn) = (None, ConnId::NONE);
    loop {
        let queue = &mut port.queues()[0];
        while let Some(message) = queue.receive() {
            match message.kind {
                kind::DATA => {
                    let socket = socket.get_or_insert_with(|| TcpStream::connect(to).unwrap());
                    conn = message.conn;
                    socket.set_nonblocking(false).unwrap();
                    socket.write_all(message.bytes()).unwrap();
                    socket.set_nonblocking(true).unwrap();
                }
                kind::EOF if socket.is_none() => queue.send(Message::marker(conn, kind::CLOSE)),
                kind::CLOSED => return,
                _ => {}
            }
        }
        if socket.as_mut().is_some_and(|socket| !pass_back(queue, conn, socket)) {
            socket = None;
        }
        queue.flush();
        if port.wait(Some(Duration::from_millis(1))).is_err() {
            return;
        }
    }
}

/// Whether the socket goes on.
fn pass_back(queue: &mut Queue, conn: ConnId, socket: &mut TcpStream) -> bool {
    let mut room = [0; 4096];
    while let Some(mut message) = queue.alloc(conn, 1) {
        let most = message.spare_mut().len().min(room.len());
        match uninterrupted(|| socket.read(&mut room[..most])) {
            Ok(0) => {
                queue.send(Message::marker(conn, kind::CLOSE));
                return false;
            }
            Ok(count) => {
                message.append(&room[..count]);
                queue.send(message);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return false,
        }
    }
    true
}

fn server() -> (Server, PathBuf) {
    let start = Start::new().peer("feed", "raw").limited("handler = \"port:app\"");
    let server = Server::run(start.builder().control(Control::new()));
    let control = server.plane().control_socket().unwrap().to_owned();
    (server, control)
}

fn connect(control: &Path) -> Stream {
    let options = Options { control_socket: Some(control.to_owned()), ..options() };
    let client = Client::new(identity(1), Anyone).options(options);
    client.connect_to(&"port:feed".parse().unwrap(), Some(node(2))).unwrap()
}

/// A stream through the port to a listener behind it.
struct Relayed {
    server: Server,
    stream: Stream,
    listener: Listener,
    relay: JoinHandle<()>,
    _directory: TempDir,
}

impl Relayed {
    fn start() -> Self {
        let (server, control) = server();
        let directory = tempfile::tempdir().unwrap();
        let listener = listener("tcp", directory.path(), &options());
        let Address::Tcp(to) = listener.address().clone() else { unreachable!() };
        let at = control.clone();
        let (attached, is_attached) = channel();
        let relay = thread::spawn(move || relay(&at, &to, &attached));
        // A connection for which no process is there would be turned away.
        is_attached.recv().unwrap();
        Self { server, stream: connect(&control), listener, relay, _directory: directory }
    }
}

#[test]
fn messages_go_through_a_port_and_come_back() {
    let Relayed { server, stream, listener, relay, _directory } = Relayed::start();
    let accepted = listener.accept().unwrap();
    let channel = stream.open(TYPE, ChannelOptions::default()).unwrap();
    let theirs = accepted.accept().unwrap();
    let echo = thread::spawn(move || {
        while let Some(message) = theirs.recv().unwrap() {
            theirs.send(message).unwrap();
        }
    });
    for bytes in [0, 1, 5000, 100_000, 1024 * 1024] {
        let message = pattern(bytes as u64, bytes);
        channel.send(&*message).unwrap();
        assert!(channel.recv().unwrap().unwrap() == message, "{bytes}");
    }
    channel.close();
    echo.join().unwrap();
    stream.close().unwrap();
    relay.join().unwrap();
    server.drain();
}

#[test]
fn a_port_whose_dataplane_stops_ends_the_stream() {
    let Relayed { server, stream, listener: _listener, relay, _directory } = Relayed::start();
    let channel = stream.open(TYPE, ChannelOptions::default()).unwrap();
    server.stop();
    assert!(channel.recv().unwrap_err().is_final());
    stream.wait_for_end().unwrap();
    relay.join().unwrap();
}

#[test]
fn a_port_that_is_not_there_is_said() {
    let (server, control) = server();
    let options = Options { control_socket: Some(control), ..options() };
    let client = Client::new(identity(1), Anyone).options(options);
    let error = client.connect("port:nothing").unwrap_err();
    assert!(error.to_string().contains("`nothing`"), "{error}");
    let error = Client::new(identity(1), Anyone).connect("port:feed").unwrap_err();
    assert!(error.to_string().contains("control socket"), "{error}");
    server.drain();
}
