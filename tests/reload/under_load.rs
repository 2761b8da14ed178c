//! Nothing is lost of what goes on while the configuration changes.

use std::process::{Command, Stdio};

use ringway::config::Config;

use crate::common::{Running, Server, Start, wait_until};
use crate::load::Load;

/// The configuration in force with `max_headers` of the first listener changed, which swaps it.
fn with_headers(server: &Server, most: i64) -> Config {
    let mut config = (*server.plane().in_force().config).clone();
    config.listeners[0].config.insert("max_headers".to_owned(), most.into());
    config
}

#[test]
fn a_listener_is_swapped_under_load_without_an_error_and_all_bufs_come_home_a_1() {
    let server = Start::new().listener("http", "").lcores(2).start();
    let load = Load::start(server.address(0), 8);
    load.wait_for(200);
    for turn in 0..20 {
        let reloaded = server.plane().reload(with_headers(&server, 40 + turn)).unwrap();
        assert_eq!((reloaded.generation, reloaded.changed.len()), (2 + turn as u64, 1));
        assert!(reloaded.silent.is_empty());
        load.wait_for(50);
    }
    let outcome = load.finish();
    assert_eq!(outcome.errors, 0);
    assert!(outcome.responses > 1000 && outcome.last_ones > 0, "{}", outcome.responses);
    // All that was swapped is gone.
    wait_until(|| server.plane().in_force().draining.iter().all(|one| !one.is_there()));
    server.stop();
}

#[test]
fn other_listeners_come_and_go_under_load_and_what_stays_does_not_notice_a_12() {
    let server = Start::new().listener("http", "").lcores(2).start();
    let (address, before) = (server.address(0), server.plane().in_force().config.clone());
    let load = Load::start(address, 8);
    let mut more = (*before).clone();
    more.listeners.push(ringway::config::ListenerConfig::tcp(
        "127.0.0.1:0".parse().unwrap(),
        "echo",
        "the test",
    ));
    for _ in 0..20 {
        assert_eq!(server.plane().reload(more.clone()).unwrap().added.len(), 1);
        load.wait_for(20);
        assert_eq!(server.plane().reload((*before).clone()).unwrap().removed.len(), 1);
        load.wait_for(20);
    }
    let outcome = load.finish();
    assert_eq!((outcome.errors, outcome.last_ones), (0, 0), "no connection was asked to end");
    assert_eq!(server.plane().in_force().generation, 41);
    server.stop();
}

fn has_wrk() -> bool {
    Command::new("wrk").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[test]
fn wrk_sees_no_error_while_the_file_is_reloaded_again_and_again() {
    if !has_wrk() {
        return eprintln!("skipped: wrk is not installed");
    }
    let toml = |headers: u32| {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"http\"\n\
             config = {{ max_headers = {headers} }}\n[dataplane]\nmax_connections = 1024\n"
        )
    };
    let running = Running::start("wrk", 2, &toml(20));
    let url = format!("http://{}/", running.address);
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c16", "-d5s", "--timeout", "30s", &url]);
    let mut wrk = wrk.stdout(Stdio::piped()).spawn().unwrap();
    let name = crate::common::own("wrk");
    let mut reloads = 0;
    while wrk.try_wait().unwrap().is_none() {
        running.rewrite(&toml(20 + reloads % 7));
        let mut ctl = Command::new(env!("CARGO_BIN_EXE_ringway"));
        let output = ctl.args(["ctl", "--file-prefix", &name, "reload"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        reloads += 1;
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let output = String::from_utf8(wrk.wait_with_output().unwrap().stdout).unwrap();
    assert!(output.contains("requests in"), "{output}");
    assert!(!output.contains("Socket errors") && !output.contains("Non-2xx"), "{output}");
    assert!(reloads > 3, "{reloads}");
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.ended_well();
}
