//! EMFILE: a process that has no descriptor left. Each test runs in a process of its own, since the
//! limit is the whole process's.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, connect, socket,
};
use ringway::config::IoBackend;
use ringway::counters::Counter;
use ringway::sys::socket::TcpListener;

use crate::common::{Client, Server, Start, Watchdog, alone};

/// Takes every descriptor that the process may still have; dropping gives them back.
fn take_all_descriptors() -> Vec<File> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // Few, so that taking them is quick; a file table that is there already is not touched by it.
    setrlimit(Resource::RLIMIT_NOFILE, 512.min(hard), hard).unwrap();
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// A socket to connect with later.
fn unconnected() -> OwnedFd {
    let tcp = SockProtocol::Tcp;
    socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, tcp).unwrap()
}

fn connected(socket: OwnedFd, server: &Server) -> Client {
    let SocketAddr::V4(address) = server.address(0) else { panic!("it listens on IPv4") };
    connect(socket.as_raw_fd(), &SockaddrIn::from(address)).unwrap();
    Client::over(TcpStream::from(socket))
}

#[test]
fn accepting_needs_no_descriptor_of_the_process() {
    alone("descriptors::accepting_needs_no_descriptor_of_the_process", || {
        for key in ["", "max_connections_per_address = 1000"] {
            let start = Start::new().io(IoBackend::IoUring);
            let server = start.listener("echo", "").limited(key).start();
            let mut before = server.connect();
            let sockets: Vec<_> = (0..40).map(|_| unconnected()).collect();
            let taken = take_all_descriptors();
            assert!(!taken.is_empty());
            for socket in sockets {
                assert_eq!(connected(socket, &server).send("x").receive(1), b"x");
            }
            assert_eq!(before.send("x").receive(1), b"x");
            assert_eq!(server.count(Counter::AcceptFailures), 0);
            drop((taken, before));
            server.wait_for_no_connections();
            server.drain();
        }
    });
}

#[test]
fn an_adoption_needs_none_and_a_new_listener_says_what_is_missing() {
    alone("descriptors::an_adoption_needs_none_and_a_new_listener_says_what_is_missing", || {
        let server = Start::new().io(IoBackend::IoUring).listener("echo", "").start();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let theirs = listener.accept().unwrap().0;
        let taken = take_all_descriptors();
        let (told, outcome) = mpsc::channel();
        let done = Box::new(move |outcome| told.send(outcome).unwrap());
        assert!(server.plane().handle(0).adopt(0, theirs.into(), done).is_ok());
        outcome.recv().unwrap().unwrap();
        let mut client = Client::over(ours);
        assert_eq!(client.send("adopted").receive(7), b"adopted");
        // The adopted one was closed here, which left room for one socket and no more.
        let _last = File::open("/dev/null").unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let error = TcpListener::bind_group(any, 1).unwrap_err().to_string();
        assert!(error.contains("open files") && error.contains("ulimit -n"), "{error}");
        drop(taken);
        TcpListener::bind_group(any, 1).unwrap();
        assert_eq!(server.connect().send("x").receive(1), b"x");
        drop(client);
        server.wait_for_no_connections();
        server.drain();
    });
}

#[test]
fn a_start_that_runs_out_of_descriptors_is_refused_with_the_remedy_and_leaves_nothing() {
    alone(
        "descriptors::a_start_that_runs_out_of_descriptors_is_refused_with_the_remedy_and_leaves_nothing",
        || {
            let _watchdog = Watchdog::start();
            let mut taken = take_all_descriptors();
            let mut refusals = 0;
            // One descriptor more each time: the start fails at each place that needs one.
            let server = loop {
                let tables = "[dataplane]\nmax_connections = 16\n";
                let builder = Start::new().listener("echo", "").tables(tables).builder();
                match builder.start() {
                    Ok(plane) => break plane,
                    Err(error) => {
                        let error = error.to_string();
                        assert!(error.contains("ulimit -n"), "{refusals}: {error}");
                        refusals += 1;
                        assert!(taken.pop().is_some(), "it starts with all of them free");
                    }
                }
            };
            assert!(refusals > 3, "{refusals} refusals");
            drop(taken);
            let mut client =
                Client::connect(server.addresses()[0].ip().expect("it listens on TCP"));
            assert_eq!(client.send("x").receive(1), b"x");
            drop(client);
            server.drain();
            let report = server.join();
            assert_eq!((report.missing(), report.panicked()), (0, 0), "{report}");
        },
    );
}
