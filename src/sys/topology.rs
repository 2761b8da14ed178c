//! The shape of the machine: its CPUs, its NUMA nodes, and memory bound to one of them. Read once;
//! what this process may use of it is `affinity`'s.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use hwlocality::Topology as Hwloc;
use hwlocality::memory::binding::{MemoryBindingFlags, MemoryBindingPolicy};
use hwlocality::object::TopologyObject;
use hwlocality::object::types::ObjectType;
use hwlocality::topology::builder::BuildFlags;

use super::affinity;
use super::host::Host;
use crate::error::{Error, Result};

const NODES: &str = "sys/devices/system/node";

/// A NUMA node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumaNode {
    /// The kernel's number of it.
    pub id: u32,
    /// Its memory in bytes; 0 when the system does not tell.
    pub memory_bytes: u64,
    /// Its CPUs, in order.
    pub cpus: Vec<u32>,
}

/// Who described the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// hwloc.
    Hwloc,
    /// The kernel's files under `/sys`, because hwloc failed.
    Sysfs,
    /// Nothing but this process's own affinity, because both failed.
    Affinity,
}

/// The CPUs and NUMA nodes of this machine.
#[derive(Debug)]
pub struct Topology {
    cpus: Vec<u32>,
    nodes: Vec<NumaNode>,
    source: Source,
    hwloc: Option<Hwloc>,
}

impl Topology {
    /// Describes this machine: through hwloc, or where that fails (as it does in some containers)
    /// through sysfs, or at worst as one node with the CPUs this process may use.
    pub fn discover() -> Result<Self> {
        let hwloc = Hwloc::builder()
            .with_flags(BuildFlags::INCLUDE_DISALLOWED)
            .ok()
            .and_then(|builder| builder.build().ok())
            .map(Self::from_hwloc);
        match hwloc.filter(|topology| !topology.cpus.is_empty()) {
            Some(topology) => Ok(topology),
            None => Self::from_sysfs(&Host::default()).map_or_else(Self::from_affinity, Ok),
        }
    }

    /// Every online CPU of the machine, in order, whether this process may use it or not.
    pub fn cpus(&self) -> &[u32] {
        &self.cpus
    }

    /// The NUMA nodes, ordered by number; at least one.
    pub fn nodes(&self) -> &[NumaNode] {
        &self.nodes
    }

    /// The NUMA node of a CPU; `None` for a CPU the machine does not have.
    pub fn node_of_cpu(&self, cpu: u32) -> Option<u32> {
        self.nodes.iter().find(|node| node.cpus.contains(&cpu)).map(|node| node.id)
    }

    /// Who described the machine.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Asks the kernel to place the pages of `[start, start + len)` on `node` from now on, and on
    /// another one when that is full. Pages already touched stay where they are. On a machine of
    /// one node there is nothing to do.
    ///
    /// # Safety
    ///
    /// The range is mapped, and stays mapped for the length of the call.
    pub unsafe fn bind_preferred(&self, start: NonNull<u8>, len: usize, node: u32) -> Result<()> {
        let refuse = |why: String| {
            Error::new(
                format!("place memory on NUMA node {node}"),
                why,
                "choose a node from `numactl --hardware`, or let the kernel choose",
            )
        };
        if !self.nodes.iter().any(|n| n.id == node) {
            let ids: Vec<u32> = self.nodes.iter().map(|n| n.id).collect();
            return Err(refuse(format!("this machine has NUMA nodes {ids:?}")));
        }
        if self.nodes.len() == 1 {
            return Ok(());
        }
        let set = self.hwloc.as_ref().and_then(|h| h.node_with_os_index(node as usize)?.nodeset());
        let (Some(hwloc), Some(set)) = (&self.hwloc, set) else {
            return Err(refuse("hwloc does not work here".to_owned()));
        };
        // Cells, because other threads and processes may write this memory meanwhile.
        let range = ptr::slice_from_raw_parts(start.as_ptr().cast::<Cell<u8>>(), len);
        // SAFETY: the caller promises that the range is mapped for the length of this call; any
        // byte is a valid Cell<u8>, and a reference to cells claims neither that nobody else
        // writes nor that anything is read: hwloc takes only its address and length.
        let range = unsafe { &*range };
        // "Bind" without the strict flag is Linux's preferred policy.
        hwloc
            .bind_memory_area(range, set, MemoryBindingPolicy::Bind, MemoryBindingFlags::empty())
            .map_err(|e| refuse(e.to_string()))
    }

    fn from_hwloc(hwloc: Hwloc) -> Self {
        let os_index = |object: &TopologyObject| object.os_index().map(|index| index as u32);
        let mut cpus: Vec<u32> =
            hwloc.objects_with_type(ObjectType::PU).filter_map(os_index).collect();
        cpus.sort_unstable();
        let node = |object: &TopologyObject| {
            let set = object.cpuset()?;
            Some(NumaNode {
                id: os_index(object)?,
                memory_bytes: object.total_memory(),
                cpus: cpus.iter().copied().filter(|&cpu| set.is_set(cpu as usize)).collect(),
            })
        };
        let mut nodes: Vec<NumaNode> =
            hwloc.objects_with_type(ObjectType::NUMANode).filter_map(node).collect();
        nodes.sort_unstable_by_key(|node| node.id);
        Self { nodes: or_one_node(nodes, &cpus), cpus, source: Source::Hwloc, hwloc: Some(hwloc) }
    }

