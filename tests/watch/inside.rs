//! A dataplane inside a program that takes a listener away while somebody looks.

use std::io::Read;
use std::time::Duration;

use ringway::control::Control;
use ringway::ipc::Client;
use ringway::lcore::Mail;
use ringway::limits::WATCHES_MAX;

use crate::common::{Server, Start, wait_until};
use crate::reader;

#[test]
fn a_listener_that_is_taken_away_ends_who_looks_at_it() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("c.sock");
    let control = Control::new().socket(&socket);
    let two = Start::new().listener("echo", "").listener("echo", "");
    let server = Server::run(two.lcores(2).builder().control(control));
    let client = Client::new(&socket).timeout(Duration::from_secs(50));
    let mut trace = client.stream("j/trace 0").unwrap();
    let mut capture = client.stream("capture 0 rx,ingress").unwrap();
    server.connect().send("hello").receive(5);
    for lcore in 0..2 {
        let call = Mail::Call(Box::new(|lcore| assert!(lcore.unregister(0))));
        assert!(server.plane().handle(lcore).post(call).is_ok());
    }
    let (mut text, mut file) = (String::new(), Vec::new());
    trace.read_to_string(&mut text).unwrap();
    capture.read_to_end(&mut file).unwrap();
    assert!(text.contains("\"ended\":\"gone\""), "{text}");
    assert!(text.contains("hello"), "{text}");
    assert!(reader::read(&file).has_at("rx", b"hello"));
    let gone = client.send("trace 0").unwrap_err().to_string();
    assert!(gone.contains("listener 0 is gone"), "{gone}");
    server.stop();
}

#[test]
fn so_many_may_look_at_a_time_and_one_more_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("c.sock");
    let start = (0..=WATCHES_MAX / 2).fold(Start::new(), |start, _| start.listener("echo", ""));
    let server = Server::run(start.builder().control(Control::new().socket(&socket)));
    let client = Client::new(&socket).timeout(Duration::from_secs(50));
    let look = |index: usize| {
        let (listener, looks) =
            (index / 2, if index.is_multiple_of(2) { "trace" } else { "capture" });
        let stage = if looks == "trace" { "" } else { "rx" };
        client.stream(&format!("{looks} {listener} {stage}"))
    };
    let mut looking: Vec<_> = (0..WATCHES_MAX).map(|index| look(index).unwrap()).collect();
    let refused = look(WATCHES_MAX).expect_err("one past the bound").to_string();
    assert!(refused.contains("no more may be at a time"), "{refused}");
    looking.pop();
    wait_until(|| look(WATCHES_MAX).is_ok());
    drop(looking);
    server.stop();
}
