//! A snapshot as metrics: their names, labels and units. In which order is fixed, so that two looks differ in numbers
//! alone.

use super::exposition::{Exposition, Format, Kind, Labels, Seconds};
use super::words;
use crate::counters::histogram::{Histogram, bucket_of, longest_of};
use crate::counters::snapshot::{
    BURST_BUCKETS, LcoreSnapshot, ListenerSnapshot, Snapshot, StageSnapshot, State, Values,
};

/// Powers of two of nanoseconds that are bounds of the latency's buckets: half a microsecond to four seconds. A fine bucket
/// ends right below each power, so what is counted at or below a bound is exact.
const LATENCY_OCTAVES: std::ops::RangeInclusive<u32> = 9..=32;

/// Counters of time, by the state of an lcore that they stand for: one metric with a label.
const LCORE_STATES: [(&str, &str); 3] =
    [("busy_ns", "busy"), ("idle_ns", "idle"), ("sleep_ns", "sleep")];

/// Counters that lcores have, and listeners do not.
const LCORE_ALONE: [&str; 6] =
    ["rounds", "sleeps", "enters", "completions", "cq_overflows", "mails"];

/// All states of an instance, by their labels.
const STATES: [(State, &str); 5] = [
    (State::Starting, "starting"),
    (State::Running, "running"),
    (State::Draining, "draining"),
    (State::Ended, "ended"),
    (State::Died, "died"),
];

/// The whole text.
pub fn metrics(snapshot: &Snapshot, format: Format) -> String {
    let mut out = Exposition::new(format);
    instance(&mut out, snapshot);
    lcores(&mut out, &snapshot.lcores);
    listeners(&mut out, &snapshot.listeners);
    pools(&mut out, snapshot);
    ports(&mut out, snapshot);
    out.finish()
}

/// A metric of which each row has one sample.
fn each<'a, R: 'a, V: std::fmt::Display>(
    out: &mut Exposition,
    (name, kind, help): (&str, Kind, &str),
    rows: impl IntoIterator<Item = &'a (Labels, R)>,
    value: impl Fn(&R) -> V,
) {
    out.metric(name, kind, help);
    rows.into_iter().for_each(|(labels, row)| out.sample(labels, value(row)));
}

fn instance(out: &mut Exposition, snapshot: &Snapshot) {
    use Kind::Gauge;
    let labels = [("version", &*snapshot.version), ("instance_name", &snapshot.instance)];
    out.metric("ringway_build_info", Gauge, "What runs; always 1.");
    out.sample(&Labels::of(&labels), 1);
    let up = matches!(snapshot.state, State::Running | State::Draining);
    out.metric("ringway_up", Gauge, "Whether its lcores serve: 1 while it runs or drains.");
    out.sample(&Labels::default(), u8::from(up));
    out.metric("ringway_state", Gauge, "1 for the state that it is in, 0 for the others.");
    for (state, name) in STATES {
        out.sample(&Labels::of(&[("state", name)]), u8::from(state == snapshot.state));
    }
    let started_ms = snapshot.taken_unix_ms.saturating_sub(snapshot.uptime_ns / 1_000_000);
    out.metric("ringway_start_time_seconds", Gauge, "When it started, in Unix time.");
    out.sample(&Labels::default(), Seconds(u128::from(started_ms) * 1_000_000));
    out.metric("ringway_config_generation", Gauge, "Which configuration is in force, from 1.");
    out.sample(&Labels::default(), snapshot.generation);
    out.metric("ringway_cycle_frequency_hertz", Gauge, "How fast the cycles of stages count.");
    out.sample(&Labels::default(), snapshot.cycles_per_second);
    let help = "One in how many passes of the poll loop is measured stage by stage; 0: none.";
    out.metric("ringway_sampling_passes", Gauge, help);
    out.sample(&Labels::default(), snapshot.sampling);
}

