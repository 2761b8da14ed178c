//! The segment that the counters of an instance lie in: a file in memory that anyone who is allowed may map. What lies
//! where is in `docs/MEMORY.md`; this is who writes it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytemuck::Zeroable;

use super::cells::{Cells, Counters, LcoreBlock, ListenerBlock, Stage, Verb};
use super::histogram::BUCKETS;
use super::snapshot::{BURST_BUCKETS, PoolSnapshot, PortSnapshot, State};
use super::{Counter, Reason};
use crate::error::{Error, Result};
use crate::limits::{LISTENERS_MAX, PORTS_MAX};
use crate::sync::{Ordering, Tally};
use crate::sys::cycles;
use crate::sys::shared::{Shared, SharedFile};

/// The first eight bytes: "rwstats\0", read as little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"rwstats\0");

/// Of the layout. A change of any offset or meaning raises it; what comes behind in free places does not.
pub const VERSION: u64 = 1;

/// Sizes of slots, over all pools.
pub const POOLS_MAX: usize = 64;

/// Bytes of a name, those that fill it up included.
pub(super) const NAME_BYTES: usize = 32;

/// A text in words of 8 bytes, filled up with zeros.
type Text<const WORDS: usize> = [Tally; WORDS];
pub(super) type Name = Text<{ NAME_BYTES / 8 }>;

/// What lies at offset 0. Offsets are in bytes from there.
#[derive(Debug, Zeroable)]
#[repr(C)]
pub(super) struct Header {
    pub magic: Tally,
    pub version: Tally,
    pub bytes: Tally,
    /// Odd while names, listeners, pools or ports change.
    pub epoch: Tally,
    pub state: Tally,
    pub pid: Tally,
    pub started_unix_ms: Tally,
    pub seen_unix_ms: Tally,
    pub uptime_ns: Tally,
    pub generation: Tally,
    pub cycles_per_second: Tally,
    pub sampling: Tally,
    pub counters: Tally,
    pub reasons: Tally,
    pub verbs: Tally,
    pub stages: Tally,
    pub burst_buckets: Tally,
    pub latency_buckets: Tally,
    pub lcores: Tally,
    pub listeners: Tally,
    pub pools: Tally,
    pub ports: Tally,
    pub names_at: Tally,
    pub listeners_at: Tally,
    pub listener_bytes: Tally,
    pub pools_at: Tally,
    pub pool_bytes: Tally,
    pub ports_at: Tally,
    pub port_bytes: Tally,
    pub lcores_at: Tally,
    pub lcore_bytes: Tally,
    /// In an lcore's block: its counters, behind them the reasons.
    pub lcore_cells_at: Tally,
    pub reasons_at: Tally,
    pub lcore_verbs_at: Tally,
    pub stage_bytes: Tally,
    pub lcore_listeners_at: Tally,
    pub lcore_listener_bytes: Tally,
    /// In the block of a listener there.
    pub cells_at: Tally,
    pub stages_at: Tally,
    pub latency_at: Tally,
    pub free: [Tally; 24],
    pub instance: Name,
    pub release: Name,
}

const _: () = assert!(size_of::<Header>() == 64 * 8 + 2 * NAME_BYTES);

/// A listener of the configuration, or one that it had.
#[derive(Debug, Zeroable)]
#[repr(C)]
pub(super) struct ListenerRecord {
    pub address: Text<16>,
    pub transport: Text<2>,
    pub protocol: Text<8>,
}

/// A size of slots of a pool.
#[derive(Debug, Zeroable)]
#[repr(C)]
pub(super) struct PoolRecord {
    pub numa_node: Tally,
    pub slot_bytes: Tally,
    pub slots: Tally,
    pub allocated: Tally,
    pub freed: Tally,
    pub exhausted: Tally,
    pub pages: Name,
}

