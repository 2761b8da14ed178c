use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    /// Nothing has come yet.
    Initial,
    /// Part of a request has come, and no response is owed.
    Reading,
    /// A response is owed of which nothing was written.
    Processing,
    /// Part of a response is written.
    Writing,
    /// All requests are answered, and one more may come.
    KeepAlive,
    /// Another protocol has taken over.
    Upgraded,
    /// Nothing is owed, and nothing more is read.
    Closed,
}

impl Lifecycle {
    fn state(&self) -> State {
        match (self.owed, self.begun, self.inbound) {
            (_, _, Inbound::Upgraded) => State::Upgraded,
            (1.., true, _) => State::Writing,
            (1.., false, _) => State::Processing,
            (0, _, Inbound::First) => State::Initial,
            (0, _, Inbound::Head | Inbound::Body) => State::Reading,
            (0, _, Inbound::Next) => State::KeepAlive,
            (0, _, Inbound::Held | Inbound::Ignored) => State::Closed,
        }
    }
}

/// Everything that can happen to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Part,
    Head { body: bool, keep_alive: bool, upgrade: bool },
    BodyEnd,
    Refuse,
    Ignore,
    Written,
    Ended,
    Upgraded,
}

const EVENTS: [Event; 15] = {
    const fn head(bits: u8) -> Event {
        Event::Head { body: bits & 1 != 0, keep_alive: bits & 2 != 0, upgrade: bits & 4 != 0 }
    }
    [
        Event::Part,
        head(0),
        head(1),
        head(2),
        head(3),
        head(4),
        head(5),
        head(6),
        head(7),
        Event::BodyEnd,
        Event::Refuse,
        Event::Ignore,
        Event::Written,
        Event::Ended,
        Event::Upgraded,
    ]
};

fn apply(connection: &mut Lifecycle, event: Event) {
    match event {
        Event::Part => connection.parse().part(),
        Event::Head { body, keep_alive, upgrade } => {
            connection.parse().head(Seen { body, keep_alive, upgrade });
        }
        Event::BodyEnd => connection.body_ended(),
        Event::Refuse => connection.refuse(),
        Event::Ignore => connection.ignore(),
        Event::Written => connection.written(0),
        Event::Ended => connection.written(1),
        Event::Upgraded => connection.upgraded(),
    }
}

/// The outcome, or `None` where the step cannot be.
fn step(connection: Lifecycle, event: Event) -> Option<Lifecycle> {
    let mut next = connection;
    catch_unwind(AssertUnwindSafe(|| apply(&mut next, event))).is_ok().then_some(next)
}

/// The rules again, in words of their own: what may happen is decided by what is read next and by
/// whether a response is owed.
fn may_happen(connection: &Lifecycle, event: Event) -> bool {
    use Inbound::*;
    let inbound = connection.inbound();
    match event {
        Event::Part | Event::Head { .. } => [First, Head, Next].contains(&inbound),
        Event::BodyEnd => inbound == Body,
        Event::Refuse => [First, Head, Body, Next, Held].contains(&inbound),
        Event::Ignore => true,
        Event::Written | Event::Ended => connection.owed() > 0,
        Event::Upgraded if inbound == Ignored => connection.owed() > 0,
        Event::Upgraded => inbound == Held && connection.owed() == 1,
    }
}

/// Every connection that so many events can lead to, with at most four responses owed.
fn reachable() -> HashSet<Lifecycle> {
    let (mut seen, mut edge) = (HashSet::new(), vec![Lifecycle::new()]);
    while let Some(connection) = edge.pop() {
        if connection.owed() > 4 || !seen.insert(connection) {
            continue;
        }
        edge.extend(EVENTS.iter().filter_map(|&event| step(connection, event)));
    }
    seen
}

// G-6
#[test]
fn each_pair_of_state_and_event_is_a_step_or_a_panic_as_the_rules_say() {
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let connections = reachable();
    let wrong: Vec<_> = connections
        .iter()
        .flat_map(|connection| EVENTS.map(|event| (*connection, event)))
        .filter(|(connection, event)| {
            step(*connection, *event).is_some() != may_happen(connection, *event)
        })
        .collect();
    std::panic::set_hook(silent);
    assert!(connections.len() > 50, "{} states", connections.len());
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_states_follow_each_other_as_they_are_listed() {
    use State::*;
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut edges = HashSet::new();
    for connection in reachable() {
        for next in EVENTS.iter().filter_map(|&event| step(connection, event)) {
            edges.insert((connection.state(), next.state()));
        }
    }
    std::panic::set_hook(silent);
    let forward = [
        (Initial, Reading),
        (Initial, Processing),
        (Reading, Processing),
        (Processing, Writing),
        (Processing, KeepAlive),
        (Writing, KeepAlive),
        (Writing, Processing),
        (Writing, Closed),
        (KeepAlive, Reading),
        (KeepAlive, Processing),
        (Processing, Upgraded),
    ];
    assert!(forward.iter().all(|edge| edges.contains(edge)), "{edges:?}");
    let never = |from, to| !edges.contains(&(from, to));
    for state in [Reading, Processing, Writing, KeepAlive, Upgraded, Closed] {
        assert!(never(state, Initial), "{state:?} is not the first");
    }
    for state in [Initial, Reading, Processing, Writing, KeepAlive, Upgraded] {
        assert!(never(Closed, state), "closed is the end, and not followed by {state:?}");
    }
    assert!(never(Initial, Writing) && never(Reading, Writing) && never(KeepAlive, Writing));
    assert!(never(Initial, KeepAlive) && never(Upgraded, Processing));
}

#[test]
fn pipelined_requests_are_owed_until_each_is_answered() {
    let seen = Seen { body: false, keep_alive: true, upgrade: false };
    let mut connection = Lifecycle::new();
    (0..3).for_each(|_| connection.parse().head(seen));
    assert_eq!((connection.state(), connection.owed()), (State::Processing, 3));
    connection.written(2);
    assert_eq!((connection.state(), connection.owed()), (State::Processing, 1));
    connection.written(0);
    assert_eq!(connection.state(), State::Writing);
    connection.written(1);
    assert_eq!(connection.state(), State::KeepAlive);
    assert!(connection.is_idle());
}

#[test]
fn a_refusal_in_the_middle_of_a_body_is_owed_beside_the_response() {
    let mut lifecycle = Lifecycle::new();
    lifecycle.parse().head(Seen { body: true, keep_alive: true, upgrade: false });
    lifecycle.refuse();
    assert_eq!((lifecycle.state(), lifecycle.owed()), (State::Processing, 2));
    lifecycle.written(2);
    assert_eq!(lifecycle.state(), State::Closed);
}
