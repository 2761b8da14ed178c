//! Connections whose bytes a program handles.

use std::io::Write;
use std::thread;

use ringway::counters::Counter;
use ringway::mem::Trust;

use crate::common::{Start, pattern, wait_until};
use crate::program::{Program, echo};

fn echoes(trust: Trust) {
    let server = Start::new().listener("raw", "").limited("handler = \"port:app\"").start();
    let mut program = Program::attach(&server, "app", trust);
    let sent = pattern(7, 300_000);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut client = server.connect();
            let mut writer = client.stream().try_clone().unwrap();
            scope.spawn(|| {
                writer.write_all(&sent).unwrap();
                writer.shutdown(std::net::Shutdown::Write).unwrap();
                drop(writer);
            });
            client.receive_all()
        });
        program.serve(echo, || client.is_finished());
        assert!(client.join().unwrap() == sent);
    });
    drop(program);
    server.drain();
}

#[test]
fn a_program_that_shares_the_pool_echoes() {
    echoes(Trust::Shared);
}

#[test]
fn an_isolated_program_echoes() {
    echoes(Trust::Isolated);
}

#[test]
fn who_looks_sees_for_how_long_a_process_has_taken_nothing() {
    let start = Start::new().listener("raw", "").limited("handler = \"port:app\"");
    let server = start.tables("[stats]\nwatchdog_ms = 500\n").start();
    let mut program = Program::attach(&server, "app", Trust::Shared);
    let observer = server.plane().observer().unwrap();
    let port = || observer.snapshot().unwrap().ports.remove(0);
    // Its first empty slots wait for it.
    wait_until(|| port().waiting > 0 && port().stalled_ns > 500_000_000);
    assert_eq!(port().pid, Some(1));
    let mut client = server.connect();
    client.send("hello");
    thread::scope(|scope| {
        let heard = scope.spawn(|| client.receive(5));
        program.serve(echo, || heard.is_finished());
        assert_eq!(heard.join().unwrap(), b"hello");
    });
    // It takes all that is left, and says that it sleeps.
    wait_until(|| program.port.queues().iter_mut().all(|queue| queue.receive().is_none()));
    wait_until(|| program.port.prepare_sleep());
    wait_until(|| (port().waiting, port().stalled_ns) == (0, 0));
    drop(program);
    wait_until(|| (port().pid, port().waiting) == (None, 0));
    drop(client);
    server.stop();
}

#[test]
fn a_process_that_takes_nothing_is_cut_off_though_its_ring_has_room() {
    // One connection alone gets no more than a part of what may be lent.
    for trust in [Trust::Shared, Trust::Isolated] {
        let start = Start::new().listener("raw", "stall_timeout_ms = 1000");
        let server = start.limited("handler = \"port:app\"").start();
        let program = Program::attach(&server, "app", trust);
        let client = server.connect();
        client.stream().set_nonblocking(true).unwrap();
        wait_until(|| {
            // What the kernel has no room for is as much as there has to be.
            let _ = client.stream().write(&[b'x'; 1000]);
            server.count(Counter::PortFaults) == 1
        });
        server.wait_for_no_connections();
        drop((program, client));
        server.drain();
    }
}
