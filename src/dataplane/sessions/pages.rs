//! What an lcore is asked about its sessions of streams. Each is one call, which looks at a bounded part of
//! them and fills room that who asks has made.

use crate::lcore::Lcore;
use crate::limits::{STREAM_CHANNELS_DUMPED_MAX, STREAM_SESSIONS_A_CALL, STREAM_TRACE_LINES};
use crate::mem::ConnId;
use crate::pipeline::Pipeline;
use crate::pipeline::chain::Stream;
use crate::pipeline::chain::stream::{ChannelState, NoTrace, SessionDump, Trace, TraceDump};

/// A session, with the index of its listener.
pub(super) struct Found {
    pub listener: u8,
    pub dump: SessionDump,
}

/// Where a page begins: at a slot of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Start {
    listener: u8,
    slot: u32,
}

/// Some of an lcore's sessions.
pub(super) struct Page {
    pub found: Vec<Found>,
    /// Where the next one begins.
    pub next: Option<Start>,
    /// Sessions that the lcore has.
    pub all: usize,
}

/// One session, with its channels and what was noted of it.
pub(super) struct Detail {
    pub session: Found,
    pub channels: Vec<ChannelState>,
    pub trace: TraceDump,
}

/// The lcore's chains of streams, with the indices of their listeners.
fn streams(lcore: &mut Lcore) -> impl Iterator<Item = (u8, &mut Stream)> {
    lcore.pipelines().filter_map(|(index, pipeline)| match pipeline {
        Pipeline::Stream(chain) => Some((index, &mut **chain)),
        _ => None,
    })
}

/// The sessions from `from` on, as many as one call looks at.
pub(super) fn page(from: Start) -> impl FnOnce(&mut Lcore) -> Page + Send {
    let found = Vec::with_capacity(STREAM_SESSIONS_A_CALL);
    move |lcore| {
        let now = lcore.now();
        let mut page = Page { found, next: None, all: 0 };
        for (listener, chain) in streams(lcore) {
            page.all += chain.sessions();
            if listener < from.listener || page.next.is_some() {
                continue;
            }
            let slot = if listener == from.listener { from.slot } else { 0 };
            let most = STREAM_SESSIONS_A_CALL - page.found.len();
            let into = |dump| page.found.push(Found { listener, dump });
            page.next = chain.dump_from(now, slot, most, into).map(|slot| Start { listener, slot });
        }
        page
    }
}

/// All about the session of `conn`, if it is there.
pub(super) fn detail(conn: ConnId) -> impl FnOnce(&mut Lcore) -> Option<Detail> + Send {
    let mut channels = Vec::with_capacity(STREAM_CHANNELS_DUMPED_MAX);
    let mut trace =
        TraceDump { lines: Vec::with_capacity(STREAM_TRACE_LINES), ..TraceDump::default() };
    move |lcore| {
        let now = lcore.now();
        let (listener, chain, dump) = streams(lcore)
            .find_map(|(index, chain)| chain.dump(now, conn).map(|dump| (index, chain, dump)))?;
        chain.dump_channels(conn, &mut channels);
        chain.dump_trace(conn, &mut trace);
        Some(Detail { session: Found { listener, dump }, channels, trace })
    }
}

/// Has what passes on a session noted.
pub(super) fn trace(
    conn: ConnId,
    trace: Box<Trace>,
) -> impl FnOnce(&mut Lcore) -> Result<(), NoTrace> + Send {
    move |lcore| {
        let now = lcore.now();
        let mut chains = streams(lcore);
        let chain = chains.find_map(|(_, chain)| chain.dump(now, conn).map(|_| chain));
        chain.ok_or(NoTrace::NoSession)?.trace(conn, trace)
    }
}

/// Has it noted no more, and gives what was.
pub(super) fn untrace(
    conn: ConnId,
) -> impl FnOnce(&mut Lcore) -> Result<Option<Box<Trace>>, NoTrace> + Send {
    move |lcore| {
        let mut tried = streams(lcore).map(|(_, chain)| chain.untrace(conn));
        tried.find(Result::is_ok).unwrap_or(Err(NoTrace::NoSession))
    }
}
