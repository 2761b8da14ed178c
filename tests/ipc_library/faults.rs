//! Part of a reply is never taken for all of it, and what one connection suffers no other does.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use ringway::ipc::{Client, Error, Options, Server};

use crate::bed::{Bed, PATIENCE};
use crate::common::{Watchdog, uninterrupted, wait_until};

/// The client must not take what it read for a reply.
fn assert_cut_off(bed: &Bed, command: &str) {
    match bed.send(command) {
        Err(Error::ReadWrite(why)) => assert_eq!(why.kind(), ErrorKind::ConnectionReset),
        other => panic!("{command}: {other:?}"),
    }
    let line = format!("{command}\n");
    let error = bed.raw(&[line.as_bytes()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "any program can tell");
}

#[test]
fn i7_a_panic_costs_one_connection_and_is_told_where_nothing_was_written() {
    let bed = Bed::new();
    let message = "the command panicked, which is a bug".to_owned();
    assert_eq!(bed.refusal("panic"), (message.clone(), None));
    assert_eq!(bed.refusal("j/panic"), (message, Some(500)));
    assert_cut_off(&bed, "part-panic");
    assert_eq!(bed.text("echo alive"), "alive\n");
}

#[test]
fn i5_an_error_behind_the_first_byte_is_a_reset_and_no_end_of_file() {
    let bed = Bed::new();
    assert_cut_off(&bed, "part-refuse");
}

#[test]
fn i8_each_class_of_error_has_its_cause() {
    let bed = Bed::new();
    assert!(matches!(bed.send(&"a".repeat(4096)), Err(Error::TooLarge { bytes_max: 4095, .. })));
    assert!(matches!(bed.send("two\nlines"), Err(Error::ReadWrite(_))));
    assert!(matches!(bed.send("nonsense"), Err(Error::Handler { .. })));
    let missing = bed.directory.path().join("missing");
    match Client::new(&missing).send("echo") {
        Err(Error::Connect { path, why }) => {
            assert_eq!((path, why.kind()), (missing, ErrorKind::NotFound));
        }
        other => panic!("{other:?}"),
    }
    let stale = bed.directory.path().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    match Client::new(&stale).send("echo") {
        Err(Error::Connect { why, .. }) => assert_eq!(why.kind(), ErrorKind::ConnectionRefused),
        other => panic!("{other:?}"),
    }
    let impatient = Client::new(&bed.path).timeout(Duration::from_millis(30));
    assert!(matches!(impatient.send("wait"), Err(Error::Timeout)));
    // On a busy machine the reply may not even begin in time.
    match impatient.stream("part-wait") {
        Ok(mut stream) => {
            let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        Err(error) => assert!(matches!(error, Error::Timeout), "{error}"),
    }
}

#[test]
fn i8_a_reply_of_the_longest_size_that_is_kept_is_and_one_byte_more_is_not() {
    let bed = Bed::new();
    let client = Client::new(&bed.path).timeout(PATIENCE).reply_bytes_max(100);
    assert_eq!(client.send("bytes 100").unwrap().len(), 100);
    assert!(matches!(client.send("bytes 101"), Err(Error::TooLarge { bytes_max: 100, .. })));
}

#[test]
fn i11_a_client_that_never_reads_is_given_up_and_costs_nobody_else_anything() {
    let options = Options {
        connections_max: 2,
        reply_timeout: Duration::from_millis(50),
        ..Options::default()
    };
    let bed = Bed::with(options);
    let mut stuck = bed.connect();
    stuck.write_all(b"bytes 10000000\n").unwrap();
    assert_eq!(bed.text("echo beside it"), "beside it\n");
    // Its place is free again once it is given up: two more hold both places now.
    let mut end = bed.connect();
    end.write_all(b"wait\n").unwrap();
    let mut other = bed.connect();
    other.write_all(b"wait\n").unwrap();
    bed.door.wait_for(2);
    let mut got = Vec::new();
    let error = stuck.read_to_end(&mut got).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "after {} bytes", got.len());
}

#[test]
fn i11_a_command_that_takes_too_long_to_arrive_is_an_error() {
    let options = Options { command_timeout: Duration::from_millis(50), ..Options::default() };
    let bed = Bed::with(options);
    assert_eq!(bed.raw(&[b"ec"]).unwrap(), b"error: the command took too long to arrive\n");
}

#[test]
fn i1_a_stop_lets_short_replies_end_and_cuts_what_goes_on() {
    let bed = Bed::new();
    let waits = {
        let client = Client::new(&bed.path).timeout(PATIENCE);
        std::thread::spawn(move || client.send("until-stop"))
    };
    bed.door.open();
    bed.door.wait_for(1);
    let mut silent = bed.connect();
    let mut endless = Client::new(&bed.path).timeout(PATIENCE).stream("for-ever").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| bed.server.stop());
        assert_eq!(uninterrupted(|| silent.read(&mut [0; 8])).unwrap(), 0, "nothing was asked");
        endless.read_to_end(&mut Vec::new()).unwrap();
        bed.server.stop();
    });
    assert_eq!(waits.join().unwrap().unwrap(), b"stopping");
    assert!(!bed.path.exists());
    bed.server.stop();
    let again = Server::start(&bed.path, Options::default(), |_, _| Ok(()));
    assert!(again.is_ok(), "the path is free");
}

