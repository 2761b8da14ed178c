use std::fs;

use super::super::{Counter, Reason, Segment, SegmentOptions, Stage, Verb};
use super::*;
use crate::sync::Ordering;

fn options(path: Option<PathBuf>) -> SegmentOptions {
    let instance = "blue".to_owned();
    SegmentOptions { instance, lcores: 2, path, mode: 0o600, replace: false, sampling: 16 }
}

fn pool() -> PoolSnapshot {
    PoolSnapshot {
        numa_node: 1,
        pages: "2 MiB hugepages".into(),
        slot_bytes: 2048,
        slots: 100,
        in_use: 7,
        allocated: 10,
        freed: 3,
        exhausted: 2,
    }
}

#[test]
fn who_looks_sees_what_was_counted_by_lcore_and_by_listener() {
    let segment = Segment::create(&options(None)).unwrap();
    segment.describe_lcore(1, 5, "6-7");
    segment.describe_listener(3, "127.0.0.1:80", "tcp", "http");
    segment.set_state(State::Running);
    segment.set_generation(4);
    let port = PortSnapshot {
        name: "app".into(),
        role: "handler".into(),
        pid: Some(9),
        ..PortSnapshot::default()
    };
    segment.publish(77, &[pool()], std::slice::from_ref(&port));
    for (lcore, n) in [(0, 1), (1, 10)] {
        let lcore = segment.lcore(lcore);
        let listener = lcore.listener(3);
        listener.block().listener(3).state.store(1, Ordering::Relaxed);
        lcore.add(Counter::Accepted, n);
        listener.add(Counter::Accepted, n * 100);
        listener.add(Counter::Closed, n);
        listener.drop_many(Reason::Unsent, n);
        lcore.verb(Verb::Turns).record(3, 50, 16);
        listener.block().listener(3).stage(Stage::Handler).record(2, 40, n);
        listener.block().listener(3).record_latency(1000 * n, n);
    }
    segment.lcore(1).block().listener(3).slowest_ns.store(99, Ordering::Relaxed);
    segment.lcore(1).block().silent_ns.store(5, Ordering::Relaxed);
    let seen = Observer::of(segment.try_clone_fd().unwrap()).snapshot().unwrap();
    assert_eq!(
        (seen.instance.as_str(), seen.pid, seen.state),
        ("blue", std::process::id(), State::Running)
    );
    assert_eq!((seen.generation, seen.sampling, seen.uptime_ns >= 77), (4, 16, true));
    assert_eq!((seen.sum("accepted"), seen.dropped().get("unsent")), (1111, 11));
    let [first, second] = &seen.lcores[..] else { panic!("{:?}", seen.lcores) };
    assert_eq!((first.connections, second.connections), (100, 1000));
    assert_eq!(
        (second.lcore_id, second.cpus.as_str(), second.doing.as_deref()),
        (5, "6-7", Some("unknown"))
    );
    let turns = second.stages.iter().find(|stage| stage.name == "turns").unwrap();
    assert_eq!((turns.calls, turns.bufs, turns.cycles, turns.bufs_per_call[2]), (16, 48, 800, 16));
    let [listener] = &seen.listeners[..] else { panic!("{:?}", seen.listeners) };
    assert_eq!(
        (listener.index, listener.address.as_str(), listener.protocol.as_str()),
        (3, "127.0.0.1:80", "http")
    );
    assert_eq!((listener.counters.get("accepted"), listener.connections), (1100, 1089));
    let handler = listener.stages.iter().find(|stage| stage.name == "handler").unwrap();
    assert_eq!((handler.calls, handler.bufs, handler.cycles), (11, 22, 440));
    assert_eq!((listener.latency.count(), listener.slowest.as_ref().unwrap().ns), (11, 99));
    assert_eq!((seen.pools[0].in_use, seen.pools[0].pages.as_str()), (7, "2 MiB hugepages"));
    assert_eq!(
        (seen.ports[0].name.as_str(), seen.ports[0].pid, &seen.ports[0].trust),
        ("app", Some(9), &None)
    );
}

#[test]
fn a_segment_whose_writer_is_gone_is_read_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("stats"), directory.path().join("copy"));
    let segment = Segment::create(&options(Some(path.clone()))).unwrap();
    segment.set_state(State::Running);
    segment.lcore(0).add(Counter::Messages, 7);
    let observer = Observer::open_file(&path).unwrap();
    assert_eq!(observer.snapshot().unwrap().state, State::Running);
    // What a killed process leaves.
    fs::copy(&path, &copy).unwrap();
    let left = Observer::open_file(&copy).unwrap().snapshot().unwrap();
    assert_eq!((left.state, left.sum("messages")), (State::Died, 7));
    segment.set_state(State::Ended);
    drop(segment);
    assert_eq!(observer.snapshot().unwrap().state, State::Ended, "who has it open still reads it");
    assert!(Observer::open_file(&path).is_err());
}

#[test]
fn another_instance_that_runs_keeps_its_segment_unless_it_is_to_be_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stats");
    let first = Segment::create(&options(Some(path.clone()))).unwrap();
    let observer = Observer::open_file(&path).unwrap();
    let refused = Segment::create(&options(Some(path.clone()))).err().unwrap().to_string();
    assert!(refused.contains("--file-prefix"), "{refused}");
    let second =
        Segment::create(&SegmentOptions { replace: true, ..options(Some(path.clone())) }).unwrap();
    assert!(observer.is_replaced());
    drop(first);
    assert_eq!(Observer::open_file(&path).unwrap().snapshot().unwrap().instance, "blue");
    drop(second);
    assert!(!path.exists());
}

#[test]
fn what_is_no_segment_is_refused_and_broken_ones_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stats");
    let segment = Segment::create(&options(Some(path.clone()))).unwrap();
    let good = fs::read(&path).unwrap();
    drop(segment);
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Observer::open_file(&path).unwrap().snapshot()
    };
    read(&good).unwrap();
    for end in [0, 7, 100, 600, 5000, good.len() / 2] {
        read(&good[..end]).unwrap_err();
    }
    // Any word of the header says anything.
    for word in 0..64 {
        for value in [0, 1, 3, 1 << 20, u64::MAX / 8, u64::MAX] {
            let mut bad = good.clone();
            bad[word * 8..][..8].copy_from_slice(&u64::to_le_bytes(value));
            let _ = read(&bad);
        }
    }
}
