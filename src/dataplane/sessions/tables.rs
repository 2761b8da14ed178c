//! How sessions of streams are shown: the columns of all of them, and the tables of one.

use serde_json::Value;

use super::pages::{Detail, Found};
use super::{Silence, Survey};
use crate::config::{Address, InForce};
use crate::control::{Answer, Table};
use crate::pipeline::chain::stream::{ChannelState, Outcome, SessionDump, TraceLine, Traced};
use crate::proto::stream::{ChannelDump, Flags, Header, Rtt, channel_type};

/// A name, and what stands under it.
type Column<T> = (&'static str, fn(&T) -> Value);

/// A session, and where its listener listens.
struct Row {
    address: Option<String>,
    dump: SessionDump,
}

const SESSION: [Column<Row>; 25] = [
    ("conn", |row| row.dump.conn.to_string().into()),
    ("listener", |row| row.address.clone().into()),
    ("node", |row| row.dump.peer.map(|peer| peer.address().to_string()).into()),
    ("session", |row| row.dump.session_id.map(hex).into()),
    ("state", |row| row.dump.phase.name().into()),
    ("encrypted", |row| row.dump.encrypted.into()),
    ("compressed", |row| row.dump.compressed.into()),
    ("age_ms", |row| whole_ms(row.dump.age_ns)),
    ("idle_ms", |row| whole_ms(row.dump.idle_ns)),
    ("channels", |row| row.dump.statistics.channels.into()),
    ("sent_packets", |row| row.dump.statistics.sent.packets.into()),
    ("sent_bytes", |row| row.dump.statistics.sent.bytes.into()),
    ("received_packets", |row| row.dump.statistics.received.packets.into()),
    ("received_bytes", |row| row.dump.statistics.received.bytes.into()),
    ("lost", |row| row.dump.statistics.lost.into()),
    ("replayed", |row| row.dump.statistics.replayed.into()),
    ("forged", |row| row.dump.statistics.forged.into()),
    ("malformed", |row| row.dump.statistics.malformed.into()),
    ("torn", |row| row.dump.statistics.torn.into()),
    ("waiting_bufs", |row| row.dump.waiting.into()),
    ("rtt_count", |row| row.dump.statistics.rtt.count().into()),
    ("rtt_ms", |row| measured(&row.dump.statistics.rtt, Rtt::mean_ns)),
    ("rtt_p50_ms", |row| quantile(&row.dump.statistics.rtt, 50)),
    ("rtt_p99_ms", |row| quantile(&row.dump.statistics.rtt, 99)),
    ("traced", |row| row.dump.is_traced.into()),
];

/// What is shown beside that of one session alone.
const SESSION_MORE: [Column<Row>; 7] = [
    ("silent_ms", |row| whole_ms(row.dump.silent_ns)),
    ("channels_ever", |row| row.dump.statistics.opened.into()),
    ("unknown", |row| row.dump.statistics.unknown.into()),
    ("crowded", |row| row.dump.statistics.crowded.into()),
    ("send_epoch", |row| row.dump.epochs.0.into()),
    ("receive_epoch", |row| row.dump.epochs.1.into()),
    ("rtt_last_ms", |row| measured(&row.dump.statistics.rtt, Rtt::last_ns)),
];

const CHANNEL: [Column<ChannelState>; 24] = [
    ("channel", |state| state.dump.channel.into()),
    ("type", |state| type_name(state.dump.channel_type)),
    ("incarnation", |state| state.dump.incarnation.into()),
    ("opened_by", |state| if state.dump.by_peer { "peer" } else { "us" }.into()),
    ("state", |state| channel_state(&state.dump).into()),
    ("may_compress", |state| state.dump.may_compress.into()),
    ("send_next", |state| state.dump.send_next.into()),
    ("send_credit", |state| state.dump.send_credit.into()),
    ("send_epoch", |state| state.dump.send_epoch.into()),
    ("receive_next", |state| state.dump.receive_next.into()),
    ("receive_credit", |state| state.dump.receive_credit.into()),
    ("receive_epoch", |state| state.dump.receive_epoch.into()),
    ("unconsumed", |state| state.dump.unconsumed.into()),
    ("owed", |state| state.owed.into()),
    ("waiting_bufs", |state| state.waiting.into()),
    ("sent_packets", |state| state.dump.statistics.sent.packets.into()),
    ("sent_bytes", |state| state.dump.statistics.sent.bytes.into()),
    ("received_packets", |state| state.dump.statistics.received.packets.into()),
    ("received_bytes", |state| state.dump.statistics.received.bytes.into()),
    ("lost", |state| state.dump.statistics.lost.into()),
    ("replayed", |state| state.dump.statistics.replayed.into()),
    ("forged", |state| state.dump.statistics.forged.into()),
    ("torn", |state| state.dump.statistics.torn.into()),
    ("crowded", |state| state.dump.statistics.crowded.into()),
];

/// A bucket of round trips: what bounds it, and how many it has.
const BUCKET: [Column<(Option<u64>, u32)>; 2] =
    [("below_ms", |bucket| bucket.0.map(ms).into()), ("round_trips", |bucket| bucket.1.into())];

const TRACE: [Column<TraceLine>; 8] = [
    ("at_ms", |line| ms(line.at.as_ns()).into()),
    ("what", |line| direction(&line.what).into()),
    ("type", |line| header(&line.what).map(|header| header.packet_type.name()).into()),
    ("channel", |line| header(&line.what).map(|header| header.ch_id).into()),
    ("seq", |line| header(&line.what).map(|header| header.seq_id).into()),
    ("bytes", |line| header(&line.what).map(|header| header.size).into()),
    ("flags", |line| header(&line.what).map(|header| flags(header.flags)).into()),
    ("outcome", |line| outcome(&line.what).into()),
];

fn table<T>(columns: &[Column<T>], rows: &[T]) -> Answer {
    let row = |row: &T| columns.iter().map(|(_, value)| value(row)).collect();
    Answer::Table(Table {
        columns: columns.iter().map(|(name, _)| (*name).to_owned()).collect(),
        rows: rows.iter().map(row).collect(),
        upright: false,
    })
}

fn parts<const N: usize>(parts: [(&str, Answer); N]) -> Answer {
    Answer::Parts(parts.map(|(name, part)| (name.to_owned(), part)).into())
}

/// How many are not shown, where there are some.
fn note(count: u64, text: impl FnOnce(u64) -> String) -> Answer {
    Answer::Note(count.into(), if count == 0 { String::new() } else { text(count) })
}

/// All sessions.
pub(super) fn survey(survey: &Survey, current: &InForce) -> Answer {
    let rows: Vec<_> = survey.found.iter().map(|found| Row::of(found, current)).collect();
    let more = |more| format!("and {more} more: `streams CONN` shows any of them");
    parts([
        ("sessions", table(&SESSION, &rows)),
        ("more", note(survey.more as u64, more)),
        ("silent", silent(&survey.silent)),
    ])
}

/// The lcores whose sessions are not among those.
fn silent(silent: &[(u32, Silence)]) -> Answer {
    let ids = silent.iter().map(|(id, _)| *id).collect();
    let named: Vec<_> =
        silent.iter().map(|(id, why)| format!("lcore {id} ({})", why.name())).collect();
    let text = match named.is_empty() {
        true => String::new(),
        false => format!("but for those of {}: no answer", named.join(", ")),
    };
    Answer::Note(ids, text)
}

/// One session.
pub(super) fn detail(detail: &Detail, current: &InForce) -> Answer {
    let row = Row::of(&detail.session, current);
    let named = |(name, value): &Column<Row>| ((*name).to_owned(), value(&row));
    let fields = SESSION.iter().chain(&SESSION_MORE).map(named).collect();
    let mut channels = detail.channels.clone();
    channels.sort_unstable_by_key(|state| state.dump.channel);
    let statistics = &row.dump.statistics;
    let more = statistics.channels.saturating_sub(channels.len()) as u64;
    let lines = &detail.trace.lines;
    parts([
        ("session", Answer::Fields(fields)),
        ("channels", table(&CHANNEL, &channels)),
        ("more_channels", note(more, |more| format!("and {more} channels more"))),
        ("rtt_histogram", table(&BUCKET, &buckets(&statistics.rtt))),
        ("trace", if row.dump.is_traced { table(&TRACE, lines) } else { nothing() }),
        ("trace_forgotten", note(detail.trace.forgotten, |n| format!("{n} lines before these"))),
    ])
}

fn nothing() -> Answer {
    Answer::Note(Value::Null, String::new())
}

impl Row {
    fn of(found: &Found, current: &InForce) -> Self {
        // One that was added while the dataplane runs has none that is known here.
        let address = current.address_at(found.listener).map(Address::to_string);
        Self { address, dump: found.dump }
    }
}

/// Bytes as their hexadecimal digits.
pub(super) fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}

