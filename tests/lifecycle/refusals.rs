//! What the command cannot start on: one sentence, the remedy, exit code 1.

use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::resource::{Resource, setrlimit};

use super::command::one_listener;
use crate::common::{Watchdog, command, configuration, forbid_io_uring};

/// Runs a command that has to fail, and gives its one sentence.
fn refusal(mut command: Command) -> String {
    let _watchdog = Watchdog::start();
    let output = command.arg("--log-level").arg("error").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("ringway: cannot "), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn a_port_in_use_is_refused_with_the_line_that_shows_who_has_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = configuration(&one_listener(&address, ""));
    let text = refusal(command(&dir, "port", 1));
    assert_has(&text, &[&address, "in use", "ss -ltnp"]);
}

#[test]
fn a_kernel_that_forbids_io_uring_is_named_in_one_sentence_where_nothing_else_will_do_w_1() {
    let dir = configuration(&one_listener("127.0.0.1:0", ""));
    let mut command = command(&dir, "seccomp", 1);
    command.args(["--io", "io_uring"]);
    forbid_io_uring(&mut command);
    assert_has(&refusal(command), &["io_uring is forbidden", "EPERM", "seccomp", "sysctl"]);
}

#[test]
fn too_few_open_files_are_refused_with_the_number_that_is_needed() {
    let dir = configuration(&one_listener("127.0.0.1:0", ""));
    let mut command = command(&dir, "files", 1);
    let limit = || setrlimit(Resource::RLIMIT_NOFILE, 64, 64).map_err(io::Error::from);
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(limit) };
    assert_has(&refusal(command), &["256 connections", "is 64", "512", "ulimit -n"]);
}
