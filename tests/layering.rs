//! The floors of the house, held by reading the source: which module may name which, where unsafe
//! code and atomics may stand. Each refusal says what to do about it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module with those that it may name; itself and what stands in tests is free. A floor names
/// only what lies below it, so this table can be read from the top down.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("error", &[]),
    ("sync", &[]),
    ("blocking", &[]),
    ("time", &["limits", "sync"]),
    ("config", &["error", "limits"]),
    ("sys", &["error", "limits", "sync"]),
    ("counters", &["error", "limits", "sync", "sys"]),
    ("ring", &["limits", "sync", "sys"]),
    ("proto", &["limits", "time"]),
    ("mem", &["error", "limits", "ring", "sync", "sys"]),
    ("port", &["error", "limits", "mem", "ring", "sync", "sys", "time"]),
    ("offload", &["counters", "error", "limits", "mem", "ring", "sync", "sys"]),
    ("pipeline", &["counters", "limits", "mem", "offload", "port", "proto", "sync", "time"]),
    ("transport", &["counters", "error", "limits", "mem", "port", "sync", "sys", "time"]),
    // `error` and `sys` for services of files.
    (
        "handler",
        &[
            "counters", "error", "limits", "mem", "offload", "pipeline", "port", "proto", "ring",
            "sync", "sys", "time",
        ],
    ),
    ("mailbox", &["error", "limits", "ring", "sync"]),
    ("ipc", &["error", "limits", "proto", "sys"]),
    (
        "lcore",
        &[
            "config",
            "counters",
            "error",
            "handler",
            "limits",
            "mailbox",
            "mem",
            "pipeline",
            "port",
            "ring",
            "sync",
            "sys",
            "time",
            "transport",
        ],
    ),
    ("control", &["config", "counters", "error", "ipc", "limits", "mem", "sys"]),
    ("admin", &["config", "control", "counters", "error", "limits", "proto", "sys"]),
    (
        "dataplane",
        &[
            "admin",
            "config",
            "control",
            "counters",
            "error",
            "handler",
            "ipc",
            "lcore",
            "limits",
            "mailbox",
            "mem",
            "offload",
            "pipeline",
            "port",
            "proto",
            "ring",
            "sync",
            "sys",
            "time",
            "transport",
        ],
    ),
    ("attach", &["error", "limits", "mem", "pipeline", "port", "proto", "ring", "sync", "sys"]),
    ("stream", &["attach", "error", "limits", "mem", "port", "proto", "sync", "sys", "time"]),
    ("websocket", &["limits", "mem", "proto", "sys", "time"]),
    (
        "testing",
        &[
            "counters",
            "error",
            "handler",
            "limits",
            "mem",
            "offload",
            "pipeline",
            "port",
            "proto",
            "time",
            "transport",
        ],
    ),
];

/// Where `unsafe` may stand.
const UNSAFE: [&str; 3] = ["sys", "mem", "ring"];

/// One source file of the library, without its comments and tests.
struct Source {
    path: PathBuf,
    /// The module path below the crate, such as `["transport", "tcp"]`.
    module: Vec<String>,
    code: String,
}

impl Source {
    fn floor(&self) -> &str {
        &self.module[0]
    }
}

/// The library's files; those of its tests, of `lib.rs` and of the command are not among them.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 40, "only {} files were found under src", found.len());
    found
}

fn collect(root: &Path, directory: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            if !matches!(&*name, "bin" | "tests") {
                collect(root, &path, found);
            }
        } else if name.ends_with(".rs") && !matches!(&*name, "lib.rs" | "tests.rs") {
            let code = without_comments_and_tests(&fs::read_to_string(&path).unwrap());
            let below = path.strip_prefix(root).unwrap().with_extension("");
            let mut module: Vec<String> =
                below.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            module.pop_if(|last| last == "mod");
            found.push(Source { path: path.strip_prefix(root).unwrap().into(), module, code });
        }
    }
}

/// Tests stand at the foot of a file, so what follows their module's first line goes.
fn without_comments_and_tests(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    let line = |line: &str| line.split("//").next().unwrap().to_owned();
    text[..end].lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The word that `text` starts with.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The words behind a path's `::`: one, or the first of each in braces.
fn heads(text: &str) -> Vec<String> {
    let Some(group) = text.strip_prefix('{') else { return vec![word(text).to_owned()] };
    let (mut depth, mut start, mut found) = (1, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => start = true,
            c if start && (c.is_alphanumeric() || c == '_') => {
                found.push(word(&group[at..]).to_owned());
                start = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// What follows each occurrence of `path` that is not the tail of a longer word or path.
fn after<'a>(code: &'a str, path: &str) -> Vec<&'a str> {
    let begins = |at: usize| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':' && c != '$')
    };
    let hits = code.match_indices(path).filter(|(at, _)| begins(*at));
    hits.map(|(at, _)| &code[at + path.len()..]).collect()
}

