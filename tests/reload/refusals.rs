//! What cannot be done leaves all as it was, and says what, why and the mend.

use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, mpsc};

use ringway::config::ListenerConfig;
use ringway::control::Control;
use ringway::dataplane::Protocol;
use ringway::error::Error;
use ringway::handler::Echo;
use ringway::lcore::{Handle, Mail};
use ringway::pipeline::{Pipeline, chain};
use ringway::sync::AtomicUsize;

use crate::bed::{edit, free_address, refusal, tcp, try_edit, wait_for_the_old};
use crate::common::{Client, Server, Start};

#[test]
fn a_port_that_somebody_has_refuses_the_whole_change_a_12() {
    let server = Start::new().listener("echo", "").start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (free, taken) = (free_address(), taken.local_addr().unwrap());
    let error = refusal(&server, |config| {
        config.listeners[0].protocol = "http".to_owned();
        config.listeners.push(ListenerConfig::tcp(free, "echo", "r.toml:5"));
        config.listeners.push(ListenerConfig::tcp(taken, "echo", "r.toml:9"));
    });
    assert!(error.contains(&taken.to_string()) && error.contains("in use"), "{error}");
    assert!(std::net::TcpStream::connect(free).is_err(), "what was bound for it is not");
    assert_eq!(server.connect().send("x").receive(1), b"x");
    // And it can be tried again.
    edit(&server, |config| config.listeners.push(ListenerConfig::tcp(free, "echo", "r.toml:5")));
    assert_eq!(Client::connect(free).send("x").receive(1), b"x");
    server.drain();
}

#[test]
fn an_address_that_an_own_listener_has_takes_two_steps_and_it_says_so() {
    let server = Start::new().listener("echo", "").start();
    let port = server.address(0).port();
    let wide = std::net::SocketAddr::from(([0, 0, 0, 0], port));
    let error = refusal(&server, |config| {
        config.listeners = vec![ListenerConfig::tcp(wide, "echo", "r.toml:1")];
    });
    assert!(error.contains("this instance itself listens on 127.0.0.1"), "{error}");
    server.drain();
}

#[test]
fn a_protocol_that_is_none_or_refuses_its_settings_is_refused_g_12() {
    let server = Start::new().listener("echo", "").start();
    let error = refusal(&server, |config| config.listeners.push(tcp("gopher")));
    assert!(error.contains("`gopher`") && error.contains("use one of"), "{error}");
    let error = refusal(&server, |config| {
        config.listeners[0].config.insert("colour".to_owned(), "red".into());
    });
    assert!(error.contains("colour"), "{error}");
    server.drain();
}