/// A port.
#[derive(Debug, Zeroable)]
#[repr(C)]
pub(super) struct PortRecord {
    /// 0: nobody is attached.
    pub pid: Tally,
    pub waiting: Tally,
    pub stalled_ns: Tally,
    pub role: Text<2>,
    pub trust: Text<2>,
    pub name: Name,
}

/// Names of what is counted, each list one behind the other.
#[derive(Debug, Zeroable)]
#[repr(C)]
struct Names {
    names: [Name; super::cells::COUNTERS_MAX + super::cells::REASONS_MAX + 32],
}

#[derive(Debug, Zeroable)]
#[repr(C)]
struct Directory {
    header: Header,
    names: Names,
    listeners: [ListenerRecord; LISTENERS_MAX],
    pools: [PoolRecord; POOLS_MAX],
    ports: [PortRecord; PORTS_MAX],
}

/// Where the statistics of the instance `prefix` of the user `uid` lie.
pub fn path(uid: u32, prefix: &str) -> PathBuf {
    PathBuf::from(format!("/dev/shm/ringway-{uid}-{prefix}.stats"))
}

/// Where those of an instance that takes over from the one at `path` lie meanwhile.
pub fn next_path(path: &Path) -> PathBuf {
    path.with_extension("stats.next")
}

/// What a segment is made for.
#[derive(Debug, Clone)]
pub struct SegmentOptions {
    /// The instance.
    pub instance: String,
    /// Lcores.
    pub lcores: usize,
    /// Where it lies; `None`: only this process finds it.
    pub path: Option<PathBuf>,
    /// Permissions of the file.
    pub mode: u32,
    /// It takes the place of that of an instance which still runs.
    pub replace: bool,
    /// One in how many passes is measured; 0: none.
    pub sampling: u32,
}

/// The segment of a dataplane, as it writes it.
pub struct Segment {
    directory: Shared<Directory>,
    lcores: Vec<Shared<LcoreBlock>>,
    file: SharedFile,
    /// Of those who change what lies in the directory.
    writing: Mutex<()>,
}

impl Segment {
    /// Makes it.
    ///
    /// # Errors
    /// When memory is short, or another instance that runs has a segment at the path.
    pub fn create(options: &SegmentOptions) -> Result<Self> {
        let lcores = options.lcores;
        let bytes = (size_of::<Directory>() + lcores * (size_of::<LcoreBlock>() + 128))
            .next_multiple_of(4096);
        let file = match &options.path {
            Some(path) => SharedFile::create(path, bytes, options.mode, options.replace),
            None => SharedFile::anonymous(&format!("{}-stats", options.instance), bytes),
        };
        let mut file = file.map_err(|e| refused(options, bytes, &e))?;
        let (_, directory) = file.place::<Directory>();
        let blocks: Vec<_> = (0..lcores).map(|_| file.place::<LcoreBlock>()).collect();
        let at = blocks.first().map_or(0, |(at, _)| *at);
        let stride = blocks.get(1).map_or(0, |(next, _)| next - at);
        let lcores = blocks.into_iter().map(|(_, block)| block).collect();
        let segment = Self { directory, lcores, file, writing: Mutex::new(()) };
        segment.describe(options, bytes, at, stride);
        Ok(segment)
    }

