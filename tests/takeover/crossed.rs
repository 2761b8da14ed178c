//! Two things at once: a takeover, and a change of the configuration, or a third instance.

use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use ringway::control;

use crate::bed::{ANY, http};
use crate::common::{Running, own, wait_until};
use crate::listeners::ports;
use crate::ports::{Process, before_a_port};
use crate::pretender::Pretender;

fn ctl(instance: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(["ctl", "--file-prefix", &own(instance)]).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

/// An instance, and one that has its place already, and waits for the process at its port, which does not come.
fn half_way(name: &str) -> (Running, Process, Running) {
    let socket = control::socket_path(&own(name).parse().unwrap());
    let inode = || {
        use std::os::unix::fs::MetadataExt;
        std::fs::symlink_metadata(&socket).map(|file| file.ino()).ok()
    };
    let mut old = Running::start(name, 1, &before_a_port(ANY));
    let process = Process::start(name);
    let before = inode();
    process.signal(Signal::SIGSTOP);
    let toml = before_a_port(&old.address.to_string());
    let new = Running::spawn(name, 1, &toml, &["--takeover"]);
    wait_until(|| inode() != before);
    old.leave_files();
    (old, process, new)
}

#[test]
fn one_that_has_not_taken_over_yet_changes_nothing_and_gives_way_to_nobody() {
    let name = "half-way";
    let (old, process, mut new) = half_way(name);
    let set = || ctl(name, &["config", "set", "dataplane.drain_timeout_ms", "7000"]);
    let refused = String::from_utf8(set().stderr).unwrap();
    assert!(refused.contains("a takeover is under way"), "{refused}");
    let third = Pretender::asks(name).err().expect("one after the other");
    assert!(third.contains("this one has not taken over yet"), "{third}");
    process.signal(Signal::SIGCONT);
    new.await_readiness();
    old.ended_well();
    assert!(set().status.success());
    drop(Pretender::asks(name).unwrap());
}

#[test]
fn a_change_that_comes_while_another_one_builds_takes_nothing_from_it() {
    let name = "builds";
    let first = Running::start(name, 1, &crate::bed::toml(&[http(ANY)]));
    let pretender = Pretender::of(name);
    let (held, address) = ports();
    drop(held);
    // Held, so that a try to bind it would be the reason.
    let held = std::net::TcpListener::bind(address).unwrap();
    let both = [http(ANY), http(&address.to_string())];
    first.rewrite(&crate::bed::toml(&both));
    let reload = ctl(name, &["reload"]);
    let why = String::from_utf8(reload.stderr).unwrap();
    assert!(why.contains("a takeover is under way"), "{why}");
    drop((pretender, held));
    wait_until(|| ctl(name, &["reload"]).status.success());
}
