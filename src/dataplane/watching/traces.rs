//! `trace`: the records of the lcores, put together to one piece of text for each connection of a pass.

use std::io::Write;

use super::shown::{Context, Traced};
use super::{Ended, Request, Session};
use crate::ipc::{Error, Reply};
use crate::lcore::trace::{Did, Record, Seen, TraceOptions, TraceState, Tracer};
use crate::lcore::watch::{Watch, Watched};
use crate::mem::ConnId;
use crate::ring::spsc::Consumer;
use crate::sync::{Arc, Ordering};
use crate::sys::cycles;
use crate::time::Instant;

/// What comes from one lcore.
struct Source {
    lcore_id: u32,
    records: Consumer<Record>,
    state: Arc<TraceState>,
    watched: Watched,
    pass: Pass,
}

/// The pass whose records come.
#[derive(Default)]
struct Pass {
    at: Option<Instant>,
    seen: Vec<Seen>,
    did: Vec<Did>,
}

impl Pass {
    /// Takes a record; `true`: with it the pass is whole.
    fn take(&mut self, record: Record) -> bool {
        match record {
            Record::Pass { at } => {
                // The end of the one before was lost.
                *self = Self { at: Some(at), ..Self::default() };
            }
            Record::Seen(seen) => self.seen.push(seen),
            Record::Did(did) => self.did.push(did),
            Record::End => return self.at.is_some(),
        }
        false
    }

    /// The connections in it, in the order in which they were seen first.
    fn conns(&self) -> Vec<ConnId> {
        let mut conns = Vec::new();
        for seen in &self.seen {
            if !conns.contains(&seen.conn) {
                conns.push(seen.conn);
            }
        }
        conns
    }
}

/// Traces until enough is seen, or it is to end.
pub(super) fn run(
    session: &Session<'_>,
    request: &Request<'_>,
    json: bool,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    // The lcores are not to be the first who want to know.
    cycles::per_second();
    let mut sources = begin(session, request)?;
    let mut writer = Writer {
        context: Context {
            listener: session.listener,
            address: session.looked.address.to_string(),
            unix_base_ns: session.unix_base_ns(),
        },
        json,
        count: 0,
        most: request.count,
    };
    let mut term = session.term(request);
    reply.write_all(
        writer.context.begins(json, request, sources.len(), &session.looked).as_bytes(),
    )?;
    let ended = loop {
        // Looked at first: what was noted before the end is there.
        let over = sources.iter().all(|source| source.state.over.load(Ordering::Relaxed));
        let ended = if over { Some(session.why_over(&term)) } else { None };
        let ended = ended.or_else(|| session.ended(&mut term, reply));
        for source in &mut sources {
            writer.drain(source, reply)?;
        }
        if writer.count >= writer.most {
            break Ended::Count;
        }
        match ended {
            Some(ended) => break ended,
            None => session.rest(),
        }
    };
    let unwanted = |source: &Source| source.state.unwanted.store(true, Ordering::Relaxed);
    sources.iter().for_each(unwanted);
    let lost: u64 = sources.iter().map(|source| source.state.lost.load(Ordering::Relaxed)).sum();
    let ends = writer.context.ends(json, writer.count, lost, ended.name());
    Ok(reply.write_all(ends.as_bytes())?)
}

fn begin(session: &Session<'_>, request: &Request<'_>) -> Result<Vec<Source>, Error> {
    let access = &session.desk.access;
    let options = TraceOptions {
        conn: request.conn,
        passes: request.count as u32,
        until: session.until(request),
        shows_bytes: access.admits(),
        shows_decrypted: session.may_see_decrypted(),
    };
    let lcores = session.lcores(request.conn)?;
    let begin = |index: usize| {
        let (tracer, records, state) = Tracer::new(options);
        let watch = Watch::tracing(tracer);
        let watched = session.begin(index, watch, state.clone(), |state| &state.unwanted)?;
        let lcore_id = session.lcore_id(index);
        Ok(Source { lcore_id, records, state, watched, pass: Pass::default() })
    };
    super::those_that_look(lcores.into_iter().map(begin))
}

/// What is written of a trace.
struct Writer {
    context: Context,
    json: bool,
    count: u64,
    most: u64,
}

impl Writer {
    fn drain(&mut self, source: &mut Source, reply: &mut Reply<'_>) -> Result<(), Error> {
        let mut text = String::new();
        while self.count < self.most
            && let Some(record) = source.records.dequeue()
        {
            if source.pass.take(record) {
                let pass = std::mem::take(&mut source.pass);
                self.show(source, &pass, &mut text);
            }
        }
        Ok(reply.write_all(text.as_bytes())?)
    }

    fn show(&mut self, source: &Source, pass: &Pass, text: &mut String) {
        let (Some(at), conns) = (pass.at, pass.conns()) else { return };
        for conn in &conns {
            if self.count >= self.most {
                return;
            }
            self.count += 1;
            let traced = Traced {
                number: self.count,
                at,
                lcore_id: source.lcore_id,
                conn: *conn,
                kinds: source.watched.kinds,
                seen: &pass.seen,
                did: &pass.did,
            };
            match self.json {
                true => traced.to_json(&self.context, text),
                false => traced.to_text(&self.context, text),
            }
        }
    }
}
