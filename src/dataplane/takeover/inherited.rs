//! The sockets of the instance before this one, dealt out among lcores that may be others in number.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::limits::ACCEPTS_IN_FLIGHT;
use crate::sys::listening::{Listening, SocketName};
use crate::sys::socket::TcpListener;
use crate::sys::udp_socket::UdpSocket;
use crate::sys::unix_socket::UnixListener;

/// For each lcore its socket, and those that it serves beside it.
type Dealt<T> = Vec<(T, Vec<T>)>;

/// What came, until a listener takes it. What none takes stays the other instance's.
#[derive(Default)]
pub(in crate::dataplane) struct Inherited(Vec<Listening>);

impl Inherited {
    pub fn new(sockets: Vec<Listening>) -> Self {
        Self(sockets)
    }

    /// The sockets of a TCP listener, for so many lcores; `None`: there were none at this address.
    pub fn take_tcp(
        &mut self,
        address: SocketAddr,
        lcores: usize,
    ) -> Result<Option<Dealt<TcpListener>>> {
        let taken = self.take(&SocketName::Tcp(address)).into_iter().filter_map(|one| match one {
            Listening::Tcp(listener) => Some(listener),
            _ => None,
        });
        deal(address, taken.collect(), lcores, || TcpListener::join(address))
    }

    /// Those of a listener for datagrams.
    pub fn take_udp(
        &mut self,
        address: SocketAddr,
        lcores: usize,
    ) -> Result<Option<Dealt<UdpSocket>>> {
        let taken = self.take(&SocketName::Udp(address)).into_iter().filter_map(|one| match one {
            Listening::Udp(socket) => Some(socket),
            _ => None,
        });
        deal(address, taken.collect(), lcores, || UdpSocket::join(address))
    }

    /// That of a listener on a Unix socket.
    pub fn take_unix(&mut self, path: &Path) -> Result<Option<Arc<UnixListener>>> {
        let is_file = !path.as_os_str().as_encoded_bytes().starts_with(b"@");
        let path = if is_file { std::path::absolute(path).ok() } else { Some(path.to_owned()) };
        let at = self.0.iter().position(|one| match one {
            Listening::Unix(listener) => Some(listener.path()) == path.as_deref(),
            _ => false,
        });
        Ok(at.and_then(|at| match self.0.swap_remove(at) {
            Listening::Unix(listener) => Some(listener),
            _ => None,
        }))
    }

    /// Unix sockets that no listener took. Their files are to go once they are this instance's.
    pub fn into_unix(self) -> Vec<Arc<UnixListener>> {
        let unix = |one| match one {
            Listening::Unix(listener) => Some(listener),
            _ => None,
        };
        self.0.into_iter().filter_map(unix).collect()
    }

    fn take(&mut self, name: &SocketName) -> Vec<Listening> {
        let (taken, left) =
            std::mem::take(&mut self.0).into_iter().partition(|one| one.name() == *name);
        self.0 = left;
        taken
    }
}

/// One for each lcore, of which those that have none make one; where there are more, lcores have several, since
/// what waits in a socket that nobody accepts from is lost.
fn deal<T>(
    address: SocketAddr,
    sockets: Vec<T>,
    lcores: usize,
    join: impl Fn() -> Result<T>,
) -> Result<Option<Dealt<T>>> {
    if sockets.is_empty() {
        return Ok(None);
    }
    let most = lcores * ACCEPTS_IN_FLIGHT;
    if sockets.len() > most {
        return Err(Error::new(
            format!("take over the listener on {address}"),
            format!(
                "it has {} sockets, one for each lcore that it had once, and {lcores} lcores serve {most}",
                sockets.len()
            ),
            format!("give it {} lcores or more", sockets.len().div_ceil(ACCEPTS_IN_FLIGHT)),
        ));
    }
    let mut dealt: Dealt<T> = Vec::with_capacity(lcores);
    for (index, socket) in sockets.into_iter().enumerate() {
        match dealt.get_mut(index % lcores) {
            Some((_, more)) => more.push(socket),
            None => dealt.push((socket, Vec::new())),
        }
    }
    while dealt.len() < lcores {
        dealt.push((join()?, Vec::new()));
    }
    Ok(Some(dealt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt(sockets: usize, lcores: usize) -> Result<Option<Vec<Vec<usize>>>> {
        let address = "127.0.0.1:80".parse().unwrap();
        let dealt = deal(address, (0..sockets).collect(), lcores, || Ok(99))?;
        let flat = |(one, more)| std::iter::once(one).chain(more).collect();
        Ok(dealt.map(|dealt| dealt.into_iter().map(flat).collect()))
    }

    #[test]
    fn each_lcore_has_a_socket_and_no_socket_is_without_an_lcore() {
        assert_eq!(dealt(0, 2).unwrap(), None);
        assert_eq!(dealt(2, 2).unwrap().unwrap(), [[0], [1]]);
        assert_eq!(dealt(1, 3).unwrap().unwrap(), [[0], [99], [99]]);
        assert_eq!(dealt(5, 2).unwrap().unwrap(), [vec![0, 2, 4], vec![1, 3]]);
    }

    #[test]
    fn as_many_sockets_as_lcores_serve_are_taken_and_one_more_is_refused() {
        assert_eq!(dealt(16, 2).unwrap().unwrap().len(), 2);
        let refused = dealt(17, 2).unwrap_err().to_string();
        assert!(
            refused.contains("17 sockets") && refused.contains("3 lcores or more"),
            "{refused}"
        );
    }
}
