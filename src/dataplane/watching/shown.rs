//! What a trace says: one message's way in lines for people, or as one JSON object in a line.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{Looked, Request};
use crate::counters::Reason;
use crate::lcore::trace::{Did, Seen};
use crate::lcore::watch::Boundary;
use crate::mem::ConnId;
use crate::pipeline::Kinds;
use crate::sys::cycles;
use crate::time::Instant;

/// What all messages of a trace have in common.
pub(super) struct Context {
    pub listener: u8,
    pub address: String,
    /// Nanoseconds of Unix time at the origin of the lcores' clock.
    pub unix_base_ns: u64,
}

/// What one pass did for one connection.
pub(super) struct Traced<'a> {
    pub number: u64,
    pub at: Instant,
    pub lcore_id: u32,
    pub conn: ConnId,
    pub kinds: Kinds,
    /// Of the whole pass.
    pub seen: &'a [Seen],
    pub did: &'a [Did],
}

/// What a stage did, over the whole pass.
struct Work {
    came: u32,
    left: u32,
    cycles: u64,
    pool_empty: u32,
    copied_bytes: u32,
    dropped: Vec<(&'static str, u32)>,
}

impl Context {
    /// What stands before the first message.
    pub fn begins(&self, json: bool, request: &Request<'_>, lcores: usize, of: &Looked) -> String {
        let (listener, address) = (self.listener, &self.address);
        if json {
            let begins = json!({
                "listener": listener, "address": address, "protocol": of.protocol,
                "transport": of.transport.name(), "lcores": lcores, "count": request.count,
                "seconds": request.seconds,
            });
            return format!("{}\n", json!({ "tracing": begins }));
        }
        format!(
            "tracing listener {listener} ({address}, {}, {}) on {lcores} lcore{}: the next {} \
             messages; Ctrl-C ends it\n",
            of.transport.name(),
            of.protocol,
            if lcores == 1 { "" } else { "s" },
            request.count
        )
    }

