//! What an instance offers to the one that takes over: lines, and a descriptor for each socket that they name.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::{STEP, VERSION};
use crate::limits::{PASSED_FDS_MAX, TAKEOVER_OFFER_BYTES_MAX, TAKEOVER_SOCKETS_MAX};
use crate::sys::listening::{Listening, SocketName};
use crate::sys::passed_fds::{recv_with_fds, send_with_fds};
use crate::sys::unix_socket::UnixListener;

/// The last line.
const END: &str = "end";

/// An offer.
#[derive(Debug, Default)]
pub(super) struct Offer {
    /// The sockets, in any order.
    pub sockets: Vec<Listening>,
    /// Ports with processes that attach to the next instance by themselves.
    pub followed: Vec<String>,
}

/// What lines say before the sockets that they name are there.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    sockets: Vec<SocketName>,
    followed: Vec<String>,
}

impl Offer {
    /// Those among the sockets that have a file.
    pub fn unix(&self) -> impl Iterator<Item = &UnixListener> {
        self.sockets.iter().filter_map(|socket| match socket {
            Listening::Unix(listener) => Some(&**listener),
            _ => None,
        })
    }

    /// Sends it, some descriptors at a time.
    pub fn send(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_write_timeout(Some(STEP))?;
        // What no line can say stays here.
        let named: Vec<(String, BorrowedFd<'_>)> = self
            .sockets
            .iter()
            .filter_map(|one| Some((one.name().to_line()?, one.as_fd())))
            .collect();
        let first = format!("offer version={VERSION} sockets={}\n", named.len());
        send_all(stream, first.as_bytes(), &[])?;
        for part in named.chunks(PASSED_FDS_MAX) {
            let lines: String = part.iter().map(|(line, _)| format!("{line}\n")).collect();
            let fds: Vec<_> = part.iter().map(|(_, fd)| *fd).collect();
            send_all(stream, lines.as_bytes(), &fds)?;
        }
        let ports = self.followed.iter().map(|name| format!("port name={name}\n"));
        send_all(stream, (ports.collect::<String>() + END + "\n").as_bytes(), &[])
    }

    /// Reads one; the error that the other side says instead is the reason.
    pub fn receive(stream: &UnixStream) -> io::Result<Self> {
        let until = Instant::now() + STEP;
        let (mut text, mut fds) = (Vec::new(), Vec::new());
        let mut room = vec![0; 64 * 1024];
        while !is_whole(&text) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            let (count, came) = recv_with_fds(stream, &mut room, PASSED_FDS_MAX)?;
            text.extend_from_slice(&room[..count]);
            fds.extend(came);
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if text.len() > TAKEOVER_OFFER_BYTES_MAX || fds.len() > TAKEOVER_SOCKETS_MAX {
                return Err(io::Error::other("it offers more than there can be"));
            }
        }
        Self::of_parts(Named::of_text(&String::from_utf8_lossy(&text))?, fds)
    }

    fn of_parts(named: Named, fds: Vec<OwnedFd>) -> io::Result<Self> {
        let Named { sockets, followed } = named;
        if sockets.len() != fds.len() {
            let why = format!("{} descriptors came along, not {}", fds.len(), sockets.len());
            return Err(io::Error::other(why));
        }
        let sockets = sockets.into_iter().zip(fds);
        let sockets =
            sockets.map(|(name, fd)| Listening::inherit(name, fd)).collect::<io::Result<_>>();
        Ok(Self { sockets: sockets?, followed })
    }
}

