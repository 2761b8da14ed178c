//! What a program adds: who is asked, who is told, settings of its own, and probes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringway::config::{Config, ControlConfig};
use ringway::control::Control;
use ringway::error::Error;
use ringway::ipc;

use crate::bed::{edit, refusal, tcp};
use crate::common::{Server, Start};

fn send(server: &Server, command: &str) -> Result<String, ipc::Error> {
    let socket = server.plane().control_socket().expect("it has a control socket");
    let reply = ipc::send(socket, command, Duration::from_secs(50))?;
    Ok(String::from_utf8(reply).unwrap())
}

fn serve(control: Control, build: impl FnOnce(Start) -> ringway::dataplane::Builder) -> Server {
    Server::run(build(Start::new().listener("echo", "")).control(control))
}

fn at(directory: &tempfile::TempDir) -> Control {
    Control::new().socket(directory.path().join("c.sock"))
}

#[test]
fn hooks_are_asked_before_a_change_and_told_after_it_a_12() {
    let directory = tempfile::tempdir().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let control = at(&directory)
        .on_reload(|old: &Config, new: &Config| {
            assert_eq!(old.listeners.len(), 1);
            match new.listeners.len() {
                3 => Err(Error::new("serve three", "two are enough", "take one out")),
                _ => Ok(()),
            }
        })
        .after_reload(move |generation, config| {
            tell.lock().unwrap().push((generation, config.listeners.len()));
        });
    let server = serve(control, Start::builder);
    let error = refusal(&server, |config| config.listeners.extend([tcp("echo"), tcp("http")]));
    assert_eq!(error, "cannot serve three: two are enough; take one out");
    assert!(told.lock().unwrap().is_empty());
    edit(&server, |config| config.listeners.push(tcp("http")));
    assert_eq!(*told.lock().unwrap(), [(2, 2)]);
    server.drain();
}

/// A control with the setting `app.depth`, a number below 100.
fn with_depth(control: Control, depth: &Arc<Mutex<u32>>) -> Control {
    let (read, write) = (depth.clone(), depth.clone());
    let get = move || read.lock().unwrap().to_string();
    control.setting("app.depth", get, move |text| {
        let wrong = || Error::new("use it", "it is no depth", "give a number below 100");
        let (value, depth) = (text.parse().ok().filter(|n| *n < 100), write.clone());
        let value = value.ok_or_else(wrong)?;
        Ok(move || *depth.lock().unwrap() = value)
    })
}

#[test]
fn settings_of_a_program_are_shown_and_set_with_the_rest_or_not_at_all_a_12() {
    let directory = tempfile::tempdir().unwrap();
    let depth = Arc::new(Mutex::new(8));
    let server = serve(with_depth(at(&directory), &depth), Start::builder);
    assert_eq!(send(&server, "config get app.depth").unwrap(), "8\n");
    let reply = send(&server, "config set app.depth 9 dataplane.idle busy").unwrap();
    for part in
        ["generation 2", "app.depth: 8 -> 9", "dataplane.idle: adaptive -> busy", "not written"]
    {
        assert!(reply.contains(part), "{part:?} is not in: {reply}");
    }
    assert_eq!(*depth.lock().unwrap(), 9);
    assert_eq!(send(&server, "config get app.depth").unwrap(), "9\n");
    for refused in [
        "config set app.depth 10 dataplane.idle lazy",
        "config set dataplane.idle sleep app.depth 100",
        "config set app.depth 10 mempool.blocks 1",
        "config set app.depth 10 listener.0.protocol gopher",
        "config set app.breadth 1",
        "config set app.depth",
        "config set",
    ] {
        let error = send(&server, refused).unwrap_err().to_string();
        assert!(!error.is_empty());
        assert_eq!(*depth.lock().unwrap(), 9, "{refused}: {error}");
        assert_eq!(send(&server, "config get dataplane.idle").unwrap(), "busy\n");
        assert_eq!(send(&server, "config get generation").unwrap(), "2\n");
    }
    let json = send(&server, "j/config set app.depth 11").unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["generation"], &json["changed"][0]["to"]), (&3.into(), &"11".into()));
    server.drain();
}

#[test]
fn a_reload_of_a_program_gets_what_its_source_gives_a_12() {
    let directory = tempfile::tempdir().unwrap();
    let wanted = Arc::new(Mutex::new(Err(Error::new("read it", "the disk is gone", "mend it"))));
    let source = wanted.clone();
    let build = |start: Start| start.builder().reload_from(move || source.lock().unwrap().clone());
    let server = serve(at(&directory), build);
    let error = send(&server, "reload").unwrap_err().to_string();
    assert!(error.contains("the disk is gone"), "{error}");
    let mut config = crate::bed::config(&server);
    config.listeners.push(tcp("http"));
    *wanted.lock().unwrap() = Ok(config);
    let reply = send(&server, "reload").unwrap();
    assert!(reply.starts_with("generation 2\nadded tcp 127.0.0.1:"), "{reply}");
    assert_eq!(server.plane().reload_again().unwrap().generation, 2);
    server.drain();
}

#[test]
fn a_program_without_a_source_hears_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(at(&directory), Start::builder);
    let error = send(&server, "reload").unwrap_err().to_string();
    for part in ["without a file", "--config FILE", "Builder::reload_from", "config set"] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    server.drain();
}

#[test]
fn what_a_program_added_is_heard_without_a_socket_too() {
    let depth = Arc::new(Mutex::new(8));
    let config = ControlConfig { enabled: false, ..ControlConfig::default() };
    let server = serve(with_depth(Control::with(config), &depth), Start::builder);
    assert!(server.plane().control_socket().is_none());
    let set = |key: &str, value: &str| server.plane().set(&[(key.to_owned(), value.to_owned())]);
    assert_eq!(set("app.depth", "9").unwrap().generation, 2);
    assert!(set("app.depth", "100").unwrap_err().why().contains("no depth"));
    assert_eq!(*depth.lock().unwrap(), 9);
    server.drain();
}

#[test]
fn probes_are_looked_at_while_the_program_runs_a_12() {
    let directory = tempfile::tempdir().unwrap();
    let hits = Arc::new(Mutex::new(0));
    let seen = hits.clone();
    let control = at(&directory)
        .probe("cache.hits", "requests that the cache answered", move || *seen.lock().unwrap())
        .probe("shards", "by number", || vec!["a", "b"]);
    let server = serve(control, Start::builder);
    *hits.lock().unwrap() = 7;
    assert_eq!(send(&server, "probe cache.hits").unwrap(), "7\n");
    assert_eq!(send(&server, "j/probe shards").unwrap(), "[\"a\",\"b\"]\n");
    let all = send(&server, "probe").unwrap();
    assert!(all.contains("cache.hits") && all.contains("requests that the cache"), "{all}");
    let json: serde_json::Value = serde_json::from_str(&send(&server, "j/probe").unwrap()).unwrap();
    assert_eq!((&json[0]["probe"], &json[0]["value"]), (&"cache.hits".into(), &7.into()));
    assert!(send(&server, "probe nothing").unwrap_err().to_string().contains("no probe"));
    server.drain();
}

#[test]
fn a_program_keeps_its_own_reload() {
    use std::io::Write;
    let directory = tempfile::tempdir().unwrap();
    let control = at(&directory).command("reload", "mine", |_, reply| Ok(writeln!(reply, "mine")?));
    let server = serve(control, Start::builder);
    assert_eq!(send(&server, "reload").unwrap(), "mine\n");
    server.drain();
}
