//! `--once`: for scripts.

use serde_json::Value;

use crate::bed::{Leftovers, Load, json, page, start, top};
use crate::common::{own, wait_until};

/// What it said on standard error, with this exit code and nothing on standard output.
fn complaint(name: &str, arguments: &[&str], code: i32) -> String {
    let output = top(name, arguments);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn json_has_totals_and_rates_of_a_running_instance() {
    let running = start("top-json");
    let load = Load::on(running.address);
    let mut seen = Value::Null;
    wait_until(|| {
        seen = json("top-json");
        let latency = &seen["rates"]["listeners"][0]["latency"]["p99_ns"];
        seen["rates"]["messages"].as_f64() > Some(0.0) && latency.as_u64() > Some(0)
    });
    drop(load);
    let (totals, rates) = (&seen["totals"], &seen["rates"]);
    assert_eq!(totals["instance"], own("top-json"));
    assert_eq!((&totals["state"], &totals["pid"]), (&"running".into(), &running.pid().into()));
    assert_eq!(totals["lcores"][0]["lcore_id"], 0);
    assert!(totals["lcores"][0]["counters"]["messages"].as_u64() > Some(0));
    assert_eq!(totals["listeners"][0]["address"], running.address.to_string());
    assert_eq!(rates["listeners"][0]["address"], running.address.to_string());
    assert_eq!(totals["listeners"][1]["protocol"], "echo");
    assert!(rates["seconds"].as_f64() >= Some(0.05), "{rates}");
    assert!(rates["rx_bytes"].as_f64() > Some(0.0));
    let time = &rates["lcores"][0]["time"];
    let all: f64 = ["busy", "idle", "sleep"].map(|part| time[part].as_f64().unwrap()).iter().sum();
    assert!((0.99..1.01).contains(&all), "{time}");
    for stage in ["rx", "ingress", "handler", "egress", "tx"] {
        let stages = rates["listeners"][0]["stages"].as_array().unwrap();
        assert!(stages.iter().any(|it| it["name"] == stage), "{stage}: {stages:?}");
    }
    let size = |pool: &Value| pool["slot_bytes"].as_u64();
    assert!(totals["pools"].as_array().unwrap().iter().any(|pool| size(pool) == Some(2048)));
}

#[test]
fn a_page_has_all_views_and_names_the_listeners() {
    let running = start("top-page");
    let page = page("top-page", &["--once", "--interval", "100"]);
    let lines: Vec<_> = page.lines().collect();
    assert!(lines[0].starts_with(&format!("{}  ● running", own("top-page"))), "{page}");
    for view in ["Lcores", "Listeners", "Stages", "Pools", "Ports", "Drops"] {
        assert!(lines.contains(&view), "{view} is not in: {page}");
    }
    for address in &running.addresses {
        assert!(page.contains(&address.to_string()), "{address} is not in: {page}");
    }
}

#[test]
fn what_a_killed_instance_has_counted_is_still_told() {
    let _leftovers = Leftovers("top-killed");
    let running = start("top-killed");
    let mut client = running.connect();
    (0..20).for_each(|_| assert_eq!(client.get("/").status(), 200));
    wait_until(|| json("top-killed")["totals"]["lcores"][0]["counters"]["messages"] == 20);
    let pid = running.pid();
    running.killed();
    let seen = json("top-killed");
    assert_eq!((&seen["totals"]["state"], &seen["totals"]["pid"]), (&"died".into(), &pid.into()));
    assert_eq!(seen["totals"]["lcores"][0]["counters"]["messages"], 20);
    assert!(seen["rates"]["messages"].as_f64() > Some(0.0), "averages over its life");
    let page = page("top-killed", &["--once"]);
    assert!(page.contains("DIED") && page.contains("averages over its life"), "{page}");
}

#[test]
fn an_instance_that_is_not_there_is_refused_with_those_that_are() {
    let _running = start("top-there");
    for arguments in [&["--once"][..], &["--once", "--json"]] {
        let text = complaint("top-nobody", arguments, 3);
        for part in [&own("top-nobody"), &own("top-there"), "--file-prefix"] {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
    }
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let _running = start("top-pipe");
    assert!(complaint("top-pipe", &[], 1).contains("--once"));
    assert!(complaint("top-pipe", &["--json"], 2).contains("--once"));
    assert!(complaint("top-pipe", &["--once", "--interval", "99"], 2).contains("100"));
    assert!(complaint("top-pipe", &["--once", "--interval", "60001"], 2).contains("60000"));
    let output = top("x/y", &["--once"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
