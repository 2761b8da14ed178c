//! What must hold of settings that somebody changes, whatever they are. The fuzz target and `tests/fuzz_corpus.rs` share it.

use ringway::config::Config;

/// What the settings are changed in.
const TOML: &str = r#"
    [[listener]]
    address = "127.0.0.1:0"
    transport = "tcp"
    protocol = "http"
    config = { max_headers = 17 }
    [[listener]]
    address = "/tmp/x.sock"
    transport = "unix"
    protocol = "raw"
    handler = "port:app"
    allow_uids = [0]
    [control]
    socket = "/tmp/c.sock"
"#;

/// Lines of a key, a blank and its value.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let config = Config::from_toml(TOML, "the fuzzer").expect("it is good");
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let changes: Vec<_> = lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    match config.with(&changes) {
        // What is in force can always be written out and read again.
        Ok(changed) => assert_eq!(changed.with(&[]).as_ref(), Ok(&changed)),
        Err(error) => assert!(error.what().starts_with("set ") && !error.remedy().is_empty()),
    }
    // One key changes nothing but what is below it: a value brings nothing else along.
    if let [(key, _)] = &changes[..]
        && let Ok(changed) = config.with(&changes)
        && !key.starts_with("dataplane")
    {
        assert_eq!(changed.dataplane, config.dataplane);
    }
}
