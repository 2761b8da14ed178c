//! Connections that a handler takes over, with descriptors beside their bytes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

use ringway::ipc::{Options, Server};
use ringway::sys::passed_fds::{recv_with_fds, send_with_fds};

use crate::common::Watchdog;

#[test]
fn a_handler_takes_a_connection_over_and_passes_descriptors_on_it() {
    let _watchdog = Watchdog::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("attach.sock");
    let options = Options { connections_max: 1, ..Options::default() };
    let (taken, takers) = mpsc::channel();
    let server = Server::start(&path, options, move |_, reply| {
        let taken = taken.clone();
        reply.write_all(b"yours\n")?;
        reply.take_over(move |stream: UnixStream| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"shared").unwrap();
            send_with_fds(&stream, b"fd", &[file.as_fd()]).unwrap();
            taken.send(stream).unwrap();
        });
        Ok(())
    });
    let server = server.unwrap();
    let connections: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = UnixStream::connect(&path).unwrap();
            // What follows the command belongs to who takes over.
            stream.write_all(b"attach\nhello").unwrap();
            let mut hello = [0; 6];
            stream.read_exact(&mut hello).unwrap();
            assert_eq!(&hello, b"yours\n");
            let (bytes, mut fds) = recv_with_fds(&stream, &mut [0; 8], 1).unwrap();
            assert_eq!((bytes, fds.len()), (2, 1));
            assert_eq!(contents(fds.remove(0)), "shared");
            stream
        })
        .collect();
    // Three are open though the server works on one at a time, and its stop does not end them.
    server.stop();
    for mut mine in connections.iter().map(|_| takers.recv().unwrap()) {
        let mut hello = [0; 5];
        mine.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"hello");
        mine.write_all(b"bye").unwrap();
    }
    for mut stream in connections {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "bye");
    }
}

fn contents(fd: OwnedFd) -> String {
    use std::io::Seek;
    let (mut file, mut text) = (File::from(fd), String::new());
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}
