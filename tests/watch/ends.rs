//! However it ends, the instance is as it was.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::{Instance, listener};
use crate::reader;

/// It serves, nobody looks, and in the end nothing is missing.
fn is_as_it_was(instance: Instance) {
    for looks in ["trace", "capture"] {
        instance.wait_for_nobody(looks);
    }
    assert_eq!(instance.running.connect().get("/health").status(), 200);
    instance.running.signal(Signal::SIGTERM);
    instance.running.ended_well();
}

#[test]
fn a_command_that_is_killed_leaves_nothing_behind() {
    let instance = Instance::http("watch-killed");
    let (trace, capture) = (instance.trace(&[]), instance.capture(&[]));
    let mut client = instance.running.connect();
    client.get("/health");
    trace.signal(Signal::SIGKILL);
    capture.signal(Signal::SIGKILL);
    client.get("/health");
    drop(client);
    is_as_it_was(instance);
}

#[test]
fn ctrl_c_ends_both_and_what_was_written_is_whole() {
    let instance = Instance::http("watch-interrupted");
    let (trace, capture) = (instance.trace(&[]), instance.capture(&[]));
    instance.running.connect().get("/health");
    trace.signal(Signal::SIGINT);
    assert_eq!(trace.rest().last().unwrap()["traced"]["ended"], "stopped");
    assert!(capture.interrupted().has_at("rx", b"GET /health"));
    is_as_it_was(instance);
}

#[test]
fn time_ends_them_although_nothing_passes() {
    let instance = Instance::http("watch-time");
    let capture = instance.capture(&["--seconds", "1"]);
    let trace = instance.trace(&["--seconds", "1"]);
    assert_eq!(trace.rest().last().unwrap()["traced"]["ended"], "time");
    assert!(capture.ended().packets.is_empty());
    is_as_it_was(instance);
}

#[test]
fn an_instance_that_stops_ends_them_well() {
    let instance = Instance::http("watch-stopped");
    let (trace, capture) = (instance.trace(&[]), instance.capture(&[]));
    instance.running.signal(Signal::SIGTERM);
    assert_eq!(trace.rest().last().unwrap()["traced"]["ended"], "gone");
    capture.ended();
    instance.running.ended_well();
}

/// The one who writes the file takes nothing, so that the rings of the lcore are full; what it does goes on.
#[test]
fn what_finds_no_room_is_dropped_and_counted_and_holds_up_nobody() {
    const BYTES: usize = 48 * 1024 * 1024;
    let instance = Instance::start("watch-full", &listener("echo", ""));
    let mut command = instance.command(&["capture", "--stage", "rx,tx", "-w", "-"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    // It has begun once there is something to read; after that nobody reads.
    let mut first = [0; 4];
    out.read_exact(&mut first).unwrap();
    let mut client = TcpStream::connect(instance.running.address).unwrap();
    let mut writer = client.try_clone().unwrap();
    let writing = thread::spawn(move || {
        let bytes = vec![b'x'; 1024 * 1024];
        (0..BYTES / bytes.len()).for_each(|_| writer.write_all(&bytes).unwrap());
    });
    let mut back = vec![0; 1024 * 1024];
    (0..BYTES / back.len()).for_each(|_| client.read_exact(&mut back).unwrap());
    writing.join().unwrap();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    let file = reader::read(&[&first[..], &rest].concat());
    for (interface, (received, dropped)) in file.statistics.iter().enumerate() {
        let of_it =
            |packet: &&reader::Packet| packet.interface == interface && packet.payload_full > 0;
        let packets = file.packets.iter().filter(of_it).count() as u64;
        assert!(*dropped > 0, "{:?}", file.statistics);
        assert_eq!(packets + dropped, *received, "{:?}", file.statistics);
    }
    instance.wait_for_nobody("capture");
    instance.running.signal(Signal::SIGTERM);
    instance.running.ended_well();
}
