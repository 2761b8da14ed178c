//! The `[control]` table: whether there is a control socket, where, and for whom.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{Source, unix};
use crate::config::{Address, ControlConfig};
use crate::error::Result;
use crate::limits::CONTROL_MODE;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawControl {
    enabled: Option<bool>,
    socket: Option<Spanned<String>>,
    mode: Option<Spanned<String>>,
    allow_uids: Option<Spanned<Vec<u32>>>,
}

pub(super) fn control(source: &Source, raw: RawControl) -> Result<ControlConfig> {
    if raw.socket.is_none() {
        let spans =
            [raw.mode.as_ref().map(Spanned::span), raw.allow_uids.as_ref().map(Spanned::span)];
        if let Some(span) = spans.into_iter().flatten().next() {
            return Err(source.refuse(
                span,
                "without `socket` it lies in a directory of this user alone".to_owned(),
                "name a `socket` in a directory that others can enter, or leave this out",
            ));
        }
    }
    let mode = raw.mode.map(|mode| unix::file_mode(source, &mode)).transpose()?;
    Ok(ControlConfig {
        enabled: raw.enabled.unwrap_or(true),
        socket: raw.socket.map(|socket| path(source, &socket)).transpose()?,
        mode: mode.unwrap_or(CONTROL_MODE),
        uids: unix::ids(source, raw.allow_uids)?,
    })
}

/// A file: an abstract name has no permissions, so anybody could stop the instance.
fn path(source: &Source, written: &Spanned<String>) -> Result<PathBuf> {
    match unix::address(source, written)? {
        Address::Unix(path) if !written.get_ref().starts_with('@') => Ok(path),
        _ => Err(source.refuse(
            written.span(),
            "an abstract name has no permissions".to_owned(),
            "write the path of a file, such as \"/run/ringway.sock\"",
        )),
    }
}