/// The modules at the root of the crate that a file names, through `crate::` or `super::`.
fn named(source: &Source) -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        after(&source.code, "crate::").into_iter().flat_map(heads).collect();
    for mut rest in after(&source.code, "super::") {
        let mut above = 1;
        while let Some(more) = rest.strip_prefix("super::") {
            rest = more;
            above += 1;
        }
        // As many steps up as the module is deep lead to the root.
        if above >= source.module.len() {
            names.extend(heads(rest));
        }
    }
    names
}

fn check(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_module_names_only_the_floors_below_it() {
    let mut faults = Vec::new();
    for source in sources() {
        let floor = source.floor();
        let Some((_, below)) = MAY_NAME.iter().find(|(name, _)| *name == floor) else {
            let path = source.path.display();
            faults.push(format!("src/{path}: `{floor}` has no row in MAY_NAME: give it its floor"));
            continue;
        };
        for name in named(&source) {
            if name != floor && !below.contains(&&*name) {
                faults.push(format!(
                    "src/{}: `{floor}` names `{name}`, but may name only {below:?}. Move what both \
                     need to a floor below both, or hand it in from above",
                    source.path.display(),
                ));
            }
        }
    }
    check(faults);
}

#[test]
fn the_table_has_no_circle_and_keeps_transports_and_pipelines_apart() {
    for (index, (name, below)) in MAY_NAME.iter().enumerate() {
        for other in *below {
            let place = MAY_NAME.iter().position(|(row, _)| row == other);
            assert!(place.is_some_and(|place| place < index), "`{other}` is not above `{name}`");
        }
    }
    let may = |name: &str| MAY_NAME.iter().find(|row| row.0 == name).unwrap().1;
    assert!(!may("transport").contains(&"pipeline"), "bytes move without knowing what they mean");
    assert!(!may("pipeline").contains(&"transport"), "meaning does not know what moves the bytes");
    assert_eq!(may("proto"), ["limits", "time"], "proto could be a crate of its own any day");
}

#[test]
fn unsafe_code_stands_in_sys_mem_and_ring_alone() {
    let outside = |source: &Source| !UNSAFE.contains(&source.floor());
    let fault = |source: &Source| {
        let line = source.code.lines().position(|line| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
        })?;
        let (path, line) = (source.path.display(), line + 1);
        Some(format!("src/{path}:{line}: unsafe code belongs to {UNSAFE:?}: wrap it there, safely"))
    };
    check(sources().iter().filter(|source| outside(source)).filter_map(fault).collect());
}

#[test]
fn atomics_come_from_sync_alone_so_that_loom_sees_each_of_them() {
    let raw = ["std::sync::atomic", "core::sync::atomic", "loom::", "std::cell::UnsafeCell"];
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.floor() != "sync") {
        for name in raw.iter().filter(|name| source.code.contains(**name)) {
            let path = source.path.display();
            faults.push(format!("src/{path}: names `{name}`: take it from `crate::sync`"));
        }
    }
    check(faults);
}

#[test]
fn protocol_cores_know_no_buf_no_clock_and_no_socket() {
    let banned = ["std::net", "std::time", "std::os", "std::io", "std::thread", "libc", "nix::"];
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.floor() == "proto") {
        for name in banned.iter().filter(|name| source.code.contains(**name)) {
            let path = source.path.display();
            faults.push(format!("src/{path}: names `{name}`: hand its result in as an argument"));
        }
    }
    check(faults);
}

#[test]
fn the_reading_of_paths_finds_what_it_has_to() {
    let source = |module: &[&str], code: &str| Source {
        path: PathBuf::new(),
        module: module.iter().map(|part| (*part).to_owned()).collect(),
        code: without_comments_and_tests(code),
    };
    let names = |source: Source| named(&source).into_iter().collect::<Vec<_>>();
    let code = "use crate::{a, b::{c, d}, e::f};\n// crate::x\nfn g() { crate::h::i() }";
    assert_eq!(names(source(&["m"], code)), ["a", "b", "e", "h"]);
    assert_eq!(names(source(&["m"], "use super::a;")), ["a"]);
    assert_eq!(names(source(&["m", "n"], "use super::a; use super::super::b::c;")), ["b"]);
    assert_eq!(names(source(&["m"], "#[cfg(test)]\nmod tests { use crate::a; }")), [""; 0]);
}
