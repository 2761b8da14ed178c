//! A program at a port.

use std::os::unix::net::UnixStream;
use std::thread;

use ringway::attach::{Attachment, Message, Queue};
use ringway::dataplane;
use ringway::mem::{Trust, kind};

use crate::common::Server;

/// A program and the dataplane's half of its attachment, which the control socket looks after where
/// there is one.
pub struct Program {
    pub port: Attachment,
    pub kept: dataplane::Attachment,
}

impl Program {
    pub fn attach(server: &Server, name: &str, trust: Trust) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ports = server.plane().ports();
        let (offer, kept) =
            ports.attach(name, Some(trust), 1, ours).unwrap_or_else(|e| panic!("{e}"));
        let port = Attachment::accept(offer, theirs).unwrap_or_else(|e| panic!("{e}"));
        Self { port, kept }
    }

    /// Answers everything with `answer` until `done`.
    pub fn serve(
        &mut self,
        mut answer: impl FnMut(&mut Queue, Message),
        mut done: impl FnMut() -> bool,
    ) {
        while !done() {
            for queue in self.port.queues() {
                while let Some(message) = queue.receive() {
                    answer(queue, message);
                }
                queue.flush();
            }
            std::thread::yield_now();
        }
    }
}

/// Sends what came back to where it came from.
pub fn echo(queue: &mut Queue, message: Message) {
    let answer = match message.kind {
        kind::DATA => message,
        kind::EOF => Message::marker(message.conn, kind::CLOSE),
        _ => return,
    };
    queue.send(answer);
}

/// Has a program at the port `app` answer for as long as `client` runs, and drains the server.
pub fn serve_client(
    server: Server,
    trust: Trust,
    answer: impl FnMut(&mut Queue, Message),
    client: impl FnOnce(&Server) + Send,
) {
    let mut program = Program::attach(&server, "app", trust);
    thread::scope(|scope| {
        let client = scope.spawn(|| client(&server));
        program.serve(answer, || client.is_finished());
        client.join().unwrap();
    });
    drop(program);
    server.drain();
}