fn lcores(out: &mut Exposition, lcores: &[LcoreSnapshot]) {
    use Kind::{Counter, Gauge};
    let rows: Vec<(Labels, &LcoreSnapshot)> = lcores
        .iter()
        .map(|lcore| (Labels::of(&[("lcore", &lcore.lcore_id.to_string())]), lcore))
        .collect();
    out.metric("ringway_lcore_info", Gauge, "The cores that it may run on; always 1.");
    for (labels, lcore) in &rows {
        let labels = labels.and("cpus", &lcore.cpus);
        out.sample(&labels.and("thread_id", &lcore.thread_id.to_string()), 1);
    }
    let help = "Seconds in passes that found work, in passes that found none, and asleep.";
    out.metric("ringway_lcore_seconds", Counter, help);
    for (labels, lcore) in &rows {
        for (counter, state) in LCORE_STATES {
            let ns = lcore.counters.get(counter).into();
            out.sample(&labels.and("state", state), Seconds(ns));
        }
    }
    let open = ("ringway_lcore_connections", Gauge, "Connections that are open.");
    each(out, open, &rows, |lcore| lcore.connections);
    let silent =
        ("ringway_lcore_silent_seconds", Gauge, "For how long it has hung; 0: it does not.");
    each(out, silent, &rows, |lcore| Seconds(lcore.silent_ns.into()));
    let stalls = ("ringway_lcore_stalls", Counter, "Times it was silent for longer than it may.");
    each(out, stalls, &rows, |lcore| lcore.stalls);
    let counted: Vec<_> = rows.iter().map(|(labels, row)| (labels, &row.counters)).collect();
    counters(out, "lcore", &counted, &[]);
    let dropped: Vec<_> = rows.iter().map(|(labels, row)| (labels, &row.dropped)).collect();
    drops(out, "lcore", &dropped);
    let worked: Vec<_> = rows.iter().map(|(labels, row)| (labels, &*row.stages)).collect();
    stages(out, "lcore", &worked);
}

fn listeners(out: &mut Exposition, listeners: &[ListenerSnapshot]) {
    use Kind::{Gauge, Histogram};
    let rows: Vec<(Labels, &ListenerSnapshot)> =
        listeners.iter().map(|listener| (listener_labels(listener), listener)).collect();
    let open = ("ringway_listener_connections", Gauge, "Connections that are open.");
    each(out, open, &rows, |listener| listener.connections);
    let draining = ("ringway_listener_draining", Gauge, "Whether it accepts no more: 1 or 0.");
    each(out, draining, &rows, |listener| u8::from(listener.draining));
    let counted: Vec<_> = rows.iter().map(|(labels, row)| (labels, &row.counters)).collect();
    counters(out, "listener", &counted, &LCORE_ALONE);
    let dropped: Vec<_> = rows.iter().map(|(labels, row)| (labels, &row.dropped)).collect();
    drops(out, "listener", &dropped);
    let worked: Vec<_> = rows.iter().map(|(labels, row)| (labels, &*row.stages)).collect();
    stages(out, "listener", &worked);
    let help = "From when something was received until something was handed to be sent to the \
                same peer, as far as it was measured. The sum is known to a sixteenth.";
    out.metric("ringway_listener_latency_seconds", Histogram, help);
    for (labels, listener) in &rows {
        latency(out, labels, &listener.latency);
    }
}

fn listener_labels(listener: &ListenerSnapshot) -> Labels {
    Labels::of(&[
        ("listener", &listener.index.to_string()),
        ("address", &listener.address),
        ("transport", &listener.transport),
        ("protocol", &listener.protocol),
    ])
}

/// A metric for each counter but those `without`, in their order. Those of time have metrics of their own.
fn counters(out: &mut Exposition, of: &str, rows: &[(&Labels, &Values)], without: &[&str]) {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flat_map(|(_, values)| values.iter()) {
        let is_time = LCORE_STATES.iter().any(|(time, _)| *time == name);
        if !is_time && !without.contains(&name) && !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let help = words::counter(name);
        let in_seconds = name.strip_suffix("_ns");
        let base = in_seconds.map_or_else(|| name.to_owned(), |base| format!("{base}_seconds"));
        out.metric(&format!("ringway_{of}_{base}"), Kind::Counter, &help);
        for (labels, values) in rows {
            match (values.get(name), in_seconds) {
                (ns, Some(_)) => out.sample(labels, Seconds(ns.into())),
                (value, None) => out.sample(labels, value),
            }
        }
    }
}

fn drops(out: &mut Exposition, of: &str, rows: &[(&Labels, &Values)]) {
    let name = format!("ringway_{of}_dropped_bufs");
    out.metric(&name, Kind::Counter, "Bufs dropped, by reason.");
    for (labels, values) in rows {
        for (reason, count) in values.iter() {
            out.sample(&labels.and("reason", reason), count);
        }
    }
}

