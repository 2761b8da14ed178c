//! What the kernel says of a datagram beside its bytes, and what it is told of one: the layouts of
//! recvmsg(2) and sendmsg(2), as bytes. No system call is made here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;

use crate::limits::{DATAGRAM_CONTROL_BYTES, DATAGRAM_HEAD_BYTES, DATAGRAM_NAME_BYTES};

/// Bytes of `struct io_uring_recvmsg_out`: four words, of the name, the control data, the payload and the
/// flags.
pub(super) const OUT_BYTES: usize = 16;

/// Bytes of a `struct cmsghdr`, and what control messages are aligned to (cmsg(3)).
const CMSG_HEAD_BYTES: usize = 16;
const CMSG_ALIGN: usize = 8;

/// Longest control data that [`write_control`] makes: an `in6_pktinfo` and a segment size.
pub const CONTROL_BYTES_MAX: usize = 64;

/// Longest address that [`write_name`] makes: a `sockaddr_in6`.
pub const NAME_BYTES_MAX: usize = 28;

const _: () = assert!(NAME_BYTES_MAX <= DATAGRAM_NAME_BYTES);
const _: () =
    assert!(OUT_BYTES + DATAGRAM_NAME_BYTES == DATAGRAM_HEAD_BYTES - DATAGRAM_CONTROL_BYTES);

/// What was received with one receive: a datagram, or several of one peer that the kernel has put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub source: SocketAddr,
    /// The address of ours that answers come from, where the kernel said so: the one that it was sent to,
    /// if that is one machine's alone.
    pub local: Option<IpAddr>,
    /// The ECN field of the IP header (RFC 3168): 0 not capable, 1 and 2 capable, 3 congestion was met.
    pub ecn: u8,
    /// Bytes of each datagram but the last, where there are several.
    pub segment_bytes: Option<u16>,
    /// Datagrams that this socket has lost so far for want of room.
    pub lost: Option<u32>,
    /// It was longer than there was room: what is there is not all.
    pub is_cut: bool,
    /// Where its bytes lie.
    pub payload: Range<usize>,
}

/// Reads what a receive (`IORING_OP_RECVMSG`, multishot) has written to a buffer, whose head has room for
/// [`DATAGRAM_NAME_BYTES`] and [`DATAGRAM_CONTROL_BYTES`]. `None`: it is none of an IP peer.
#[inline]
pub fn parse(bytes: &[u8]) -> Option<Received> {
    let (head, payload) = bytes.split_first_chunk::<DATAGRAM_HEAD_BYTES>()?;
    let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (name_bytes, control_bytes, payload_bytes, flags) = (word(0), word(4), word(8), word(12));
    let (name, control) = head[OUT_BYTES..].split_at(DATAGRAM_NAME_BYTES);
    let source = read_name(&name[..DATAGRAM_NAME_BYTES.min(name_bytes as usize)])?;
    let is_cut = flags & libc::MSG_TRUNC as u32 != 0 || payload_bytes as usize > payload.len();
    let end = DATAGRAM_HEAD_BYTES + payload.len().min(payload_bytes as usize);
    let mut received = Received {
        source,
        local: None,
        ecn: 0,
        segment_bytes: None,
        lost: None,
        is_cut,
        payload: DATAGRAM_HEAD_BYTES..end,
    };
    let control = &control[..DATAGRAM_CONTROL_BYTES.min(control_bytes as usize)];
    ControlMessages(control).for_each(|message| received.note(message));
    Some(received)
}

/// One control message: its level, its type, its data.
type ControlMessage<'a> = (i32, i32, &'a [u8]);

/// Those in a run of bytes, up to the first that does not lie in it.
struct ControlMessages<'a>(&'a [u8]);

impl<'a> Iterator for ControlMessages<'a> {
    type Item = ControlMessage<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (head, _) = self.0.split_first_chunk::<CMSG_HEAD_BYTES>()?;
        let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let len = usize::from_ne_bytes(*head.first_chunk()?);
        let data = self.0.get(CMSG_HEAD_BYTES..len)?;
        let next = len.checked_next_multiple_of(CMSG_ALIGN)?;
        self.0 = self.0.get(next..).unwrap_or(&[]);
        Some((i32::from_ne_bytes(word(8)), i32::from_ne_bytes(word(12)), data))
    }
}

