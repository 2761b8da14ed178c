//! What a listener says of processes that attach: as the one that handles its messages, or as its peer.

use toml::Spanned;

use super::Source;
use crate::config::{Address, PortConfig, TransportKind};
use crate::error::Result;

/// The port that a process attaches to as the listener's peer.
pub(super) fn address(source: &Source, written: &Spanned<String>) -> Result<Address> {
    let Some(name) = written.get_ref().strip_prefix("port:") else {
        let why = format!("`{}` is no port", written.get_ref());
        let remedy = "write it as \"port:NAME\", or say transport = \"tcp\" or \"unix\"";
        return Err(source.refuse(written.span(), why, remedy));
    };
    Ok(Address::Port(name.to_owned()))
}

/// Whether processes map memory of the port's own alone.
pub(super) fn isolated(
    source: &Source,
    transport: TransportKind,
    handler: &Option<Spanned<String>>,
    written: Option<Spanned<bool>>,
) -> Result<bool> {
    match written {
        Some(key) if handler.is_none() && transport != TransportKind::Shm => {
            let why = "it is about a port, and the listener has none".to_owned();
            let remedy = "say which with handler = \"port:NAME\", or leave it out";
            Err(source.refuse(key.span(), why, remedy))
        }
        Some(key) if transport == TransportKind::Udp && *key.get_ref() => {
            let why = "an isolated process gets what is longer than 16 KiB in pieces, and a datagram \
                       has none";
            let remedy = "leave it out, or say transport = \"tcp\"";
            Err(source.refuse(key.span(), why.to_owned(), remedy))
        }
        written => Ok(written.is_some_and(Spanned::into_inner)),
    }
}

/// What `handler`, and the key that goes with it, say.
pub(super) fn handler(
    source: &Source,
    handler: Option<Spanned<String>>,
    unattended: Option<Spanned<String>>,
) -> Result<Option<PortConfig>> {
    let Some(handler) = handler else {
        return unattended.map_or(Ok(None), |key| {
            let why = "it is about a handler's port, and the listener has none".to_owned();
            let remedy = "say which with handler = \"port:NAME\", or leave it out";
            Err(source.refuse(key.span(), why, remedy))
        });
    };
    let Some(name) = handler.get_ref().strip_prefix("port:") else {
        let why = format!("`{}` is no handler", handler.get_ref());
        return Err(source.refuse(handler.span(), why, "write it as \"port:NAME\""));
    };
    let park = match unattended.as_ref().map(|word| word.get_ref().as_str()) {
        None | Some("refuse") => false,
        Some("park") => true,
        Some(other) => {
            let span = unattended.as_ref().map_or(0..0, Spanned::span);
            let why = format!("unattended is `{other}`");
            return Err(source.refuse(span, why, "say \"refuse\" or \"park\""));
        }
    };
    Ok(Some(PortConfig { name: name.to_owned(), park }))
}
