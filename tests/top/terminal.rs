//! In a terminal.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::{Leftovers, Load, start};
use crate::common::{own, wait_until};
use crate::tmux::Terminal;

/// Runs it, and says how it ended and whether the terminal is as it was.
fn script(name: &str) -> String {
    let (program, prefix) = (env!("CARGO_BIN_EXE_ringway"), own(name));
    format!(
        "before=$(stty -g); {program} top --file-prefix {prefix} --interval 200; echo ended $?; \
         test \"$before\" = \"$(stty -g)\" && echo as before; cat"
    )
}

fn assert_is_restored(terminal: &Terminal, ended: &str) {
    terminal.wait_for(&[ended, "as before"]);
    assert_eq!(terminal.variable("alternate_on"), "0");
    assert_eq!(terminal.variable("cursor_flag"), "1");
}

/// The process of `ringway top`: the child of the terminal's shell.
fn top_of(terminal: &Terminal) -> Pid {
    let shell = terminal.variable("pane_pid");
    let path = format!("/proc/{shell}/task/{shell}/children");
    let mut child = None;
    wait_until(|| {
        let children = fs::read_to_string(&path).unwrap_or_default();
        child = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        child.is_some()
    });
    Pid::from_raw(child.unwrap())
}

#[test]
fn keys_show_each_view_and_the_terminal_is_given_back() {
    let running = start("top-keys");
    let Some(terminal) = Terminal::start(&script("top-keys")) else { return };
    let _load = Load::on(running.address);
    terminal.wait_for(&["● running", "messages", "LCORE", "BUSY%", "q quit"]);
    assert_eq!(terminal.variable("alternate_on"), "1");
    terminal.press(&["2"]);
    terminal.wait_for(&["ADDRESS", "P99.9", &running.address.to_string()]);
    terminal.press(&["Tab"]);
    terminal.wait_for(&["WHERE", "CYC/BUF", "ingress"]);
    terminal.press(&["4"]);
    terminal.wait_for(&["SLOT", "EXHAUSTED", "2K"]);
    terminal.press(&["5"]);
    terminal.wait_for(&["no ports"]);
    terminal.press(&["6"]);
    terminal.wait_for(&["dropped"]);
    terminal.press(&["?"]);
    terminal.wait_for(&["keys and words"]);
    terminal.press(&["q"]);
    terminal.press(&["1"]);
    terminal.resize("180", "50");
    terminal.wait_for(&["ENOBUFS", "latency p99", "Poll loop of lcore 0", "Up Down choose"]);
    let coloured = terminal.coloured_screen();
    assert!(
        coloured.contains("38;5;2m") || coloured.contains("[32m"),
        "work is green: {coloured:?}"
    );
    terminal.press(&["q"]);
    assert_is_restored(&terminal, "ended 0");
}

#[test]
fn a_signal_ends_it_and_the_terminal_is_given_back() {
    let _running = start("top-signal");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let Some(terminal) = Terminal::start(&script("top-signal")) else { return };
        terminal.wait_for(&["● running"]);
        kill(top_of(&terminal), signal).unwrap();
        assert_is_restored(&terminal, "ended 0");
    }
}

#[test]
fn it_is_suspended_and_goes_on() {
    let _running = start("top-suspend");
    // Job control, as a person's shell has it.
    let script =
        format!("set -m; {}", script("top-suspend").replace("echo ended", "fg; echo ended"));
    let Some(terminal) = Terminal::start(&script) else { return };
    terminal.wait_for(&["● running"]);
    terminal.press(&["C-z"]);
    // The script says `fg` at once.
    terminal.wait_for(&["● running", "q quit"]);
    terminal.press(&["2"]);
    terminal.wait_for(&["ADDRESS"]);
    terminal.press(&["q"]);
    terminal.wait_for(&["ended"]);
    assert_eq!(terminal.variable("alternate_on"), "0");
}

#[test]
fn an_instance_may_die_and_come_again_under_its_eyes() {
    let _leftovers = Leftovers("top-again");
    let first = start("top-again");
    let Some(terminal) = Terminal::start(&script("top-again")) else { return };
    terminal.wait_for(&["● running", &format!("pid {}", first.pid())]);
    first.killed();
    terminal.wait_for(&["● DIED", " ago", "lived"]);
    let second = start("top-again");
    terminal.wait_for(&["● running", &format!("pid {}", second.pid()), "restarts 1"]);
    terminal.press(&["C-c"]);
    assert_is_restored(&terminal, "ended 0");
}
