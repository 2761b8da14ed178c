//! The `ringway` command as an operator meets it: what it refuses, in which words, with which exit
//! code, and what `doctor` and `--help` say.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use ringway::sys::affinity;
use tempfile::TempDir;

fn ringway(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringway")).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Runs `ringway run` with the options and gives its one-sentence refusal.
fn refusal(options: &[&str]) -> String {
    let output = ringway(&[&["run"], options].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{options:?}: {text}");
    assert!(text.starts_with("ringway: cannot "), "{options:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{options:?}: {text}");
    text
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// A configuration file, and what `ringway run --config` says of it.
fn refusal_of_file(text: &str) -> String {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.toml");
    fs::write(&path, text).unwrap();
    refusal(&["--config", path.to_str().unwrap()])
}

const LISTENER: &str =
    "[[listener]]\naddress = \"127.0.0.1:1\"\ntransport = \"tcp\"\nprotocol = \"http\"\n";

#[test]
fn a_bad_core_mask_is_refused_with_the_digit_and_an_example() {
    assert_has(&refusal(&["-c", "0xzz"]), &["'z'", "`0x6`"]);
    assert_has(&refusal(&["--core-mask", "0"]), &["no core"]);
}

#[test]
fn a_bad_core_list_is_refused_with_the_reason() {
    assert_has(&refusal(&["-l", "3-1"]), &["3-1 is reversed"]);
    assert_has(&refusal(&["--lcores", "1-3@7"]), &["parentheses"]);
}

#[test]
fn a_core_the_machine_does_not_have_is_refused_naming_what_it_has_p_1() {
    let text = refusal(&["-l", "0@1023"]);
    assert_has(&text, &["lcore 0 on core 1023", "this machine has core"]);
}

#[test]
fn offload_cores_that_are_not_there_or_that_lcores_use_are_refused_naming_those_left_g_9() {
    assert_has(&refusal(&["--offload-lcores", "2-1"]), &["2-1 is reversed"]);
    let text = refusal(&["--offload-lcores", "0@1023"]);
    assert_has(&text, &["offload thread 0 on core 1023", "this machine has core"]);
    let allowed = affinity::allowed().unwrap();
    let own = format!("0@{}", allowed[0]);
    let text = refusal(&["-l", &own, "--offload-lcores", &own]);
    assert_has(&text, &["offload thread 0 on core", "lcore 0 runs there"]);
    match allowed.get(1) {
        Some(_) => assert_has(&text, &["name cores among", "which no lcore uses"]),
        None => assert_has(&text, &["threads = 1"]),
    }
}

#[test]
fn a_main_lcore_outside_the_list_is_refused_naming_the_list() {
    let cpu = affinity::allowed().unwrap()[0];
    let list = format!("5@{cpu}");
    assert_has(&refusal(&["-l", &list, "--main-lcore", "9"]), &["lcore 9", &list]);
}

#[test]
fn a_missing_configuration_file_is_refused_by_its_path() {
    assert_has(
        &refusal(&["--config", "/nonexistent/r.toml"]),
        &["/nonexistent/r.toml", "--config"],
    );
}

#[test]
fn bad_toml_is_refused_with_its_line() {
    assert_has(&refusal_of_file(&format!("{LISTENER}[dataplane\n")), &["r.toml:5:"]);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_keys_that_exist() {
    let text = refusal_of_file(&format!("{LISTENER}adress = 1\n"));
    assert_has(&text, &["r.toml:5:1", "`adress`", "`address`", "`protocol`"]);
}

#[test]
fn a_duplicate_listener_is_refused_with_both_lines() {
    let text = refusal_of_file(&format!("{LISTENER}{LISTENER}"));
    assert_has(&text, &["127.0.0.1:1", "r.toml:6", "r.toml:2"]);
}

#[test]
fn a_file_prefix_that_leaves_its_directory_is_refused() {
    assert_has(&refusal(&["--file-prefix", "../x"]), &["../x", "letters"]);
}

#[test]
fn more_numa_memory_than_nodes_is_refused_naming_the_nodes() {
    let values = ["1"; 1025].join(",");
    assert_has(&refusal(&["--numa-mem", &values]), &["this machine has", "--numa-mem"]);
}

#[test]
fn a_huge_dir_that_is_no_hugetlbfs_is_refused() {
    assert_has(&refusal(&["--huge-dir", "/proc"]), &["/proc", "hugepages/reserve.sh mount"]);
}

#[test]
fn a_list_and_a_mask_at_once_are_a_usage_error() {
    let output = ringway(&["run", "-l", "0", "-c", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert_has(&String::from_utf8(output.stderr).unwrap(), &["cannot be used with"]);
}

#[test]
fn values_outside_a_fixed_choice_are_usage_errors_that_name_the_choice() {
    for (options, choice) in [
        (["--idle", "lazy"], "busy, adaptive, sleep"),
        (["--log-level", "loud"], "error, warn, info, debug, trace"),
    ] {
        let output = ringway(&["run", options[0], options[1]]);
        assert_eq!(output.status.code(), Some(2));
        assert_has(&String::from_utf8(output.stderr).unwrap(), &[choice]);
    }
}

#[test]
fn no_subcommand_and_an_unknown_option_are_usage_errors() {
    assert_eq!(ringway(&[]).status.code(), Some(2));
    assert_eq!(ringway(&["run", "--frobnicate"]).status.code(), Some(2));
}

#[test]
fn doctor_prints_one_line_a_check_and_json_says_the_same_p_10() {
    let names = [
        "kernel",
        "io_uring",
        "hugepages",
        "thp",
        "memlock",
        "stats",
        "numa",
        "cores",
        "isolated",
        "governor",
        "quota",
        "machine",
        "files",
        "somaxconn",
    ];
    let lines = ringway(&["doctor"]);
    let text = stdout(&lines);
    let mut printed = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let status = words.next().unwrap();
        assert!(["ok", "warn", "fail"].contains(&status), "{line}");
        assert_eq!(
            status != "ok",
            line.contains("| lost: ") && line.contains("| mend: "),
            "{line}"
        );
        printed.push(words.next().unwrap());
    }
    assert_eq!(printed, names);

    let json = ringway(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(checks.iter().map(|c| c["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    let fit = !text.lines().any(|line| line.starts_with("fail"));
    assert_eq!(report["fit"], fit);
    for output in [lines, json] {
        assert_eq!(output.status.code(), Some(i32::from(!fit)));
    }
}

#[test]
fn help_names_every_option_its_default_and_the_exit_codes() {
    let help = stdout(&ringway(&["run", "--help"]));
    assert_has(
        &help,
        &[
            "-l, --lcores",
            "-c, --core-mask",
            "--main-lcore",
            "--offload-lcores",
            "--numa-mem",
            "--huge-dir",
            "--no-huge",
            "--in-memory",
            "--file-prefix",
            "--config",
            "--idle",
            "--log-level",
            "--mlock",
            "MiB",
            "Examples:",
            "Exit codes:",
            "`log.level`",
            "[default: ringway]",
            "[[listener]]",
            "drain_timeout_ms",
            "write_timeout_ms",
            "max_connections_per_address",
        ],
    );
    assert_has(&stdout(&ringway(&["--help"])), &["run", "doctor", "Exit codes:"]);
    assert_has(&stdout(&ringway(&["attach", "--help"])), &["--echo", "--isolated", "Exit codes:"]);
    assert_has(&stdout(&ringway(&["doctor", "--help"])), &["--json", "Exit codes:"]);
}

#[test]
fn version_is_the_packages() {
    let version = stdout(&ringway(&["--version"]));
    assert_eq!(version.trim(), concat!("ringway ", env!("CARGO_PKG_VERSION")));
}

/// Runs `ringway keygen` with the options.
fn keygen(options: &[&str]) -> Output {
    ringway(&[&["keygen"], options].concat())
}

/// What it says on standard error, having failed.
fn keygen_refusal(options: &[&str]) -> String {
    let output = keygen(options);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{options:?}: {text}");
    assert!(output.stdout.is_empty() && text.starts_with("ringway: cannot "), "{text}");
    text
}

#[test]
fn keygen_makes_an_identity_for_its_owner_alone_and_shows_whose_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    let path = path.to_str().unwrap();
    let made = keygen(&["--out", path]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600);
    let text = stdout(&made);
    let words: Vec<&str> = text.split_whitespace().collect();
    let [address, _, key, ..] = words[..] else { panic!("{text}") };
    assert_eq!((address.len(), key.len()), (32, 64), "{text}");
    assert_has(&fs::read_to_string(path).unwrap(), &[address, "\nsecret "]);
    assert_eq!(stdout(&keygen(&["--show", path])), text);
    // What is secret is not printed.
    let kept = fs::read_to_string(path).unwrap();
    let secret = kept.lines().last().unwrap().split_whitespace().nth(1).unwrap();
    assert!(!text.contains(secret));
}

#[test]
fn keygen_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    fs::write(&path, "precious").unwrap();
    let path = path.to_str().unwrap();
    assert_has(&keygen_refusal(&["--out", path]), &[path, "overwritten", "--show"]);
    assert_eq!(fs::read_to_string(path).unwrap(), "precious");
}

#[test]
fn an_identity_that_others_may_read_is_refused_with_the_line_that_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    let path = path.to_str().unwrap();
    assert_eq!(keygen(&["--out", path]).status.code(), Some(0));
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_has(&keygen_refusal(&["--show", path]), &["0640", "chmod 600"]);
}

#[test]
fn what_is_no_identity_file_is_refused_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    let at = path.to_str().unwrap();
    assert_has(&keygen_refusal(&["--show", at]), &["No such file", "ringway keygen --out"]);
    assert_has(&keygen_refusal(&["--show", dir.path().to_str().unwrap()]), &["it is no file"]);
    for (text, part) in
        [("# a\n", "no line `secret`"), ("secret 12\n", "cut or edited"), ("a\n", "line 1")]
    {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_has(&keygen_refusal(&["--show", at]), &[part]);
    }
}

#[test]
fn keygen_in_a_directory_that_is_not_there_says_so() {
    assert_has(&keygen_refusal(&["--out", "/nonexistent/identity"]), &["No such file", "--out"]);
}
