//! The network of Unix sockets, through an io_uring or epoll on the test's own thread.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use ringway::sys::peer_credentials::AllowedPeers;
use ringway::sys::unix_socket::UnixListener;
use ringway::transport::Tcp;

use crate::network::{FarEnd, Heard, Network, hear};
use crate::rig::witness::Witness;
use crate::rig::{Rig, SLOTS};

pub struct Local {
    directory: tempfile::TempDir,
    listeners: usize,
    allowed: AllowedPeers,
}

impl Local {
    /// Open to everybody, or with a list that has this user on it.
    pub fn new(with_list: bool) -> Self {
        let uids = if with_list { vec![nix::unistd::geteuid().as_raw()] } else { Vec::new() };
        let allowed = AllowedPeers { uids, gids: Vec::new() };
        Self { directory: tempfile::tempdir().unwrap(), listeners: 0, allowed }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(self.listeners.to_string())
    }
}

impl Network for Local {
    fn name(&self) -> &'static str {
        "unix"
    }

    fn listen(&mut self, rig: &mut Rig, index: u8) -> Witness {
        self.listeners += 1;
        let listener = Arc::new(UnixListener::bind(&self.path(), 0o600).unwrap());
        if rig.lcore.io().epoll.is_some() {
            let transport = Tcp::over_epoll(listener, index, SLOTS);
            return Witness::new(transport.with_allowed_peers(self.allowed.clone()));
        }
        let transport = Tcp::new(listener, index, SLOTS);
        Witness::new(transport.with_allowed_peers(self.allowed.clone()))
    }

    fn connect(&mut self) -> Box<dyn FarEnd> {
        let stream = UnixStream::connect(self.path()).ok();
        if let Some(stream) = &stream {
            stream.set_nonblocking(true).unwrap();
        }
        Box::new(stream)
    }

    fn resets_over_unread_bytes_alone(&self) -> bool {
        true
    }
}

/// `None`: refused, or given up by us.
impl FarEnd for Option<UnixStream> {
    fn send(&mut self, bytes: &[u8]) -> usize {
        self.as_mut().and_then(|stream| stream.write(bytes).ok()).unwrap_or(0)
    }

    fn finish(&mut self) {
        if let Some(stream) = self {
            // It fails where the other side has reset the connection, which reading tells.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    fn reset(&mut self) {
        *self = None;
    }

    fn read(&mut self, out: &mut Vec<u8>) -> Heard {
        self.as_mut().map_or(Heard::Reset, |stream| hear(stream, out))
    }
}
