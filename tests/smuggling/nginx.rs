//! The same bytes given to nginx, where there is one: whatever it refuses we refuse, and where we
//! take all of them, it finds as many requests in them.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::common::Watchdog;
use super::corpus::RULES;
use super::peer::statuses;
use super::verdict::{End, Verdict};

/// What nginx refuses and we take, with the reason why that is safe.
#[rustfmt::skip]
const EXCEPTIONS: &[(&[u8], &str)] = &[
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \tCHUNKED \t\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        "tabs around a value are blanks like any other (RFC 9110 section 5.6.3); it trims spaces alone",
    ),
    (
        b"GET / HTTP/1.1\r\nHost: \r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        "an empty Host is what a client has to send that knows no host (RFC 9110 section 7.2)",
    ),
    (
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        "a form of target that it does not serve; both agree on where the request ends",
    ),
    (
        b"get / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        "a method that nobody knows, but a token (RFC 9110 section 9.1): a handler answers 405",
    ),
];

/// An nginx of our own, which ends with the test.
struct Nginx {
    address: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl Nginx {
    /// `None` where there is no nginx.
    fn start() -> Option<Self> {
        Command::new("nginx").arg("-v").stderr(Stdio::null()).status().ok()?;
        let directory = TempDir::new().expect("a directory");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = address.expect("a free port");
        let file = directory.path().join("nginx.conf");
        fs::write(&file, configuration(directory.path().to_str()?, address)).expect("written");
        let mut child = Command::new("nginx")
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        while TcpStream::connect(address).is_err() {
            assert_eq!(child.try_wait().ok(), Some(None), "nginx ends at once");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(Self { address, child, _directory: directory })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(directory: &str, address: SocketAddr) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {directory}/{name};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {directory}/pid;\n\
         error_log {directory}/error.log;\nevents {{ worker_connections 64; }}\n\
         http {{\naccess_log off;\n{temporary}\
         server {{ listen {address}; location / {{ return 200 ok; }} }}\n}}\n"
    )
}

/// What nginx makes of the bytes: a status from 400 on is a refusal, and it ends the reading.
fn nginx_verdict(nginx: &Nginx, bytes: &[u8]) -> (u32, bool) {
    let statuses = statuses(nginx.address, bytes);
    let taken = statuses.iter().take_while(|&&status| status < 400).count();
    (taken as u32, taken < statuses.len())
}

#[test]
fn what_nginx_refuses_we_refuse_and_what_we_take_it_reads_alike() {
    let _watchdog = Watchdog::start();
    let Some(nginx) = Nginx::start() else {
        println!("skipped: there is no nginx");
        return;
    };
    let mut differences = Vec::new();
    for rule in RULES {
        for (bytes, expected) in rule.cases {
            let (taken, refuses) = nginx_verdict(&nginx, bytes);
            let ours = Verdict::of(bytes);
            let safe = match ours.end {
                End::Refused(_) => true,
                End::Whole => !refuses && taken == ours.requests,
                // Answered before its body is there, or not at all.
                End::Unfinished => !refuses && taken.abs_diff(ours.requests) <= 1,
            };
            let excepted = EXCEPTIONS.iter().any(|(known, _)| known == bytes);
            if safe == excepted {
                let text = String::from_utf8_lossy(bytes);
                differences.push(format!(
                    "{}: {text:?}: nginx took {taken}, refuses: {refuses}; we: {expected:?}",
                    rule.name
                ));
            }
        }
    }
    assert!(differences.is_empty(), "\n{}\n", differences.join("\n"));
}
