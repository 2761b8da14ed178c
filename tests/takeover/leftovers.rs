//! Files: what is whose, and that nobody leaves any.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use ringway::{control, counters};

use crate::bed::{ANY, http, toml};
use crate::common::{Running, own, wait_until};
use crate::ports::{Process, before_a_port};
use crate::pretender::Pretender;

/// The control socket of an instance.
fn socket(name: &str) -> PathBuf {
    control::socket_path(&own(name).parse().unwrap())
}

/// Its statistics.
fn statistics(name: &str) -> PathBuf {
    counters::path(nix::unistd::geteuid().as_raw(), &own(name))
}

fn unix(path: &Path, more: &str) -> String {
    let path = path.display();
    format!("[[listener]]\naddress = \"{path}\"\ntransport = \"unix\"\nprotocol = \"http\"\n{more}")
}

#[test]
fn the_file_of_a_unix_socket_that_the_new_one_does_not_have_goes_with_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let (stays, goes) = (directory.path().join("stays"), directory.path().join("goes"));
    let both = toml(&[http(ANY), unix(&stays, ""), unix(&goes, "")]);
    let mut first = Running::start("gone", 2, &both);
    let _second = Running::take_over("gone", 1, &toml(&[http(ANY), unix(&stays, "")]));
    first.leave_files();
    first.ended_well();
    wait_until(|| !goes.exists());
    UnixStream::connect(&stays).unwrap();
}

#[test]
fn the_file_of_a_unix_socket_has_the_mode_that_the_new_one_gives_it_i_10() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listener");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let with = |mode: &str| toml(&[http(ANY), unix(&path, &format!("mode = \"{mode}\"\n"))]);
    let mut first = Running::start("mode", 1, &with("0666"));
    assert_eq!(mode(), 0o666);
    let _second = Running::take_over("mode", 1, &with("0600"));
    first.leave_files();
    assert_eq!(mode(), 0o600);
    first.ended_well();
}

#[test]
fn the_statistics_are_the_old_ones_again_when_the_new_one_dies_before_it_has_confirmed() {
    let name = "stats-back";
    let (socket, statistics) = (socket(name), statistics(name));
    let inode = |path: &Path| fs::symlink_metadata(path).map(|file| file.ino()).ok();
    let first = Running::start(name, 1, &before_a_port(ANY));
    let process = Process::start(name);
    let before = (inode(&socket), inode(&statistics));
    // The new one waits for the process, which does not come.
    process.signal(Signal::SIGSTOP);
    let toml = before_a_port(&first.address.to_string());
    let second = Running::spawn(name, 1, &toml, &["--takeover"]);
    wait_until(|| inode(&socket) != before.0 && inode(&statistics) != before.1);
    second.killed();
    wait_until(|| inode(&statistics) == before.1 && UnixStream::connect(&socket).is_ok());
    assert!(!counters::next_path(&statistics).exists());
    process.signal(Signal::SIGCONT);
    first.signal(Signal::SIGTERM);
    first.ended_well();
    assert!(!statistics.exists() && !socket.parent().unwrap().exists());
}

#[test]
fn what_one_that_was_killed_had_made_ready_is_removed() {
    let name = "made-ready";
    let first = Running::start(name, 1, &toml(&[http(ANY)]));
    let pretender = Pretender::of(name);
    let (socket, statistics) = (socket(name).with_extension("sock.next"), statistics(name));
    let statistics = statistics.with_extension("stats.next");
    drop(UnixListener::bind(&socket).unwrap());
    fs::write(&statistics, "").unwrap();
    drop(pretender);
    wait_until(|| !socket.exists() && !statistics.exists());
    first.signal(Signal::SIGTERM);
    first.ended_well();
}
