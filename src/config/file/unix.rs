//! What a listener on a Unix socket says beyond the others: its path, and who may connect.

use std::path::PathBuf;

use toml::Spanned;

use super::Source;
use crate::config::{Access, Address};
use crate::error::Result;
use crate::limits::{UNIX_MODE, UNIX_PATH_BYTES_MAX};

/// An absolute path, so that it is the same file from wherever one looks, or an abstract name.
pub(super) fn address(source: &Source, written: &Spanned<String>) -> Result<Address> {
    let text = written.get_ref();
    let refuse = |why: String, remedy: &str| Err(source.refuse(written.span(), why, remedy));
    let named = text.len() > 1 && (text.starts_with('/') || text.starts_with('@'));
    if !named || text.contains('\0') {
        return refuse(
            format!("`{text}` is no path of a Unix socket"),
            "write it as \"/run/ringway.sock\", or as \"@name\" for an abstract one; for a port say \
             transport = \"shm\"",
        );
    }
    if text.len() > UNIX_PATH_BYTES_MAX {
        return refuse(
            format!("the path has {} bytes, and {UNIX_PATH_BYTES_MAX} is the most", text.len()),
            "use a shorter one, such as one below /run",
        );
    }
    Ok(Address::Unix(PathBuf::from(text)))
}

/// The keys as written.
pub(super) struct RawAccess {
    pub mode: Option<Spanned<String>>,
    pub uids: Option<Spanned<Vec<u32>>>,
    pub gids: Option<Spanned<Vec<u32>>>,
}

/// Refuses keys that say nothing at `address`.
pub(super) fn access(source: &Source, address: &Address, raw: RawAccess) -> Result<Access> {
    let spans = [
        ("mode", raw.mode.as_ref().map(Spanned::span)),
        ("allow_uids", raw.uids.as_ref().map(Spanned::span)),
        ("allow_gids", raw.gids.as_ref().map(Spanned::span)),
    ];
    let allowed = match address {
        Address::Unix(_) if address.is_abstract() => &spans[1..],
        Address::Unix(_) => &spans,
        Address::Ip(_) | Address::Port(_) => &[],
    };
    for (name, span) in &spans[..spans.len() - allowed.len()] {
        if let Some(span) = span {
            let why = format!("{address} has no file and no users, which `{name}` is about");
            let why = if address.is_abstract() { format!("{address} has no file") } else { why };
            return Err(source.refuse(span.clone(), why, format!("leave `{name}` out")));
        }
    }
    Ok(Access {
        mode: raw.mode.map_or(Ok(UNIX_MODE), |mode| file_mode(source, &mode))?,
        uids: ids(source, raw.uids)?,
        gids: ids(source, raw.gids)?,
    })
}

pub(super) fn file_mode(source: &Source, written: &Spanned<String>) -> Result<u32> {
    let mode = u32::from_str_radix(written.get_ref(), 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| {
        source.refuse(
            written.span(),
            format!("`{}` is no mode of a file", written.get_ref()),
            "write it in octal, as \"0600\" for this user alone or \"0666\" for everybody",
        )
    })
}

pub(super) fn ids(source: &Source, written: Option<Spanned<Vec<u32>>>) -> Result<Vec<u32>> {
    match written {
        Some(ids) if ids.get_ref().is_empty() => Err(source.refuse(
            ids.span(),
            "the list is empty, so it would let in nobody".to_owned(),
            "name somebody, or leave it out to let in everybody",
        )),
        ids => Ok(ids.map(Spanned::into_inner).unwrap_or_default()),
    }
}
