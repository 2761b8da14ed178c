//! A process that is killed at every step of what it does.

use std::io::{Read, Write};
use std::net::TcpStream;

use nix::sys::signal::Signal;
use ringway::mem::Trust;

use crate::child::{Child, STEPS};
use crate::common::{Client, patience, wait_until};
use crate::kills::Bed;

/// What a client gets that asks once, until the connection ends, however.
fn ask(bed: &Bed) -> TcpStream {
    let mut stream = TcpStream::connect(bed.server.address(1)).unwrap();
    stream.set_read_timeout(patience()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

fn outcome(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

/// Kills a process at `step`, and looks what comes of it.
fn dies_at(bed: &Bed, trust: Trust, step: &str) {
    let mut child = Child::start(&bed.socket, "app", trust, step);
    let waits_for_a_request = ["received", "dropped", "sent", "flushed"].contains(&step);
    if waits_for_a_request {
        child.wait_for("attached");
    }
    let client = waits_for_a_request.then(|| ask(bed));
    child.wait_for(step);
    if step == "waiting" {
        // Asleep, most likely.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.signal(Signal::SIGKILL);
    let answer = client.map(outcome).unwrap_or_default();
    match step {
        "received" => assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}"),
        // It is in the ring; who sees it first, the lcore or the end, nobody says.
        "sent" | "dropped" => {
            let whole = answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("served");
            assert!(whole || answer.starts_with("HTTP/1.1 502 "), "{answer}");
        }
        // Cut short, and seen to be; or it lay in the ring still.
        "flushed" => {
            let seen = ["", "HTTP/1.1 200 ", "HTTP/1.1 502 "];
            assert!(seen.contains(&answer.get(..13).unwrap_or_default()), "{answer}");
            assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        }
        _ => {}
    }
    bed.wait_until_free("app");
    drop(child);
    // Whoever comes next is served at once.
    let mut next = Child::start(&bed.socket, "app", trust, "");
    next.wait_for("attached");
    let mut client = Client::connect(bed.server.address(1));
    assert_eq!(client.get("/").body, b"served", "after {step}");
    assert_eq!(bed.server.connect().get("/health").status(), 200);
    drop((client, next));
    bed.wait_until_free("app");
}

fn dies_everywhere(trust: Trust) {
    let bed = Bed::start(1);
    for step in STEPS {
        println!("{step}");
        dies_at(&bed, trust, step);
    }
    wait_until(|| bed.server.plane().status().connections() == 0);
    bed.server.drain();
}

#[test]
fn a_shared_process_may_die_at_every_step_p_4() {
    dies_everywhere(Trust::Shared);
}

#[test]
fn an_isolated_process_may_die_at_every_step_p_4() {
    dies_everywhere(Trust::Isolated);
}
