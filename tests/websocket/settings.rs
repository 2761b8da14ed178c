//! What a listener may say about its WebSockets, and what is refused at the start.

use ringway::proto::websocket::Kind;

use crate::common::Start;
use crate::common::websocket::Peer;

fn assert_refused(settings: &str, parts: &[&str]) {
    let text = Start::new().listener("websocket", settings).refusal();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn each_number_is_refused_past_its_bounds_and_taken_at_them() {
    let day = "to 86400000";
    let most = i64::MAX as u64;
    for (name, least, most, bounds) in [
        ("max_message_bytes", 1, most, "from 1 to"),
        ("max_frame_bytes", 1, most, "from 1 to"),
        ("max_fragments", 1, u32::MAX.into(), "from 1 to 4294967295"),
        ("ping_interval_ms", 0, 86_400_000, day),
        ("pong_timeout_ms", 1, 86_400_000, day),
        ("close_timeout_ms", 1, 86_400_000, day),
    ] {
        let mut refused = vec!["-1".to_owned(), "1.5".to_owned(), "\"1\"".to_owned()];
        if least > 0 {
            refused.push("0".to_owned());
        }
        if most < i64::MAX as u64 {
            refused.push((most + 1).to_string());
        }
        for value in &refused {
            assert_refused(&format!("{name} = {value}"), &["websocket", name, value, bounds]);
        }
        for value in [least, most] {
            let server = Start::new().listener("websocket", &format!("{name} = {value}")).start();
            let mut peer = Peer::connect(server.address(0));
            peer.echoes(Kind::Text, b"a");
            drop(peer);
            server.stop();
        }
    }
}

#[test]
fn each_mistake_is_named_with_what_mends_it() {
    assert_refused("compress = 1", &["compress = 1", "true or false"]);
    assert_refused("service = \"none\"", &["none", "echo"]);
    assert_refused("service = 1", &["service = 1", "echo"]);
    assert_refused("max_message = 1", &["`max_message`", "max_message_bytes", "max_head_bytes"]);
    assert_refused("max_head_bytes = 63", &["max_head_bytes", "from 64 to 16384"]);
}

#[test]
fn settings_of_http_are_websockets_too() {
    let settings = "max_target_bytes = 4, service = \"echo\"";
    let server = Start::new().listener("websocket", settings).start();
    let mut client = server.connect();
    assert_eq!(client.get("/abcd").status(), 414);
    drop(client);
    server.stop();
}
