//! Which of the kernel's interfaces carries the sockets: what was chosen, or what is allowed here.

use nix::errno::Errno;

use crate::config::{IoBackend, ListenerConfig};
use crate::error::{Error, Result};
use crate::sys::host::{Host, IoUring, Refusal};

/// What `wanted` comes to on this host; with a warning where that is less than the best.
pub(super) fn resolve(wanted: IoBackend, host: &Host) -> IoBackend {
    if wanted != IoBackend::Auto {
        return wanted;
    }
    let probed = host.io_uring();
    match probed {
        IoUring::Refused { errno, by } if probed.is_forbidden() => {
            tracing::warn!("{}", warning(errno, by));
            IoBackend::Epoll
        }
        // Whatever else is wrong with it, its own error says when it is set up.
        _ => IoBackend::IoUring,
    }
}

/// What carries the sockets of a listener: its own choice, or the dataplane's.
pub(super) fn of_listener(config: &ListenerConfig, io: IoBackend) -> IoBackend {
    config.io.filter(|own| *own != IoBackend::Auto).unwrap_or(io)
}

/// Which of the two an lcore has. One at least: it sleeps there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Engines {
    pub uring: bool,
    pub epoll: bool,
}

impl Engines {
    /// What these listeners need.
    pub fn needed(listeners: &[ListenerConfig], io: IoBackend) -> Self {
        let with_sockets = || listeners.iter().filter(|listener| listener.peer().is_none());
        let needs = |backend| with_sockets().any(|listener| of_listener(listener, io) == backend);
        let epoll = needs(IoBackend::Epoll);
        Self {
            uring: needs(IoBackend::IoUring) || !epoll && io == IoBackend::IoUring,
            epoll: epoll || io == IoBackend::Epoll,
        }
    }

    /// Slots for so many connections that are accepted over either, behind `reserved` others. Beside a ring, epoll's
    /// own are behind the ring's table.
    pub fn streams(self, connections: u32, reserved: u32) -> u32 {
        let own = if self.uring && self.epoll { connections } else { 0 };
        reserved + connections + own
    }

    /// Refuses a listener that needs one which the lcores do not have: they get theirs at the start.
    pub fn check(self, listeners: &[ListenerConfig], io: IoBackend) -> Result<()> {
        let needed = Self::needed(listeners, io);
        let lacking = match (needed.uring && !self.uring, needed.epoll && !self.epoll) {
            (true, _) => IoBackend::IoUring,
            (_, true) => IoBackend::Epoll,
            _ => return Ok(()),
        };
        let is_it = |one: &&ListenerConfig| one.peer().is_none() && of_listener(one, io) == lacking;
        let Some(listener) = listeners.iter().find(is_it) else { return Ok(()) };
        let name = lacking.name();
        Err(Error::new(
            format!("serve the listener at {} ({}) over {name}", listener.address, listener.origin),
            format!(
                "the instance was started without a listener over {name}, and its lcores have none"
            ),
            "start the instance again with it; further ones can be added then",
        ))
    }
}

/// Why it is epoll, what that costs, and the line that mends it.
fn warning(errno: Errno, by: Refusal) -> String {
    let why = match by {
        Refusal::Sysctl => "kernel.io_uring_disabled is set",
        Refusal::Seccomp => "a seccomp filter refuses it",
        Refusal::Kernel => "this kernel has none",
        Refusal::Resources | Refusal::Unknown => "something refuses it",
    };
    let mend = match by {
        Refusal::Sysctl => "run `sysctl -w kernel.io_uring_disabled=0`",
        Refusal::Kernel => "boot a kernel of 6.1 or later with CONFIG_IO_URING=y",
        _ => {
            "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp \
             profile"
        }
    };
    format!(
        "epoll carries the sockets, since io_uring is not to be had: {why} ({errno:?}); that costs \
         about a fifth more CPU time a request; {mend}, or say `io = \"epoll\"` to hear no more \
         of it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_lcore_has_what_its_listeners_need_and_one_of_the_two_at_least() {
        use IoBackend::{Auto, Epoll, IoUring};
        let tcp = |io| ListenerConfig {
            io,
            ..ListenerConfig::tcp("127.0.0.1:0".parse().unwrap(), "echo", "test")
        };
        let port = ListenerConfig::shm("feed", "echo", "test");
        for (listeners, io, expected) in [
            (vec![tcp(None), tcp(Some(Auto))], IoUring, (true, false)),
            (vec![tcp(None), tcp(Some(Auto))], Epoll, (false, true)),
            (vec![tcp(None), tcp(Some(Epoll))], IoUring, (true, true)),
            (vec![tcp(Some(Epoll))], IoUring, (false, true)),
            (vec![tcp(Some(IoUring))], Epoll, (true, true)),
            (vec![port.clone()], IoUring, (true, false)),
            (vec![port], Epoll, (false, true)),
        ] {
            let needed = Engines::needed(&listeners, io);
            assert_eq!((needed.uring, needed.epoll), expected, "{io:?}");
            assert!(needed.check(&listeners, io).is_ok());
        }
    }

    #[test]
    fn a_listener_over_what_the_lcores_lack_is_refused() {
        let tcp = ListenerConfig::tcp("127.0.0.1:9".parse().unwrap(), "echo", "file:7");
        let over = |io| vec![tcp.clone(), ListenerConfig { io: Some(io), ..tcp.clone() }];
        for (had, other) in
            [(IoBackend::IoUring, IoBackend::Epoll), (IoBackend::Epoll, IoBackend::IoUring)]
        {
            let engines = Engines::needed(std::slice::from_ref(&tcp), had);
            assert!(engines.check(&over(had), had).is_ok() && engines.check(&[], had).is_ok());
            let error = engines.check(&over(other), had).unwrap_err();
            assert!(error.what().contains(other.name()) && error.what().contains("file:7"));
            assert!(Engines::needed(&over(other), had).check(&over(other), had).is_ok());
        }
    }

    #[test]
    fn only_what_is_forbidden_leads_to_epoll_and_the_warning_says_what_mends_it_w_1() {
        let refused = |errno, by| IoUring::Refused { errno, by };
        for (errno, by, mend) in [
            (Errno::EPERM, Refusal::Sysctl, "sysctl -w kernel.io_uring_disabled=0"),
            (Errno::EPERM, Refusal::Seccomp, "allow io_uring_setup"),
            (Errno::ENOSYS, Refusal::Kernel, "boot a kernel"),
            (Errno::EACCES, Refusal::Unknown, "allow io_uring_setup"),
        ] {
            assert!(refused(errno, by).is_forbidden());
            assert!(warning(errno, by).contains(mend), "{}", warning(errno, by));
        }
        for other in [
            IoUring::Works { defer_taskrun: false },
            refused(Errno::ENOMEM, Refusal::Resources),
            refused(Errno::EINVAL, Refusal::Unknown),
        ] {
            assert!(!other.is_forbidden());
        }
    }
}
