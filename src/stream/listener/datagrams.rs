//! Peers over datagrams: who says HELLO becomes one, and while many do, only who shows that it is where
//! it says it is.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::{Inner, NAP, names};
use crate::limits::{STREAM_COOKIES_FROM, STREAM_PACKET_BYTES_MAX};
use crate::proto::stream::secure::cookie::Cookies;
use crate::proto::stream::secure::messages::{HELLO_BYTES, Hello};
use crate::proto::stream::{Flags, HEADER_BYTES, Header, PacketType};
use crate::stream::client::draw;
use crate::stream::link::Link;
use crate::stream::link::hub::Hub;
use crate::stream::state::Shared;
use crate::time::Clock;

/// Hands datagrams to their streams until it is stopped.
pub(super) fn serve(inner: &Arc<Inner>, hub: &Arc<Hub>) {
    let Ok(secret) = draw() else { return };
    let (cookies, clock) = (Cookies::new(secret), Clock::start());
    let mut room = [0; STREAM_PACKET_BYTES_MAX];
    while !inner.is_stopped() {
        match hub.socket.recv_from(&mut room) {
            Ok((count, peer)) => {
                let datagram = &mut room[..count];
                if !hub.deliver(peer, datagram) {
                    meet(inner, hub, peer, datagram, &cookies, &clock);
                }
            }
            Err(why) if why.kind() == ErrorKind::WouldBlock => {
                let _ = inner.wait(Some(hub.socket.as_fd()), None);
            }
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            // Somebody has gone to whom something was sent.
            Err(why) if why.kind() == ErrorKind::ConnectionRefused => {}
            Err(_) => {
                let _ = inner.wait(None, Some(NAP));
            }
        }
    }
}

/// A datagram of a stranger.
fn meet(
    inner: &Arc<Inner>,
    hub: &Arc<Hub>,
    peer: SocketAddr,
    datagram: &[u8],
    cookies: &Cookies,
    clock: &Clock,
) {
    let Some(hello) = hello(datagram) else { return };
    let (now, from) = (clock.now(), peer.to_string());
    if inner.greeting() >= STREAM_COOKIES_FROM && !cookies.holds(from.as_bytes(), &hello, now) {
        let retry = cookies.retry(from.as_bytes(), &hello, now);
        let header = Header {
            size: retry.len() as u32,
            packet_type: PacketType::Control,
            seq_id: 0,
            ch_id: 0,
            flags: Flags::NONE,
        };
        // A lost one is asked for again.
        let _ = hub.socket.send_to(&[&header.encode()[..], &retry].concat(), peer);
        return;
    }
    // With no place, or no thread, the peer says HELLO again.
    let Some(place) = inner.place() else { return };
    let join = |shared: &Arc<Shared>| hub.join(peer, shared.clone());
    let joined = inner.greet(place, names("udp", peer), join, |link| Ok(Link::Hub(link)));
    if joined.is_ok() {
        hub.deliver(peer, datagram);
    }
}

/// What it says, if it is a HELLO.
fn hello(datagram: &[u8]) -> Option<Hello> {
    let (head, body) = datagram.split_first_chunk::<HEADER_BYTES>()?;
    let header = Header::decode(head).ok()?;
    let is_control = header.packet_type == PacketType::Control && header.flags == Flags::NONE;
    if !is_control || header.size as usize != body.len() || body.len() != HELLO_BYTES {
        return None;
    }
    Hello::decode(body).ok()
}
