use super::*;
use crate::counters::snapshot::{PoolSnapshot, PortSnapshot};
use crate::counters::{Counter, Reason};
use prometheus::{Metric, parse};

#[path = "../../../tests/admin/prometheus.rs"]
mod prometheus;

/// Values of these names, each with another number.
fn numbered<T>(names: &[(T, &'static str)]) -> Values {
    Values(names.iter().enumerate().map(|(n, (_, name))| ((*name).to_owned(), n as u64)).collect())
}

fn stage(name: &str) -> StageSnapshot {
    let bufs_per_call = [1, 2, 3, 4, 5, 6, 7];
    StageSnapshot { name: name.into(), calls: 28, bufs: 300, cycles: 9000, bufs_per_call }
}

fn listener(index: u8, address: &str) -> ListenerSnapshot {
    let mut latency = Histogram::default();
    [(100, 1), (511, 2), (512, 3), (1_000_000, 4), (8_000_000_000, 5)]
        .into_iter()
        .for_each(|(ns, n)| latency.record(ns, n));
    ListenerSnapshot {
        index,
        address: address.into(),
        transport: "tcp".into(),
        protocol: "http".into(),
        counters: numbered(&Counter::ALL),
        dropped: numbered(&Reason::ALL),
        stages: vec![stage("rx"), stage("handler")],
        latency,
        ..ListenerSnapshot::default()
    }
}

fn full() -> Snapshot {
    let lcore = |lcore_id| LcoreSnapshot {
        lcore_id,
        cpus: "2-3".into(),
        silent_ns: 1_500_000_000,
        counters: numbered(&Counter::ALL),
        dropped: numbered(&Reason::ALL),
        stages: vec![stage("poll")],
        ..LcoreSnapshot::default()
    };
    let pool = PoolSnapshot { slot_bytes: 2048, slots: 64, in_use: 3, ..PoolSnapshot::default() };
    let port = PortSnapshot { name: "app".into(), pid: Some(7), ..PortSnapshot::default() };
    Snapshot {
        state: State::Draining,
        taken_unix_ms: 1_700_000_000_500,
        uptime_ns: 1_000_000_000,
        lcores: vec![lcore(1), lcore(5)],
        listeners: vec![listener(0, "[::]:80"), listener(1, "/run/\"a\"\\\n.sock")],
        pools: vec![pool],
        ports: vec![port],
        ..Snapshot::default()
    }
}

fn parsed(snapshot: &Snapshot) -> Vec<Metric> {
    let text = metrics(snapshot, Format::Prometheus);
    parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// The value of the sample with this name and these labels.
fn value(metrics: &[Metric], name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = metrics.iter().flat_map(|metric| &metric.samples);
    let mut fit = samples.filter(|sample| {
        let has = |(label, value): &(&str, &str)| sample.label(label) == Some(*value);
        sample.name == name && labels.iter().all(has)
    });
    let found = fit.next().unwrap_or_else(|| panic!("no {name} {labels:?}"));
    assert_eq!(fit.next(), None, "{name} {labels:?} is not one alone");
    found.value
}

#[test]
fn everything_that_is_counted_is_there_once_with_its_help_and_type() {
    let metrics = parsed(&full());
    for (counter, name) in Counter::ALL {
        let n = (counter as usize) as f64;
        if let Some((_, state)) = LCORE_STATES.iter().find(|(time, _)| *time == name) {
            let labels = [("lcore", "5"), ("state", *state)];
            assert_eq!(value(&metrics, "ringway_lcore_seconds_total", &labels), n / 1e9);
            continue;
        }
        let total = format!("ringway_lcore_{name}_total");
        assert_eq!(value(&metrics, &total, &[("lcore", "1")]), n);
        if LCORE_ALONE.contains(&name) {
            continue;
        }
        let total = format!("ringway_listener_{name}_total");
        assert_eq!(value(&metrics, &total, &[("listener", "1"), ("protocol", "http")]), n);
    }
    for (reason, name) in Reason::ALL {
        let labels = [("lcore", "5"), ("reason", name)];
        let n = (reason as usize) as f64;
        assert_eq!(value(&metrics, "ringway_lcore_dropped_bufs_total", &labels), n);
    }
    assert!(
        metrics.iter().all(|metric| metric.help.len() > 8 && metric.name.starts_with("ringway_"))
    );
    assert_eq!(value(&metrics, "ringway_up", &[]), 1.0);
    assert_eq!(value(&metrics, "ringway_state", &[("state", "draining")]), 1.0);
    assert_eq!(value(&metrics, "ringway_start_time_seconds", &[]), 1_699_999_999.5);
    assert_eq!(value(&metrics, "ringway_lcore_silent_seconds", &[("lcore", "1")]), 1.5);
    assert_eq!(value(&metrics, "ringway_pool_slots_in_use", &[("slot_bytes", "2048")]), 3.0);
    assert_eq!(value(&metrics, "ringway_port_attached", &[("port", "app")]), 1.0);
}

#[test]
fn names_of_files_are_escaped_and_come_back_as_they_were() {
    let metrics = parsed(&full());
    let labels = [("address", "/run/\"a\"\\\n.sock")];
    assert_eq!(value(&metrics, "ringway_listener_connections", &labels), 0.0);
}

#[test]
fn buckets_of_latency_hold_exactly_what_lies_at_or_below_their_bounds() {
    let metrics = parsed(&full());
    let bucket = |le: &str| {
        let labels = [("listener", "0"), ("le", le)];
        value(&metrics, "ringway_listener_latency_seconds_bucket", &labels)
    };
    assert_eq!(bucket("0.000000511"), 3.0);
    assert_eq!(bucket("0.000001023"), 6.0);
    assert_eq!((bucket("0.000524287"), bucket("0.001048575")), (6.0, 10.0));
    assert_eq!((bucket("4.294967295"), bucket("+Inf")), (10.0, 15.0));
    let sum = value(&metrics, "ringway_listener_latency_seconds_sum", &[("listener", "0")]);
    assert!((sum - 40.0).abs() < 40.0 / 16.0, "{sum}");
}

#[test]
fn bufs_per_call_are_a_histogram_whose_sum_is_the_bufs() {
    let metrics = parsed(&full());
    let of = |end: &str, labels: &[(&str, &str)]| {
        let labels = [&[("listener", "1"), ("stage", "handler")], labels].concat();
        value(&metrics, &format!("ringway_listener_stage_bufs_per_call{end}"), &labels)
    };
    assert_eq!((of("_bucket", &[("le", "1.0")]), of("_bucket", &[("le", "32.0")])), (1.0, 21.0));
    assert_eq!((of("_count", &[]), of("_sum", &[])), (28.0, 300.0));
}

#[test]
fn the_text_is_the_same_for_the_same_numbers_and_nothing_at_all_is_a_text_too() {
    assert_eq!(metrics(&full(), Format::Prometheus), metrics(&full(), Format::Prometheus));
    parsed(&Snapshot::default());
    let open = metrics(&full(), Format::OpenMetrics);
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE ringway_lcore_rx_bytes counter\n"));
}

#[test]
fn listeners_of_one_name_are_told_apart_and_one_that_is_there_twice_makes_no_text_void() {
    let mut snapshot = full();
    snapshot.listeners.push(listener(2, "[::]:80"));
    snapshot.listeners.push(listener(2, "[::]:80"));
    let metrics = parsed(&snapshot);
    let labels = [("address", "[::]:80"), ("listener", "2")];
    assert_eq!(value(&metrics, "ringway_listener_connections", &labels), 0.0);
}
