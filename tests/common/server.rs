//! A real dataplane in the process of the test.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringway::config::{Config, CoreMap, FilePrefix, IdleMode, IoBackend, MemoryOptions};
use ringway::counters::{Counter, Reason};
use ringway::dataplane::{Builder, Dataplane, Report, Tuning};
use ringway::error::Result;
use ringway::sync::AtomicUsize;
use ringway::sys::affinity;

use super::{Client, Watchdog};

/// A CPU that this process may use; the same one again where there are not so many.
pub fn cpu(index: usize) -> u32 {
    let allowed = affinity::allowed().unwrap();
    allowed[index % allowed.len()]
}

/// Looks again and again until it is so; the watchdog ends a wait in vain.
pub fn wait_until(mut so: impl FnMut() -> bool) {
    while !so() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What carries the sockets where a test does not choose: `RINGWAY_TEST_IO=epoll` runs all of a suite over
/// epoll.
pub fn io_of_the_run() -> IoBackend {
    let chosen = std::env::var("RINGWAY_TEST_IO");
    chosen.map_or(IoBackend::Auto, |name| name.parse().unwrap_or_else(|error| panic!("{error}")))
}

/// A dataplane that is being put together.
pub struct Start {
    listeners: Vec<String>,
    tables: String,
    lcores: usize,
    idle: IdleMode,
    io: IoBackend,
    tuning: Tuning,
}

impl Start {
    /// Without listeners, on one lcore.
    pub fn new() -> Self {
        Self {
            listeners: Vec::new(),
            tables: String::new(),
            lcores: 1,
            idle: IdleMode::Adaptive,
            io: io_of_the_run(),
            tuning: Tuning::default(),
        }
    }

    /// With a listener on a port of its own; `settings` is its `config` table.
    pub fn listener(mut self, protocol: &str, settings: &str) -> Self {
        self.listeners.push(format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n\
             protocol = \"{protocol}\"\nconfig = {{ {settings} }}\n"
        ));
        self
    }

    /// With a listener for datagrams.
    pub fn datagrams(mut self, protocol: &str, address: &str) -> Self {
        self.listeners.push(format!(
            "[[listener]]\naddress = \"{address}\"\ntransport = \"udp\"\n\
             protocol = \"{protocol}\"\n"
        ));
        self
    }

    /// With a listener whose peer is the process that attaches to the port `name`.
    pub fn peer(mut self, name: &str, protocol: &str) -> Self {
        self.listeners.push(format!(
            "[[listener]]\naddress = \"port:{name}\"\ntransport = \"shm\"\n\
             protocol = \"{protocol}\"\n"
        ));
        self
    }

    /// The last listener with this key as well.
    pub fn limited(mut self, key: &str) -> Self {
        let last = self.listeners.last_mut().expect("a listener was named");
        *last = format!("{last}{key}\n");
        self
    }

    /// With more of the configuration file.
    pub fn tables(mut self, toml: &str) -> Self {
        self.tables.push_str(toml);
        self
    }

    /// On so many lcores, spread over the CPUs there are.
    pub fn lcores(mut self, lcores: usize) -> Self {
        self.lcores = lcores;
        self
    }

    /// Idling like this.
    pub fn idle(mut self, idle: IdleMode) -> Self {
        self.idle = idle;
        self
    }

    /// With its sockets carried by this, whatever the run says.
    pub fn io(mut self, io: IoBackend) -> Self {
        self.io = io;
        self
    }

    /// Using io_uring like this.
    pub fn tuning(mut self, change: impl FnOnce(&mut Tuning)) -> Self {
        change(&mut self.tuning);
        self
    }

    /// The builder, for what has no method here.
    pub fn builder(self) -> Builder {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let turn = STARTED.fetch_add(1, Ordering::Relaxed);
        let tables = if self.tables.contains("max_connections") {
            self.tables
        } else {
            format!("{}\n[dataplane]\nmax_connections = 1024\n", self.tables)
        };
        let text = format!("{}{tables}", self.listeners.concat());
        let config = Config::from_toml(&text, "test.toml").unwrap();
        let cores: Vec<_> = (0..self.lcores).map(|n| format!("{n}@{}", cpu(turn + n))).collect();
        let prefix: FilePrefix = format!("t{}-{turn}", std::process::id()).parse().unwrap();
        Builder::new(config, CoreMap::parse_list(&cores.join(",")).unwrap())
            .memory(MemoryOptions { no_huge: true, ..MemoryOptions::default() })
            .file_prefix(prefix)
            .idle(self.idle)
            .io(self.io)
            .tuning(self.tuning)
    }

    /// Why it does not start.
    pub fn refusal(self) -> String {
        let outcome: Result<Dataplane> = self.builder().start();
        outcome.err().expect("the dataplane must not start").to_string()
    }

    /// Starts it.
    pub fn start(self) -> Server {
        Server::run(self.builder())
    }
}

/// A running dataplane that has to account for every buf in the end.
pub struct Server {
    plane: Dataplane,
    _watchdog: Watchdog,
}

impl Server {
    /// Starts what was built.
    pub fn run(builder: Builder) -> Self {
        let watchdog = Watchdog::start();
        let plane = builder.start().unwrap_or_else(|error| panic!("{error}"));
        Self { plane, _watchdog: watchdog }
    }

    /// HTTP with its defaults.
    pub fn http() -> Self {
        Start::new().listener("http", "").start()
    }

    /// TCP echo.
    pub fn echo() -> Self {
        Start::new().listener("echo", "").start()
    }

    /// The dataplane.
    pub fn plane(&self) -> &Dataplane {
        &self.plane
    }

    /// Where the listener at `index` listens.
    pub fn address(&self, index: usize) -> SocketAddr {
        self.plane.addresses()[index].ip().expect("it listens on an IP address")
    }

    /// A connection to the first listener.
    pub fn connect(&self) -> Client {
        Client::connect(self.address(0))
    }

    /// A counter over all lcores.
    pub fn count(&self, counter: Counter) -> u64 {
        self.plane.status().sum(counter)
    }

    /// Bufs dropped for `reason`, over all lcores.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.plane.status().dropped(reason)
    }

    /// Waits until no connection is open.
    pub fn wait_for_no_connections(&self) {
        wait_until(|| self.plane.status().connections() == 0);
    }

    /// Drains, and checks that nothing is missing.
    pub fn drain(self) -> Report {
        self.plane.drain();
        self.account()
    }

    /// Stops at once, and checks that nothing is missing.
    pub fn stop(self) -> Report {
        self.plane.stop();
        self.account()
    }

    /// Waits for the end, and checks that nothing is missing.
    pub fn account(self) -> Report {
        let report = self.plane.join();
        assert_eq!((report.missing(), report.panicked()), (0, 0), "{report}");
        let open = report.status().connections();
        assert_eq!(open, 0, "connections were left: {report}");
        report
    }
}
