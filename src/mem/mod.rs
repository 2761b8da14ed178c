//! Memory that the data path lives in: pools of slots in shared segments, the bufs that own ranges
//! of them, and what passes between the pools and the kernel.

#[cfg(not(loom))]
mod batch;
#[cfg(not(loom))]
mod buf;
#[cfg(not(loom))]
mod buf_store;
#[cfg(not(loom))]
mod cache_index;
#[cfg(not(loom))]
mod conn_id;
pub mod index_set;
#[cfg(not(loom))]
mod ledger;
#[cfg(not(loom))]
mod mask;
#[cfg(not(loom))]
mod mempool;
#[cfg(not(loom))]
mod message_id;
#[cfg(not(loom))]
mod object_pool;
#[cfg(not(loom))]
mod outbox;
#[cfg(not(loom))]
mod peer_memory;
#[cfg(not(loom))]
mod port_segment;
#[cfg(not(loom))]
mod prefetch;
#[cfg(not(loom))]
mod segment;
#[cfg(not(loom))]
mod share;
#[cfg(loom)]
pub mod slots;
#[cfg(not(loom))]
mod slots;
#[cfg(not(loom))]
mod span;
#[cfg(all(test, not(loom)))]
mod tests;
#[cfg(not(loom))]
mod uring_io;

#[cfg(not(loom))]
pub use self::{
    batch::Batch,
    buf::{Buf, kind},
    buf_store::{BufList, BufStore},
    cache_index::CacheClaim,
    conn_id::{ConnId, NoConnId},
    ledger::{Ledger, LoanFault, Taken, Terms},
    mask::mask,
    mempool::{ClassSize, Mempool},
    message_id::MessageId,
    object_pool::ObjectPool,
    outbox::Outbox,
    peer_memory::{Lent, PeerMemory},
    port_segment::{
        Descriptor, PORT_MAGIC, PORT_STATE_OFFSET, PORT_VERSION, PortClass, PortHeader,
        PortSegment, QueueEnds, Side, Trust,
    },
    segment::{ClassRecord, Header, MAGIC, Placement, Segment, VERSION},
    share::{Share, SlotCounts},
    slots::SlotStats,
    uring_io::{RxOptions, UringIo},
};

/// The unit that moves: up to [`BURST_MAX`](crate::limits::BURST_MAX) bufs in order.
#[cfg(not(loom))]
pub type Burst = Batch<Buf>;
