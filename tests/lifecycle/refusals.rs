//! What the command cannot start on: one sentence, the remedy, exit code 1.

use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::resource::{Resource, setrlimit};

use super::command::one_listener;
use crate::common::{Watchdog, command, configuration};

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
fn a_kernel_that_forbids_io_uring_is_named_in_one_sentence() {
    let dir = configuration(&one_listener("127.0.0.1:0", ""));
    let mut command = command(&dir, "seccomp", 1);
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(forbid_io_uring) };
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

/// A seccomp filter under which io_uring_setup(2) gives EPERM and all else goes on.
fn forbid_io_uring() -> io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        // The number of the system call is the first word of struct seccomp_data.
        step(LOAD, 0, 0, 0),
        step(EQUAL, 0, 1, libc::SYS_io_uring_setup as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: the program and its steps live for the call, which copies them.
    let result = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, std::ptr::from_ref(&program))
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
