//! What a dataplane gives to a process that attaches: a line of text, and descriptors in a fixed order.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Error, Result};
use crate::limits::LCORES_MAX;
use crate::mem::{PORT_VERSION, Trust};
use crate::port::Role;

/// What was granted, as its line says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// How the bytes are shared.
    pub trust: Trust,
    /// What the process is to the dataplane.
    pub role: Role,
    /// For each queue the pool, among those that came along, that its slots lie in; `None`: in the
    /// port's segment.
    pub queues: Vec<Option<usize>>,
}

impl Grant {
    /// The line, without its end: `attached version=1 trust=shared role=handler queues=0,0`. Queues
    /// are separated by commas: the number of a pool, or `-`.
    pub fn to_line(&self) -> String {
        let pool = |queue: &Option<usize>| queue.map_or("-".to_owned(), |pool| pool.to_string());
        let queues: Vec<String> = self.queues.iter().map(pool).collect();
        let (trust, role, queues) = (self.trust.name(), self.role, queues.join(","));
        format!("attached version={PORT_VERSION} trust={trust} role={role} queues={queues}")
    }

    /// Reads such a line. Words that are not known are left alone: a later version may say more. One
    /// that says no role is of a dataplane that has handlers alone.
    ///
    /// # Errors
    /// When it is not one, or of another version.
    pub fn of_line(line: &str) -> Result<Self> {
        let refuse = |why: String| {
            Error::new("attach to a port", why, "attach with a library of the dataplane's version")
        };
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("attached") {
            return Err(refuse(format!("the dataplane answered `{line}`")));
        }
        let (mut version, mut trust, mut queues) = (None, None, None);
        let mut role = Some(Role::Handler);
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            match key {
                "version" => version = value.parse::<u32>().ok(),
                "trust" => trust = Trust::named(value),
                "role" => role = Role::named(value),
                "queues" => queues = queues_of(value),
                _ => {}
            }
        }
        match (version, trust, role, queues) {
            (Some(PORT_VERSION), Some(trust), Some(role), Some(queues)) => {
                Ok(Self { trust, role, queues })
            }
            (Some(version), ..) if version != PORT_VERSION => {
                let why = format!("it speaks version {version}, and this library {PORT_VERSION}");
                Err(refuse(why))
            }
            _ => Err(refuse(format!("the dataplane answered `{line}`"))),
        }
    }

    /// How many pools come along.
    pub fn pools(&self) -> usize {
        self.queues.iter().flatten().max().map_or(0, |last| last + 1)
    }
}

fn queues_of(value: &str) -> Option<Vec<Option<usize>>> {
    let queue = |word: &str| match word {
        "-" => Some(None),
        number => number.parse().ok().filter(|&pool: &usize| pool < LCORES_MAX).map(Some),
    };
    let queues: Option<Vec<_>> = value.split(',').map(queue).collect();
    queues.filter(|queues| queues.len() <= LCORES_MAX)
}

/// A grant with its descriptors.
#[derive(Debug)]
pub struct Offer {
    /// What is granted.
    pub grant: Grant,
    /// The port's segment.
    pub segment: OwnedFd,
    /// Mempools, as the grant numbers them.
    pub pools: Vec<OwnedFd>,
    /// The descriptor that wakes the process.
    pub event: OwnedFd,
    /// The eventfds that wake the lcores, one for each queue.
    pub bells: Vec<OwnedFd>,
}

impl Offer {
    /// Most descriptors of one offer.
    pub const FDS_MAX: usize = 2 + 2 * LCORES_MAX;