    /// What stands behind the last.
    pub fn ends(&self, json: bool, count: u64, lost: u64, why: &str) -> String {
        if json {
            let ends = json!({ "messages": count, "lost_records": lost, "ended": why });
            return format!("{}\n", json!({ "traced": ends }));
        }
        let lost = match lost {
            0 => String::new(),
            lost => format!("; {lost} records found no room and are missing"),
        };
        format!("\ntraced {count} messages, ended: {why}{lost}\n")
    }
}

impl Traced<'_> {
    /// Bufs of the connection behind a stage.
    fn at_stage(&self, stage: Boundary) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(move |seen| seen.stage == stage && seen.conn == self.conn)
    }

    fn work(&self, stage: Boundary) -> Option<Work> {
        let mut of_it = self.did.iter().filter(|did| did.stage == stage).peekable();
        let first = of_it.peek()?;
        let mut work = Work {
            came: first.came.into(),
            left: 0,
            cycles: 0,
            pool_empty: 0,
            copied_bytes: 0,
            dropped: Vec::new(),
        };
        for did in of_it {
            work.left = did.left.into();
            work.cycles += did.cycles;
            work.pool_empty += did.pool_empty;
            work.copied_bytes = work.copied_bytes.saturating_add(did.copied_bytes);
            for (reason, count) in did.dropped.iter().filter(|(_, count)| *count > 0) {
                let (_, name) = Reason::ALL[usize::from(*reason)];
                work.dropped.push((name, (*count).into()));
            }
        }
        Some(work)
    }

    /// What a stage decided about the bufs of the connection, in words.
    fn decision(&self, stage: Boundary, work: Option<&Work>) -> String {
        let made = self.at_stage(stage).count();
        let left = work.map_or(0, |work| work.left);
        match stage {
            Boundary::Rx => format!("received {made}"),
            Boundary::Tx if left > 0 => format!("took some of {made}, {left} wait for room"),
            Boundary::Tx => format!("took {made}"),
            Boundary::Handler if made > 0 => format!("answered with {made}"),
            _ if made > 0 => format!("passed on {made}"),
            _ => self.nothing_made(stage, work),
        }
    }

    fn nothing_made(&self, stage: Boundary, work: Option<&Work>) -> String {
        let Some(work) = work else { return "was not called".to_owned() };
        if !work.dropped.is_empty() {
            return "dropped what came".to_owned();
        }
        match (work.left, work.pool_empty) {
            (0, _) if stage == Boundary::Handler => "took it and said nothing yet".to_owned(),
            (0, _) => "kept it: nothing to pass on yet".to_owned(),
            (left, 0) => format!("held back: {left} wait before it"),
            (left, _) => format!("waits for a free slot: {left} wait before it"),
        }
    }

    /// Boundaries that have something to tell.
    fn stages(&self) -> impl Iterator<Item = (Boundary, Option<Work>)> {
        let all = Boundary::ALL.into_iter().map(|(stage, _)| (stage, self.work(stage)));
        all.filter(|(stage, work)| work.is_some() || self.at_stage(*stage).next().is_some())
    }

    pub fn to_text(&self, context: &Context, out: &mut String) {
        let time = time_of_day(context.unix_base_ns + self.at.as_ns());
        let (lcore, conn) = (self.lcore_id, self.conn);
        put(out, format_args!("\n{} at {time}, lcore {lcore}, connection {conn}\n", self.number));
        for (stage, work) in self.stages() {
            let decision = self.decision(stage, work.as_ref());
            put(out, format_args!("  {:<8} {decision}", stage.name()));
            if let Some(work) = &work {
                work.to_text(out);
            }
            out.push('\n');
            // What the transport takes are the bufs above.
            for seen in self.at_stage(stage).filter(|_| stage != Boundary::Tx) {
                put(out, format_args!("           {}\n", self.buf_text(seen)));
            }
        }
    }

    fn kind(&self, seen: &Seen) -> String {
        self.kinds.name(seen.kind).map_or_else(|| format!("kind {}", seen.kind), str::to_owned)
    }

    fn buf_text(&self, seen: &Seen) -> String {
        let mut text = self.kind(seen);
        let detail = self.kinds.detail(seen.kind, seen.meta);
        if !detail.is_empty() {
            put(&mut text, format_args!(" ({detail})"));
        }
        if seen.bytes > 0 {
            let shown = match Bytes::of(seen) {
                Bytes::Hidden => "not to be seen".to_owned(),
                Bytes::Text(text) => format!("\"{text}\""),
                Bytes::Hex(hex) => hex,
            };
            let more =
                if u32::from(seen.shown) < seen.bytes && seen.shown > 0 { "…" } else { "" };
            put(&mut text, format_args!(", {} bytes: {shown}{more}", seen.bytes));
        }
        text
    }

    pub fn to_json(&self, context: &Context, out: &mut String) {
        let stages: Vec<Value> = self
            .stages()
            .map(|(stage, work)| {
                let bufs: Vec<Value> = match stage {
                    Boundary::Tx => Vec::new(),
                    _ => self.at_stage(stage).map(|seen| self.buf_json(seen)).collect(),
                };
                let mut value = json!({
                    "stage": stage.name(),
                    "decision": self.decision(stage, work.as_ref()),
                    "made": self.at_stage(stage).count(),
                    "bufs": bufs,
                });
                if let Some(work) = work {
                    value["burst"] = work.to_json();
                }
                value
            })
            .collect();
        let value = json!({
            "message": self.number,
            "unix_ns": context.unix_base_ns + self.at.as_ns(),
            "lcore": self.lcore_id,
            "conn": self.conn.to_string(),
            "stages": stages,
        });
        put(out, format_args!("{value}\n"));
    }

    fn buf_json(&self, seen: &Seen) -> Value {
        let mut value = json!({ "kind": self.kind(seen), "bytes": seen.bytes });
        let detail = self.kinds.detail(seen.kind, seen.meta);
        if !detail.is_empty() {
            value["detail"] = detail.into();
        }
        if seen.bytes > 0 {
            match Bytes::of(seen) {
                Bytes::Hidden => value["hidden"] = true.into(),
                Bytes::Text(text) => value["text"] = text.into(),
                Bytes::Hex(hex) => value["hex"] = hex.into(),
            }
        }
        value
    }
}

impl Work {
    fn to_text(&self, out: &mut String) {
        let (cycles, ns) = (self.cycles, cycles::to_ns(self.cycles));
        put(out, format_args!("; {cycles} cycles, {ns} ns"));
        if self.came > 1 {
            put(out, format_args!(" for a burst of {}", self.came));
        }
        if self.copied_bytes > 0 {
            put(out, format_args!("; copied {} bytes", self.copied_bytes));
        }
        if self.pool_empty > 0 {
            put(out, format_args!("; {} times without a free slot", self.pool_empty));
        }
        for (reason, count) in &self.dropped {
            put(out, format_args!("; dropped {count}: {reason}"));
        }
    }

    fn to_json(&self) -> Value {
        let dropped: Map<String, Value> = self
            .dropped
            .iter()
            .map(|(name, count)| ((*name).to_owned(), (*count).into()))
            .collect();
        json!({
            "came": self.came,
            "left": self.left,
            "cycles": self.cycles,
            "ns": cycles::to_ns(self.cycles),
            "pool_empty": self.pool_empty,
            "copied_bytes": self.copied_bytes,
            "dropped": dropped,
        })
    }
}

/// The first bytes of a buf, as they are best read.
enum Bytes {
    Hidden,
    Text(String),
    Hex(String),
}

impl Bytes {
    fn of(seen: &Seen) -> Self {
        let bytes = &seen.start[..usize::from(seen.shown)];
        let plain = |byte: &&u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
        if bytes.is_empty() {
            Self::Hidden
        } else if 4 * bytes.iter().filter(plain).count() >= 3 * bytes.len() {
            Self::Text(bytes.escape_ascii().to_string())
        } else {
            Self::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
        }
    }
}

