//! Every system call, and nothing else: mappings, io_uring, sockets. What a call means to the
//! dataplane is decided above.

pub mod affinity;
pub mod host;
pub mod mapping;
pub mod socket;
pub mod topology;
pub mod uring;