fn stages(out: &mut Exposition, of: &str, rows: &[(&Labels, &[StageSnapshot])]) {
    let rows: Vec<(Labels, &StageSnapshot)> = rows
        .iter()
        .flat_map(|(labels, stages)| {
            stages.iter().map(|stage| (labels.and("stage", &stage.name), stage))
        })
        .collect();
    let named = |what: &str| format!("ringway_{of}_stage_{what}");
    let cycles = (&*named("cycles"), Kind::Counter, "Cycles that the stage took, estimated.");
    each(out, cycles, &rows, |stage| stage.cycles);
    let help = "Bufs of one call of the stage; the sum is the bufs that went through it, the \
                count its calls. Estimated.";
    out.metric(&named("bufs_per_call"), Kind::Histogram, help);
    for (labels, stage) in &rows {
        bufs_per_call(out, labels, stage);
    }
}

fn bufs_per_call(out: &mut Exposition, labels: &Labels, stage: &StageSnapshot) {
    let mut below = 0u64;
    let cumulative = stage.bufs_per_call.map(|count| {
        below = below.wrapping_add(count);
        below
    });
    let bounds = cumulative[..BURST_BUCKETS - 1].iter().enumerate();
    let buckets = bounds.map(|(power, below)| (format!("{}.0", 1u32 << power), *below));
    out.histogram(labels, buckets, below, stage.bufs);
}

fn latency(out: &mut Exposition, labels: &Labels, latency: &Histogram) {
    let mut sum_ns = 0u128;
    let mut counted = Vec::new();
    for (longest, count) in latency.buckets() {
        let shortest = bucket_of(longest).checked_sub(1).map_or(0, |below| longest_of(below) + 1);
        sum_ns += u128::from(shortest.midpoint(longest)) * u128::from(count);
        counted.push((longest, count));
    }
    let at_most = |bound: u64| {
        let below = counted.iter().take_while(|(longest, _)| *longest <= bound);
        below.map(|(_, count)| *count).fold(0, u64::wrapping_add)
    };
    let buckets = LATENCY_OCTAVES.map(|octave| {
        let bound = (1u64 << octave) - 1;
        (Seconds(bound.into()), at_most(bound))
    });
    out.histogram(labels, buckets, latency.count(), Seconds(sum_ns));
}

fn pools(out: &mut Exposition, snapshot: &Snapshot) {
    use Kind::{Counter, Gauge};
    let rows: Vec<(Labels, _)> = snapshot
        .pools
        .iter()
        .map(|pool| {
            let (node, bytes) = (pool.numa_node.to_string(), pool.slot_bytes.to_string());
            let labels = [("numa_node", &*node), ("slot_bytes", &*bytes), ("pages", &*pool.pages)];
            (Labels::of(&labels), pool)
        })
        .collect();
    each(out, ("ringway_pool_slots", Gauge, "Slots of the pool."), &rows, |pool| pool.slots);
    let in_use = ("ringway_pool_slots_in_use", Gauge, "Slots that are out.");
    each(out, in_use, &rows, |pool| pool.in_use);
    let taken = ("ringway_pool_slots_allocated", Counter, "Slots taken since the start.");
    each(out, taken, &rows, |pool| pool.allocated);
    let freed = ("ringway_pool_slots_freed", Counter, "Slots given back since the start.");
    each(out, freed, &rows, |pool| pool.freed);
    let exhausted = ("ringway_pool_exhausted", Counter, "Times that no slot was left.");
    each(out, exhausted, &rows, |pool| pool.exhausted);
}

fn ports(out: &mut Exposition, snapshot: &Snapshot) {
    use Kind::Gauge;
    let rows: Vec<(Labels, _)> = snapshot
        .ports
        .iter()
        .map(|port| (Labels::of(&[("port", &port.name), ("role", &port.role)]), port))
        .collect();
    let attached = ("ringway_port_attached", Gauge, "Whether a process is at the port: 1 or 0.");
    each(out, attached, &rows, |port| u8::from(port.pid.is_some()));
    let waiting = ("ringway_port_waiting_messages", Gauge, "Messages that wait for the process.");
    each(out, waiting, &rows, |port| port.waiting);
    let help = "For how long the process has taken nothing while something waits for it.";
    each(out, ("ringway_port_stalled_seconds", Gauge, help), &rows, |port| {
        Seconds(port.stalled_ns.into())
    });
}

#[cfg(test)]
mod tests;
