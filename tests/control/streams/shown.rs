//! What `streams` shows, of how many sessions, and whom it names that it does not show.

use std::net::TcpStream;

use ringway::ipc;
use ringway::lcore::Mail;
use ringway::limits::{STREAM_SESSIONS_A_CALL, STREAM_SESSIONS_LISTED_MAX};
use serde_json::Value;

use super::asked::{Asked, instance};
use crate::bed::complaint;
use crate::common::stream_peer::{Listener, Peer};
use crate::common::wait_until;

/// The names of an object's values.
fn names(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Names in order, as JSON is read here.
fn sorted<const N: usize>(mut names: [&str; N]) -> [&str; N] {
    names.sort_unstable();
    names
}

#[test]
fn the_names_in_json_stay_and_those_in_text_are_the_same_in_this_order() {
    let listener = Listener::new();
    let asked = Asked::start(1, &listener, "");
    let mut peer = Peer::connect(asked.server.address(0), 2);
    peer.open();
    let columns = [
        "conn",
        "listener",
        "node",
        "session",
        "state",
        "encrypted",
        "compressed",
        "age_ms",
        "idle_ms",
        "channels",
        "sent_packets",
        "sent_bytes",
        "received_packets",
        "received_bytes",
        "lost",
        "replayed",
        "forged",
        "malformed",
        "torn",
        "waiting_bufs",
        "rtt_count",
        "rtt_ms",
        "rtt_p50_ms",
        "rtt_p99_ms",
        "traced",
    ];
    let text = asked.text("streams").unwrap();
    assert_eq!(text.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), columns);
    assert_eq!(text.lines().count(), 2, "{text}");
    let sessions = asked.json("streams");
    assert_eq!(names(&sessions), ["more", "sessions", "silent"]);
    let session = &sessions["sessions"][0];
    assert_eq!(names(session), sorted(columns));
    assert_eq!((&session["state"], &session["encrypted"]), (&"open".into(), &true.into()));
    let name = session["conn"].as_str().unwrap();
    let detail = asked.json(&format!("streams {name}"));
    let parts =
        ["channels", "more_channels", "rtt_histogram", "session", "trace", "trace_forgotten"];
    assert_eq!(names(&detail), parts);
    assert_eq!(detail["session"]["session"], peer.session_id().as_str());
    assert_eq!(detail["trace"], Value::Null);
    let channel = &detail["channels"][0];
    assert_eq!((&channel["type"], &channel["state"]), (&"service".into(), &"open".into()));
    assert_eq!((&channel["opened_by"], &channel["incarnation"]), (&"peer".into(), &1.into()));
    let text = asked.text(&format!("streams {name}")).unwrap();
    for name in names(channel).into_iter().chain(names(&detail["session"])) {
        assert!(text.contains(name), "{name}: {text}");
    }
}

#[test]
fn a_session_that_is_not_there_and_words_that_name_none_are_told_apart() {
    let listener = Listener::new();
    let instance = instance("unknown", 1, &listener);
    let refused = |words: &[&str]| complaint(instance.ctl(&[&["streams"], words].concat()), 1);
    for name in ["0:7.2", "9:7.2", "000102030405060708090a0b0c0d0e0f"] {
        let why = format!("error: no session `{name}`; `streams` lists those there are\n");
        assert_eq!(refused(&[name]), why);
        assert_eq!(refused(&["trace", name, "on"]), why);
        assert_eq!(refused(&["trace", name, "off"]), why);
    }
    assert!(refused(&["everything"]).contains("`everything` is no session"));
    assert!(refused(&["trace", "0:7.2"]).contains("streams trace CONN on|off"));
    assert!(refused(&["0:7.2", "0:7.3"]).contains("streams [CONN | trace CONN on|off]"));
    let json = complaint(instance.ctl(&["--json", "streams", "0:7.2"]), 1);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["code"], 404);
}

#[test]
fn thousands_of_sessions_are_shown_in_part_and_each_is_found() {
    let listener = Listener::new();
    let asked = Asked::start(1, &listener, "handshake_timeout_ms = 3600000");
    let address = asked.server.address(0);
    let total = STREAM_SESSIONS_LISTED_MAX + 2 * STREAM_SESSIONS_A_CALL;
    let strangers: Vec<_> = (1..total).map(|_| TcpStream::connect(address).unwrap()).collect();
    let last = Peer::connect(address, 2);
    wait_until(|| asked.server.plane().status().connections() == total as u64);
    let sessions = asked.json("streams");
    let listed = sessions["sessions"].as_array().unwrap();
    assert_eq!(listed.len(), STREAM_SESSIONS_LISTED_MAX);
    assert_eq!(sessions["more"], total - STREAM_SESSIONS_LISTED_MAX);
    let mut slots: Vec<_> = listed.iter().map(|session| session["conn"].as_str()).collect();
    slots.sort_unstable();
    slots.dedup();
    assert_eq!(slots.len(), listed.len(), "each is listed once");
    assert!(listed.iter().filter(|session| session["state"] == "greeting").count() > 1000);
    let text = asked.text("streams").unwrap();
    assert!(text.ends_with("\nand 128 more: `streams CONN` shows any of them\n"), "{text}");
    let found = asked.json(&format!("streams {}", last.session_id()));
    assert_eq!(found["session"]["node"], Peer::address(2).to_string().as_str());
    drop(strangers);
}

#[test]
fn an_lcore_that_is_busy_is_named_and_not_waited_for() {
    let listener = Listener::new();
    let asked = Asked::start(2, &listener, "");
    let holder = asked.hold_up(1);
    assert_eq!(asked.json("streams")["silent"], serde_json::json!([1]));
    let text = asked.text("streams").unwrap();
    assert!(text.ends_with("\nbut for those of lcore 1 (busy): no answer\n"), "{text}");
    let refused = asked.text("j/streams 1:0.0").unwrap_err();
    assert!(
        matches!(&refused, ipc::Error::Handler { code: Some(503), message } if message == "lcore 1 does not answer: busy"),
        "{refused}"
    );
    let by_id = asked.text(&format!("streams {:032x}", 7)).unwrap_err().to_string();
    assert!(by_id.contains("lcore 1 does not answer"), "it may be there: {by_id}");
    drop(holder);
    wait_until(|| asked.json("streams")["silent"] == serde_json::json!([]));
    asked.server.stop();
}

#[test]
fn an_lcore_that_has_ended_is_named_and_the_others_answer() {
    let listener = Listener::new();
    let asked = Asked::start(2, &listener, "");
    let call = Mail::Call(Box::new(|_| panic!("on purpose")));
    assert!(asked.server.plane().handle(1).post(call).is_ok());
    wait_until(|| asked.server.plane().is_finished());
    let sessions = asked.json("streams");
    assert_eq!(sessions["silent"], serde_json::json!([1]));
    let refused = asked.text("streams 1:0.0").unwrap_err().to_string();
    assert!(refused.contains("lcore 1 does not answer: ended"), "{refused}");
}