    /// The descriptors in the order in which they are sent: segment, pools, event, bells.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let pools = self.pools.iter().map(AsFd::as_fd);
        let bells = self.bells.iter().map(AsFd::as_fd);
        let segment = std::iter::once(self.segment.as_fd());
        segment.chain(pools).chain(std::iter::once(self.event.as_fd())).chain(bells).collect()
    }

    /// Puts together what came over a socket.
    ///
    /// # Errors
    /// When the descriptors are not as many as the grant says.
    pub fn of_parts(grant: Grant, fds: Vec<OwnedFd>) -> Result<Self> {
        let wanted = 2 + grant.pools() + grant.queues.len();
        if fds.len() != wanted {
            let why = format!("{} descriptors came along, not {wanted}", fds.len());
            return Err(Error::new("attach to a port", why, "raise the limit on open files"));
        }
        let mut fds = fds.into_iter();
        let mut next = || fds.next().expect("they were counted");
        let segment = next();
        let pools = (0..grant.pools()).map(|_| next()).collect();
        let (event, bells) = (next(), (0..grant.queues.len()).map(|_| next()).collect());
        Ok(Self { grant, segment, pools, event, bells })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> String {
        Grant::of_line(line).expect_err(line).to_string()
    }

    #[test]
    fn a_line_says_what_was_granted() {
        for (trust, queues, line) in [
            (Trust::Shared, vec![Some(0)], "attached version=1 trust=shared role=handler queues=0"),
            (
                Trust::Shared,
                vec![Some(0), Some(1), Some(0)],
                "attached version=1 trust=shared role=peer queues=0,1,0",
            ),
            (
                Trust::Isolated,
                vec![None, None],
                "attached version=1 trust=isolated role=peer queues=-,-",
            ),
        ] {
            let role = if queues.len() > 1 { Role::Peer } else { Role::Handler };
            let grant = Grant { trust, role, queues };
            assert_eq!(grant.to_line(), line);
            assert_eq!(Grant::of_line(line).unwrap(), grant);
        }
        let grant =
            Grant { trust: Trust::Isolated, role: Role::Handler, queues: vec![None; LCORES_MAX] };
        assert_eq!(Grant::of_line(&grant.to_line()).unwrap(), grant);
    }

    #[test]
    fn words_of_a_later_version_of_the_line_are_left_alone() {
        let line = "attached colour=blue version=1 queues=-  trust=isolated plain\r";
        let grant = Grant::of_line(line).unwrap();
        assert_eq!((grant.queues, grant.role), (vec![None], Role::Handler));
    }

    #[test]
    fn another_version_is_refused_with_both_named_p_7() {
        let refused = refusal("attached version=2 trust=shared queues=0");
        assert!(refused.contains("version 2, and this library 1"), "{refused}");
        let refused = refusal("attached version=2 future=yes");
        assert!(refused.contains("version 2"), "what else it says is of that version: {refused}");
    }

    #[test]
    fn lines_that_grant_nothing_are_refused() {
        let many = ["-"; LCORES_MAX + 1].join(",");
        for line in [
            "",
            "hello",
            "error: no",
            "attached",
            "attached trust=shared queues=0",
            "attached version=x trust=shared queues=0",
            "attached version=1 queues=0",
            "attached version=1 trust=none queues=0",
            "attached version=1 trust=shared role=guest queues=0",
            "attached version=1 trust=shared",
            "attached version=1 trust=shared queues=",
            "attached version=1 trust=shared queues=0,",
            "attached version=1 trust=shared queues=0,x",
            "attached version=1 trust=shared queues=-1",
            "attached version=1 trust=shared queues=64",
            "attached version=1 trust=shared queues=99999999999999999999",
            &format!("attached version=1 trust=isolated queues={many}"),
        ] {
            refusal(line);
        }
    }

    #[test]
    fn descriptors_are_as_many_as_the_line_says() {
        let fds = |count| -> Vec<OwnedFd> {
            (0..count).map(|_| std::fs::File::open("/dev/null").unwrap().into()).collect()
        };
        let grant = Grant {
            trust: Trust::Shared,
            role: Role::Peer,
            queues: vec![Some(0), Some(1), Some(1)],
        };
        let offer = Offer::of_parts(grant.clone(), fds(7)).unwrap();
        assert_eq!((offer.pools.len(), offer.bells.len(), offer.fds().len()), (2, 3, 7));
        for count in [0, 6, 8] {
            let refused = Offer::of_parts(grant.clone(), fds(count)).unwrap_err().to_string();
            assert!(refused.contains(&format!("{count} descriptors came along, not 7")));
        }
        let grant = Grant { trust: Trust::Isolated, role: Role::Handler, queues: vec![None] };
        assert!(Offer::of_parts(grant, fds(3)).unwrap().pools.is_empty());
        let largest = Grant {
            trust: Trust::Shared,
            role: Role::Peer,
            queues: (0..LCORES_MAX).map(Some).collect(),
        };
        assert_eq!(
            Offer::of_parts(largest, fds(Offer::FDS_MAX)).unwrap().fds().len(),
            Offer::FDS_MAX
        );
    }
}
