//! Every system call of ringway, and the facts the system tells about itself. What they mean to the
//! dataplane is decided above.

pub mod affinity;
pub mod backtrace;
pub mod beneath;
pub mod cycles;
pub mod datagram;
pub mod directory;
pub mod epoll;
pub mod host;
pub mod listening;
pub mod many;
pub mod mapping;
pub mod passed_fds;
pub mod peer_credentials;
pub mod peer_process;
pub mod random;
pub mod secret_file;
pub mod shared;
pub mod signal;
pub mod socket;
pub mod stream_socket;
pub mod topology;
pub mod udp_socket;
pub mod unix_socket;
pub mod unix_stream;
pub mod uring;
