//! Who may see what: bytes that peers encrypted are decrypted for those only who are named.

use crate::bed::{Instance, bufs, listener};
use crate::common::stream_peer::{Listener, Peer};

const SECRET: &[u8] = b"nobody else is to read this";

/// An instance that serves encrypted streams, with more in its `[control]`.
fn instance(name: &str, identity: &Listener, control: &str) -> Instance {
    let settings = format!("service = \"echo\", {}", identity.settings());
    let control = format!("[control]\n{control}\n");
    Instance::start(name, &(listener("stream", &settings) + &control))
}

/// Sends the secret, and waits until it is back.
fn exchange(instance: &Instance) -> Peer {
    let mut peer = Peer::connect(instance.running.address, 2);
    let channel = peer.open();
    peer.send(channel, SECRET);
    peer.until(|peer| peer.heard_bytes >= SECRET.len());
    peer
}

fn uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

#[test]
fn what_was_encrypted_is_refused_inside_with_what_mends_it_and_may_be_captured_on_the_wire() {
    let identity = Listener::new();
    let instance = instance("capture-default", &identity, "");
    for stage in ["ingress", "handler", "rx,ingress"] {
        let refused = instance.refusal(&["capture", "-w", "/dev/null", "--stage", stage]);
        assert!(refused.contains(&format!("user {} may not capture", uid())), "{refused}");
        assert!(refused.contains(&format!("capture_decrypted_uids = [{}]", uid())), "{refused}");
    }
    let capture = instance.capture(&["--stage", "rx,egress,tx"]);
    let _peer = exchange(&instance);
    let file = capture.interrupted();
    for stage in ["rx", "egress", "tx"] {
        assert!(!file.bytes_at(stage).is_empty(), "{stage}");
        assert!(!file.has_at(stage, SECRET), "{stage}");
    }
}

#[test]
fn a_trace_shows_the_way_of_what_was_encrypted_and_not_its_bytes() {
    let identity = Listener::new();
    let instance = instance("trace-default", &identity, "");
    let mut trace = instance.trace(&[]);
    let _peer = exchange(&instance);
    let is_message =
        |buf: &serde_json::Value| buf["kind"] == "MESSAGE" && buf["bytes"] == SECRET.len();
    let message = trace.message(|message| bufs(message, "ingress").iter().any(is_message));
    let seen: Vec<_> = bufs(&message, "ingress").into_iter().filter(is_message).collect();
    assert_eq!(seen[0]["hidden"], true, "{message}");
    assert!(!message.to_string().contains("nobody"), "{message}");
    assert!(bufs(&message, "rx")[0]["hex"].is_string(), "{message}");
}

#[test]
fn who_is_named_sees_it_before_and_after_decryption_in_one_file() {
    let identity = Listener::new();
    let named = format!("capture_decrypted_uids = [{}]", uid());
    for (name, control) in [("capture-named", &*named), ("capture-all", "capture = \"all\"")] {
        let instance = instance(name, &identity, control);
        let capture = instance.capture(&["--stage", "rx,ingress,handler,tx"]);
        let _peer = exchange(&instance);
        let file = capture.interrupted();
        assert!(file.has_at("ingress", SECRET) && file.has_at("handler", SECRET));
        assert!(!file.has_at("rx", SECRET) && !file.has_at("tx", SECRET));
        let message = file.packets.iter().find(|packet| packet.payload == SECRET).unwrap();
        assert!(message.comment.contains("MESSAGE, channel 1"), "{message:?}");
    }
}

#[test]
fn who_is_not_named_is_refused_also_where_somebody_else_is() {
    let identity = Listener::new();
    let other = format!("capture_decrypted_uids = [{}]", uid() + 1);
    let instance = instance("capture-other", &identity, &other);
    let refused = instance.refusal(&["capture", "-w", "/dev/null", "--stage", "ingress"]);
    assert!(refused.contains("may not capture"), "{refused}");
}

#[test]
fn an_instance_without_captures_refuses_every_one_and_traces_without_bytes() {
    let none = "[control]\ncapture = \"none\"\n";
    let instance = Instance::start("capture-none", &(listener("http", "") + none));
    let refused = instance.refusal(&["capture", "-w", "/dev/null"]);
    assert!(refused.contains("`capture = \"none\"`"), "{refused}");
    let mut trace = instance.trace(&[]);
    let mut client = instance.running.connect();
    client.get("/health");
    let is_head = |buf: &serde_json::Value| buf["kind"] == "HEAD" && buf["hidden"] == true;
    let message = trace.message(|message| bufs(message, "ingress").iter().any(is_head));
    assert!(!message.to_string().contains("GET"), "{message}");
}
