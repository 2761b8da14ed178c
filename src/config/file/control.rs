//! The `[control]` table: whether there is a control socket, where, and for whom.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{Source, unix};
use crate::config::{Address, CaptureAccess, ControlConfig};
use crate::error::Result;
use crate::limits::CONTROL_MODE;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawControl {
    enabled: Option<bool>,
    socket: Option<Spanned<String>>,
    mode: Option<Spanned<String>>,
    allow_uids: Option<Spanned<Vec<u32>>>,
    capture: Option<Spanned<String>>,
    capture_decrypted_uids: Option<Spanned<Vec<u32>>>,
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
        capture: capture(source, raw.capture, raw.capture_decrypted_uids)?,
    })
}

/// Who may see what passes.
fn capture(
    source: &Source,
    word: Option<Spanned<String>>,
    uids: Option<Spanned<Vec<u32>>>,
) -> Result<CaptureAccess> {
    let (bytes, decrypted) = match word.as_ref().map(|word| &**word.get_ref()) {
        Some("none") => (false, false),
        None | Some("encrypted") => (true, false),
        Some("all") => (true, true),
        Some(other) => {
            let span = word.as_ref().expect("it was just looked at").span();
            return Err(source.refuse(
                span,
                format!("`{other}` is not what may be captured"),
                "write \"none\", \"encrypted\" (what peers encrypted stays so) or \"all\"",
            ));
        }
    };
    if let Some(uids) = uids.as_ref().filter(|_| !bytes) {
        return Err(source.refuse(
            uids.span(),
            "`capture = \"none\"` lets nobody capture".to_owned(),
            "leave one of the two out",
        ));
    }
    Ok(CaptureAccess { bytes, decrypted, decrypted_uids: unix::ids(source, uids)? })
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
