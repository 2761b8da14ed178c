//! A server on a socket, as it is seen by who sends it the bytes of the corpus.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// The statuses that `address` answers `bytes` with, once no more of them come; interim ones are
/// left out.
pub fn statuses(address: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
    stream.write_all(bytes).expect("the server reads");
    let _ = stream.shutdown(Shutdown::Write); // a server that has refused may be gone
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // a reset ends an answer as well
    let text = String::from_utf8_lossy(&answer);
    let status = |line: &str| line.get(..3)?.parse().ok();
    text.split("HTTP/1.1 ").skip(1).filter_map(status).filter(|&status| status >= 200).collect()
}
