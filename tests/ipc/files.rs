//! The socket's file: made, taken over from who is gone, refused where somebody lives, made again
//! (I-2, I-7).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use nix::sys::signal::Signal;

use crate::bed::{Bed, Peer, Wish, builder, path_in};
use crate::common::{Running, Server, wait_until};

#[test]
fn i2_the_file_has_its_mode_and_goes_with_the_dataplane() {
    for (keys, mode) in [("", 0o666), ("mode = \"0600\"", 0o600), ("mode = \"660\"", 0o660)] {
        let bed = Bed::with(&Wish { keys: keys.to_owned(), ..Wish::default() });
        assert_eq!(fs::metadata(bed.path()).unwrap().permissions().mode() & 0o777, mode);
        assert_eq!(bed.server.plane().addresses()[0].to_string(), bed.path().to_str().unwrap());
        bed.stop();
    }
}

#[test]
fn i2_the_file_of_who_is_gone_is_replaced_and_that_of_who_lives_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    drop(UnixListener::bind(&path).unwrap());
    let first = Server::run(builder(&directory, "ipc", &Wish::default()));
    assert_eq!(Peer::connect(&path).send("ping\n").reply(), b"pong\n");
    let second = builder(&directory, "ipc", &Wish::default()).start();
    let error = second.err().expect("the path is taken").to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("already"), "{error}");
    assert_eq!(Peer::connect(&path).send("ping\n").reply(), b"pong\n", "nothing was stolen");
    first.stop();
    Server::run(builder(&directory, "ipc", &Wish::default())).stop();
}

#[test]
fn i2_a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(path_in(&directory), "precious").unwrap();
    let outcome = builder(&directory, "ipc", &Wish::default()).start();
    assert!(outcome.err().unwrap().to_string().contains("no socket"));
    assert_eq!(fs::read(path_in(&directory)).unwrap(), b"precious");
}

#[test]
fn i7_a_deleted_file_is_made_again_and_its_connections_go_on() {
    let bed = Bed::with(&Wish { lcores: 2, ..Wish::default() });
    let mut before = bed.connect();
    bed.server.plane().renew_sockets();
    assert_eq!(bed.ask("ping\n"), "pong\n", "where nothing is amiss nothing changes");
    for _ in 0..3 {
        fs::remove_file(bed.path()).unwrap();
        bed.server.plane().renew_sockets();
        assert_eq!(bed.ask("ping\n"), "pong\n");
    }
    assert_eq!(before.send("ping\n").reply(), b"pong\n");
    bed.stop();
}

#[test]
fn i7_a_path_that_somebody_else_took_is_his_until_he_goes() {
    let bed = Bed::new();
    fs::remove_file(bed.path()).unwrap();
    let other = UnixListener::bind(bed.path()).unwrap();
    bed.server.plane().renew_sockets();
    bed.server.plane().renew_sockets();
    let _peer = Peer::connect(&bed.path());
    assert!(other.accept().is_ok(), "the question whether he lives, or the peer");
    drop(other);
    bed.server.plane().renew_sockets();
    assert_eq!(bed.ask("ping\n"), "pong\n");
    bed.stop();
}

#[test]
fn i7_the_command_makes_a_deleted_file_again_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"echo\"\n\
         [[listener]]\naddress = \"{}\"\ntransport = \"unix\"\nprotocol = \"ipc\"\n\
         [dataplane]\nmax_connections = 64\n",
        path.display()
    );
    let server = Running::start("ipc-again", 1, &toml);
    assert_eq!(Peer::connect(&path).send("ping\n").reply(), b"pong\n");
    fs::remove_file(&path).unwrap();
    wait_until(|| path.exists());
    assert_eq!(Peer::connect(&path).send("ping\n").reply(), b"pong\n");
    server.signal(Signal::SIGTERM);
    server.ended_well();
    assert!(!path.exists());
}