    fn describe(
        &self,
        options: &SegmentOptions,
        bytes: usize,
        lcores_at: usize,
        lcore_bytes: usize,
    ) {
        let header = &self.directory.header;
        let stage_bytes = size_of::<super::cells::StageCells>();
        for (word, value) in [
            (&header.version, VERSION as usize),
            (&header.bytes, bytes),
            (&header.pid, std::process::id() as usize),
            (&header.counters, Counter::ALL.len()),
            (&header.reasons, Reason::ALL.len()),
            (&header.verbs, Verb::ALL.len()),
            (&header.stages, Stage::ALL.len()),
            (&header.burst_buckets, BURST_BUCKETS),
            (&header.latency_buckets, BUCKETS),
            (&header.lcores, self.lcores.len()),
            (&header.listeners, LISTENERS_MAX),
            (&header.names_at, std::mem::offset_of!(Directory, names)),
            (&header.listeners_at, std::mem::offset_of!(Directory, listeners)),
            (&header.listener_bytes, size_of::<ListenerRecord>()),
            (&header.pools_at, std::mem::offset_of!(Directory, pools)),
            (&header.pool_bytes, size_of::<PoolRecord>()),
            (&header.ports_at, std::mem::offset_of!(Directory, ports)),
            (&header.port_bytes, size_of::<PortRecord>()),
            (&header.lcores_at, lcores_at),
            (&header.lcore_bytes, lcore_bytes),
            (&header.lcore_cells_at, std::mem::offset_of!(LcoreBlock, cells)),
            (&header.reasons_at, std::mem::offset_of!(Cells, dropped)),
            (&header.lcore_verbs_at, std::mem::offset_of!(LcoreBlock, verbs)),
            (&header.stage_bytes, stage_bytes),
            (&header.lcore_listeners_at, std::mem::offset_of!(LcoreBlock, listeners)),
            (&header.lcore_listener_bytes, size_of::<ListenerBlock>()),
            (&header.cells_at, std::mem::offset_of!(ListenerBlock, cells)),
            (&header.stages_at, std::mem::offset_of!(ListenerBlock, stages)),
            (&header.latency_at, std::mem::offset_of!(ListenerBlock, latency)),
        ] {
            store(word, value as u64);
        }
        store(&header.cycles_per_second, cycles::per_second());
        // Found out here, and not in the first pass that is measured.
        cycles::cost_of_reading();
        store(&header.generation, 1);
        self.set_sampling(options.sampling);
        store(&header.started_unix_ms, unix_ms());
        store(&header.seen_unix_ms, unix_ms());
        write(&header.instance, &options.instance);
        write(&header.release, env!("CARGO_PKG_VERSION"));
        let counters = Counter::ALL.into_iter().map(|(_, name)| name);
        let reasons = Reason::ALL.into_iter().map(|(_, name)| name);
        let verbs = Verb::ALL.into_iter().map(|(_, name)| name);
        let names = counters
            .chain(reasons)
            .chain(verbs)
            .chain(Stage::ALL.into_iter().map(|(_, name)| name));
        self.directory.names.names.iter().zip(names).for_each(|(place, name)| write(place, name));
        // Release: who finds the magic finds all of this.
        header.magic.store(MAGIC, Ordering::Release);
    }

    /// Where the lcore at `index` counts.
    ///
    /// # Panics
    /// When there is none.
    pub fn lcore(&self, index: usize) -> Counters {
        Counters::of(self.lcores[index].clone())
    }

    /// All that the lcores say.
    pub fn lcores(&self) -> impl Iterator<Item = &LcoreBlock> {
        self.lcores.iter().map(|block| &**block)
    }

    /// Says which lcore the one at `index` is to the operator.
    pub fn describe_lcore(&self, index: usize, lcore_id: u32, cpus: &str) {
        let block = &self.lcores[index];
        store(&block.lcore_id, lcore_id.into());
        write(&block.cpus, cpus);
    }

    /// Says what the listener at `index` is, before lcores begin to serve it.
    pub fn describe_listener(&self, index: u8, address: &str, transport: &str, protocol: &str) {
        let record = &self.directory.listeners[usize::from(index)];
        self.change(|| {
            write(&record.address, address);
            write(&record.transport, transport);
            write(&record.protocol, protocol);
        });
    }

    /// Says how the instance is.
    pub fn set_state(&self, state: State) {
        store(&self.directory.header.state, state as u64);
    }

    /// Says which configuration is in force.
    pub fn set_generation(&self, generation: u64) {
        store(&self.directory.header.generation, generation);
    }

    /// One in how many passes is measured; 0: none.
    pub fn set_sampling(&self, one_in: u32) {
        store(&self.directory.header.sampling, one_in.into());
        self.lcores().for_each(|lcore| store(&lcore.sampling, one_in.into()));
    }

