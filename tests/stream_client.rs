//! Streams between programs, over real sockets and without a dataplane: what is sent arrives, what
//! should not go on does not, and nobody waits for ever.

mod common;

mod stream_client {
    mod ends;
    mod files;
    mod messages;
    mod pool;
    mod ports;
    mod raw;
    mod rig;
    mod served;
}
