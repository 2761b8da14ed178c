//! Commands on a Unix socket. `cargo run --release --example commands -- /tmp/commands.sock`, then
//! `echo greet you | socat - UNIX-CONNECT:/tmp/commands.sock`, or `j/greet you` for JSON

use std::fmt::Write;

use ringway::dataplane::Builder;
use ringway::handler::ipc::{Command, Reply};
use ringway::pipeline::Cx;

fn answer(_cx: &mut Cx, command: &Command<'_>, reply: &mut Reply) {
    // Writing fails past 16 MiB alone, of which the reply then speaks.
    let _ = match (command.name, command.json) {
        ("greet", false) => writeln!(reply, "hello, {}", command.arguments),
        ("greet", true) => {
            reply.bytes(b"{\"hello\": ");
            reply.json_string(command.arguments);
            reply.write_str("}\n")
        }
        (other, _) => return reply.fail(404, format_args!("no command `{other}`, but `greet`")),
    };
}

fn main() -> ringway::error::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "@ringway-commands".to_owned());
    let report = Builder::on_one_core()?.ipc(path, || answer).run()?;
    println!("{report}");
    Ok(())
}
