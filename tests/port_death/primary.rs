//! A dataplane that is killed, and the process that was attached to it.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use ringway::attach::{Attachment, Message, Options};
use ringway::control;
use ringway::mem::Trust;
use ringway::pipeline::chain::http1::HEAD;

use crate::common::{Running, own};

const TOML: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n\
                    protocol = \"http\"\nhandler = \"port:app\"\n\
                    [dataplane]\nmax_connections = 256\n";

/// Waits for the next request.
fn request(port: &mut Attachment) -> Message {
    loop {
        port.wait(None).unwrap();
        let queues = port.queues().iter_mut();
        if let Some(head) = queues.filter_map(|queue| queue.receive()).find(|m| m.kind == HEAD) {
            return head;
        }
    }
}

fn outlives(trust: Trust) {
    let prefix = format!("primary-{}", trust.name());
    let socket = control::socket_path(&own(&prefix).parse().unwrap());
    let attach = || {
        let options = Options { trust: Some(trust), ..Options::default() };
        Attachment::connect(&socket, "app", options).unwrap_or_else(|error| panic!("{error}"))
    };
    let first = Running::start(&prefix, 1, TOML);
    let mut port = attach();
    let mut client = first.connect();
    client.send("GET /kept HTTP/1.1\r\nHost: a\r\n\r\n");
    let kept = request(&mut port);
    first.signal(Signal::SIGKILL);
    // What it had not heard of before comes first.
    while port.wait(Some(Duration::from_secs(50))).is_ok() {
        port.queues().iter_mut().for_each(|queue| while queue.receive().is_some() {});
    }
    assert!(!port.is_alive());
    client.wait_for_the_end();
    assert!(kept.bytes().starts_with(b"GET /kept HTTP/1.1\r\n"), "its memory is as it was");
    // Nor does speaking to nobody do harm.
    let queue = &mut port.queues()[0];
    queue.respond(&kept, 200, "", b"for nobody");
    queue.flush();
    drop((kept, first));
    let next = Running::start(&prefix, 1, TOML);
    let mut again = attach();
    drop(port);
    thread::scope(|scope| {
        let asked = scope.spawn(|| next.connect().get("/").body);
        let head = request(&mut again);
        let queue = &mut again.queues()[0];
        queue.respond(&head, 200, "", b"by the next");
        queue.flush();
        assert_eq!(asked.join().unwrap(), b"by the next");
    });
    drop(again);
    next.signal(Signal::SIGTERM);
    next.ended_well();
}

#[test]
fn a_shared_process_outlives_its_dataplane_and_attaches_to_the_next_p_5() {
    outlives(Trust::Shared);
}

#[test]
fn an_isolated_process_outlives_its_dataplane_and_attaches_to_the_next_p_5() {
    outlives(Trust::Isolated);
}
