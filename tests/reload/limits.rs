//! As many listeners as there may be: at the bound, and one past it.

use ringway::limits::LISTENERS_MAX;

use crate::bed::{edit, refusal, tcp, wait_for_the_old};
use crate::common::{Client, Start};

#[test]
fn the_last_place_is_taken_and_one_more_is_refused() {
    let server = Start::new().listener("echo", "").start();
    edit(&server, |config| {
        config.listeners.extend((1..LISTENERS_MAX).map(|_| tcp("echo")));
    });
    assert_eq!(server.plane().addresses().len(), LISTENERS_MAX);
    for place in [0, LISTENERS_MAX - 1] {
        assert_eq!(Client::connect(server.address(place)).send("x").receive(1), b"x");
    }
    let error = refusal(&server, |config| config.listeners.push(tcp("echo")));
    assert!(
        error.contains("0 of 32 places are free") || error.contains("32 is the most"),
        "{error}"
    );
    // A swap needs a place beside that of the old one.
    let swap = |config: &mut ringway::config::Config| {
        config.listeners[0].protocol = "http".to_owned();
    };
    let error = refusal(&server, swap);
    assert!(error.contains("0 of 32 places are free"), "{error}");
    edit(&server, |config| drop(config.listeners.pop()));
    wait_for_the_old(server.plane());
    edit(&server, swap);
    assert_eq!(server.connect().get("/").status(), 200);
    server.drain();
}

#[test]
fn old_listeners_keep_their_places_while_they_have_connections() {
    let server = Start::new().listener("echo", "").start();
    let mut clients = Vec::new();
    for turn in 1..LISTENERS_MAX {
        clients.push(server.connect());
        assert_eq!(clients.last_mut().unwrap().send("x").receive(1), b"x");
        edit(&server, |config| config.listeners[0].connections_per_address = Some(turn as u32));
    }
    let last = |config: &mut ringway::config::Config| {
        config.listeners[0].connections_per_address = Some(1000);
    };
    let error = refusal(&server, last);
    assert!(error.contains("0 of 32 places are free") && error.contains("drain"), "{error}");
    // Each of them is still served by the listener that accepted it.
    clients.iter_mut().for_each(|client| assert_eq!(client.send("y").receive(1), b"y"));
    drop(clients.pop());
    crate::common::wait_until(|| {
        server.plane().in_force().draining.iter().filter(|one| one.is_there()).count()
            < LISTENERS_MAX - 1
    });
    edit(&server, last);
    clients.iter_mut().for_each(|client| assert_eq!(client.send("z").receive(1), b"z"));
    drop(clients);
    server.stop();
}
