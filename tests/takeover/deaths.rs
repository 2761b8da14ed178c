//! Either of the two dies, or gives up, wherever that may be: the other serves.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;

use nix::sys::signal::Signal;
use ringway::control;
use ringway::ipc;

use crate::bed::{ANY, Load, http, toml};
use crate::common::{Running, command, configuration, own, patience, wait_until};
use crate::pretender::Pretender;

/// Who answers at the control socket of an instance.
fn pid(instance: &str) -> u32 {
    let path = control::socket_path(&own(instance).parse().unwrap());
    let reply = ipc::send(&path, "j/version", patience().unwrap()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&reply).unwrap()["pid"].as_u64().unwrap() as u32
}

#[test]
fn the_old_one_goes_on_when_the_new_one_dies_before_it_has_confirmed() {
    let name = "survives";
    let first = Running::start(name, 2, &toml(&[http(ANY)]));
    let toml = toml(&[http(&first.address.to_string())]);
    let first = Load::during(first.address, |load| {
        let one = Pretender::of(name);
        let other = Pretender::asks(name).err().expect("one at a time");
        assert!(other.contains("another instance is about to take over"), "{other}");
        drop(one);
        load.more(100);
        drop(Pretender::of(name).says("ready").hears("go"));
        load.more(100);
        drop(Pretender::of(name).says("ready").hears("go").says("placed"));
        load.more(100);
        // What no instance would say.
        drop(Pretender::of(name).says("confirm").hears("error: it said `confirm`, not `ready`"));
        assert_eq!(pid(name), first.pid());
        // A place that was taken already.
        let path = control::socket_path(&own(name).parse().unwrap());
        let pretender = Pretender::of(name).says("ready").hears("go");
        let next = path.with_extension("next");
        let taken = std::os::unix::net::UnixListener::bind(&next).unwrap();
        std::fs::rename(&next, &path).unwrap();
        drop((pretender.says("placed"), taken));
        wait_until(|| UnixStream::connect(&path).is_ok());
        assert_eq!(pid(name), first.pid(), "its file was made again");
        load.more(100);
        first
    });
    let mut first = first;
    let next = Running::take_over(name, 1, &toml);
    first.leave_files();
    first.ended_well();
    assert_eq!(pid(name), next.pid(), "and whoever comes then takes over");
}

/// Starts one that takes over, and gives it to `meet` as soon as the old one hears of it.
fn as_soon_as_it_asks<T>(name: &str, meet: impl FnOnce(Running, Running) -> T) -> T {
    let directory = configuration(&toml(&[http(ANY)]));
    let mut old = command(&directory, name, 1);
    let mut old = Running::of(old.stderr(Stdio::piped()), name);
    let mut log = BufReader::new(old.take_stderr());
    old.await_readiness();
    let toml = toml(&[http(&old.address.to_string())]);
    let new = Running::spawn(name, 1, &toml, &["--takeover"]);
    let mut line = String::new();
    while !line.contains("about to take over") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
    }
    let reading = thread::spawn(move || {
        let mut rest = String::new();
        let _ = log.read_to_string(&mut rest);
    });
    let met = meet(old, new);
    reading.join().unwrap();
    met
}

#[test]
fn one_that_is_killed_while_it_builds_costs_the_old_one_nothing() {
    let name = "killed-new";
    as_soon_as_it_asks(name, |old, new| {
        new.killed();
        assert_eq!(old.connect().get("/").status(), 200);
        wait_until(|| pid(name) == old.pid());
        old.signal(Signal::SIGTERM);
        old.ended_well();
    });
}

#[test]
fn the_new_one_goes_on_when_the_old_one_is_killed() {
    let name = "killed-old";
    as_soon_as_it_asks(name, |old, mut new| {
        let address = old.address;
        old.killed();
        new.await_readiness();
        assert_eq!(new.address, address);
        assert_eq!(new.connect().get("/").status(), 200);
        assert_eq!(pid(name), new.pid());
    });
}

#[test]
fn one_that_cannot_start_leaves_everything_as_it_was() {
    let name = "cannot";
    let first = Running::start(name, 1, &toml(&[http(ANY)]));
    let taken = std::net::TcpListener::bind(ANY).unwrap();
    let other = http(&taken.local_addr().unwrap().to_string());
    let directory = configuration(&toml(&[http(&first.address.to_string()), other]));
    Load::during(first.address, |_| {
        let mut second = command(&directory, name, 1);
        let output = second.arg("--takeover").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("the port is in use"), "{text}");
        assert_eq!(pid(name), first.pid());
    });
}

#[test]
fn more_sockets_than_the_lcores_serve_are_refused_and_the_old_one_goes_on() {
    let name = "many";
    let first = Running::start(name, 9, &toml(&[http(ANY)]));
    let directory = configuration(&toml(&[http(&first.address.to_string())]));
    let output = command(&directory, name, 1).arg("--takeover").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("it has 9 sockets") && text.contains("2 lcores or more"), "{text}");
    assert_eq!(first.connect().get("/").status(), 200);
}
