//! A client that somebody else wrote.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::bed::{Bed, Trials, Wish, large};

/// What `socat` prints when it is given `input`; `None`, said why, where there is none.
fn socat(bed: &Bed, input: &str) -> Option<Vec<u8>> {
    let mut command = Command::new("socat");
    command.args(["-t", "30", "-"]).arg(format!("UNIX-CONNECT:{}", bed.path().display()));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        println!("skipped: socat is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(output.stdout)
}

#[test]
fn socat_asks_and_gets_the_whole_answer() {
    let bed = Bed::serving(&Wish::default(), || Trials);
    for (command, reply) in [
        ("ping\n", b"pong\n".to_vec()),
        ("j/echo a\r\n", b"{\"result\": \"a\"}\n".to_vec()),
        ("large 1000000\n", large(1_000_000).to_vec()),
        ("ping", b"error: the command was not ended by a newline\n".to_vec()),
    ] {
        let Some(printed) = socat(&bed, command) else { break };
        assert!(printed == reply, "{command}: {} bytes", printed.len());
    }
    bed.stop();
}