/// As 14:03:22.123456789, of the universal time.
fn time_of_day(unix_ns: u64) -> String {
    let (seconds, ns) = (unix_ns / 1_000_000_000, unix_ns % 1_000_000_000);
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{ns:09}Z", seconds % 60)
}

fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{TRACE_BYTES, TRACE_REASONS};

    const CONN: ConnId = ConnId::new(0, 7, 2);

    fn context() -> Context {
        let unix_base_ns = 784_111_777_000_000_000;
        Context { listener: 0, address: "a".into(), unix_base_ns }
    }

    fn seen(stage: Boundary, conn: ConnId, kind: u8, bytes: &[u8]) -> Seen {
        let mut start = [0; TRACE_BYTES];
        let shown = bytes.len().min(TRACE_BYTES);
        start[..shown].copy_from_slice(&bytes[..shown]);
        let (bytes, shown) = (bytes.len() as u32, shown as u8);
        Seen { stage, conn, kind, meta: 0, bytes, shown, start }
    }

    fn did(stage: Boundary, came: u16, left: u16) -> Did {
        Did {
            stage,
            came,
            left,
            made: 0,
            cycles: 412,
            pool_empty: 0,
            copied_bytes: 0,
            dropped: [(0, 0); TRACE_REASONS],
        }
    }

    fn traced<'a>(seen: &'a [Seen], did: &'a [Did]) -> Traced<'a> {
        let (at, kinds) = (Instant::from_ns(5), Kinds::Http1);
        Traced { number: 1, at, lcore_id: 3, conn: CONN, kinds, seen, did }
    }

    #[test]
    fn a_message_reads_as_its_way_through_the_stages() {
        let other = ConnId::new(0, 8, 3);
        let seen = [
            seen(Boundary::Rx, CONN, 0, b"GET / HTTP/1.1\r\n\r\n"),
            seen(Boundary::Rx, other, 0, b"not this one"),
            seen(Boundary::Ingress, CONN, 16, b"GET / HTTP/1.1\r\n\r\n"),
        ];
        let mut text = String::new();
        traced(&seen, &[did(Boundary::Ingress, 2, 0), did(Boundary::Handler, 1, 0)])
            .to_text(&context(), &mut text);
        let expected = r#"
1 at 08:49:37.000000005Z, lcore 3, connection 0:7.2
  rx       received 1
           DATA, 18 bytes: "GET / HTTP/1.1\r\n\r\n"
  ingress  passed on 1; 412 cycles, NS ns for a burst of 2
           HEAD, 18 bytes: "GET / HTTP/1.1\r\n\r\n"
  handler  took it and said nothing yet; 412 cycles, NS ns
"#;
        let ns = cycles::to_ns(412).to_string();
        assert_eq!(text, expected.replace("NS", &ns));
    }

    #[test]
    fn what_a_stage_did_not_pass_on_is_told_with_its_reason() {
        let bufs = [seen(Boundary::Rx, CONN, 0, b"x")];
        let say = |did: Did| {
            let traced = traced(&bufs, std::slice::from_ref(&did));
            let work = traced.work(Boundary::Ingress);
            traced.decision(Boundary::Ingress, work.as_ref())
        };
        assert_eq!(say(did(Boundary::Ingress, 1, 0)), "kept it: nothing to pass on yet");
        assert_eq!(say(did(Boundary::Ingress, 1, 1)), "held back: 1 wait before it");
        let starved = Did { pool_empty: 1, ..did(Boundary::Ingress, 1, 1) };
        assert_eq!(say(starved), "waits for a free slot: 1 wait before it");
        let mut dropped = did(Boundary::Ingress, 1, 0);
        dropped.dropped[0] = (Reason::Protocol as u8, 1);
        assert_eq!(say(dropped), "dropped what came");
        let mut text = String::new();
        traced(&bufs, &[dropped]).to_text(&context(), &mut text);
        assert!(text.contains("dropped 1: protocol"), "{text}");
    }

    #[test]
    fn json_says_the_same_in_one_line() {
        let bufs = [seen(Boundary::Rx, CONN, 0, &[0xff; 100])];
        let mut text = String::new();
        traced(&bufs, &[did(Boundary::Ingress, 1, 0)]).to_json(&context(), &mut text);
        assert_eq!(text.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["conn"], &value["lcore"]), (&json!("0:7.2"), &json!(3)));
        let rx = &value["stages"][0];
        assert_eq!(rx["bufs"][0], json!({ "kind": "DATA", "bytes": 100, "hex": "ff".repeat(64) }));
        assert_eq!(value["stages"][1]["burst"]["cycles"], 412);
    }

    #[test]
    fn bytes_that_may_not_be_seen_are_not() {
        let hidden = Seen { shown: 0, ..seen(Boundary::Ingress, CONN, 0, b"secret") };
        let text = traced(&[], &[]).buf_text(&hidden);
        assert_eq!(text, "DATA, 6 bytes: not to be seen");
    }
}
