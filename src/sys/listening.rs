//! A listening socket that passes from one process to the next: what it is, as a line says it. When it passes, and
//! who accepts from it meanwhile, is decided above.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::socket::{SockType, getsockopt, sockopt};

use super::socket::TcpListener;
use super::udp_socket::UdpSocket;
use super::unix_socket::{FileId, UnixListener};

/// A socket that peers come to. Of TCP and UDP it is a second descriptor of the socket that an lcore has.
#[derive(Debug)]
pub enum Listening {
    /// One of those that share an address.
    Tcp(TcpListener),
    /// The same.
    Udp(UdpSocket),
    /// The only one at its path.
    Unix(Arc<UnixListener>),
}

/// What a line says that a socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketName {
    /// TCP, at this address.
    Tcp(SocketAddr),
    /// UDP, at this address.
    Udp(SocketAddr),
    /// A Unix socket by its absolute path, or its abstract name with an `@`, and what tells its file from
    /// another one.
    Unix(PathBuf, Option<FileId>),
}

impl Listening {
    /// What it is.
    pub fn name(&self) -> SocketName {
        match self {
            Self::Tcp(listener) => SocketName::Tcp(listener.address()),
            Self::Udp(socket) => SocketName::Udp(socket.address()),
            Self::Unix(listener) => {
                SocketName::Unix(listener.path().to_owned(), listener.file_id())
            }
        }
    }

    /// The socket behind `fd`, which came with `name`.
    ///
    /// # Errors
    /// When it is not what its name says.
    pub fn inherit(name: SocketName, fd: OwnedFd) -> io::Result<Self> {
        let refuse = |why: &str| Err(io::Error::other(why.to_owned()));
        let listens = getsockopt(&fd, sockopt::AcceptConn)?;
        match (getsockopt(&fd, sockopt::SockType)?, name) {
            (SockType::Stream, SocketName::Tcp(address)) if listens => {
                let listener = TcpListener::of_fd(fd)?;
                if listener.address() != address {
                    return refuse("a TCP socket came that listens elsewhere");
                }
                Ok(Self::Tcp(listener))
            }
            (SockType::Datagram, SocketName::Udp(address)) => {
                let socket = UdpSocket::of_fd(fd)?;
                if socket.address() != address {
                    return refuse("a UDP socket came that is bound elsewhere");
                }
                Ok(Self::Udp(socket))
            }
            (SockType::Stream, SocketName::Unix(path, file)) if listens => {
                Ok(Self::Unix(Arc::new(UnixListener::of_fd(fd, path, file))))
            }
            _ => refuse("a socket came that does not listen, or is of another kind"),
        }
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl SocketName {
    /// The line, without its end: `socket transport=tcp address=127.0.0.1:8080`. The address goes to the line's
    /// end, so that a path may have spaces; `None` for one that no line can say.
    pub fn to_line(&self) -> Option<String> {
        match self {
            Self::Tcp(address) => Some(format!("socket transport=tcp address={address}")),
            Self::Udp(address) => Some(format!("socket transport=udp address={address}")),
            Self::Unix(path, file) => {
                let path = path.to_str().filter(|path| !path.contains(['\n', '\r']))?;
                let file =
                    file.map_or("-".to_owned(), |file| format!("{}:{}", file.device, file.inode));
                Some(format!("socket transport=unix file={file} address={path}"))
            }
        }
    }

    /// Reads such a line; words that are not known are left alone. `None`: it is none.
    pub fn of_line(line: &str) -> Option<Self> {
        let (words, address) = line.strip_prefix("socket ")?.split_once("address=")?;
        let word = |wanted: &str| {
            let mut pairs = words.split_ascii_whitespace().filter_map(|word| word.split_once('='));
            pairs.find(|(key, _)| *key == wanted).map(|(_, value)| value)
        };
        match word("transport")? {
            "tcp" => address.parse().ok().map(Self::Tcp),
            "udp" => address.parse().ok().map(Self::Udp),
            "unix" if !address.is_empty() && !address.contains(['\n', '\r']) => {
                let file = match word("file")? {
                    "-" => None,
                    file => Some(file_of_word(file)?),
                };
                Some(Self::Unix(address.into(), file))
            }
            _ => None,
        }
    }
}

fn file_of_word(word: &str) -> Option<FileId> {
    let (device, inode) = word.split_once(':')?;
    Some(FileId { device: device.parse().ok()?, inode: inode.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp() -> TcpListener {
        TcpListener::bind_group("127.0.0.1:0".parse().unwrap(), 1).unwrap().pop().unwrap()
    }

    #[test]
    fn a_line_says_what_a_socket_is() {
        let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let file = Some(FileId { device: 65_025, inode: u64::MAX });
        for (name, line) in [
            (SocketName::Tcp(address), "socket transport=tcp address=127.0.0.1:8080"),
            (SocketName::Udp("[::1]:7".parse().unwrap()), "socket transport=udp address=[::1]:7"),
            (
                SocketName::Unix("/run/a b/address=c".into(), file),
                "socket transport=unix file=65025:18446744073709551615 address=/run/a b/address=c",
            ),
            (SocketName::Unix("@name".into(), None), "socket transport=unix file=- address=@name"),
        ] {
            assert_eq!(name.to_line().as_deref(), Some(line));
            assert_eq!(SocketName::of_line(line), Some(name));
        }
        let later = "socket colour=blue transport=tcp plain address=127.0.0.1:8080";
        assert_eq!(SocketName::of_line(later), Some(SocketName::Tcp(address)));
    }

    #[test]
    fn lines_that_name_no_socket_are_none() {
        for line in [
            "",
            "socket",
            "socket ",
            "socket transport=tcp",
            "socket address=127.0.0.1:80",
            "socket transport=tcp address=",
            "socket transport=tcp address=127.0.0.1",
            "socket transport=tcp address=127.0.0.1:65536",
            "socket transport=udp address=/tmp/a",
            "socket transport=shm address=port:a",
            "socket transport=unix file=- address=",
            "socket transport=unix address=/tmp/a",
            "socket transport=unix file=1 address=/tmp/a",
            "socket transport=unix file=1:x address=/tmp/a",
            "port name=a",
        ] {
            assert_eq!(SocketName::of_line(line), None, "{line}");
        }
        assert_eq!(SocketName::Unix("/a\nb".into(), None).to_line(), None);
    }

    #[test]
    fn a_socket_that_is_not_what_its_name_says_is_refused() {
        let listener = tcp();
        let clone = |listener: &TcpListener| listener.as_fd().try_clone_to_owned().unwrap();
        let name = SocketName::Tcp(listener.address());
        Listening::inherit(name.clone(), clone(&listener)).unwrap();
        let elsewhere = SocketName::Tcp("127.0.0.1:1".parse().unwrap());
        assert!(Listening::inherit(elsewhere, clone(&listener)).is_err());
        let datagrams = SocketName::Udp(listener.address());
        assert!(Listening::inherit(datagrams, clone(&listener)).is_err());
        let connected = std::net::TcpStream::connect(listener.address()).unwrap();
        assert!(Listening::inherit(name.clone(), connected.into()).is_err());
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Listening::inherit(name, file.into()).is_err(), "no socket at all");
    }
}
