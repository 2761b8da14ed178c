//! Whom a node talks to: anyone, those on a list, or whoever was first to have a name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::identity::{NodeAddress, NotHex, PublicKey, Trust};
use crate::limits::{STREAM_PIN_NAME_BYTES_MAX, STREAM_PINS_MAX};

/// Whoever proves to be somebody: who it is, the program sees from the stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anyone;

impl Trust for Anyone {
    fn accepts(&self, _peer: &PublicKey) -> bool {
        true
    }
}

/// A list of nodes; nobody else is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownNodes(BTreeSet<NodeAddress>);

impl KnownNodes {
    /// Reads a list: each line is a node's address or its public key, and what follows that is for
    /// people. So are empty lines, and those that begin with `#`.
    pub fn parse(text: &str) -> Result<Self, ListFault> {
        entries(text, |words| {
            let word = words.next().ok_or(ListKind::Address)?;
            match word.parse::<PublicKey>() {
                Ok(key) => Ok(key.address()),
                Err(NotHex { .. }) => word.parse().map_err(|_| ListKind::Address),
            }
        })
        .map(Self)
    }

    /// Whether a node is on the list.
    pub fn contains(&self, node: &NodeAddress) -> bool {
        self.0.contains(node)
    }

    /// How many nodes are on it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<NodeAddress> for KnownNodes {
    fn from_iter<I: IntoIterator<Item = NodeAddress>>(nodes: I) -> Self {
        Self(nodes.into_iter().collect())
    }
}

impl Trust for KnownNodes {
    fn accepts(&self, peer: &PublicKey) -> bool {
        self.contains(&peer.address())
    }
}

/// The node that a name belongs to since it was first seen there. Written as the name and the address,
/// with a space between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    /// What a connection is known by, such as `host:port`.
    pub name: String,
    /// Who was there.
    pub node: NodeAddress,
}

impl Pin {
    /// Reads a list of them, a line each, with comments as [`KnownNodes::parse`] has them.
    pub fn parse_list(text: &str) -> Result<BTreeSet<Self>, ListFault> {
        entries(text, |words| {
            let name = words.next().filter(|name| is_name(name)).ok_or(ListKind::Name)?.to_owned();
            let node = words.next().and_then(|word| word.parse().ok()).ok_or(ListKind::Address)?;
            Ok(Self { name, node })
        })
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.node)
    }
}

/// Trusts whoever is first to have a name, and from then on nobody else of that name. It says nothing
/// of who that is: whoever is in the way the first time is pinned.
#[derive(Debug, Default)]
pub struct FirstUse(Mutex<Pins>);

#[derive(Debug, Default)]
struct Pins {
    known: BTreeMap<String, NodeAddress>,
    /// Those that nobody has asked for yet.
    fresh: Vec<Pin>,
}

impl FirstUse {
    /// With the pins of an earlier time. Of two of one name the first counts.
    pub fn new(pins: impl IntoIterator<Item = Pin>) -> Self {
        let mut known = BTreeMap::new();
        for Pin { name, node } in pins {
            known.entry(name).or_insert(node);
        }
        Self(Mutex::new(Pins { known, fresh: Vec::new() }))
    }

    /// The policy for a connection of this name.
    pub fn of<'a>(&'a self, name: &'a str) -> Named<'a> {
        Named { pins: self, name }
    }

    /// The pins since this was last asked, for whoever keeps them beyond the process.
    pub fn take_fresh(&self) -> Vec<Pin> {
        std::mem::take(&mut self.pins().fresh)
    }

    /// The node that a name belongs to.
    pub fn pinned(&self, name: &str) -> Option<NodeAddress> {
        self.pins().known.get(name).copied()
    }

    fn pins(&self) -> std::sync::MutexGuard<'_, Pins> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// [`FirstUse`] for one name.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    pins: &'a FirstUse,
    name: &'a str,
}

impl Trust for Named<'_> {
    fn accepts(&self, peer: &PublicKey) -> bool {
        let (mut pins, node) = (self.pins.pins(), peer.address());
        if let Some(known) = pins.known.get(self.name) {
            return *known == node;
        }
        // What cannot be pinned would be the first each time.
        if pins.known.len() == STREAM_PINS_MAX || !is_name(self.name) {
            return false;
        }
        pins.known.insert(self.name.to_owned(), node);
        pins.fresh.push(Pin { name: self.name.to_owned(), node });
        true
    }
}

