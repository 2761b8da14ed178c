//! What a listener's settings may not say, and what they are told then.

use std::process::Output;

use crate::bed::identity_file;
use crate::common::{command, configuration};

/// What `ringway run` says to these settings, `ID` standing for the path of an identity.
fn refusal(name: &str, settings: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings.replace("ID", &identity_file(&dir, 1).display().to_string());
    let toml = configuration(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"stream\"\n\
         config = {{ {settings} }}\n"
    ));
    let Output { status, stderr, .. } = command(&toml, name, 1).output().unwrap();
    assert!(!status.success(), "{settings}");
    String::from_utf8(stderr).unwrap()
}

#[test]
fn each_mistake_is_named_with_what_mends_it() {
    let node = "0123456789abcdef0123456789abcdef";
    let cases = [
        ("trust = \"anyone\"", "ringway keygen"),
        ("identity = \"/nowhere\", trust = \"anyone\"", "/nowhere"),
        ("identity = \"ID\"", "known_nodes"),
        ("identity = \"ID\", trust = \"some\"", "anyone"),
        ("identity = \"ID\", known_nodes = [\"zz\"]", "zz"),
        ("identity = \"ID\", known_nodes = \"/nowhere\"", "/nowhere"),
        ("identity = \"ID\", trust = \"anyone\", encrypt = \"maybe\"", "required"),
        ("identity = \"ID\", trust = \"anyone\", compress = 1", "true or false"),
        ("identity = \"ID\", trust = \"anyone\", max_channels = 0", "1 to"),
        ("identity = \"ID\", trust = \"anyone\", service = \"none\"", "echo"),
        ("identity = \"ID\", trust = \"anyone\", colour = 1", "colour"),
        ("identity = \"ID\", trust = \"anyone\", known_nodes = [\"NODE\"]", "known"),
    ];
    for (n, (settings, wanted)) in cases.into_iter().enumerate() {
        let text = refusal(&format!("streams-set-{n}"), &settings.replace("NODE", node));
        assert!(text.contains(wanted), "{settings}: {text}");
    }
}

#[test]
fn an_identity_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = identity_file(&dir, 1);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&path, mode).unwrap();
    let text = refusal(
        "streams-set-mode",
        &format!("identity = \"{}\", trust = \"anyone\"", path.display()),
    );
    assert!(text.contains("chmod 600"), "{text}");
}
