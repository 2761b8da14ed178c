//! Datagrams for a process at a port (`handler = "port:NAME"`), each whole and where the kernel put it.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ringway::attach::Attachment;
use ringway::counters::Counter;
use ringway::mem::{Trust, kind};
use ringway::sync::AtomicBool;

use crate::common::{Start, pattern};
use crate::peer::Peer;

#[test]
fn a_process_at_a_port_gets_datagrams_whole_and_sends_them_back_uncopied() {
    let start = Start::new().datagrams("raw", "127.0.0.1:0").limited("handler = \"port:app\"");
    let server = start.tables("[mempool]\nblocks = 2\n").start();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (offer, kept) = server.plane().ports().attach("app", Some(Trust::Shared), 1, ours).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = stop.clone();
    let program = std::thread::spawn(move || {
        let mut port = Attachment::accept(offer, theirs).unwrap();
        while !stopping.load(Ordering::Relaxed) {
            for queue in port.queues() {
                while let Some(message) = queue.receive() {
                    if message.kind == kind::DATA {
                        queue.send(message);
                    }
                }
                queue.flush();
            }
            std::thread::yield_now();
        }
    });
    let peer = Peer::new(server.address(0));
    peer.asks("are you there?");
    for bytes in [1, 1400, 16_384, 16_385, 65_507] {
        let datagram = pattern(bytes as u64, bytes);
        assert!(peer.send(&datagram).receive() == datagram, "{bytes} bytes");
    }
    let train = pattern(7, 6400);
    peer.send_train(&train, 100);
    assert!(peer.receive_bytes(train.len()).concat() == train);
    assert_eq!(server.count(Counter::CopiedBytes), 0);
    stop.store(true, Ordering::Relaxed);
    program.join().unwrap();
    drop(kept);
    server.stop();
}
