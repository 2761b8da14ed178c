//! Each command in text and in JSON.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::bed::{Instance, complaint, toml};
use crate::common::patience;

/// The second line's words, by those of the first.
fn first_row(table: &str) -> Vec<(&str, &str)> {
    let mut lines = table.lines();
    let (head, row) = (lines.next().unwrap(), lines.next().unwrap());
    head.split_whitespace().zip(row.split("  ").map(str::trim).filter(|c| !c.is_empty())).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn help_lists_every_command_and_each_of_them_is_there() {
    let instance = Instance::start("help");
    let text = instance.text(&["help"]);
    let listed = instance.json(&["help"]);
    let mut names = Vec::new();
    for line in listed.as_array().unwrap() {
        let usage = line["command"].as_str().unwrap();
        assert!(
            text.contains(usage) && text.contains(line["what it tells or does"].as_str().unwrap())
        );
        names.push(usage.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(
        names,
        [
            "help",
            "version",
            "stats",
            "listeners",
            "pools",
            "lcores",
            "probe",
            "stop",
            "ports",
            "attach",
            "backtrace",
            "streams",
            "config",
            "reload",
            "trace",
            "capture",
            "takeover",
            "log"
        ]
    );
    let asks = ["stop", "config", "attach", "backtrace", "reload", "takeover"];
    let plain = |name: &&String| !asks.contains(&name.as_str());
    for name in names.iter().filter(plain) {
        assert!(!instance.text(&[name]).is_empty());
        let refused = complaint(instance.ctl(&[name, "nonsense"]), 1);
        assert!(refused.starts_with("error: "), "{refused}");
    }
}

#[test]
fn version_names_the_process_and_the_instance() {
    let instance = Instance::start("version");
    let version = instance.json(&["version"]);
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["instance"], instance.name.as_str());
    assert_eq!(version["pid"], instance.running.pid());
    let text = instance.text(&["version"]);
    assert!(text.contains(&format!("instance        {}\n", instance.name)), "{text}");
}

#[test]
fn stats_count_what_was_served_summed_and_by_lcore() {
    let instance = Instance::with("stats", 2, &toml(""));
    let mut client = instance.running.connect();
    for _ in 0..5 {
        assert_eq!(client.get("/").status(), 200);
    }
    let sums = instance.json(&["stats"]);
    assert_eq!((&sums["connections"], &sums["messages"]), (&1.into(), &5.into()), "{sums}");
    assert!(sums["dropped.protocol"].is_number());
    let lcores = instance.json(&["stats", "lcores"]);
    let lcores = lcores.as_array().unwrap();
    let messages = |lcore: &Value| lcore["messages"].as_u64().unwrap();
    assert_eq!(lcores.iter().map(messages).sum::<u64>(), 5);
    assert_eq!(
        lcores.iter().map(|lcore| lcore["lcore"].as_u64()).collect::<Vec<_>>(),
        [Some(0), Some(1)]
    );
    let mut names = keys(&sums);
    names.retain(|name| !["uptime_seconds", "connections"].contains(name));
    let mut of_lcore = keys(&lcores[0]);
    of_lcore.retain(|name| *name != "lcore");
    assert_eq!(names, of_lcore);
    let (text, by_lcore) = (instance.text(&["stats"]), instance.text(&["stats", "lcores"]));
    for name in names {
        for text in [&text, &by_lcore] {
            assert!(
                text.lines().any(|line| line.starts_with(&format!("{name} "))),
                "{name}: {text}"
            );
        }
    }
    assert!(text.contains("\nmessages                "), "aligned: {text}");
}

#[test]
fn listeners_have_the_ports_that_the_kernel_picked() {
    let instance = Instance::start("listeners");
    let address = instance.running.address.to_string();
    let listeners = instance.json(&["listeners"]);
    assert_eq!(listeners[0]["address"], address.as_str());
    assert_eq!(listeners[0]["protocol"], "http");
    let text = instance.text(&["listeners"]);
    assert!(first_row(&text).starts_with(&[
        ("address", &address),
        ("transport", "tcp"),
        ("protocol", "http")
    ]));
}

#[test]
fn pools_and_lcores_are_those_of_the_instance() {
    let instance = Instance::with("pools", 1, &toml("[mempool]\nblocks = 3\n"));
    let pools = instance.json(&["pools"]);
    let sizes: Vec<_> =
        pools.as_array().unwrap().iter().map(|c| c["slot_bytes"].as_u64()).collect();
    assert_eq!(sizes, [Some(2048), Some(16384), Some(4 << 20)]);
    assert_eq!((pools[2]["slots"].as_u64(), pools[2]["in_use"].as_u64()), (Some(3), Some(0)));
    assert_eq!(instance.json(&["config", "get", "mempool.blocks"]), 3);
    assert!(pools[0]["in_use"].as_u64().unwrap() > 0, "some are lent to the kernel: {pools}");
    assert!(instance.text(&["pools"]).contains("slot_bytes"));
    let client = instance.running.connect();
    crate::common::wait_until(|| instance.json(&["lcores"])[0]["connections"] == 1);
    drop(client);
    let text = instance.text(&["lcores"]);
    let row = first_row(&text);
    assert_eq!(row[0], ("lcore", "0"));
    assert!(row.iter().any(|(name, _)| *name == "busy_percent"), "{text}");
}

#[test]
fn what_is_offloaded_is_counted_and_its_settings_are_shown_g_9() {
    let instance = Instance::with("offload", 1, &toml("[offload]\nthreads = 2\nqueue = 7\n"));
    let stats = instance.json(&["stats"]);
    for name in ["offloaded", "offload_refused", "offload_done", "offload_cancelled"] {
        assert_eq!(stats[name], 0, "{stats}");
    }
    assert_eq!(instance.json(&["config", "get", "offload.threads"]), 2);
    assert_eq!(instance.json(&["config", "get", "offload.queue"]), 7);
}

#[test]
fn config_get_shows_what_is_in_force_whole_in_part_and_one_value() {
    let instance = Instance::start("config");
    let all = instance.json(&["config", "get"]);
    assert_eq!(all["dataplane.max_connections"], 256);
    assert_eq!(all["dataplane.drain_timeout_ms"], 10000, "a default");
    assert_eq!(all["listener.0.config.max_headers"], 17);
    assert_eq!(all["control.mode"], "0600");
    assert_eq!(instance.text(&["config", "get", "dataplane.idle"]), "adaptive\n");
    assert_eq!(instance.json(&["config", "get", "dataplane.max_connections"]), 256);
    let part = instance.json(&["config", "get", "mempool"]);
    assert_eq!(keys(&part), ["mempool.blocks", "mempool.large_slots", "mempool.small_slots"]);
    let missing = complaint(instance.ctl(&["config", "get", "mempool.small"]), 1);
    assert!(missing.contains("no setting `mempool.small`"), "{missing}");
    let set = complaint(instance.ctl(&["--json", "config", "set"]), 1);
    assert_eq!(serde_json::from_str::<Value>(&set).unwrap()["code"], 400);
}

#[test]
fn a_command_that_is_not_there_names_help() {
    let instance = Instance::start("unknown");
    let text = complaint(instance.ctl(&["frobnicate", "x"]), 1);
    assert_eq!(text, "error: no command `frobnicate`; `help` lists those there are\n");
    let json = complaint(instance.ctl(&["--json", "frobnicate"]), 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json["code"].as_u64(), json["error"].as_str().unwrap().contains("help")),
        (Some(404), true)
    );
}

/// Whether a program is installed; asked once.
fn has(program: &str) -> bool {
    static PATH: OnceLock<Vec<std::path::PathBuf>> = OnceLock::new();
    let directories = || std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    PATH.get_or_init(directories).iter().any(|directory| directory.join(program).exists())
}

#[test]
fn any_program_that_connects_to_unix_sockets_is_a_client() {
    let instance = Instance::start("socat");
    let socket = instance.socket();
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(patience()).unwrap();
    stream.write_all(b"config get dataplane.idle\r\n").unwrap();
    assert_eq!(std::io::read_to_string(stream).unwrap(), "adaptive\n");
    let clients = [
        ("socat", vec!["-".to_owned(), format!("UNIX-CONNECT:{}", socket.display())]),
        ("nc", vec!["-U".to_owned(), socket.display().to_string()]),
    ];
    for (program, arguments) in clients.iter().filter(|(program, _)| has(program)) {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"j/config get dataplane.idle\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.stdout, b"\"adaptive\"\n", "{program}");
    }
}
