//! A connection that begins as HTTP (D-19): a request for the protocol, and packets from the 101 on.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::limits::STREAM_UPGRADE_BYTES_MAX;

const END: &[u8] = b"\r\n\r\n";

/// Asks for a stream; the answer to that is all that was read when this returns.
pub(super) fn upgrade(
    mut socket: TcpStream,
    at: &str,
    target: &str,
    timeout: Duration,
) -> io::Result<TcpStream> {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {at}\r\nConnection: upgrade\r\nUpgrade: ringway-stream\r\n\r\n"
    );
    socket.set_write_timeout(Some(timeout))?;
    socket.write_all(request.as_bytes())?;
    let answer = read_head(&mut socket, timeout)?;
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        let line = answer.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        return Err(Error::other(format!("the server does not switch to a stream: {line}")));
    }
    socket.set_write_timeout(None)?;
    socket.set_read_timeout(None)?;
    Ok(socket)
}

/// Reads a head and no byte more: those behind it are packets.
fn read_head(socket: &mut TcpStream, timeout: Duration) -> io::Result<Vec<u8>> {
    let (mut head, mut byte, began) = (Vec::new(), [0], Instant::now());
    while !head.ends_with(END) {
        let left = timeout.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left))?;
        if head.len() == STREAM_UPGRADE_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "the answer to the upgrade does not end",
            ));
        }
        match socket.read(&mut byte) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => head.push(byte[0]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(head)
}
