//! Snapshots of an instance that never was, for tests of what is shown of it.

use ringway::counters::histogram::Histogram;
use ringway::counters::snapshot::{
    LcoreSnapshot, ListenerSnapshot, PoolSnapshot, PortSnapshot, Slowest, Snapshot, StageSnapshot,
    State, Values,
};

use super::view::Look;

/// When fakes are taken, in milliseconds of the calendar.
pub const NOW: u64 = 1_700_000_000_000;

fn values(values: &[(&str, u64)]) -> Values {
    Values(values.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect())
}

fn stages(names: &[&str], n: u64) -> Vec<StageSnapshot> {
    let stage = |(place, name): (usize, &&str)| StageSnapshot {
        name: (*name).to_owned(),
        calls: 1000 * n,
        bufs: 12_000 * n,
        cycles: (place as u64 + 1) * 20_000_000 * n,
        bufs_per_call: [10 * n, 50 * n, 0, 200 * n, 500 * n, 240 * n, 0],
    };
    names.iter().enumerate().map(stage).collect()
}

fn lcore(lcore_id: u32, n: u64) -> LcoreSnapshot {
    LcoreSnapshot {
        lcore_id,
        cpus: (lcore_id + 2).to_string(),
        thread_id: 4000 + lcore_id,
        connections: 5000,
        counters: values(&[
            ("rounds", 100_000 * n),
            ("busy_ns", 500_000_000 * n),
            ("idle_ns", 300_000_000 * n),
            ("sleep_ns", 200_000_000 * n),
            ("enters", 50_000 * n),
            ("completions", 600_000 * n),
            ("accepted", 60 * n),
            ("rx_bytes", 125_000_000 * n),
            ("tx_bytes", 250_000_000 * n),
            ("messages", 617_000 * n),
            ("rx_starved", 0),
            ("timeouts", 3),
        ]),
        dropped: values(&[("unsent", 4 * n), ("protocol", 7)]),
        stages: stages(&["poll", "mail", "timers"], n),
        ..LcoreSnapshot::default()
    }
}

fn listener(index: u8, address: &str, protocol: &str, n: u64) -> ListenerSnapshot {
    let mut latency = Histogram::default();
    for (ns, count) in [(8_000, 900), (16_000, 90), (120_000, 9), (2_000_000, 1)] {
        latency.record(ns, count * n);
    }
    let lcores = [lcore(0, n), lcore(1, n)];
    ListenerSnapshot {
        index,
        address: address.to_owned(),
        transport: "tcp".to_owned(),
        protocol: protocol.to_owned(),
        connections: 5000,
        counters: lcores[0].counters.clone(),
        dropped: lcores[0].dropped.clone(),
        stages: stages(&["rx", "ingress", "handler", "egress", "tx", "flush"], n),
        latency,
        slowest: Some(Slowest {
            conn: "0:12.3".to_owned(),
            ns: 2_000_000,
            at_ns: (n - 1) * 1_000_000_000,
        }),
        ..ListenerSnapshot::default()
    }
}

/// After `n` seconds, in each of which the same happens.
pub fn snapshot(n: u64) -> Snapshot {
    Snapshot {
        instance: "blue".to_owned(),
        version: "0.1.0".to_owned(),
        pid: 4711,
        state: State::Running,
        taken_unix_ms: NOW,
        seen_unix_ms: NOW,
        uptime_ns: n * 1_000_000_000,
        generation: 2,
        cycles_per_second: 3_000_000_000,
        sampling: 64,
        lcores: vec![lcore(0, n), lcore(1, n)],
        listeners: vec![
            listener(0, "0.0.0.0:8080", "http", n),
            listener(1, "[2001:db8::1]:7007", "echo", n),
        ],
        pools: vec![
            PoolSnapshot { in_use: 3456, ..pool(2048, 6912, n) },
            PoolSnapshot { in_use: 255, exhausted: n, ..pool(16_384, 256, n) },
        ],
        ports: vec![
            port("app", Some(5000), 0),
            port("echo", Some(5001), 3_200_000_000),
            port("idle", None, 0),
        ],
    }
}

fn pool(slot_bytes: u32, slots: u32, n: u64) -> PoolSnapshot {
    PoolSnapshot {
        slot_bytes,
        slots,
        pages: "2 MiB pages".to_owned(),
        allocated: 600_000 * n,
        freed: 600_000 * n,
        ..PoolSnapshot::default()
    }
}

fn port(name: &str, pid: Option<u32>, stalled_ns: u64) -> PortSnapshot {
    PortSnapshot {
        name: name.to_owned(),
        role: "handler".to_owned(),
        pid,
        trust: pid.map(|_| "shared".to_owned()),
        waiting: stalled_ns / 100_000_000,
        stalled_ns,
    }
}

/// A look at it, one second after another one.
pub fn look() -> Look {
    Look::new(Some(&snapshot(99)), snapshot(100))
}
