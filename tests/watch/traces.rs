//! What a trace shows.

use std::process::Stdio;

use crate::bed::{Instance, bufs, listener};
use crate::common::Client;

/// The message that a request with this target is.
fn of_request<'a>(target: &'a str) -> impl Fn(&serde_json::Value) -> bool + 'a {
    move |message| {
        let shown = |buf: &serde_json::Value| {
            buf["text"].as_str().is_some_and(|text| text.starts_with(&format!("GET {target} ")))
        };
        bufs(message, "rx").iter().any(shown)
    }
}

#[test]
fn a_request_is_seen_at_every_stage_with_what_that_did() {
    let instance = Instance::http("trace-stages");
    let mut trace = instance.trace(&[]);
    let mut client = instance.running.connect();
    assert_eq!(client.get("/health").status(), 200);
    let message = trace.message(of_request("/health"));
    let kinds = |stage: &str| -> Vec<String> {
        let kind = |buf: &serde_json::Value| buf["kind"].as_str().unwrap().to_owned();
        bufs(&message, stage).iter().map(kind).filter(|kind| kind != "OPEN").collect()
    };
    assert_eq!(kinds("rx"), ["DATA"]);
    assert_eq!(kinds("ingress"), ["HEAD"]);
    assert_eq!(kinds("handler"), ["DATA"]);
    assert_eq!(kinds("egress"), ["DATA"]);
    let reply = bufs(&message, "egress");
    assert!(reply[0]["text"].as_str().unwrap().starts_with("HTTP/1.1 200 OK"), "{reply:?}");
    let stages = message["stages"].as_array().unwrap();
    let names: Vec<_> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["rx", "ingress", "handler", "egress", "tx"]);
    for stage in &stages[1..] {
        assert!(stage["burst"]["cycles"].as_u64().unwrap() > 0, "{stage}");
    }
    assert_eq!(stages[2]["decision"], "answered with 1");
    assert_eq!(stages[4]["decision"], "took 1");
}

#[test]
fn it_ends_by_itself_when_enough_was_seen_and_says_so() {
    let instance = Instance::http("trace-count");
    let trace = instance.trace(&["--count", "2"]);
    let mut client = instance.running.connect();
    (0..3).for_each(|_| assert_eq!(client.get("/health").status(), 200));
    let rest = trace.rest();
    assert_eq!(rest.len(), 3);
    assert_eq!(rest[2]["traced"]["messages"], 2);
    assert_eq!(rest[2]["traced"]["ended"], "count");
    instance.wait_for_nobody("trace");
}

#[test]
fn of_several_connections_one_can_be_traced_alone() {
    let instance = Instance::http("trace-conn");
    let mut trace = instance.trace(&[]);
    let mut clients = [instance.running.connect(), instance.running.connect()];
    clients[0].get("/first");
    clients[1].get("/second");
    let second = trace.message(of_request("/second"))["conn"].as_str().unwrap().to_owned();
    drop(trace);
    instance.wait_for_nobody("trace");
    let mut trace = instance.trace(&["--conn", &second]);
    clients[0].get("/first");
    clients[1].get("/again");
    let message = trace.line().unwrap();
    assert!(of_request("/again")(&message), "{message}");
    assert_eq!(message["conn"], second);
}

#[test]
fn lines_for_people_have_the_stages_below_each_other() {
    let instance = Instance::http("trace-text");
    let mut command = instance.command(&["trace", "--count", "3"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    crate::common::wait_until(|| !instance.ctl(&["trace"]).as_array().unwrap().is_empty());
    // It is there before the lcore looks; requests go on until it has seen enough.
    let mut client = instance.running.connect();
    while !instance.ctl(&["trace"]).as_array().unwrap().is_empty() {
        client.get("/health");
    }
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(text.starts_with("tracing listener 0 (127.0.0.1:"), "{text}");
    assert!(text.contains("\n  ingress  passed on 1; "), "{text}");
    assert!(text.contains("\n           HEAD, "), "{text}");
    assert!(text.ends_with("\ntraced 3 messages, ended: count\n"), "{text}");
}

#[test]
fn a_second_one_of_a_listener_hears_who_has_it_and_other_listeners_are_free() {
    let both = listener("http", "") + &listener("echo", "");
    let instance = Instance::start("trace-second", &both);
    let first = instance.trace(&[]);
    let refused = instance.refusal(&["trace"]);
    assert!(refused.contains("has traced listener 0"), "{refused}");
    assert!(refused.contains(&format!("process {}", first.child.id())), "{refused}");
    assert!(refused.contains("`trace stop 0` ends that"), "{refused}");
    let address = instance.running.addresses[1];
    let mut other = instance.trace(&["--listener", &address.to_string()]);
    let mut client = Client::connect(address);
    client.send("hello").receive(5);
    let said = |message: &serde_json::Value| {
        bufs(message, "handler").iter().any(|buf| buf["text"] == "hello")
    };
    other.message(said);
    let list = instance.ctl(&["trace"]);
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    assert_eq!(list[1]["pid"], other.child.id());
    let stopped = instance.ctl(&["trace", "stop", "0"]);
    assert_eq!(stopped["stopped_pid"], first.child.id());
    let rest = first.rest();
    assert_eq!(rest.last().unwrap()["traced"]["ended"], "stopped");
}

#[test]
fn what_is_not_there_is_refused_with_what_is() {
    let instance = Instance::http("trace-none");
    let refused = instance.refusal(&["trace", "--listener", "7"]);
    assert!(refused.contains("no listener `7`") && refused.contains("127.0.0.1:"), "{refused}");
    let refused = instance.refusal(&["trace", "--conn", "9:1.1"]);
    assert!(refused.contains("no such lcore"), "{refused}");
    let refused = instance.refusal(&["trace", "--conn", "9"]);
    assert!(refused.contains("is no connection"), "{refused}");
    let refused = instance.refusal(&["ctl", "trace", "stop", "0"]);
    assert!(refused.contains("nobody has traced listener 0"), "{refused}");
}
