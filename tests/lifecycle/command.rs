//! The real command: signals, its report, its exit code.

use nix::sys::signal::Signal;

use crate::common::Running;

/// The text of a configuration of one HTTP listener.
pub fn one_listener(address: &str, more: &str) -> String {
    format!(
        "[[listener]]\naddress = \"{address}\"\ntransport = \"tcp\"\nprotocol = \"http\"\n\
         [dataplane]\nmax_connections = 256\n{more}\n"
    )
}

fn start(prefix: &str, lcores: usize, more: &str) -> Running {
    Running::start(prefix, lcores, &one_listener("127.0.0.1:0", more))
}

#[test]
fn sigint_and_sigterm_drain_account_and_exit_0_a_16() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let server = start("one", 1, "");
        let mut client = server.connect();
        assert_eq!(client.get("/").status(), 200);
        server.signal(signal);
        assert_eq!(client.receive_all(), b"", "an idle connection is closed");
        drop(client);
        let text = server.ended_well();
        assert!(text.contains("lcore 0:") && text.contains("accepted=1"), "{text}");
    }
}

#[test]
fn a_request_in_flight_is_answered_after_the_signal_a_16() {
    let mut server = start("flight", 1, "drain_timeout_ms = 3600000");
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    assert_eq!(client.head().status(), 200);
    server.signal(Signal::SIGTERM);
    server.line_with("draining");
    client.send("cd");
    assert_eq!(client.receive_all(), b"abcd");
    drop(client);
    server.ended_well();
}

#[test]
fn a_second_signal_stops_at_once_a_16() {
    let mut server = start("twice", 1, "drain_timeout_ms = 3600000");
    let mut client = server.connect();
    client.send("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    server.signal(Signal::SIGINT);
    server.line_with("draining");
    server.signal(Signal::SIGINT);
    client.wait_for_the_end();
    server.ended_well();
}

#[test]
fn a_second_signal_stops_at_once_though_some_lcores_have_drained_a_16() {
    let mut server = start("lcores", 3, "drain_timeout_ms = 3600000");
    let mut client = server.connect();
    client.send("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    server.signal(Signal::SIGINT);
    server.line_with("draining");
    // The other lcores have nothing to wait for; let the command see that they are gone.
    std::thread::sleep(std::time::Duration::from_millis(700));
    server.signal(Signal::SIGINT);
    client.wait_for_the_end();
    server.ended_well();
}

#[test]
fn two_instances_serve_side_by_side_p_9() {
    let (blue, green) = (start("blue", 1, ""), start("green", 1, ""));
    assert_ne!(blue.address, green.address);
    let (mut one, mut other) = (blue.connect(), green.connect());
    assert_eq!((one.get("/").status(), other.get("/").status()), (200, 200));
    blue.signal(Signal::SIGINT);
    drop(one);
    blue.ended_well();
    assert_eq!(other.get("/").status(), 200, "the end of one is nothing to the other");
    green.signal(Signal::SIGINT);
    drop(other);
    green.ended_well();
}

/// The kernel closes what rings held of the killed one when it comes to it.
#[test]
fn another_of_the_name_starts_at_once_where_one_was_killed_p_5() {
    for _ in 0..8 {
        let killed = start("again", 2, "");
        killed.signal(Signal::SIGKILL);
        let next = start("again", 1, "");
        next.signal(Signal::SIGTERM);
        next.ended_well();
        drop(killed);
    }
}

#[test]
fn ten_lcores_more_than_cores_end_as_well_as_one() {
    let server = start("many", 10, "");
    let mut clients: Vec<_> = (0..40).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
    drop(clients);
    server.signal(Signal::SIGTERM);
    server.ended_well();
}
