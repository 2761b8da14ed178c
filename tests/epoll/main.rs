//! What epoll carries where io_uring is not allowed (W-1): each protocol, each way in which the kernel says
//! no, or late, or half, and how it comes to be chosen. That its transports do what the contract says stands
//! in `conformance`; `RINGWAY_TEST_IO=epoll` runs any other suite over it.

#[path = "../common/mod.rs"]
mod common;

mod beside;
mod chosen;
mod faults;
mod idle;
mod served;
