//! Looking at a process that runs, and at one that has died.

use std::os::unix::fs::MetadataExt;

use ringway::counters::snapshot::State;
use ringway::counters::{Observer, path};

use crate::common::{Running, own, wait_until};

const HTTP: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"http\"\n\
                    [dataplane]\nmax_connections = 1024\n";

#[test]
fn another_process_looks_while_it_runs_and_after_it_was_killed() {
    let running = Running::start("beside", 2, HTTP);
    let place = path(nix::unistd::geteuid().as_raw(), &own("beside"));
    assert_eq!(std::fs::metadata(&place).unwrap().mode() & 0o777, 0o600);
    let observer = Observer::open(&own("beside")).unwrap();
    let mut client = running.connect();
    for _ in 0..3 {
        client.get("/");
    }
    wait_until(|| observer.snapshot().unwrap().sum("messages") == 3);
    let seen = observer.snapshot().unwrap();
    assert_eq!(
        (seen.state, seen.pid, seen.instance),
        (State::Running, running.pid(), own("beside"))
    );
    running.killed();
    wait_until(|| observer.snapshot().unwrap().state == State::Died);
    let late = Observer::open(&own("beside")).unwrap().snapshot().unwrap();
    assert_eq!((late.state, late.sum("messages")), (State::Died, 3));
    // The next of the name begins anew, whoever still looks at the old one.
    let second = Running::start("beside", 1, HTTP);
    assert!(observer.is_replaced());
    let seen = Observer::open(&own("beside")).unwrap().snapshot().unwrap();
    assert_eq!((seen.pid, seen.sum("messages")), (second.pid(), 0));
    second.signal(nix::sys::signal::Signal::SIGTERM);
    second.ended_well();
    assert!(!place.exists(), "one that ends well tidies up");
    let why = Observer::open(&own("beside")).unwrap_err().to_string();
    assert!(why.contains("--file-prefix"), "{why}");
}
