//! What is noted of a session that is traced.

use ringway::ipc;
use ringway::limits::{STREAM_TRACE_LINES, STREAM_TRACES_MAX};
use serde_json::Value;

use super::asked::Asked;
use crate::common::stream_peer::{Listener, Peer};
use crate::common::{Start, wait_until};

#[test]
fn d17_what_passes_on_one_session_is_noted_while_that_is_on() {
    let listener = Listener::new();
    let asked = Asked::start(1, &listener, "");
    let (mut peer, mut other) =
        (Peer::connect(asked.server.address(0), 2), Peer::connect(asked.server.address(0), 3));
    let (channel, _) = (peer.open(), other.open());
    let name = peer.session_id();
    let shown = || asked.json(&format!("streams {name}"));
    let on = asked.json(&format!("streams trace {name} on"));
    assert_eq!(on["trace"], true);
    assert_eq!(shown()["trace"], serde_json::json!([]));
    peer.echo(channel, 100);
    let second = peer.open();
    let lines = shown()["trace"].clone();
    let line = |what: &str, kind: &str| {
        let mut fit = lines
            .as_array()
            .unwrap()
            .iter()
            .filter(|line| line["what"] == what && line["type"] == kind);
        fit.next().unwrap_or_else(|| panic!("no {kind} {what}: {lines:?}")).clone()
    };
    let (came, went) = (line("in", "data"), line("out", "data"));
    for (line, outcome) in [(&came, "taken"), (&went, "sent")] {
        assert_eq!((&line["channel"], &line["seq"]), (&channel.into(), &0.into()));
        assert_eq!((&line["bytes"], &line["flags"]), (&116.into(), &"encrypted".into()));
        assert_eq!(line["outcome"], outcome);
    }
    line("in", "control");
    line("out", "control");
    let event = lines.as_array().unwrap().iter().find(|line| line["what"] == "event").unwrap();
    let opened = format!("ChannelOpened {{ channel: {second}");
    assert!(event["outcome"].as_str().unwrap().starts_with(&opened), "{event}");
    let text = asked.text(&format!("streams {name}")).unwrap();
    assert!(text.contains("encrypted  taken"), "{text}");
    let of_other = asked.json(&format!("streams {}", other.session_id()));
    assert_eq!(of_other["trace"], Value::Null);
    asked.text(&format!("streams trace {name} off")).unwrap();
    assert_eq!(shown()["trace"], Value::Null);
    asked.text(&format!("streams trace {name} on")).unwrap();
    assert_eq!(shown()["trace"], serde_json::json!([]), "nothing is left of before");
}

#[test]
fn d17_the_last_lines_are_kept_and_so_many_sessions_are_traced() {
    let listener = Listener::new();
    let asked = Asked::start(1, &listener, "");
    let mut peers: Vec<_> = (0..=STREAM_TRACES_MAX as u8)
        .map(|node| Peer::connect(asked.server.address(0), 2 + node))
        .collect();
    let channel = peers[0].open();
    let trace = |peer: &Peer| asked.text(&format!("j/streams trace {} on", peer.session_id()));
    for peer in &peers[..STREAM_TRACES_MAX] {
        trace(peer).unwrap();
        trace(peer).unwrap();
    }
    let refused = trace(&peers[STREAM_TRACES_MAX]).unwrap_err();
    assert!(matches!(&refused, ipc::Error::Handler { code: Some(409), .. }), "{refused}");
    (0..STREAM_TRACE_LINES).for_each(|_| peers[0].echo(channel, 10));
    let shown = asked.json(&format!("streams {}", peers[0].session_id()));
    assert_eq!(shown["trace"].as_array().unwrap().len(), STREAM_TRACE_LINES);
    assert!(shown["trace_forgotten"].as_u64().unwrap() >= STREAM_TRACE_LINES as u64);
    // The end of a session makes room for another.
    drop(peers.remove(0));
    wait_until(|| trace(peers.last().unwrap()).is_ok());
}

#[test]
fn d16_d17_what_happens_to_datagrams_is_counted_and_its_reasons_are_noted() {
    let listener = Listener::new();
    let config = format!("config = {{ {} }}", listener.settings());
    let start = Start::new().datagrams("stream", "127.0.0.1:0").limited(&config);
    let asked = Asked::run(start);
    let mut peer = Peer::connect_udp(asked.server.address(0), 2);
    let channel = peer.open();
    let name = peer.session_id();
    asked.text(&format!("streams trace {name} on")).unwrap();
    let lost = peer.packets(channel, b"lost");
    let mut twice = peer.packets(channel, b"twice").remove(0);
    peer.raw(&twice);
    peer.raw(&twice);
    peer.raw(b"no packet at all");
    twice[5] += 1;
    peer.raw(&twice);
    // Whatever was sent before it has been taken when this is back.
    peer.until(|peer| peer.heard == 1);
    peer.echo(channel, 10);
    drop(lost);
    let detail = asked.json(&format!("streams {name}"));
    let (session, shown) = (&detail["session"], &detail["channels"][0]);
    for name in ["lost", "replayed", "forged"] {
        assert_eq!((&session[name], &shown[name]), (&1.into(), &1.into()), "{name}: {detail}");
    }
    assert_eq!(session["malformed"], 1);
    let lines = detail["trace"].as_array().unwrap();
    for outcome in ["dropped: replayed", "dropped: malformed", "dropped: forged"] {
        let count = lines.iter().filter(|line| line["outcome"] == outcome).count();
        assert_eq!(count, 1, "{outcome}: {lines:?}");
    }
    let malformed = lines.iter().find(|line| line["outcome"] == "dropped: malformed").unwrap();
    assert_eq!((&malformed["type"], &malformed["seq"]), (&Value::Null, &Value::Null));
}
