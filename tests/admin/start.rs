//! Starts that are refused, with the line that mends them, and what the command line says.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use ringway::sync::{AtomicUsize, Ordering};
use tempfile::TempDir;

use crate::bed::TOKEN;
use crate::common::{Watchdog, command, configuration};

const HTTP: &str =
    "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"http\"\n";

fn run(dir: &TempDir, arguments: &[&str]) -> Output {
    let _watchdog = Watchdog::start();
    // Each under a name of its own: some wait a moment before they give up.
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let name = format!("admin-start{}", TURN.fetch_add(1, Ordering::Relaxed));
    command(dir, &name, 1).args(arguments).output().unwrap()
}

/// What a start with these arguments, and this in the configuration, complains of.
fn refused(more: &str, arguments: &[&str]) -> String {
    let output = run(&configuration(&format!("{HTTP}{more}")), arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_address_that_others_reach_is_refused_without_a_token() {
    for text in [
        refused("", &["--admin", "0.0.0.0:0"]),
        refused("", &["--admin", "[::]:0"]),
        refused("[admin]\naddress = \"0.0.0.0:0\"\n", &[]),
        refused("[admin]\naddress = \"127.0.0.1:0\"\n", &["--admin", "0.0.0.0:0"]),
    ] {
        assert!(text.contains("there is no token") && text.contains("openssl rand"), "{text}");
    }
}

#[test]
fn a_token_file_that_others_may_read_is_refused() {
    let dir = configuration(HTTP);
    let path = dir.path().join("token");
    fs::write(&path, TOKEN).unwrap();
    let arguments = ["--admin", "127.0.0.1:0", "--admin-token-file", path.to_str().unwrap()];
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let output = run(&dir, &arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("chmod 600"), "{text}");
    fs::write(&path, "short").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let text = String::from_utf8(run(&dir, &arguments).stderr).unwrap();
    assert!(text.contains("16 to 256"), "{text}");
    let lost = ["--admin-token-file", path.to_str().unwrap()];
    let text = String::from_utf8(run(&dir, &lost).stderr).unwrap();
    assert!(text.contains("add --admin ADDRESS"), "{text}");
}

#[test]
fn an_address_that_is_taken_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = refused("", &["--admin", &address]);
    assert!(text.contains(&address) && text.contains("ss -ltnp"), "{text}");
}

#[test]
fn an_admin_table_that_makes_no_sense_is_refused_with_its_line() {
    for (table, part) in [
        ("token = \"0123456789abcdef\"", "has no address"),
        ("address = \"localhost:9090\"", "not an IP address"),
        ("address = \"127.0.0.1:0\"\ntoken = \"short\"", "16 to 256"),
        ("address = \"127.0.0.1:0\"\ntoken_file = \"\"", "token_file is empty"),
        ("address = \"127.0.0.1:0\"\ntoken = \"0123456789abcdef\"\ntoken_file = \"a\"", "both"),
        ("address = \"127.0.0.1:0\"\ntokens = \"0123456789abcdef\"", "unknown field"),
    ] {
        let text = refused(&format!("[admin]\n{table}\n"), &[]);
        assert!(text.contains(part) && text.contains("r.toml:"), "{text}");
        assert!(!text.contains("0123456789abcdef"), "{text}");
    }
}

#[test]
fn the_help_tells_of_it() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_ringway")).args(["run", "--help"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["--admin <ADDRESS>", "--admin-token-file <FILE>", "[admin]", "localhost:9090"] {
        assert!(text.contains(part), "{part}");
    }
}
