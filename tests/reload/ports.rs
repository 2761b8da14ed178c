//! Ports come and go with their listeners, and so do the processes at them.

use std::os::unix::net::UnixStream;
use std::thread;

use ringway::attach::{Attachment, Message};
use ringway::config::{ListenerConfig, PortConfig};
use ringway::dataplane;
use ringway::mem::{Trust, kind};

use crate::bed::{edit, refusal, tcp, try_edit, wait_for_the_old};
use crate::common::{Client, Server, Start, wait_until};

/// A program at a port that sends back what comes until the port is taken away from it.
fn echo_at(server: &Server, name: &str) -> Program {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (offer, kept) =
        server.plane().ports().attach(name, None, 1, ours).unwrap_or_else(|e| panic!("{e}"));
    let serving = thread::spawn(move || {
        let mut port = Attachment::accept(offer, theirs).unwrap_or_else(|e| panic!("{e}"));
        while port.is_alive() {
            for queue in port.queues() {
                while let Some(message) = queue.receive() {
                    match message.kind {
                        kind::DATA => queue.send(message),
                        kind::EOF => queue.send(Message::marker(message.conn, kind::CLOSE)),
                        _ => {}
                    }
                }
                queue.flush();
            }
            thread::yield_now();
        }
    });
    Program { serving, kept }
}

struct Program {
    serving: thread::JoinHandle<()>,
    kept: dataplane::Attachment,
}

impl Program {
    /// Waits until it has heard that its port is gone.
    fn ended(self) {
        self.serving.join().unwrap();
        drop(self.kept);
    }
}

fn raw_at(name: &str) -> ListenerConfig {
    let port = Some(PortConfig { name: name.to_owned(), park: false });
    ListenerConfig { port, ..tcp("raw") }
}

fn names(server: &Server) -> Vec<String> {
    server.plane().ports().list().into_iter().map(|(port, _)| port.name).collect()
}

#[test]
fn a_process_attaches_to_a_port_that_was_added_and_hears_of_its_end_p_1() {
    for trust in [Trust::Shared, Trust::Isolated] {
        let server = Start::new().listener("echo", "").lcores(2).start();
        edit(&server, |config| {
            let isolated = trust == Trust::Isolated;
            config.listeners.push(ListenerConfig { isolated, ..raw_at("app") });
        });
        assert_eq!(names(&server), ["app"]);
        let program = echo_at(&server, "app");
        // One on each lcore, or so.
        let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(server.address(1))).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.send("x").receive(1), b"x"));
        let last = clients.split_off(1);
        edit(&server, |config| drop(config.listeners.pop()));
        assert_eq!(names(&server), [""; 0]);
        clients.into_iter().chain(last).for_each(|mut client| client.wait_for_the_end());
        program.ended();
        wait_for_the_old(server.plane());
        // And the name is free again.
        edit(&server, |config| config.listeners.push(raw_at("app")));
        let program = echo_at(&server, "app");
        assert_eq!(Client::connect(server.address(1)).send("y").receive(1), b"y");
        server.drain();
        program.ended();
    }
}

#[test]
fn a_listener_goes_over_to_another_port_and_its_connections_stay_with_the_old_process_a_1() {
    let server =
        Start::new().listener("raw", "").limited("handler = \"port:one\"").lcores(2).start();
    let one = echo_at(&server, "one");
    let mut old = server.connect();
    assert_eq!(old.send("x").receive(1), b"x");
    edit(&server, |config| {
        config.listeners[0].port = Some(PortConfig { name: "two".to_owned(), park: true });
    });
    assert_eq!(names(&server), ["two"]);
    let mut new = server.connect();
    new.send("z");
    assert_eq!(old.send("y").receive(1), b"y", "by the process at the old port");
    let two = echo_at(&server, "two");
    assert_eq!(new.receive(1), b"z");
    drop(old);
    // With the last of its connections the old port ends, and not before.
    one.ended();
    wait_for_the_old(server.plane());
    assert_eq!(new.send("w").receive(1), b"w");
    drop(new);
    server.drain();
    two.ended();
}

#[test]
fn a_port_that_a_draining_listener_has_is_not_given_out_again() {
    let server = Start::new().listener("raw", "").limited("handler = \"port:one\"").start();
    let one = echo_at(&server, "one");
    let mut old = server.connect();
    assert_eq!(old.send("x").receive(1), b"x");
    edit(&server, |config| config.listeners[0].port = None.or(raw_at("two").port));
    let error = refusal(&server, |config| config.listeners.push(raw_at("one")));
    assert!(error.contains("port `one`") && error.contains("have not all ended"), "{error}");
    let error = refusal(&server, |config| config.listeners[0].isolated = true);
    assert!(error.contains("port `two`") && error.contains("another name"), "{error}");
    drop(old);
    one.ended();
    wait_until(|| try_edit(&server, |config| config.listeners.push(raw_at("one"))).is_ok());
    let one = echo_at(&server, "one");
    assert_eq!(Client::connect(server.address(1)).send("x").receive(1), b"x");
    server.drain();
    one.ended();
}
