//! What a listener may say about its protocol, and what is refused at the start.

use crate::common::Start;

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn a_setting_that_a_protocol_does_not_have_is_refused_naming_those_it_has_g_13() {
    let text = Start::new().listener("http", "max_body = 1").refusal();
    assert_has(&text, &["`max_body`", "max_body_bytes", "max_head_bytes", "max_target_bytes"]);
    let text = Start::new().listener("echo", "anything = 1").refusal();
    assert_has(&text, &["echo", "`anything`", "leave `config` out"]);
}

#[test]
fn a_setting_out_of_bounds_is_refused_naming_the_bounds_g_13() {
    for setting in ["max_head_bytes = 63", "max_head_bytes = 1000000", "max_head_bytes = \"1\""] {
        let text = Start::new().listener("http", setting).refusal();
        assert_has(&text, &["max_head_bytes", "from 64 to 16384"]);
    }
    assert_has(&Start::new().listener("http", "max_headers = 0").refusal(), &["from 1 to 64"]);
}

#[test]
fn each_limit_on_time_and_number_is_refused_past_its_bounds_and_taken_at_them_g_13() {
    let day = "from 1 to 86400000";
    for (name, most, bounds) in [
        ("head_timeout_ms", 86_400_000u64, day),
        ("body_timeout_ms", 86_400_000, day),
        ("keep_alive_timeout_ms", 86_400_000, day),
        ("max_requests", 4_294_967_295, "from 1 to 4294967295"),
    ] {
        for value in ["0", "-1", "1.5", "\"1\"", "true", &(most + 1).to_string()] {
            let text = Start::new().listener("http", &format!("{name} = {value}")).refusal();
            assert_has(&text, &[name, value, bounds]);
        }
        let settings = format!("{name} = {most}");
        let server = Start::new().listener("http", &settings).listener("http", "").start();
        assert_eq!(server.connect().get("/").status(), 200);
        server.stop();
    }
}

#[test]
fn an_unknown_protocol_is_refused_naming_those_that_exist_g_11() {
    let text = Start::new().listener("gopher", "").refusal();
    assert_has(&text, &["`gopher`", "test.toml:1", "use one of: echo, http"]);
}

#[test]
fn a_good_listener_beside_a_bad_one_is_not_started_g_13() {
    let text = Start::new().listener("http", "").listener("http", "x = 1").refusal();
    assert_has(&text, &["`x`"]);
}

#[test]
fn a_pool_no_larger_than_what_the_kernel_would_hold_still_answers() {
    let tables = "[mempool]\nsmall_slots = 16\nlarge_slots = 36\n";
    let server = Start::new().listener("http", "").tables(tables).start();
    let mut client = server.connect();
    (0..50).for_each(|_| assert_eq!(client.get("/").status(), 200));
    assert!(client.post("/echo", &[7; 50_000]).body == [7; 50_000]);
    server.stop();
}

#[test]
fn a_pool_that_leaves_nothing_to_answer_with_is_refused_naming_the_least() {
    for slots in ["small_slots = 1", "large_slots = 1"] {
        let tables = format!("[mempool]\n{slots}\n");
        let text = Start::new().listener("http", "").tables(&tables).refusal();
        assert_has(&text, &[slots.split_once(' ').unwrap().0, "at least"]);
    }
}