#[test]
fn a_stop_leaves_a_handler_that_does_not_come_back_to_itself() {
    let bed = Bed::new();
    let client = Client::new(&bed.path).timeout(PATIENCE);
    let lost = std::thread::spawn(move || client.send("part-wait"));
    bed.door.wait_for(1);
    bed.server.stop();
    assert!(!bed.path.exists());
    bed.door.open();
    match lost.join().unwrap() {
        Err(Error::ReadWrite(why)) => assert_eq!(why.kind(), ErrorKind::ConnectionReset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn clients_that_wait_in_the_backlog_of_a_server_that_stops_get_an_error() {
    let bed = Bed::with(Options { connections_max: 1, ..Options::default() });
    let mut first = bed.connect();
    first.write_all(b"part-wait\n").unwrap();
    bed.door.wait_for(1);
    let client = Client::new(&bed.path).timeout(PATIENCE);
    let waiting = std::thread::spawn(move || client.send("echo"));
    let mut also = bed.connect();
    also.write_all(b"echo\n").unwrap();
    bed.server.stop();
    assert_eq!(
        uninterrupted(|| also.read(&mut [0; 8])).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    let outcome = waiting.join().unwrap();
    assert!(matches!(outcome, Err(Error::ReadWrite(_) | Error::Connect { .. })), "{outcome:?}");
}

#[test]
fn clients_that_go_away_at_any_time_do_no_harm() {
    let bed = Bed::new();
    for sent in [&b""[..], b"ec", b"echo\n", b"bytes 1000000\n"] {
        for _ in 0..20 {
            bed.connect().write_all(sent).unwrap();
        }
    }
    wait_until(|| bed.send("echo alive").is_ok());
}

/// Where [`a_server_to_be_killed`] listens, when it is to be one.
const PATH_OF_THE_OTHER: &str = "RINGWAY_TEST_IPC_PATH";

#[test]
fn a_server_to_be_killed() {
    let Some(path) = std::env::var_os(PATH_OF_THE_OTHER) else { return };
    let _server = Server::start(path.as_ref(), Options::default(), |_, reply| {
        reply.write_all(b"part ")?;
        loop {
            std::thread::park();
        }
    });
    std::thread::park();
}

#[test]
fn i5_a_server_that_is_killed_within_a_reply_leaves_no_end_of_file() {
    let _watchdog = Watchdog::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("killed.sock");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::a_server_to_be_killed"])
        .env(PATH_OF_THE_OTHER, &path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| UnixStream::connect(&path).is_ok());
    let mut stream = Client::new(&path).timeout(PATIENCE).stream("anything").unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut got = Vec::new();
    let error = stream.read_to_end(&mut got).unwrap_err();
    assert_eq!((error.kind(), &got[..]), (ErrorKind::ConnectionReset, &b"part "[..]));
}
