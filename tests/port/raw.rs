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