    fn from_sysfs(host: &Host) -> Option<Self> {
        let cpus = host.online_cpus()?;
        let node = |id| {
            let dir = format!("{NODES}/node{id}");
            Some(NumaNode {
                id,
                memory_bytes: mem_total_bytes(&host.read(&format!("{dir}/meminfo"))?)?,
                cpus: host.cpu_list(&format!("{dir}/cpulist"))?,
            })
        };
        let nodes = host.numbered(NODES, "node").into_iter().filter_map(node).collect();
        let nodes = or_one_node(nodes, &cpus);
        Some(Self { nodes, cpus, source: Source::Sysfs, hwloc: None })
    }

    fn from_affinity() -> Result<Self> {
        let cpus = affinity::allowed()?;
        let nodes = or_one_node(Vec::new(), &cpus);
        Ok(Self { nodes, cpus, source: Source::Affinity, hwloc: None })
    }
}

/// The node's total in its `meminfo`, whose lines read `Node 0 MemTotal:  2048 kB`.
fn mem_total_bytes(meminfo: &str) -> Option<u64> {
    let (_, total) = meminfo.split_once("MemTotal:")?;
    Some(total.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

fn or_one_node(nodes: Vec<NumaNode>, cpus: &[u32]) -> Vec<NumaNode> {
    if nodes.is_empty() {
        return vec![NumaNode { id: 0, memory_bytes: 0, cpus: cpus.to_vec() }];
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_nodes() -> Topology {
        let builder = Hwloc::builder().from_synthetic("numa:2 core:2 pu:1").unwrap();
        Topology::from_hwloc(builder.build().unwrap())
    }

    #[test]
    fn every_core_this_process_may_use_is_on_a_node_of_the_machine() {
        let topology = Topology::discover().unwrap();
        for cpu in affinity::allowed().unwrap() {
            assert!(topology.cpus().contains(&cpu));
            let node = topology.node_of_cpu(cpu).unwrap();
            assert!(topology.nodes().iter().any(|n| n.id == node));
        }
        assert_eq!(topology.node_of_cpu(100_000), None);
    }

    #[test]
    fn the_node_of_a_core_is_the_node_the_kernel_reports_for_it() {
        let topology = Topology::discover().unwrap();
        let cpu = affinity::allowed().unwrap()[0];
        std::thread::spawn(move || {
            affinity::pin(&[cpu]).unwrap();
            let here = affinity::current();
            assert_eq!(topology.node_of_cpu(here.cpu), Some(here.numa_node));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_machine_of_two_nodes_keeps_their_cores_apart() {
        let topology = two_nodes();
        assert_eq!(topology.cpus(), [0, 1, 2, 3]);
        assert_eq!(topology.nodes()[1].cpus, [2, 3]);
        assert_eq!(topology.node_of_cpu(1), Some(0));
        assert!(topology.nodes()[0].memory_bytes > 0);
    }

    #[test]
    fn memory_prefers_a_node_that_exists_and_no_other_w_6() {
        let topology = Topology::discover().unwrap();
        let mut page = vec![0u8; 4096];
        let start = NonNull::new(page.as_mut_ptr()).unwrap();
        let node = topology.nodes()[0].id;
        // SAFETY: the page lives until the end of the test.
        unsafe { topology.bind_preferred(start, page.len(), node) }.unwrap();
        // SAFETY: as above.
        let error = unsafe { topology.bind_preferred(start, page.len(), 99) }.unwrap_err();
        assert!(error.to_string().contains("has NUMA nodes"), "{error}");
    }

    #[test]
    fn among_several_nodes_the_kernel_is_asked_and_what_it_refuses_is_an_error() {
        let mut topology = Topology::discover().unwrap();
        let node = topology.nodes[0].id;
        topology.nodes.push(NumaNode { id: 98, memory_bytes: 0, cpus: Vec::new() });
        let mut pages = vec![0u8; 8192];
        let start = NonNull::new(pages.as_mut_ptr()).unwrap();
        // SAFETY: the pages live until the end of the test.
        if let Err(e) = unsafe { topology.bind_preferred(start, pages.len(), node) } {
            println!("skipped: mbind is not allowed here: {e}");
        }
        // SAFETY: as above.
        assert!(unsafe { topology.bind_preferred(start, pages.len(), 98) }.is_err());
    }

    #[test]
    fn without_hwloc_sysfs_gives_cores_and_nodes() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("sys/devices/system/cpu/online", "0-3\n");
        let host = Host::at(root.path());
        let one = Topology::from_sysfs(&host).unwrap();
        assert_eq!((one.cpus(), one.nodes().len()), (&[0, 1, 2, 3][..], 1));
        for (node, cpus) in [(0, "0-1\n"), (1, "2-3\n")] {
            write(&format!("sys/devices/system/node/node{node}/cpulist"), cpus);
            let memory = format!("Node {node} MemTotal:  2048 kB\n");
            write(&format!("sys/devices/system/node/node{node}/meminfo"), &memory);
        }
        let two = Topology::from_sysfs(&host).unwrap();
        assert_eq!(two.node_of_cpu(3), Some(1));
        assert_eq!(two.nodes()[1].memory_bytes, 2 << 20);
    }

    #[test]
    fn without_hwloc_and_sysfs_there_is_one_node_with_what_is_allowed() {
        let root = tempfile::tempdir().unwrap();
        assert!(Topology::from_sysfs(&Host::at(root.path())).is_none());
        let topology = Topology::from_affinity().unwrap();
        assert_eq!(topology.cpus(), affinity::allowed().unwrap());
        assert_eq!(topology.nodes().len(), 1);
    }
}