/// Whether a name can stand in a list.
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
    (1..=STREAM_PIN_NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with('#')
        && name.chars().all(is_plain)
}

/// A line of a list that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListFault {
    /// Which, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub kind: ListKind,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// No node address and no public key where one should be.
    Address,
    /// No name where one should be, or too long a one.
    Name,
}

impl fmt::Display for ListFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = match self.kind {
            ListKind::Address => "a node address (32 hexadecimal digits) or a public key (64)",
            ListKind::Name => "a name",
        };
        write!(f, "line {}: {wanted} is missing", self.line)
    }
}

impl std::error::Error for ListFault {}

fn entries<T: Ord>(
    text: &str,
    read: impl Fn(&mut std::str::SplitWhitespace<'_>) -> Result<T, ListKind>,
) -> Result<BTreeSet<T>, ListFault> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let entry = |(line, text): (usize, &str)| {
        read(&mut text.split_whitespace()).map_err(|kind| ListFault { line, kind })
    };
    lines.map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::stream::secure::identity::Identity;

    fn key(of: u8) -> PublicKey {
        Identity::from_secret(&[of; 32]).public()
    }

    #[test]
    fn those_on_the_list_are_trusted_and_nobody_else() {
        let text = format!("# ours\n\n{} a name\n  {}\n", key(1).address(), key(2));
        let nodes = KnownNodes::parse(&text).unwrap();
        assert_eq!(nodes.len(), 2);
        assert!(nodes.accepts(&key(1)) && nodes.accepts(&key(2)) && !nodes.accepts(&key(3)));
    }

    #[test]
    fn an_empty_list_trusts_nobody() {
        let nodes = KnownNodes::parse("# nobody yet\n").unwrap();
        assert!(nodes.is_empty() && !nodes.accepts(&key(1)));
    }

    #[test]
    fn a_line_that_is_no_node_is_refused_by_its_number() {
        let text = format!("{}\nsomebody\n", key(1));
        let fault = KnownNodes::parse(&text).unwrap_err();
        assert_eq!(fault, ListFault { line: 2, kind: ListKind::Address });
        assert!(fault.to_string().starts_with("line 2: a node address"));
    }

    #[test]
    fn who_is_first_to_have_a_name_keeps_it() {
        let policy = FirstUse::default();
        assert!(policy.of("a:1").accepts(&key(1)) && policy.of("a:1").accepts(&key(1)));
        assert!(!policy.of("a:1").accepts(&key(2)));
        assert!(policy.of("b:1").accepts(&key(2)));
        assert_eq!(policy.pinned("a:1"), Some(key(1).address()));
        let names: Vec<_> = policy.take_fresh().into_iter().map(|pin| pin.name).collect();
        assert_eq!(names, ["a:1", "b:1"]);
        assert_eq!(policy.take_fresh(), []);
    }

    #[test]
    fn pins_that_were_written_down_hold_the_next_time() {
        let policy = FirstUse::default();
        assert!(policy.of("a:1").accepts(&key(1)));
        let text: String = policy.take_fresh().iter().map(|pin| format!("{pin}\n")).collect();
        let policy = FirstUse::new(Pin::parse_list(&text).unwrap());
        assert!(!policy.of("a:1").accepts(&key(2)) && policy.of("a:1").accepts(&key(1)));
        assert_eq!(policy.take_fresh(), []);
    }

    #[test]
    fn a_pin_without_a_name_or_a_node_is_refused() {
        let fault = |text: &str| Pin::parse_list(text).unwrap_err();
        assert_eq!(fault("a:1"), ListFault { line: 1, kind: ListKind::Address });
        let long = "a".repeat(STREAM_PIN_NAME_BYTES_MAX + 1);
        assert_eq!(fault(&long), ListFault { line: 1, kind: ListKind::Name });
    }

    #[test]
    fn what_cannot_be_pinned_is_not_trusted() {
        let policy = FirstUse::default();
        let long = "a".repeat(STREAM_PIN_NAME_BYTES_MAX + 1);
        for name in ["", "a b", "a\nb", "#a", &long] {
            assert!(!policy.of(name).accepts(&key(1)), "{name:?}");
        }
        let pins =
            (0..STREAM_PINS_MAX).map(|n| Pin { name: n.to_string(), node: key(1).address() });
        let policy = FirstUse::new(pins.collect::<Vec<_>>());
        assert!(!policy.of("another").accepts(&key(1)) && policy.of("7").accepts(&key(1)));
    }
}
