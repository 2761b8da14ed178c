//! Who is at the other end of a Unix-domain connection, as the kernel knows it. What they may do is
//! decided above.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{getsockopt, sockopt};

use crate::limits::PEER_GROUPS_MAX;

/// The users and groups that may connect; two empty lists let in everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedPeers {
    /// User ids that may.
    pub uids: Vec<u32>,
    /// Group ids whose members may, by their first group or by another one.
    pub gids: Vec<u32>,
}

impl AllowedPeers {
    /// Whether the lists name anybody.
    pub fn is_empty(&self) -> bool {
        self.uids.is_empty() && self.gids.is_empty()
    }

    /// Whether the peer of a connected Unix socket is let in: by what it was when it connected, or
    /// made the pair (SO_PEERCRED and SO_PEERGROUPS, unix(7)). Does not allocate. Of a peer with more
    /// than [`PEER_GROUPS_MAX`] groups only the first counts.
    pub fn admits(&self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        if self.is_empty() {
            return Ok(true);
        }
        let peer = getsockopt(&socket.as_fd(), sockopt::PeerCredentials)?;
        if self.uids.contains(&peer.uid()) || self.gids.contains(&peer.gid()) {
            return Ok(true);
        }
        if self.gids.is_empty() {
            return Ok(false);
        }
        let mut room = [0; PEER_GROUPS_MAX];
        Ok(peer_groups(socket, &mut room)?.iter().any(|group| self.gids.contains(group)))
    }
}

/// The supplementary groups of the peer; none where they have no room.
fn peer_groups<'a>(
    socket: BorrowedFd<'_>,
    room: &'a mut [u32; PEER_GROUPS_MAX],
) -> io::Result<&'a [u32]> {
    let mut bytes = size_of_val(room) as libc::socklen_t;
    // SAFETY: the kernel writes at most `bytes` to `room`, which has as many, and the length; both
    // outlive the call, and any bytes are group ids.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            room.as_mut_ptr().cast(),
            &mut bytes,
        )
    };
    if result == 0 {
        return Ok(&room[..bytes as usize / size_of::<u32>()]);
    }
    match io::Error::last_os_error() {
        e if e.raw_os_error() == Some(libc::ERANGE) => Ok(&[]),
        e => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use nix::unistd::{getegid, geteuid, getgroups};

    use super::*;

    fn admits(uids: &[u32], gids: &[u32]) -> bool {
        let (one, _other) = UnixStream::pair().unwrap();
        let allowed = AllowedPeers { uids: uids.to_vec(), gids: gids.to_vec() };
        allowed.admits(one.as_fd()).unwrap()
    }

    /// One that this process has nothing to do with.
    const OTHER: u32 = 4_000_000_000;

    #[test]
    fn i10_a_peer_is_let_in_by_its_user_or_by_any_of_its_groups() {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        assert!(admits(&[], &[]), "nobody asked");
        assert!(admits(&[OTHER, uid], &[]) && admits(&[], &[OTHER, gid]));
        assert!(admits(&[uid], &[OTHER]) && admits(&[OTHER], &[gid]), "one of both is enough");
        assert!(!admits(&[OTHER], &[]) && !admits(&[], &[OTHER]) && !admits(&[OTHER], &[OTHER]));
        for group in getgroups().unwrap().iter().take(PEER_GROUPS_MAX) {
            assert!(admits(&[], &[group.as_raw()]));
        }
    }

    #[test]
    fn a_socket_of_another_family_has_no_peer_that_could_be_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let allowed = AllowedPeers { uids: vec![geteuid().as_raw()], gids: vec![OTHER] };
        assert!(!allowed.admits(stream.as_fd()).unwrap_or(false));
    }
}
