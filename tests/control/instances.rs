//! Several instances, and those that follow one that was killed.

use std::fs;
use std::os::unix::net::UnixStream;

use crate::bed::{Instance, toml};
use crate::common::{command, configuration, wait_until};

#[test]
fn p9_two_instances_are_reached_side_by_side() {
    let (blue, green) = (Instance::start("blue"), Instance::start("green"));
    for instance in [&blue, &green] {
        assert_eq!(instance.json(&["version"])["pid"], instance.running.pid());
    }
    blue.text(&["stop"]);
    blue.running.ended_well();
    assert_eq!(green.json(&["version"])["pid"], green.running.pid());
}

#[test]
fn p9_a_second_instance_of_a_name_is_refused_naming_the_first() {
    let first = Instance::start("twin");
    let directory = configuration(&toml(""));
    let output = command(&directory, "twin", 1).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    let pid = format!("process {} runs", first.running.pid());
    for part in
        ["cannot start instance twin", &pid, "--file-prefix", first.socket().to_str().unwrap()]
    {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert_eq!(
        first.json(&["version"])["pid"],
        first.running.pid(),
        "the first one has not noticed"
    );
}

#[test]
fn a_socket_that_a_killed_instance_left_is_replaced() {
    let first = Instance::start("killed");
    let socket = first.socket();
    first.running.killed();
    assert!(socket.exists(), "it had no time to tidy up");
    assert_eq!(
        crate::bed::ctl(&["--socket", socket.to_str().unwrap(), "stats"]).status.code(),
        Some(3)
    );
    let second = Instance::start("killed");
    assert_eq!(second.json(&["version"])["pid"], second.running.pid());
}

#[test]
fn a_name_is_free_again_as_soon_as_ctl_stop_returns() {
    for _ in 0..5 {
        let instance = Instance::start("again");
        instance.text(&["stop"]);
        assert!(!instance.socket().exists());
        // Not waited for: the next one starts beside what is left of it.
        let next = Instance::start("again");
        next.text(&["stop"]);
    }
}

#[test]
fn i7_a_deleted_socket_is_made_again() {
    let instance = Instance::start("deleted");
    fs::remove_file(instance.socket()).unwrap();
    wait_until(|| UnixStream::connect(instance.socket()).is_ok());
    instance.text(&["version"]);
}
