//! HTTP services on the harness: what the docs of `Service`, `Reply`, `Pull`, `Response` and `Body`
//! say, held to the bytes that come out.

mod bed;
mod bodies;
mod draining;
mod expect;
mod faults;
mod late;
mod messages;
mod probe;
mod random;
mod starvation;
mod streams;
mod timeouts;
mod trailers;
mod upgrade;
