//! What a listener says of peers that send datagrams.

use std::time::Duration;

use toml::Spanned;

use super::Source;
use crate::config::TransportKind;
use crate::error::Result;
use crate::limits::{PEER_IDLE_TIMEOUT_MS_MAX, PEER_IDLE_TIMEOUT_NS};

/// In whole seconds, rounded up: peers are looked at once a second.
pub(super) fn idle_timeout(
    source: &Source,
    transport: TransportKind,
    written: Option<Spanned<u64>>,
) -> Result<Duration> {
    match written {
        None => Ok(Duration::from_nanos(PEER_IDLE_TIMEOUT_NS)),
        Some(ms) if transport != TransportKind::Udp => Err(source.refuse(
            ms.span(),
            format!(
                "idle_timeout_ms is about datagrams, and transport {} has none",
                transport.name()
            ),
            "leave it out; protocols have timeouts of their own",
        )),
        Some(ms) if (1..=PEER_IDLE_TIMEOUT_MS_MAX).contains(ms.get_ref()) => {
            Ok(Duration::from_secs(ms.get_ref().div_ceil(1000)))
        }
        Some(ms) => Err(source.refuse(
            ms.span(),
            format!("idle_timeout_ms is {}", ms.get_ref()),
            format!("give peers 1 to {PEER_IDLE_TIMEOUT_MS_MAX} ms"),
        )),
    }
}

/// A write timeout is about peers that take nothing, which datagrams do not wait for.
pub(super) fn no_write_timeout(
    source: &Source,
    transport: TransportKind,
    written: Option<Spanned<u64>>,
) -> Result<Option<Spanned<u64>>> {
    match written {
        Some(ms) if transport == TransportKind::Udp => Err(source.refuse(
            ms.span(),
            "datagrams wait for no peer".to_owned(),
            "leave write_timeout_ms out, or say idle_timeout_ms",
        )),
        written => Ok(written),
    }
}
