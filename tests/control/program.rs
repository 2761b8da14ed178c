//! The control socket of a dataplane inside a program.

use std::io::Write;
use std::time::Duration;

use ringway::control::Control;
use ringway::ipc::{self, Error};

use crate::common::{Server, Start, wait_until};

fn send(server: &Server, command: &str) -> Result<String, Error> {
    let socket = server.plane().control_socket().expect("it has a control socket");
    let reply = ipc::send(socket, command, Duration::from_secs(50))?;
    Ok(String::from_utf8(reply).unwrap())
}

#[test]
fn a_program_has_none_unless_it_asks_or_its_configuration_does() {
    assert!(Server::http().plane().control_socket().is_none());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.sock");
    let table = format!("[control]\nsocket = \"{}\"\n", path.display());
    let server = Start::new().listener("echo", "").tables(&table).start();
    assert_eq!(server.plane().control_socket(), Some(&*path));
    assert!(send(&server, "version").unwrap().contains("pid"));
    server.drain();
    assert!(!path.exists());
}

#[test]
fn a_program_adds_commands_and_replaces_those_there_are() {
    let directory = tempfile::tempdir().unwrap();
    let control = Control::new()
        .socket(directory.path().join("c.sock"))
        .command("greet [NAME]", "a greeting", |command, reply| {
            Ok(writeln!(reply, "hello, {}", command.arguments)?)
        })
        .command("version", "another one", |_, reply| Ok(writeln!(reply, "mine")?));
    let server = Server::run(Start::new().listener("echo", "").builder().control(control));
    assert_eq!(send(&server, "greet you").unwrap(), "hello, you\n");
    assert_eq!(send(&server, "version").unwrap(), "mine\n");
    let help = send(&server, "help").unwrap();
    assert!(help.contains("greet [NAME]") && help.contains("another one"), "{help}");
    assert!(matches!(send(&server, "nonsense"), Err(Error::Handler { .. })));
}

#[test]
fn a_program_that_serves_by_itself_is_stopped_by_a_command_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let control = Control::new().socket(directory.path().join("c.sock"));
    let server =
        Server::run(Start::new().listener("http", "").lcores(2).builder().control(control));
    assert_eq!(send(&server, "j/stop").unwrap(), "{\"stopping\":\"draining\"}\n");
    assert_eq!(send(&server, "stop").unwrap(), "stopping at once\n");
    wait_until(|| server.plane().is_joinable());
    server.account();
}

#[test]
fn threads_of_the_control_socket_keep_away_from_lcores_where_they_can() {
    use ringway::sys::affinity;
    let directory = tempfile::tempdir().unwrap();
    let control = Control::new().socket(directory.path().join("c.sock")).command(
        "where",
        "its thread's core",
        |_, reply| Ok(write!(reply, "{}", affinity::current().cpu)?),
    );
    let builder = Start::new().listener("echo", "").builder().control(control);
    let server = Server::run(builder);
    let cores = send(&server, "j/lcores").unwrap();
    let cores: serde_json::Value = serde_json::from_str(&cores).unwrap();
    let lcore = cores[0]["cores"].as_str().unwrap();
    for _ in 0..20 {
        let here = send(&server, "where").unwrap();
        assert!(here != lcore || affinity::allowed().unwrap().len() == 1, "core {here}");
    }
}