    /// Says what is not counted but looked at, and that the instance is alive.
    pub fn publish(&self, uptime_ns: u64, pools: &[PoolSnapshot], ports: &[PortSnapshot]) {
        let header = &self.directory.header;
        self.change(|| {
            store(&header.seen_unix_ms, unix_ms());
            store(&header.uptime_ns, uptime_ns);
            let count = pools.len().min(POOLS_MAX);
            store(&header.pools, count as u64);
            self.directory.pools.iter().zip(pools).for_each(|(record, pool)| record.write(pool));
            store(&header.ports, ports.len().min(PORTS_MAX) as u64);
            self.directory.ports.iter().zip(ports).for_each(|(record, port)| record.write(port));
        });
    }

    /// What a reader in this process reads.
    pub fn try_clone_fd(&self) -> io::Result<OwnedFd> {
        self.file.file().try_clone_to_owned()
    }

    /// Where it lies; `None`: only this process finds it.
    pub fn path(&self) -> Option<PathBuf> {
        self.file.path()
    }

    /// Puts the file at `path`, in place of that of the instance that this one takes over from, which lies at
    /// [`next_path`] from then on.
    pub fn move_to(&self, path: &Path) -> io::Result<()> {
        self.file.move_to(path)
    }

    /// Has its place again, where an instance that was to take over has come to nothing.
    pub fn take_back(&self) -> io::Result<()> {
        self.path().map_or(Ok(()), |path| self.file.take_back(&next_path(&path)))
    }

    fn change(&self, change: impl FnOnce()) {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = &self.directory.header.epoch;
        epoch.fetch_add(1, Ordering::AcqRel);
        change();
        epoch.fetch_add(1, Ordering::Release);
    }
}

impl PoolRecord {
    fn write(&self, pool: &PoolSnapshot) {
        store(&self.numa_node, pool.numa_node.into());
        store(&self.slot_bytes, pool.slot_bytes.into());
        store(&self.slots, pool.slots.into());
        store(&self.allocated, pool.allocated);
        store(&self.freed, pool.freed);
        store(&self.exhausted, pool.exhausted);
        write(&self.pages, &pool.pages);
    }
}

impl PortRecord {
    fn write(&self, port: &PortSnapshot) {
        store(&self.pid, port.pid.unwrap_or(0).into());
        store(&self.waiting, port.waiting);
        store(&self.stalled_ns, port.stalled_ns);
        write(&self.role, &port.role);
        write(&self.trust, port.trust.as_deref().unwrap_or(""));
        write(&self.name, &port.name);
    }
}

fn store(word: &Tally, value: u64) {
    word.store(value, Ordering::Relaxed);
}

/// Writes a text; what is too long ends earlier.
fn write(words: &[Tally], text: &str) {
    let end = text.floor_char_boundary(words.len() * 8);
    let mut bytes = text.as_bytes()[..end].chunks(8);
    for word in words {
        let mut eight = [0; 8];
        let some = bytes.next().unwrap_or_default();
        eight[..some.len()].copy_from_slice(some);
        store(word, u64::from_le_bytes(eight));
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn refused(options: &SegmentOptions, bytes: usize, error: &io::Error) -> Error {
    let place =
        options.path.as_ref().map_or("memory".to_owned(), |path| path.display().to_string());
    let remedy = match (error.kind(), error.raw_os_error()) {
        (_, Some(libc::EMFILE | libc::ENFILE)) => "raise the limit on open files (`ulimit -n`)",
        (io::ErrorKind::AddrInUse, _) => {
            "another instance runs that writes there: use another --file-prefix"
        }
        (io::ErrorKind::StorageFull, _) => "free memory, or enlarge /dev/shm (docker: --shm-size)",
        _ => "see that /dev/shm is there and writable",
    };
    Error::new(format!("keep {} KiB of statistics in {place}", bytes / 1024), error, remedy)
}
