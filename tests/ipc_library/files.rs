//! The socket's file: permissions, users, and what happens to it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use ringway::ipc::{Error, Options, Server};
use ringway::sys::peer_credentials::AllowedPeers;

use crate::bed::Bed;
use crate::common::wait_until;

#[test]
fn i2_the_file_is_for_everybody_unless_it_is_said_otherwise() {
    let mode = |bed: &Bed| fs::metadata(&bed.path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&Bed::new()), 0o666);
    assert_eq!(mode(&Bed::with(Options { mode: 0o600, ..Options::default() })), 0o600);
}

#[test]
fn i2_a_second_server_does_not_steal_the_path_and_a_later_one_gets_it() {
    let bed = Bed::new();
    let start = || Server::start(&bed.path, Options::default(), |_, _| Ok(()));
    let error = start().err().expect("the first one lives");
    assert!(error.why().contains("listens there already"), "{error}");
    assert_eq!(bed.text("echo mine"), "mine\n");
    bed.server.stop();
    let second = start().unwrap();
    assert_eq!(second.path(), bed.path);
    assert_eq!(bed.text("nothing"), "");
}

#[test]
fn i7_a_file_that_was_deleted_is_made_again() {
    let bed = Bed::new();
    for _ in 0..2 {
        fs::remove_file(&bed.path).unwrap();
        // The file is there a moment before it can be connected to.
        wait_until(|| UnixStream::connect(&bed.path).is_ok());
        assert_eq!(bed.text("echo again"), "again\n");
    }
}

#[test]
fn i7_a_file_that_somebody_else_replaced_is_left_to_him_until_he_is_gone() {
    let bed = Bed::new();
    fs::remove_file(&bed.path).unwrap();
    let other = Server::start(&bed.path, Options::default(), |_, reply| {
        Ok(std::io::Write::write_all(reply, b"other")?)
    });
    // The first may have been quicker; then there is nothing to see.
    if let Ok(other) = other {
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_eq!(bed.text("echo"), "other");
        drop(other);
    }
    wait_until(|| bed.send("echo back").is_ok_and(|reply| reply == b"back\n"));
}

#[test]
fn i10_users_who_are_not_listed_are_told_so() {
    const NOBODY: u32 = 4_000_000_000;
    let listed = |uids: &[u32], gids: &[u32]| {
        let allowed = AllowedPeers { uids: uids.to_vec(), gids: gids.to_vec() };
        Bed::with(Options { allowed, ..Options::default() })
    };
    let uid = nix::unistd::geteuid().as_raw();
    assert_eq!(listed(&[NOBODY, uid], &[]).text("echo in"), "in\n");
    for bed in [listed(&[NOBODY], &[]), listed(&[], &[NOBODY])] {
        for _ in 0..50 {
            match bed.send("echo") {
                Err(Error::Handler { message, .. }) => {
                    assert_eq!(message, format!("user {uid} may not use this socket"));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn an_abstract_name_is_served_as_well() {
    let name = format!("@ringway-ipc-{}", std::process::id());
    let server = Server::start(Path::new(&name), Options::default(), |_, _| Ok(())).unwrap();
    let patience = crate::bed::PATIENCE;
    assert_eq!(ringway::ipc::send(server.path(), "x", patience).unwrap(), b"");
}