impl Received {
    fn note(&mut self, (level, kind, data): ControlMessage<'_>) {
        let first_word = data.first_chunk().map(|word| u32::from_ne_bytes(*word));
        match (level, kind) {
            // struct in_pktinfo { int ifindex; in_addr spec_dst; in_addr addr; }: the second is ours, where
            // the third may be a group's or everybody's.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let address = data.get(4..8).and_then(<[u8]>::first_chunk::<4>);
                self.local = address.map(|octets| Ipv4Addr::from(*octets).into());
            }
            // struct in6_pktinfo { in6_addr addr; int ifindex; }: where it was sent to.
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let address = data.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets));
                let own = address.filter(|address| !address.is_multicast());
                self.local = own.map(IpAddr::V6);
            }
            (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                self.ecn = data.first().map_or(0, |_| traffic_class(data) & 3);
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let bytes = first_word.and_then(|bytes| u16::try_from(bytes).ok());
                self.segment_bytes = bytes.filter(|bytes| *bytes > 0);
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => self.lost = first_word,
            _ => {}
        }
    }
}

/// The kernel gives it as a byte for IPv4 and as an int for IPv6.
fn traffic_class(data: &[u8]) -> u8 {
    match data.first_chunk().map(|word| u32::from_ne_bytes(*word)) {
        Some(word) => word as u8,
        None => data[0],
    }
}

fn read_name(name: &[u8]) -> Option<SocketAddr> {
    let [a, b, high, low, rest @ ..] = name else { return None };
    let port = u16::from_be_bytes([*high, *low]);
    match i32::from(u16::from_ne_bytes([*a, *b])) {
        // struct sockaddr_in: family, port, address.
        libc::AF_INET => {
            let address = Ipv4Addr::from(*rest.first_chunk::<4>()?);
            Some(SocketAddrV4::new(address, port).into())
        }
        // struct sockaddr_in6: family, port, flow, address, scope. The flow is not who it is.
        libc::AF_INET6 => {
            let address = Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?);
            let scope = u32::from_ne_bytes(*rest.get(20..)?.first_chunk::<4>()?);
            Some(SocketAddrV6::new(address, port, 0, scope).into())
        }
        _ => None,
    }
}

/// Writes an address as the kernel reads it; how many bytes that are.
pub fn write_name(address: &SocketAddr, out: &mut [u8; NAME_BYTES_MAX]) -> usize {
    out[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            out[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            out[4..8].copy_from_slice(&v4.ip().octets());
            out[8..16].fill(0);
            16
        }
        SocketAddr::V6(v6) => {
            out[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            out[4..8].fill(0);
            out[8..24].copy_from_slice(&v6.ip().octets());
            out[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            28
        }
    }
}

/// Writes what a send says beside its bytes: which address of ours it comes from, and how long each of
/// several datagrams is but the last. How many bytes that are.
pub fn write_control(
    local: Option<IpAddr>,
    segment_bytes: Option<u16>,
    out: &mut [u8; CONTROL_BYTES_MAX],
) -> usize {
    let mut used = 0;
    match local {
        Some(IpAddr::V4(address)) => {
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&address.octets());
            used += write_message(libc::IPPROTO_IP, libc::IP_PKTINFO, &info, &mut out[used..]);
        }
        Some(IpAddr::V6(address)) => {
            let mut info = [0; 20];
            info[..16].copy_from_slice(&address.octets());
            used += write_message(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info, &mut out[used..]);
        }
        None => {}
    }
    if let Some(bytes) = segment_bytes {
        let bytes = bytes.to_ne_bytes();
        used += write_message(libc::SOL_UDP, libc::UDP_SEGMENT, &bytes, &mut out[used..]);
    }
    used
}

fn write_message(level: i32, kind: i32, data: &[u8], out: &mut [u8]) -> usize {
    let len = CMSG_HEAD_BYTES + data.len();
    out[..8].copy_from_slice(&len.to_ne_bytes());
    out[8..12].copy_from_slice(&level.to_ne_bytes());
    out[12..16].copy_from_slice(&kind.to_ne_bytes());
    out[CMSG_HEAD_BYTES..len].copy_from_slice(data);
    let padded = len.next_multiple_of(CMSG_ALIGN);
    out[len..padded].fill(0);
    padded
}

#[cfg(test)]
mod tests;
