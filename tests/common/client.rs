//! A peer over an ordinary blocking socket, every wait of which ends.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use ringway::blocking::Connection;

/// How long a peer waits for what it asked before its test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same, for a socket.
pub fn patience() -> Option<Duration> {
    Some(PATIENCE)
}

/// Bytes that belong to `seed` alone, so that those of another connection are noticed.
pub fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..bytes.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(bytes).collect()
}

/// One connection as its peer sees it.
pub struct Client(Connection);

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// Over a connected socket.
    pub fn over(stream: TcpStream) -> Self {
        // For those who use the socket itself.
        stream.set_read_timeout(patience()).unwrap();
        stream.set_write_timeout(patience()).unwrap();
        Self(Connection::over(stream, PATIENCE).unwrap())
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        self.0.stream()
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.write_all(bytes).unwrap();
        self
    }

    /// Sends as far as the other side takes it within the time that the socket has.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream().write_all(bytes.as_ref());
        self
    }

    /// Says that no more will come.
    pub fn finish(&mut self) -> &mut Self {
        let _ = self.0.finish();
        self
    }

    /// The next `bytes`.
    pub fn receive(&mut self, bytes: usize) -> Vec<u8> {
        self.0.read_exact(bytes).unwrap()
    }

    /// The next line, without its CRLF.
    pub fn line(&mut self) -> String {
        let line = self.0.read_until(b"\r\n", usize::MAX).unwrap();
        String::from_utf8(line[..line.len() - 2].to_vec()).unwrap()
    }

    /// All that comes until the other side closes.
    pub fn receive_all(&mut self) -> Vec<u8> {
        self.0.read_to_end(usize::MAX).unwrap()
    }

    /// Waits for the end, orderly or by a reset, whatever comes before it.
    pub fn wait_for_the_end(&mut self) {
        self.0.wait_for_end().unwrap();
    }

    /// The next response, with its body.
    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        let length = response.field("content-length").map_or(0, |text| text.parse().unwrap());
        response.body = self.receive(length);
        response
    }

    /// The next response of those that have a head alone.
    pub fn head(&mut self) -> Response {
        let head = self.0.read_until(b"\r\n\r\n", usize::MAX).unwrap();
        Response { head: String::from_utf8(head).unwrap(), body: Vec::new() }
    }

    /// Sends a request without a body and takes its response.
    pub fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).response()
    }

    /// Sends a request with a body and takes its response.
    pub fn post(&mut self, target: &str, body: &[u8]) -> Response {
        let length = body.len();
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        self.send(head).send(body).response()
    }

    /// Closes so that the other side gets a reset (socket(7), `SO_LINGER` of 0).
    pub fn reset(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let option = nix::sys::socket::sockopt::Linger;
        nix::sys::socket::setsockopt(&self.stream().as_fd(), option, &linger).unwrap();
    }
}

/// A response as it came.
#[derive(Debug)]
pub struct Response {
    /// Through the blank line.
    pub head: String,
    /// What followed it.
    pub body: Vec<u8>,
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        let line = self.head.strip_prefix("HTTP/1.1 ").expect("a status line");
        line[..3].parse().unwrap()
    }

    /// The value of a field, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, v)| v).next()
    }

    /// All its bytes, with `DATE` in place of the date, whose form is checked.
    pub fn dated(&self) -> String {
        let date = self.field("date").expect("a Date field");
        assert_eq!((date.len(), &date[25..]), (29, " GMT"), "{date}");
        let body = String::from_utf8(self.body.clone()).unwrap();
        format!("{}{body}", self.head.replace(date, "DATE"))
    }
}