fn whole_ms(ns: u64) -> Value {
    (ns / 1_000_000).into()
}

/// Milliseconds, to the microsecond.
fn ms(ns: u64) -> f64 {
    (ns / 1000) as f64 / 1000.0
}

/// What round trips took; nothing, before the first.
fn measured(rtt: &Rtt, ns: fn(&Rtt) -> u64) -> Value {
    (rtt.count() > 0).then(|| ms(ns(rtt))).into()
}

fn quantile(rtt: &Rtt, percent: u64) -> Value {
    rtt.quantile_ns(percent).map(ms).into()
}

/// Those that have some.
fn buckets(rtt: &Rtt) -> Vec<(Option<u64>, u32)> {
    let all = rtt.histogram().iter().enumerate();
    let some = all.filter(|(_, count)| **count > 0);
    some.map(|(bucket, count)| (Rtt::bound_ns(bucket), *count)).collect()
}

fn type_name(channel_type: u8) -> Value {
    match channel_type::name(channel_type) {
        Some(name) => name.into(),
        None => format!("{channel_type:#04x}").into(),
    }
}

fn channel_state(dump: &ChannelDump) -> &'static str {
    match (dump.is_open, dump.is_shut, dump.is_shut_by_peer) {
        (false, ..) => "opening",
        (true, false, false) => "open",
        (true, true, false) => "shut",
        (true, false, true) => "shut by peer",
        (true, true, true) => "ending",
    }
}

