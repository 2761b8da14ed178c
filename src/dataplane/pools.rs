//! The mempools of a dataplane: one for each NUMA node that its lcores run on (W-6).

use crate::config::{CoreMap, FilePrefix, LcoreSpec, MemoryOptions, MempoolConfig};
use crate::error::{Error, Result};
use crate::limits::{
    BLOCK_BYTES, LARGE_SLOT_BYTES, LARGE_SLOTS, LARGE_SLOTS_MIN, RX_SLOTS, SMALL_SLOT_BYTES,
    SMALL_SLOTS, SMALL_SLOTS_MIN, TRAIN_SLOT_BYTES, TRAIN_SLOTS,
};
use crate::mem::{ClassSize, Mempool, Placement, SlotCounts};
use crate::sys::mapping::Request;
use crate::sys::topology::Topology;

const MIB: u64 = 1 << 20;

/// More than the header of a segment, its rings' control blocks and the rounding to pages take.
const SEGMENT_OVERHEAD_BYTES: u64 = 64 * 1024;

/// A pool for each NUMA node.
pub struct NumaPools {
    /// By the order of their nodes' numbers.
    pools: Vec<NodePool>,
}

struct NodePool {
    node: u32,
    cpus: Vec<u32>,
    pool: Mempool,
}

impl NumaPools {
    /// Maps a pool on each node that an lcore runs on, sized for the lcores there, or, where
    /// `memory.numa_mem_mb` has an entry for the node, of that many MiB. With `datagrams` they have slots for
    /// such.
    pub fn create(
        topology: &Topology,
        cores: &CoreMap,
        sizes: &MempoolConfig,
        datagrams: bool,
        memory: &MemoryOptions,
        prefix: &FilePrefix,
    ) -> Result<Self> {
        let mut pools = Vec::new();
        for (index, node) in topology.nodes().iter().enumerate() {
            let here = |lcore: &&LcoreSpec| home(topology, lcore) == node.id;
            let lcores = cores.lcores().iter().filter(here).count() as u32;
            if lcores == 0 {
                continue;
            }
            let megabytes = memory.numa_mem_mb.get(index).copied().filter(|&mb| mb > 0);
            let classes = classes(lcores, sizes, datagrams, megabytes)?;
            let request = Request {
                no_huge: memory.no_huge,
                huge_dir: memory.huge_dir.clone(),
                in_memory: memory.in_memory,
                mlock: memory.mlock,
                ..Request::new(format!("{}-pool-{}", prefix.as_str(), node.id), 0)
            };
            let placement = Placement { topology, node: node.id };
            let pool = Mempool::create(&request, &classes, Some(placement))?;
            pools.push(NodePool { node: node.id, cpus: node.cpus.clone(), pool });
        }
        Ok(Self { pools })
    }

    /// The pool of a NUMA node; an error for a node without lcores.
    pub fn for_node(&self, node: u32) -> Result<&Mempool> {
        let found = self.pools.iter().find(|pool| pool.node == node);
        found.map(|pool| &pool.pool).ok_or_else(|| {
            let nodes: Vec<u32> = self.pools.iter().map(|pool| pool.node).collect();
            let what = format!("find the pool of NUMA node {node}");
            Error::new(what, format!("there are pools on nodes {nodes:?}"), "name one of them")
        })
    }

    /// The pool of the node that a CPU belongs to; an error for a CPU of a node without lcores.
    pub fn for_cpu(&self, cpu: u32) -> Result<&Mempool> {
        let found = self.pools.iter().find(|pool| pool.cpus.contains(&cpu));
        found.map(|pool| &pool.pool).ok_or_else(|| {
            let what = format!("find the pool of CPU {cpu}");
            Error::new(what, "no lcore runs on its NUMA node", "name a CPU of an lcore's node")
        })
    }

    /// The pool of an lcore.
    pub(super) fn for_cpus(&self, cpus: &[u32]) -> &Mempool {
        let own = cpus.first().and_then(|&cpu| self.for_cpu(cpu).ok());
        own.unwrap_or(&self.pools[0].pool)
    }

    /// The pools, by node.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Mempool)> {
        self.pools.iter().map(|pool| (pool.node, &pool.pool))
    }

    /// Slots of each size for each of `lcores`.
    pub(super) fn slots_per_lcore(&self, lcores: u32) -> SlotCounts {
        let mut slots = SlotCounts::default();
        for (sum, size) in self.pools.iter().flat_map(|pool| slots_of(&pool.pool)) {
            slots[sum] += size;
        }
        slots.map(|slots| slots / lcores)
    }

    /// Bufs that are out, over all pools. Exact once no lcore runs.
    pub fn missing(&self) -> u32 {
        self.pools.iter().map(|pool| pool.pool.missing()).sum()
    }
}

/// Slots of a pool by size class.
fn slots_of(pool: &Mempool) -> impl Iterator<Item = (usize, u32)> {
    pool.sizes().into_iter().map(|size| size.slots).enumerate()
}

