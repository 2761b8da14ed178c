//! The commands that `ringway run` serves without any program behind it.

use std::fmt::{Result, Write};

use super::{Command, Reply, Service};
use crate::counters::Totals;
use crate::handler::status;
use crate::pipeline::Cx;

/// The commands with what they do.
const COMMANDS: [(&str, &str); 5] = [
    ("help", "these lines"),
    ("version", "the version of ringway"),
    ("ping", "pong"),
    ("echo", "what follows it"),
    ("status", "what the dataplane counts"),
];

/// `help`, `version`, `ping`, `echo TEXT` and `status`, each also as JSON.
pub struct Builtin {
    status: Totals,
}

impl Builtin {
    /// Commands that report on `status`.
    pub fn new(status: Totals) -> Self {
        Self { status }
    }

    fn answer(&self, command: &Command<'_>, reply: &mut Reply) -> Result {
        let json = command.json;
        match command.name {
            "help" if json => return help_json(reply),
            "help" => return help(reply),
            "status" if json => return status::write_json(&self.status, reply),
            "status" => return status::write_lines(&self.status, reply),
            _ => {}
        }
        let text = match command.name {
            "version" => env!("CARGO_PKG_VERSION"),
            "ping" => "pong",
            "echo" => command.arguments,
            other => {
                reply.fail(404, format_args!("no command `{other}`; `help` lists those there are"));
                return Ok(());
            }
        };
        if !json {
            return writeln!(reply, "{text}");
        }
        reply.write_str("{\"result\": ")?;
        reply.json_string(text);
        reply.write_str("}\n")
    }
}

fn help(reply: &mut Reply) -> Result {
    for (name, what) in COMMANDS {
        writeln!(reply, "{name:8} {what}")?;
    }
    writeln!(reply, "j/NAME   the same as JSON")
}

fn help_json(reply: &mut Reply) -> Result {
    for (index, (name, what)) in COMMANDS.into_iter().enumerate() {
        let before = if index == 0 { "{\"result\": {" } else { ", " };
        write!(reply, "{before}\"{name}\": \"{what}\"")?;
    }
    reply.write_str("}}\n")
}

impl Service for Builtin {
    fn call(&mut self, _cx: &mut Cx, command: &Command<'_>, reply: &mut Reply) {
        // It fails past the bound of a reply alone, of which the reply then speaks.
        let _ = self.answer(command, reply);
    }
}