fn direction(what: &Traced) -> &'static str {
    match what {
        Traced::In(..) => "in",
        Traced::Out(_) => "out",
        Traced::Event(_) => "event",
    }
}

fn header(what: &Traced) -> Option<&Header> {
    match what {
        Traced::In(header, _) => header.as_ref(),
        Traced::Out(header) => Some(header),
        Traced::Event(_) => None,
    }
}

fn flags(flags: Flags) -> String {
    let names = [
        (Flags::COMPRESSED, "compressed"),
        (Flags::ENCRYPTED, "encrypted"),
        (Flags::FRAGMENTED, "fragmented"),
        (Flags::KEY_PHASE, "odd_key"),
    ];
    let set = names.into_iter().filter(|(flag, _)| flags.has(*flag));
    set.map(|(_, name)| name).collect::<Vec<_>>().join("+")
}

fn outcome(what: &Traced) -> String {
    match what {
        Traced::In(_, Outcome::Taken) => "taken".to_owned(),
        Traced::In(_, Outcome::Torn) => "taken, and a message is torn".to_owned(),
        Traced::In(_, Outcome::Dropped(why)) => {
            format!("dropped: {}", format!("{why:?}").to_lowercase())
        }
        Traced::In(_, Outcome::Fault(fault)) => format!("fault: {}", fault.name()),
        Traced::Out(_) => "sent".to_owned(),
        Traced::Event(event) => format!("{event:?}"),
    }
}