/// The node of an lcore: that of its first CPU.
fn home(topology: &Topology, lcore: &LcoreSpec) -> u32 {
    let node = lcore.cpus.first().and_then(|&cpu| topology.node_of_cpu(cpu));
    node.unwrap_or(topology.nodes()[0].id)
}

/// The size classes of a pool for `lcores`.
fn classes(
    lcores: u32,
    sizes: &MempoolConfig,
    datagrams: bool,
    megabytes: Option<u64>,
) -> Result<Vec<ClassSize>> {
    let trains = if datagrams { lcores.saturating_mul(TRAIN_SLOTS) } else { 0 };
    let blocks = lcores.saturating_mul(sizes.blocks);
    let large = lcores.saturating_mul(sizes.large_slots.unwrap_or(LARGE_SLOTS));
    let mut small = lcores.saturating_mul(sizes.small_slots.unwrap_or(SMALL_SLOTS));
    let too_few = small < lcores * SMALL_SLOTS_MIN || large < lcores * LARGE_SLOTS_MIN;
    if megabytes.is_none() && too_few {
        return Err(Error::new(
            "size the mempools",
            format!("{small} small and {large} large slots are too few for {lcores} lcores"),
            format!(
                "give [mempool] at least small_slots = {SMALL_SLOTS_MIN}, \
                 large_slots = {LARGE_SLOTS_MIN}"
            ),
        ));
    }
    if let Some(megabytes) = megabytes {
        // Beside its bytes a slot takes a count and up to two entries of the free ring.
        let [small_bytes, large_bytes, train_bytes, block_bytes] =
            [SMALL_SLOT_BYTES, LARGE_SLOT_BYTES, TRAIN_SLOT_BYTES, BLOCK_BYTES]
                .map(|bytes| u64::from(bytes) + 12);
        let taken = u64::from(large) * large_bytes
            + u64::from(trains) * train_bytes
            + u64::from(blocks) * block_bytes;
        let free = (megabytes * MIB).saturating_sub(taken + SEGMENT_OVERHEAD_BYTES);
        let slots = free / small_bytes;
        let least = lcores * 2 * u32::from(RX_SLOTS);
        small = u32::try_from(slots).unwrap_or(u32::MAX);
        if small < least {
            return Err(Error::new(
                format!("fit the pools of {lcores} lcores into {megabytes} MiB"),
                format!(
                    "{blocks} blocks, {trains} slots for datagrams, {large} large slots and at least \
                     {least} small ones have to go in"
                ),
                "give --numa-mem more, or lower large_slots or blocks in [mempool]",
            ));
        }
    }
    let all = [
        (SMALL_SLOT_BYTES, small),
        (LARGE_SLOT_BYTES, large),
        (TRAIN_SLOT_BYTES, trains),
        (BLOCK_BYTES, blocks),
    ];
    let used = all.into_iter().filter(|(_, slots)| *slots > 0);
    Ok(used.map(|(slot_bytes, slots)| ClassSize { slot_bytes, slots }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_blocks(blocks: u32) -> MempoolConfig {
        MempoolConfig { blocks, ..MempoolConfig::default() }
    }

    #[test]
    fn blocks_are_a_class_where_there_are_any_and_count_for_each_lcore() {
        assert_eq!(classes(2, &with_blocks(0), false, None).unwrap().len(), 2);
        let with = classes(2, &with_blocks(3), false, None).unwrap();
        assert_eq!(with[2], ClassSize { slot_bytes: 4 << 20, slots: 6 });
        assert_eq!(with[..2], classes(2, &with_blocks(0), false, None).unwrap());
    }

    #[test]
    fn blocks_take_their_part_of_the_memory_that_a_node_is_given() {
        let small = |blocks, megabytes| {
            classes(1, &with_blocks(blocks), false, Some(megabytes)).map(|classes| classes[0].slots)
        };
        let (without, with) = (small(0, 64).unwrap(), small(10, 64).unwrap());
        assert_eq!(without - with, 10 * ((4 << 20) + 12) / (2048 + 12) + 1);
        let error = small(15, 64).unwrap_err().to_string();
        assert!(error.contains("15 blocks") && error.contains("or blocks in [mempool]"), "{error}");
    }

    #[test]
    fn there_are_slots_for_datagrams_where_a_listener_wants_them() {
        let with = classes(2, &with_blocks(1), true, None).unwrap();
        assert_eq!(with[2], ClassSize { slot_bytes: 128 << 10, slots: 2 * TRAIN_SLOTS });
        assert_eq!(with[3].slot_bytes, 4 << 20);
        let small = |datagrams| classes(1, &with_blocks(0), datagrams, Some(64)).unwrap()[0].slots;
        assert!(small(false) - small(true) >= TRAIN_SLOTS * 63, "they take their part");
    }
}
