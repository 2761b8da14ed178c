//! Connections whose bytes a program handles.

use std::io::Write;
use std::thread;

use ringway::mem::Trust;

use crate::common::{Start, pattern};
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
