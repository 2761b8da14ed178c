//! Somebody who looks at both listeners of a world in each way there is.

use ringway::lcore::Lcore;
use ringway::lcore::capture::{Boundaries, CaptureOptions, Capturer};
use ringway::lcore::trace::{Record, TraceOptions, Tracer};
use ringway::lcore::watch::{Boundary, Watch};
use ringway::ring::spsc::Consumer;
use ringway::time::Instant;

pub struct Watching {
    records: Vec<Consumer<Record>>,
    bytes: Vec<Consumer<u8>>,
    /// Records and bytes that were read so far.
    pub seen: (usize, usize),
}

impl Watching {
    pub fn begin(lcore: &mut Lcore) -> Self {
        let (mut all, until) =
            (Self { records: Vec::new(), bytes: Vec::new(), seen: (0, 0) }, NEVER);
        for index in 0..2 {
            let passes = u32::MAX;
            let (shows_bytes, shows_decrypted) = (true, true);
            let options = TraceOptions { conn: None, passes, until, shows_bytes, shows_decrypted };
            let (tracer, records, _) = Tracer::new(options);
            let stages = Boundary::ALL.into_iter();
            let stages = stages.fold(Boundaries::default(), |all, (stage, _)| all.with(stage));
            let (snaplen, packets) = (100_000, u64::MAX);
            let (conn, decrypted) = (None, true);
            let options = CaptureOptions { stages, conn, snaplen, packets, until, decrypted };
            let (capturer, bytes, _) = Capturer::new(options);
            for watch in [Watch::tracing(tracer), Watch::capturing(capturer)] {
                assert!(lcore.watch(index, watch).is_ok(), "the listener is there");
            }
            all.records.push(records);
            all.bytes.push(bytes);
        }
        all
    }

    /// Makes room, but not always: rings that are full are a part of it.
    pub fn drain(&mut self, really: bool) {
        if !really {
            return;
        }
        for records in &mut self.records {
            self.seen.0 += records.dequeue_burst_with(usize::MAX, drop);
        }
        for bytes in &mut self.bytes {
            let chunk = bytes.peek(usize::MAX);
            let count = chunk.len();
            chunk.release(count);
            self.seen.1 += count;
        }
    }
}

const NEVER: Instant = Instant::from_ns(u64::MAX);
