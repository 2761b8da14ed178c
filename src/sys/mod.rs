//! Every system call of ringway, and the facts the system tells about itself.

pub mod affinity;
pub mod host;
pub mod topology;
