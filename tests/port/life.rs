//! How programs and lcores find, wake and spare each other.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use ringway::attach::{Attachment, Message, Options, Queue};
use ringway::config::IdleMode;
use ringway::mem::{Trust, kind};

use crate::common::{Client, Start, pattern, wait_until};
use crate::program::{Program, echo};

#[test]
fn no_wake_up_is_lost_between_two_sides_that_sleep_at_once() {
    let server = Start::new()
        .idle(IdleMode::Sleep)
        .listener("http", "")
        .limited("handler = \"port:app\"")
        .start();
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let mut client = server.connect();
    thread::scope(|scope| {
        let asking = scope.spawn(move || {
            for _ in 0..2000 {
                assert_eq!(client.get("/").status(), 200);
            }
        });
        while !asking.is_finished() {
            for queue in program.port.queues() {
                while let Some(message) = queue.receive() {
                    if message.request().is_some() {
                        queue.respond(&message, 200, "", b"");
                    }
                }
            }
            program.port.wait(Some(Duration::from_millis(200))).unwrap();
        }
        asking.join().unwrap();
    });
    drop(program);
    server.drain();
}

#[test]
fn a_program_serves_every_lcore_through_a_queue_of_its_own() {
    let server =
        Start::new().lcores(2).listener("raw", "").limited("handler = \"port:app\"").start();
    let mut program = Program::attach(&server, "app", Trust::Isolated);
    assert_eq!(program.port.queues().len(), 2);
    let clients: Vec<Client> = (0..32).map(|_| server.connect()).collect();
    thread::scope(|scope| {
        let talking = scope.spawn(|| {
            for (number, mut client) in clients.into_iter().enumerate() {
                let sent = pattern(number as u64, 5000);
                assert!(client.send(&sent).receive(5000) == sent);
            }
        });
        let mut lcores = [false; 2];
        let note = |queue: &mut Queue, message: Message| {
            lcores[usize::from(message.conn.lcore())] = true;
            echo(queue, message);
        };
        program.serve(note, || talking.is_finished());
        talking.join().unwrap();
        assert_eq!(lcores, [true; 2], "the kernel spreads 32 connections over both");
    });
    drop(program);
    server.drain();
}

#[test]
fn without_a_program_connections_are_closed_or_wait_as_configured() {
    let server = Start::new()
        .listener("raw", "")
        .limited("handler = \"port:now\"")
        .listener("raw", "")
        .limited("handler = \"port:later\"\nunattended = \"park\"")
        .start();
    assert!(server.connect().receive_all().is_empty());
    let mut parked: Vec<Client> = (0..20).map(|_| Client::connect(server.address(1))).collect();
    for (number, client) in parked.iter_mut().enumerate() {
        client.send(format!("early {number}"));
    }
    let gone = parked.pop().unwrap();
    drop(gone);
    thread::sleep(Duration::from_millis(100));
    let mut program = Program::attach(&server, "later", Trust::Shared);
    thread::scope(|scope| {
        let talking = scope.spawn(|| {
            for (number, mut client) in parked.into_iter().enumerate() {
                let early = format!("early {number}");
                assert_eq!(client.receive(early.len()), early.as_bytes());
                assert_eq!(client.send("late").receive(4), b"late");
            }
        });
        program.serve(echo, || talking.is_finished());
        talking.join().unwrap();
    });
    drop(program);
    server.drain();
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_else_and_gets_all_in_the_end() {
    const BYTES: usize = 8 << 20;
    for trust in [Trust::Shared, Trust::Isolated] {
        let server = Start::new().listener("raw", "").limited("handler = \"port:app\"").start();
        let mut program = Program::attach(&server, "app", trust);
        let (slow, mut brisk) = (server.connect(), server.connect());
        let sent = pattern(3, BYTES);
        thread::scope(|scope| {
            let talking = scope.spawn(|| {
                let (mut writer, mut reader) =
                    (slow.stream().try_clone().unwrap(), slow.stream().try_clone().unwrap());
                let sent = &sent;
                thread::scope(|scope| {
                    scope.spawn(move || writer.write_all(sent).unwrap());
                    for number in 0..500 {
                        let word = pattern(number, 100);
                        assert!(brisk.send(&word).receive(100) == word);
                    }
                    let mut back = vec![0; BYTES];
                    reader.read_exact(&mut back).unwrap();
                    assert!(back == *sent);
                });
            });
            program.serve(echo, || talking.is_finished());
            talking.join().unwrap();
        });
        drop((program, slow));
        server.drain();
    }
}

#[test]
fn a_port_has_one_program_at_a_time_and_names_it() {
    let server = Start::new().listener("raw", "").limited("handler = \"port:app\"").start();
    let first = Program::attach(&server, "app", Trust::Shared);
    let ports = server.plane().ports();
    let attach = |name: &str| {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ports.attach(name, None, 7, ours).map(drop).unwrap_err().to_string()
    };
    assert!(attach("app").contains("process 1 is attached to it"));
    assert!(attach("else").contains("name one of: app"));
    drop(first);
    wait_until(|| ports.list()[0].1.is_none());
    drop(Program::attach(&server, "app", Trust::Isolated));
    server.drain();
}

#[test]
fn a_program_at_a_dataplane_that_stops_is_told() {
    let server = Start::new().listener("raw", "").limited("handler = \"port:app\"").start();
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let client = server.connect();
    let mut open = None;
    wait_until(|| {
        open = program.port.queues()[0].receive();
        open.is_some()
    });
    assert_eq!(open.unwrap().kind, kind::OPEN);
    drop(client);
    server.stop();
    // What had come before is still there to be read.
    while program.port.queues()[0].receive().is_some() {}
    assert!(program.port.wait(Some(Duration::from_secs(5))).is_err());
}

#[test]
fn a_dataplane_that_does_not_answer_is_given_up_and_the_error_says_so() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("c.sock");
    let _silent = UnixListener::bind(&path).unwrap();
    let options = Options { timeout: Duration::from_millis(50), ..Options::default() };
    let refused = Attachment::connect(&path, "app", options).err().unwrap().to_string();
    assert!(refused.contains("did not answer for 50 ms; see whether it is busy"), "{refused}");
}
