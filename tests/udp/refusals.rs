//! What does not go over datagrams, or is not said of them, is refused at the start with the reason.

use ringway::config::Config;

use crate::common::Start;

#[test]
fn protocols_that_need_a_stream_are_refused_with_what_to_do() {
    for protocol in ["http", "ipc"] {
        let refusal = Start::new().datagrams(protocol, "127.0.0.1:0").refusal();
        for part in
            [protocol, "over udp", "a stream of bytes", "transport = \"tcp\"", "echo or raw"]
        {
            assert!(refusal.contains(part), "{part:?} is not in: {refusal}");
        }
    }
}

#[test]
fn a_port_that_somebody_has_is_refused_with_the_line_that_shows_who() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refusal = Start::new().datagrams("echo", &address).refusal();
    assert!(refusal.contains("in use") && refusal.contains("ss -lunp"), "{refusal}");
}

#[test]
fn tcp_and_udp_may_have_one_address_and_two_of_udp_may_not() {
    let listener = |transport: &str, rest: &str| {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:7007\"\ntransport = \"{transport}\"\n\
                 protocol = \"echo\"\n{rest}\n"
        )
    };
    let parse = |text: String| Config::from_toml(&text, "r.toml");
    assert!(parse(listener("tcp", "") + &listener("udp", "")).is_ok());
    let twice = parse(listener("udp", "") + &listener("udp", "")).unwrap_err();
    assert!(twice.why().contains("already the address"), "{twice}");
    for (transport, key) in [
        ("tcp", "idle_timeout_ms = 1000"),
        ("udp", "idle_timeout_ms = 0"),
        ("udp", "idle_timeout_ms = 86400001"),
        ("udp", "write_timeout_ms = 1000"),
        ("udp", "mode = \"0600\""),
        ("udp", "handler = \"port:app\"\nisolated = true"),
    ] {
        assert!(parse(listener(transport, key)).is_err(), "{transport} with {key}");
    }
    let config = parse(listener("udp", "idle_timeout_ms = 1500")).unwrap();
    assert_eq!(config.listeners[0].idle_timeout.as_secs(), 2, "in whole seconds");
}