impl Named {
    /// Reads the lines, of which it knows not all: a later version may say more, with no descriptors to it.
    fn of_text(text: &str) -> io::Result<Self> {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if let Some(refusal) = first.strip_prefix("error: ") {
            return Err(io::Error::other(refusal.to_owned()));
        }
        let word = |wanted: &str| {
            let mut pairs = first.split_ascii_whitespace().filter_map(|word| word.split_once('='));
            pairs.find(|(key, _)| *key == wanted).and_then(|(_, value)| value.parse::<u32>().ok())
        };
        match (first.starts_with("offer "), word("version"), word("sockets")) {
            (true, Some(VERSION), Some(count)) => {
                let mut named = Self::default();
                for line in lines {
                    named.sockets.extend(SocketName::of_line(line));
                    named.followed.extend(line.strip_prefix("port name=").map(str::to_owned));
                }
                if named.sockets.len() != count as usize {
                    let why = format!("it names {} sockets, not {count}", named.sockets.len());
                    return Err(io::Error::other(why));
                }
                Ok(named)
            }
            (true, Some(version), _) if version != VERSION => Err(io::Error::other(format!(
                "it speaks version {version}, and this one {VERSION}: stop it, and start this one"
            ))),
            _ => Err(io::Error::other(format!("it answered `{first}`"))),
        }
    }
}

/// Whether the last line has come, or an error, which is one line.
fn is_whole(text: &[u8]) -> bool {
    text.ends_with(b"\nend\n") || text.starts_with(b"error: ") && text.ends_with(b"\n")
}

fn send_all(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut sent = send_with_fds(stream, bytes, fds)?;
    while sent < bytes.len() {
        sent += send_with_fds(stream, &bytes[sent..], &[])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::sys::socket::TcpListener;

    fn refusal(text: &str) -> String {
        Named::of_text(text).expect_err(text).to_string()
    }

    fn received(offer: Offer) -> io::Result<Offer> {
        let (one, other) = UnixStream::pair().unwrap();
        let sending = thread::spawn(move || offer.send(&one));
        let received = Offer::receive(&other);
        sending.join().unwrap().unwrap();
        received
    }

    #[test]
    fn an_offer_arrives_with_a_descriptor_for_each_socket_also_past_what_one_message_carries() {
        let group = TcpListener::bind_group("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        for count in [0, 1, PASSED_FDS_MAX, PASSED_FDS_MAX + 1, 2 * PASSED_FDS_MAX + 7] {
            let sockets = (0..count).map(|_| Listening::Tcp(group[0].try_clone().unwrap()));
            let offer = Offer { sockets: sockets.collect(), followed: vec!["app".into()] };
            let received = received(offer).unwrap();
            assert_eq!(received.sockets.len(), count);
            assert!(
                received
                    .sockets
                    .iter()
                    .all(|one| one.name() == SocketName::Tcp(group[0].address()))
            );
            assert_eq!(received.followed, ["app"]);
        }
    }

    #[test]
    fn words_and_lines_of_a_later_version_of_the_text_are_left_alone() {
        let text = "offer colour=blue version=1 sockets=1 plain\ncolour blue\n\
                    socket transport=tcp address=127.0.0.1:80\nport name=a\nend\n";
        let named = Named::of_text(text).unwrap();
        assert_eq!((named.sockets.len(), named.followed), (1, vec!["a".to_owned()]));
    }

    #[test]
    fn what_is_no_offer_is_refused() {
        assert!(refusal("offer version=2 sockets=0\nend\n").contains("version 2, and this one 1"));
        assert_eq!(refusal("error: user 7 may not\n"), "user 7 may not");
        for text in [
            "",
            "hello\nend\n",
            "offer\nend\n",
            "offer version=1\nend\n",
            "offer version=1 sockets=x\nend\n",
            "offer version=x sockets=0\nend\n",
            "offer version=1 sockets=1\nend\n",
            "offer version=1 sockets=0\nsocket transport=udp address=127.0.0.1:80\nend\n",
        ] {
            refusal(text);
        }
        let (one, other) = UnixStream::pair().unwrap();
        send_all(&one, b"offer version=1 sockets=0\n", &[]).unwrap();
        drop(one);
        assert_eq!(Offer::receive(&other).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn descriptors_are_as_many_as_the_lines_say() {
        let (one, other) = UnixStream::pair().unwrap();
        let text = b"offer version=1 sockets=0\nend\n";
        send_all(&one, text, &[one.as_fd()]).unwrap();
        let error = Offer::receive(&other).unwrap_err().to_string();
        assert!(error.contains("1 descriptors came along, not 0"), "{error}");
    }
}
