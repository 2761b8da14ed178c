//! A snapshot as JSON: as everywhere else, and on request with the buckets of the latencies, from which quantiles between
//! two looks come.

use serde_json::{Value, json};

use crate::counters::snapshot::Snapshot;

/// One object and a newline. With `buckets` each listener's `latency` has a list of that name: the longest duration of
/// each bucket in nanoseconds, and how often it was counted; buckets without a count are left out.
pub fn stats(snapshot: &Snapshot, buckets: bool) -> Vec<u8> {
    let mut value = serde_json::to_value(snapshot).expect("a snapshot is plain data");
    if buckets {
        for (listener, row) in snapshot.listeners.iter().zip(listeners(&mut value)) {
            let counts: Vec<_> = listener.latency.buckets().map(|(ns, n)| json!([ns, n])).collect();
            row["latency"]["buckets"] = counts.into();
        }
    }
    let mut text = value.to_string().into_bytes();
    text.push(b'\n');
    text
}

fn listeners(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value["listeners"].as_array_mut().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::snapshot::ListenerSnapshot;

    #[test]
    fn buckets_are_there_on_request_and_those_without_a_count_are_left_out() {
        let mut listener = ListenerSnapshot::default();
        listener.latency.record(5, 2);
        listener.latency.record(1000, 3);
        let snapshot = Snapshot { listeners: vec![listener], ..Snapshot::default() };
        let of = |buckets| -> Value { serde_json::from_slice(&stats(&snapshot, buckets)).unwrap() };
        assert_eq!(of(true)["listeners"][0]["latency"]["buckets"], json!([[5, 2], [1023, 3]]));
        assert_eq!(of(true)["listeners"][0]["latency"]["count"], 5);
        assert_eq!(of(false)["listeners"][0]["latency"]["buckets"], Value::Null);
        assert_eq!(of(false)["state"], "starting");
    }
}
