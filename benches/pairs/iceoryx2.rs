//! iceoryx2 of benches/peers: two processes, which measure themselves when they are asked.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{Pair, warm_up};

/// The two processes.
pub struct Iceoryx2 {
    first: Peer,
    other: Peer,
}

struct Peer {
    process: Child,
    /// `None`: there will be no more.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// A process of `program` on core `cpu`, which says that it is ready.
    fn start(program: &Path, role: &str, cpu: u32) -> Option<Self> {
        // A process inherits the core of the thread that starts it.
        super::super::support::pin(cpu);
        let mut command = Command::new(program);
        let service = format!("ringway/bench/{}", std::process::id());
        command.args([role, &service]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = command.spawn();
        super::super::support::pin(1);
        let mut process = started.ok()?;
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut peer = Self { process, orders, answers };
        peer.answer();
        Some(peer)
    }

    fn order(&mut self, what: &str, before: u64, count: u64) {
        let orders = self.orders.as_mut().expect("it is piped");
        writeln!(orders, "{what} {before} {count}").expect("it lives");
    }

    fn answer(&mut self) -> f64 {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a line");
        line.trim().parse().expect("a number")
    }
}

impl Iceoryx2 {
    /// Both, where they are built.
    pub fn start() -> Option<Self> {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/target/release");
        let program = built.join("iceoryx2");
        let other = Peer::start(&program, "other", 0)?;
        Some(Self { first: Peer::start(&program, "first", 1)?, other })
    }

    fn measure(&mut self, what: &str, count: u64) -> f64 {
        let before = warm_up(count);
        self.other.order(what, before, count);
        self.first.order(what, before, count);
        self.first.answer() / count as f64
    }
}

impl Pair for Iceoryx2 {
    fn name(&self) -> &'static str {
        "iceoryx2"
    }

    fn trips(&mut self, count: u64) -> f64 {
        self.measure("trips", count)
    }

    fn down(&mut self, count: u64) -> f64 {
        self.measure("stream", count)
    }

    fn up(&mut self, _count: u64) -> Option<f64> {
        None
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends with its orders, and takes its files along.
        self.orders = None;
        // One that waits for its partner within a round hears of nothing else.
        for _ in 0..100 {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
