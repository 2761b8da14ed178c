//! The commands about ports: who is attached, and attaching. The connection of a process that attaches
//! stays open for as long as both sides live.

use std::io::Write;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::Ports;
use crate::control::{Answer, Commands, Table};
use crate::error::Error as StartError;
use crate::ipc::{Command, Error, Reply};
use crate::mem::Trust;
use crate::port::Role;
use crate::sys::passed_fds::send_with_fds;
use crate::sys::unix_stream::Peer;

/// `ports` and `attach`.
pub(super) fn add_commands(ports: Ports, commands: &mut Commands) {
    let listed = ports.clone();
    commands.add_plain("ports", "ports, and the processes at them", move || list(&listed));
    let help = "attaches the process that asks, and hands it the memory (see ringway::attach)";
    commands.add("attach PORT [shared|isolated] [follow]", help, move |command, reply| {
        attach(&ports, command, reply)
    });
}

fn list(ports: &Ports) -> Answer {
    let columns = ["port", "role", "isolated", "unattended", "pid", "trust"];
    let columns = columns.map(str::to_owned).into();
    let rows = ports.list().into_iter().map(|(port, attached)| {
        let unattended = match port.role {
            Role::Peer => None,
            Role::Handler => Some(if port.park { "park" } else { "refuse" }),
        };
        vec![
            Value::from(port.name),
            port.role.name().into(),
            port.isolated.into(),
            unattended.into(),
            attached.map(|process| process.pid).into(),
            attached.map(|process| process.trust.name()).into(),
        ]
    });
    Answer::Table(Table { columns, rows: rows.collect(), upright: false })
}

fn attach(ports: &Ports, command: &Command<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
    let usage = || Error::handler(400, "it is `attach PORT`, `attach PORT shared` or `… isolated`");
    let mut words = command.arguments.split_ascii_whitespace();
    let name = words.next().ok_or_else(usage)?.to_owned();
    let mut word = words.next();
    let asked = word.and_then(Trust::named);
    if asked.is_some() {
        word = words.next();
    }
    let follows = word == Some("follow");
    if follows {
        word = words.next();
    }
    if word.is_some() {
        return Err(usage());
    }
    let (ports, peer) = (ports.clone(), reply.peer());
    let refused = |error: StartError| Error::handler(409, error.to_string());
    let trust = ports.check(&name, asked).map_err(refused)?;
    if trust == Trust::Shared && !may_share(peer) {
        let why = format!("user {} may not map the mempool: ask for isolated", peer.uid);
        return Err(Error::handler(403, why));
    }
    reply.take_over(move |stream| {
        let wanted = Wanted { name: &name, trust, follows };
        if let Err(error) = serve(&ports, wanted, peer, &stream) {
            // It hears of it, or is gone.
            let _ = writeln!(&stream, "error: {error}");
        }
    });
    Ok(())
}

/// What a process has asked for, and may have.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    name: &'a str,
    trust: Trust,
    /// It attaches to the instance that takes over from this one, by itself.
    follows: bool,
}

/// Who runs the instance, and root: they could read its memory anyway.
fn may_share(peer: Peer) -> bool {
    peer.uid == nix::unistd::geteuid().as_raw() || peer.uid == 0
}

/// Attaches the process at the other end of `stream`, and keeps it attached until either side ends.
fn serve(
    ports: &Ports,
    wanted: Wanted<'_>,
    peer: Peer,
    stream: &UnixStream,
) -> Result<(), StartError> {
    let Wanted { name, trust, follows } = wanted;
    let failed = |e: std::io::Error| {
        StartError::new(format!("attach to port `{name}`"), e, "raise the limit on open files")
    };
    let lifeline = stream.try_clone().map_err(failed)?;
    let (offer, attachment) = ports.attach(name, Some(trust), peer.pid, lifeline)?;
    let line = format!("{}\n", offer.grant.to_line());
    // A line is far below what a fresh socket takes at once.
    send_with_fds(stream, line.as_bytes(), &offer.fds()).map_err(failed)?;
    drop(offer);
    if follows {
        attachment.follow();
    }
    tracing::info!(port = name, pid = peer.pid, trust = trust.name(), "a process attached");
    attachment.lifeline().wait_for_end();
    match attachment.lifeline().fault() {
        Some(fault) => tracing::warn!(
            port = name,
            pid = peer.pid,
            "a process was cut off from its port: {}",
            fault.name()
        ),
        None => tracing::info!(port = name, pid = peer.pid, "a process has gone from its port"),
    }
    Ok(())
}
