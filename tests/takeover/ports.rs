//! Processes at ports pass to the instance that takes over.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::{ANY, Load, http, toml};
use crate::common::{Running, own};

/// `ringway attach --follow`, killed in the end.
pub struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(instance: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.args(["attach", "app", "--echo", "--follow", "--file-prefix", &own(instance)]);
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let mut process = Self { lines: BufReader::new(child.stdout.take().unwrap()), child };
        process.line("attached to port app");
        process
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    fn line(&mut self, wanted: &str) {
        let mut line = String::new();
        while line.trim() != wanted {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended before {wanted:?}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn before_a_port(address: &str) -> String {
    toml(&[http(address) + "handler = \"port:app\"\n"])
}

#[test]
fn no_request_is_lost_that_a_process_at_a_port_answers() {
    let first = Running::start("ported", 1, &before_a_port(ANY));
    let address = first.address;
    let toml = before_a_port(&address.to_string());
    let mut process = Process::start("ported");
    Load::during(address, |load| {
        let mut running = first;
        for lcores in [2, 1] {
            load.more(100);
            let next = Running::take_over("ported", lcores, &toml);
            running.leave_files();
            running.ended_well();
            process.line("attached to port app");
            running = next;
            load.more(100);
        }
        running
    });
}

#[test]
fn a_process_that_follows_waits_for_the_next_instance_where_none_takes_over() {
    let first = Running::start("next", 1, &before_a_port(ANY));
    let mut process = Process::start("next");
    first.killed();
    process.line("the instance has ended: waiting for the next");
    let second = Running::start("next", 1, &before_a_port(ANY));
    process.line("attached to port app");
    assert_eq!(second.connect().get("/hello").body, b"/hello");
}
