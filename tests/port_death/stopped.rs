//! A process that is stopped, and does not die.

use nix::sys::signal::Signal;
use ringway::counters::Counter;
use ringway::mem::Trust;

use crate::child::Child;
use crate::common::{Client, wait_until};
use crate::kills::Bed;

/// More requests than a port may hold slots.
const CLIENTS: usize = 500;

fn stops(trust: Trust) {
    let bed = Bed::start(1);
    let mut child = Child::start(&bed.socket, "app", trust, "");
    child.wait_for("attached");
    child.signal(Signal::SIGSTOP);
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|_| Client::connect(bed.server.address(1))).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    // Others go on all the while, until it is cut off.
    let mut other = bed.server.connect();
    let mut served = 0;
    while bed.server.count(Counter::PortFaults) == 0 {
        assert_eq!(other.get("/health").status(), 200);
        served += 1;
    }
    println!("{served} requests were served meanwhile");
    for client in &mut clients {
        assert!(matches!(client.response().status(), 502 | 503));
    }
    bed.wait_until_free("app");
    let mut next = Child::start(&bed.socket, "app", trust, "");
    next.wait_for("attached");
    assert_eq!(clients[0].get("/").body, b"served");
    // It wakes up, and finds that it is on its own.
    child.signal(Signal::SIGCONT);
    child.wait_for("gone");
    child.ended_well();
    assert_eq!(clients[1].get("/").body, b"served");
    drop((clients, other, next));
    wait_until(|| bed.is_free("app"));
    bed.server.drain();
}

#[test]
fn a_shared_process_that_is_stopped_is_cut_off_and_hears_of_it() {
    stops(Trust::Shared);
}

#[test]
fn an_isolated_process_that_is_stopped_is_cut_off_and_hears_of_it() {
    stops(Trust::Isolated);
}
