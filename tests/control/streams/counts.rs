//! What `streams` counts is what was sent.

use serde_json::Value;

use super::asked::{Asked, instance};
use crate::common::stream_peer::{Listener, Peer};
use crate::common::wait_until;

#[test]
fn d16_what_both_ends_count_is_the_same() {
    let listener = Listener::new();
    let instance = instance("counts", 1, &listener);
    assert_eq!(
        instance.json(&["streams"]),
        serde_json::json!({"sessions": [], "more": 0, "silent": []})
    );
    let mut peer = Peer::connect(instance.running.address, 2);
    let channels = [peer.open(), peer.open()];
    (0..10).for_each(|n| peer.echo(channels[n % 2], 100 * n));
    // In three pieces there, and back.
    peer.echo(channels[1], 40_000);
    // The answer to the second is behind all that the first brought about.
    (0..2).for_each(|_| peer.ping());
    let sessions = instance.json(&["streams"]);
    let session = &sessions["sessions"][0];
    let counted = peer.connection.statistics();
    let pairs = [
        ("channels", counted.channels as u64),
        ("sent_packets", counted.received.packets),
        ("sent_bytes", counted.received.bytes),
        ("received_packets", counted.sent.packets),
        ("received_bytes", counted.sent.bytes),
    ];
    for (name, value) in pairs {
        assert_eq!(session[name], value, "{name}: {session}");
    }
    let address = Peer::address(2).to_string();
    let listening = instance.running.address.to_string();
    assert_eq!(session["node"], address.as_str());
    assert_eq!(session["session"], peer.session_id().as_str());
    assert_eq!(session["listener"], listening.as_str());
    let detail = instance.json(&["streams", &peer.session_id()]);
    let of_channels = detail["channels"].as_array().unwrap();
    assert_eq!(of_channels.len(), 2);
    for (shown, channel) in of_channels.iter().zip(channels) {
        let here = peer.connection.channel(channel).unwrap();
        assert_eq!(shown["channel"], channel);
        assert_eq!(shown["received_bytes"], here.statistics.sent.bytes);
        assert_eq!(shown["received_packets"], here.statistics.sent.packets);
        assert_eq!(shown["sent_bytes"], here.statistics.received.bytes);
        assert_eq!(shown["send_next"], here.receive_next);
        assert_eq!(shown["receive_next"], here.send_next);
        assert_eq!(
            (&shown["send_credit"], &shown["receive_credit"]),
            (&here.receive_credit.into(), &here.send_credit.into())
        );
    }
    assert_eq!(of_channels[0]["received_bytes"], 100 * (2 + 4 + 6 + 8));
    assert_eq!(of_channels[1]["received_bytes"], 100 * (1 + 3 + 5 + 7 + 9) + 40_000);
}

#[test]
fn d16_round_trips_have_a_mean_quantiles_and_a_histogram() {
    let listener = Listener::new();
    let asked = Asked::start(1, &listener, "keepalive_ms = 100");
    let _peer = Peer::connect(asked.server.address(0), 2);
    let session = &asked.json("streams")["sessions"][0];
    assert_eq!((&session["rtt_count"], &session["rtt_ms"]), (&0.into(), &Value::Null));
    let mut peer = Peer::connect(asked.server.address(0), 3);
    // It answers for as long as it listens.
    let detail = loop {
        let received = peer.connection.statistics().received.packets;
        peer.until(|peer| peer.connection.statistics().received.packets > received);
        let detail = asked.json(&format!("streams {}", peer.session_id()));
        if detail["session"]["rtt_count"].as_u64().unwrap() >= 2 {
            break detail;
        }
    };
    let (session, histogram) = (&detail["session"], detail["rtt_histogram"].as_array().unwrap());
    let trips: u64 = histogram.iter().map(|bucket| bucket["round_trips"].as_u64().unwrap()).sum();
    assert_eq!(session["rtt_count"], trips);
    let number = |name: &str| session[name].as_f64().unwrap();
    // Less than the lcore's clock tells apart may be nothing at all.
    assert!(number("rtt_ms") < number("rtt_p99_ms"), "{session}");
    assert!(number("rtt_p50_ms") <= number("rtt_p99_ms"), "{session}");
    assert_eq!(histogram.last().unwrap()["below_ms"], session["rtt_p99_ms"]);
}

#[test]
fn what_waits_for_credit_of_the_peer_is_seen() {
    let listener = Listener::new();
    let asked = Asked::start(1, &listener, "");
    let mut peer = Peer::connect(asked.server.address(0), 2);
    let channel = peer.open();
    peer.consumes = false;
    for n in 0..80 {
        peer.send(channel, b"more than it takes");
        peer.until(|peer| peer.heard >= (n + 1).min(64));
    }
    wait_until(|| asked.json("streams")["sessions"][0]["waiting_bufs"] == 16);
    let detail = asked.json(&format!("streams {}", peer.session_id()));
    let shown = &detail["channels"][0];
    assert_eq!((&shown["waiting_bufs"], &shown["send_credit"]), (&16.into(), &0.into()));
    assert_eq!(shown["sent_packets"], 64);
}
