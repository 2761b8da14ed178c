//! A storm of kills at any moment, under load, beside those who are to notice nothing.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringway::attach::{Attachment, Options};
use ringway::blocking::Connection;
use ringway::mem::{Trust, kind};
use ringway::sync::{AtomicBool, Ordering};
use tempfile::TempDir;

use crate::child::Child;
use crate::common::{Client, Server, Start, pattern};

/// How long one dataplane stands the storm, and all do where `RINGWAY_STORM` is not set.
const STORM: Duration = Duration::from_secs(28);

/// A dataplane with a control socket, a listener of its own, and ports: `app` of HTTP, `raw`, and
/// `calm`, raw too.
pub struct Bed {
    pub server: Server,
    pub socket: PathBuf,
    _dir: TempDir,
}

impl Bed {
    pub fn start(lcores: usize) -> Self {
        let start = Start::new()
            .listener("http", "")
            .listener("http", "")
            .limited("handler = \"port:app\"")
            .listener("raw", "")
            .limited("handler = \"port:raw\"")
            .listener("raw", "")
            .limited("handler = \"port:calm\"\nisolated = true")
            .lcores(lcores);
        Self::serve(start)
    }

    /// Starts it with a control socket.
    pub fn serve(start: Start) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("c.sock");
        let tables = format!("[control]\nsocket = \"{}\"\n", socket.display());
        Self { server: start.tables(&tables).start(), socket, _dir: dir }
    }

    /// Whether nobody is attached to a port, and all that who was had is home.
    pub fn is_free(&self, name: &str) -> bool {
        let ports = self.server.plane().ports().list();
        ports.iter().any(|(config, attached)| config.name == name && attached.is_none())
    }

    pub fn wait_until_free(&self, name: &str) {
        while !self.is_free(name) {
            thread::sleep(Duration::from_micros(20));
        }
    }
}

/// Numbers that follow each other without order.
fn scrambled(round: u64) -> u64 {
    let mixed = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}

/// How long it took until all was home that a process had.
struct Recovery {
    /// Since it was sent the signal: most of this is the kernel's, which ends it.
    since_signal: Duration,
    /// Since it was dead, as its parent sees it.
    since_death: Duration,
}

/// Starts a process, lets it serve for a moment, and kills it. How long it took until all was
/// home, if it was attached by then.
fn kill_one(bed: &Bed, round: u64) -> Option<Recovery> {
    let at = scrambled(round);
    let port = if at.is_multiple_of(2) { "app" } else { "raw" };
    let trust = if at & 2 == 0 { Trust::Shared } else { Trust::Isolated };
    let mut child = Child::start(&bed.socket, port, trust, "");
    if at & 4 == 0 {
        child.wait_for("attached");
    }
    thread::sleep(Duration::from_micros(at >> 3 & 0xfff));
    let (was_attached, killed) = (!bed.is_free(port), Instant::now());
    child.signal(Signal::SIGKILL);
    child.wait_for_death();
    let died = Instant::now();
    bed.wait_until_free(port);
    was_attached.then(|| Recovery { since_signal: killed.elapsed(), since_death: died.elapsed() })
}

/// Asks the port that is killed, and takes what a client may get.
fn load_http(bed: &Bed, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let mut client = Client::connect(bed.server.address(1));
        while !over.load(Ordering::Relaxed) {
            let response = client.get("/");
            match response.status() {
                200 => assert_eq!(response.body, b"served"),
                status => assert!(matches!(status, 502 | 503), "{status}"),
            }
        }
    }
}

fn load_raw(bed: &Bed, over: &AtomicBool) {
    let mut round = 0;
    while !over.load(Ordering::Relaxed) {
        let address = bed.server.address(2);
        let stream = std::net::TcpStream::connect(address).unwrap();
        let mut client = Connection::over(stream, Duration::from_secs(50)).unwrap();
        let sent = pattern(round, 5000);
        // Closed at any moment; what comes is what was sent.
        while !over.load(Ordering::Relaxed) && client.write_all(&sent).is_ok() {
            let Ok(back) = client.read_exact(sent.len()) else { break };
            assert!(back == sent);
        }
        round += 1;
    }
}

/// Those who are to notice nothing: the listener without a port, and another port.
fn calm(bed: &Bed, over: &AtomicBool) {
    let mut direct = bed.server.connect();
    let mut calm = Client::connect(bed.server.address(3));
    let mut round = 0;
    while !over.load(Ordering::Relaxed) {
        assert_eq!(direct.get("/health").status(), 200);
        let sent = pattern(round, 3000);
        assert!(calm.send(&sent).receive(3000) == sent);
        round += 1;
    }
}

/// The program at `calm`, until `done`.
fn serve_calm(bed: &Bed, done: &AtomicBool, ready: &mpsc::Sender<()>) {
    let mut port = Attachment::connect(&bed.socket, "calm", Options::default()).unwrap();
    ready.send(()).unwrap();
    while !done.load(Ordering::Relaxed) {
        port.wait(Some(Duration::from_millis(50))).expect("the dataplane lives");
        for queue in port.queues() {
            while let Some(message) = queue.receive() {
                if message.kind == kind::DATA {
                    queue.send(message);
                }
            }
            queue.flush();
        }
    }
}

/// Raises a flag when it goes, so that others end where this one fails.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a storm has measured.
#[derive(Default)]
struct Took {
    kills: usize,
    recoveries: Vec<Recovery>,
}

/// As many kills as fit, up to `most`, on one dataplane.
fn storm(lcores: usize, most: usize, took: &mut Took) {
    let bed = Bed::start(lcores);
    let [over, done] = [false, false].map(AtomicBool::new);
    thread::scope(|scope| {
        let (bed, over, done) = (&bed, &over, &done);
        let _raised = [Raise(over), Raise(done)];
        let (ready, attached) = mpsc::channel();
        scope.spawn(move || serve_calm(bed, done, &ready));
        attached.recv().unwrap();
        let clients = [
            scope.spawn(|| load_http(bed, over)),
            scope.spawn(|| load_raw(bed, over)),
            scope.spawn(|| calm(bed, over)),
        ];
        let started = Instant::now();
        while took.kills < most && started.elapsed() < STORM {
            took.recoveries.extend(kill_one(bed, took.kills as u64));
            took.kills += 1;
        }
        over.store(true, Ordering::Relaxed);
        // One whose connection waits for a process that is gone is answered by the next, or closed.
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    bed.server.drain();
}

#[test]
fn a_storm_of_kills_leaves_nothing_behind_and_nobody_else_notices_p_4() {
    let asked = std::env::var("RINGWAY_STORM").ok().map(|kills| kills.parse::<usize>().unwrap());
    let mut took = Took::default();
    loop {
        storm(2, asked.unwrap_or(usize::MAX), &mut took);
        if asked.is_none_or(|asked| took.kills >= asked) {
            break;
        }
    }
    let Took { kills, recoveries } = took;
    println!("{kills} kills, {} of attached processes; to the last slot home:", recoveries.len());
    report("since SIGKILL", recoveries.iter().map(|recovery| recovery.since_signal).collect());
    report("since the death", recoveries.iter().map(|recovery| recovery.since_death).collect());
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let [least, median, late, most] = [0, 500, 990, 1000].map(|mille| {
        let index = times.len() * mille / 1000;
        times[index.min(times.len() - 1)]
    });
    println!("{what}: min {least:?}, median {median:?}, p99 {late:?}, max {most:?}");
}