#[test]
fn what_was_fixed_at_the_start_is_refused_by_name_a_12() {
    let server = Start::new().listener("echo", "").start();
    let error = refusal(&server, |config| {
        config.dataplane.max_connections += 1;
        config.mempool.blocks = 1;
        config.offload.queue = 5;
        config.listeners.push(tcp("http"));
    });
    for part in
        ["max_connections: 1024 -> 1025", "mempool.blocks: 0 -> 1", "offload.queue", "start"]
    {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    let udp = ListenerConfig::udp(free_address(), "echo", "r.toml:3");
    let error = refusal(&server, |config| config.listeners.push(udp));
    assert!(error.contains("over udp") && error.contains("r.toml:3"), "{error}");
    let shm = ListenerConfig::shm("feed", "echo", "r.toml:4");
    let error = refusal(&server, |config| config.listeners.push(shm));
    assert!(error.contains("over shm"), "{error}");
    server.drain();
}

#[test]
fn an_lcore_that_hangs_refuses_a_change_and_takes_it_back_when_it_comes_round() {
    let server = Start::new().listener("echo", "").lcores(2).start();
    let (hold, held) = mpsc::channel::<()>();
    assert!(server.plane().handle(1).post(wait_for(held)).is_ok());
    let free = free_address();
    let add = || ListenerConfig::tcp(free, "echo", "the test");
    let error = refusal(&server, |config| config.listeners.push(add()));
    assert!(error.contains("lcore 1 does not answer: busy"), "{error}");
    drop(hold);
    edit(&server, |config| config.listeners.push(add()));
    assert_eq!(Client::connect(free).send("x").receive(1), b"x");
    server.drain();
}

/// Has an lcore hang until the other end is dropped.
fn wait_for(held: mpsc::Receiver<()>) -> Mail {
    Mail::Call(Box::new(move |_| {
        let _ = held.recv();
    }))
}

#[test]
fn an_lcore_that_hangs_after_all_have_said_yes_changes_over_when_it_comes_round() {
    let directory = tempfile::tempdir().unwrap();
    let handle: Arc<OnceLock<Handle>> = Arc::default();
    let (hold, held) = mpsc::channel::<()>();
    let (theirs, held) = (handle.clone(), Mutex::new(Some(held)));
    let control = Control::new().socket(directory.path().join("c.sock"));
    let control = control.on_reload(move |_, _| {
        let held = held.lock().unwrap().take().expect("it is asked once");
        assert!(theirs.get().unwrap().post(wait_for(held)).is_ok());
        Ok(())
    });
    let builder = Start::new().listener("echo", "").lcores(2).builder();
    let server = Server::run(builder.control(control));
    assert!(handle.set(server.plane().handle(1)).is_ok());
    let free = free_address();
    let reloaded = edit(&server, |config| {
        config.listeners.push(ListenerConfig::tcp(free, "echo", "the test"));
    });
    assert_eq!((reloaded.generation, &reloaded.silent[..]), (2, &[1][..]));
    assert!(reloaded.to_string().contains("lcore 1 hangs"), "{reloaded}");
    drop(hold);
    // Some of them are the other lcore's.
    for _ in 0..16 {
        assert_eq!(Client::connect(free).send("x").receive(1), b"x");
    }
    server.drain();
}

#[test]
fn what_one_lcore_cannot_make_is_made_by_none() {
    let made = AtomicUsize::new(0);
    let builder = Start::new().listener("echo", "").lcores(2).builder();
    let server = Server::run(builder.protocol("picky", move |context| {
        // It is looked at once beforehand, and then made by one lcore and refused by the other.
        context.extensions.register::<u64>();
        if context.slots > 0 && made.fetch_add(1, Ordering::Relaxed) == 1 {
            return Err(Error::new("make it", "the second is one too many", "be content"));
        }
        let pipeline = Pipeline::Raw(chain::Raw::new(context.slots));
        Ok(Protocol { pipeline, handler: Box::new(Echo) })
    }));
    let free = free_address();
    let add = || ListenerConfig::tcp(free, "picky", "the test");
    let error = refusal(&server, |config| config.listeners.push(add()));
    assert_eq!(error, "cannot make it: the second is one too many; be content");
    assert!(std::net::TcpStream::connect(free).is_err(), "nobody listens there");
    edit(&server, |config| config.listeners.push(add()));
    assert_eq!(Client::connect(free).send("x").receive(1), b"x");
    server.drain();
}

#[test]
fn a_dataplane_that_stops_changes_no_more() {
    let tables = "[dataplane]\nmax_connections = 64\ndrain_timeout_ms = 3600000\n";
    let server = Start::new().listener("http", "").tables(tables).start();
    let mut client = server.connect();
    // In the middle of a request, so that the drain waits for it.
    client.send("GET / HTTP/1.1\r\n");
    crate::common::wait_until(|| server.count(ringway::counters::Counter::RxBufs) == 1);
    server.plane().drain();
    let error = refusal(&server, |config| config.listeners.push(tcp("echo")));
    assert!(error.contains("stops"), "{error}");
    let error = refusal(&server, |config| {
        config.dataplane.idle = ringway::config::IdleMode::Busy;
    });
    assert!(error.contains("stops"), "{error}");
    drop(client);
    server.account();
}

#[test]
fn two_who_change_at_once_change_one_after_the_other() {
    let server = Start::new().listener("echo", "").start();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..10 {
                    wait_for_the_old(server.plane());
                    let swap = try_edit(&server, |config| {
                        config.listeners[0].connections_per_address = Some(10 + turn);
                    });
                    assert!(swap.is_ok(), "{swap:?}");
                }
            });
        }
    });
    assert_eq!(server.connect().send("x").receive(1), b"x");
    server.drain();
}
