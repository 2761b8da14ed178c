use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

const NOW: Instant = Instant::from_ns(5);

#[test]
fn a_value_stays_with_its_own_connection_and_type_a_8() {
    let mut extensions = Extensions::new(4);
    let (trace, name) = (extensions.register::<u64>(), extensions.register::<String>());
    let (old, new) = (ConnId::new(0, 1, 1), ConnId::new(0, 1, 2));
    assert!(extensions.set(old, trace, 77, None));
    assert!(extensions.set(old, name, "a".to_string(), None));
    assert_eq!(extensions.get(old, trace, NOW), Some(&mut 77));
    assert_eq!(extensions.get(new, trace, NOW), None, "the slot's next owner sees nothing");
    assert_eq!(extensions.remove(new, trace, NOW), None, "and takes nothing away");
    assert_eq!(extensions.remove(old, name, NOW), Some("a".to_string()));
    assert_eq!(extensions.get(old, name, NOW), None);
    assert!(!extensions.set(ConnId::new(0, 4, 0), trace, 1, None), "past the last slot");
}

#[test]
fn a_late_value_for_a_connection_that_is_gone_does_not_displace_its_successors() {
    let mut extensions = Extensions::new(1);
    let key = extensions.register::<u8>();
    for (old, new) in [(1, 2), (u32::MAX, 0)] {
        let (old, new) = (ConnId::new(0, 0, old), ConnId::new(0, 0, new));
        assert!(extensions.set(new, key, 2, None));
        assert!(!extensions.set(old, key, 1, None));
        assert_eq!(extensions.remove(new, key, NOW), Some(2));
    }
}

#[test]
fn a_value_expires_at_its_moment_and_not_before() {
    let mut extensions = Extensions::new(1);
    let (key, message_key) = (extensions.register::<u8>(), extensions.register_message::<u8>());
    let (conn, message) = (ConnId::new(0, 0, 0), extensions.begin_message());
    let (before, expires) = (Instant::from_ns(9), Instant::from_ns(10));
    extensions.set(conn, key, 1, Some(expires));
    extensions.set(message, message_key, 1, Some(expires));
    assert_eq!(extensions.get(conn, key, before), Some(&mut 1));
    assert_eq!(extensions.get(message, message_key, before), Some(&mut 1));
    assert_eq!(extensions.get(conn, key, expires), None);
    assert_eq!(extensions.remove(message, message_key, expires), None);
}

#[test]
fn a_message_has_no_name_where_no_layer_wants_one() {
    let mut extensions = Extensions::new(1);
    assert!(extensions.begin_message().is_none());
    extensions.end_message(MessageId::NONE);
    assert_eq!(extensions.unnamed_messages(), 0);
}

#[test]
fn messages_past_the_last_name_go_without_and_are_counted() {
    let mut extensions = Extensions::new(0);
    let key = extensions.register_message::<u8>();
    let all: Vec<_> = (0..MESSAGES_MAX).map(|_| extensions.begin_message()).collect();
    assert!(all.iter().all(|message| !message.is_none()));
    let none = extensions.begin_message();
    assert!(none.is_none() && !extensions.set(none, key, 1, None));
    assert_eq!(extensions.get(none, key, NOW), None);
    assert_eq!(extensions.unnamed_messages(), 1);
    extensions.end_message(all[7]);
    extensions.end_message(all[7]);
    assert!(!extensions.begin_message().is_none());
    assert!(extensions.begin_message().is_none(), "ended twice, it is free once");
}

#[test]
fn what_hangs_on_a_message_is_dropped_when_it_ends() {
    let mut extensions = Extensions::new(0);
    let keys = [(); 2].map(|()| extensions.register_message::<Rc<()>>());
    let (message, value) = (extensions.begin_message(), Rc::new(()));
    for key in keys {
        assert!(extensions.set(message, key, value.clone(), None));
    }
    assert_eq!(Rc::strong_count(&value), 3);
    extensions.end_message(message);
    assert_eq!(Rc::strong_count(&value), 1);
    assert!(!extensions.set(message, keys[0], value.clone(), None), "it has ended");
    assert_eq!(Rc::strong_count(&value), 1);
}

proptest! {
    /// The oracle hashes, and knows no slots: open messages and what hangs on each, by kind.
    #[test]
    fn messages_keep_what_a_hash_map_would_keep(
        ops in prop::collection::vec((0u8..8, any::<u16>()), 1..400)
    ) {
        let mut extensions = Extensions::new(0);
        let keys = [(); 3].map(|()| extensions.register_message::<u16>());
        // Few slots are free, so that the names come round.
        for _ in 4..MESSAGES_MAX {
            assert!(!extensions.begin_message().is_none());
        }
        let (mut ever, mut open) = (Vec::new(), VecDeque::new());
        let mut values = HashMap::<(MessageId, usize), (u16, Instant)>::new();
        for (step, (op, value)) in ops.into_iter().enumerate() {
            let now = Instant::from_ns(step as u64);
            let picked = ever.get(usize::from(value) % ever.len().max(1)).copied();
            let message = picked.unwrap_or(MessageId::NONE);
            let (kind, is_open) = (usize::from(value) % 3, open.contains(&message));
            match op {
                0 | 1 => {
                    let message = extensions.begin_message();
                    prop_assert_eq!(message.is_none(), open.len() == 4);
                    if !message.is_none() {
                        prop_assert!(!ever.contains(&message), "a name comes back too soon");
                        ever.push(message);
                        open.push_back(message);
                    }
                }
                2 => {
                    extensions.end_message(message);
                    open.retain(|other| *other != message);
                    values.retain(|(other, _), _| *other != message);
                }
                3 | 4 => {
                    let expires = Instant::from_ns(step as u64 + u64::from(value) % 64);
                    let set = extensions.set(message, keys[kind], value, Some(expires));
                    prop_assert_eq!(set, is_open);
                    if is_open { values.insert((message, kind), (value, expires)); }
                }
                5 => {
                    let found = values.remove(&(message, kind)).filter(|(_, end)| now < *end);
                    let removed = extensions.remove(message, keys[kind], now);
                    prop_assert_eq!(removed, found.map(|(value, _)| value));
                }
                _ => {
                    let found = values.get(&(message, kind)).filter(|(_, end)| now < *end);
                    let had = extensions.get(message, keys[kind], now).copied();
                    prop_assert_eq!(had, found.map(|(value, _)| *value));
                }
            }
        }
    }
}

#[test]
fn what_was_registered_for_a_listener_goes_with_it_and_leaves_its_place_a_8() {
    let (now, mut extensions) = (Instant::from_ns(0), Extensions::new(4));
    let conn = ConnId::new(0, 1, 0);
    extensions.register_for(0);
    let stays = extensions.register::<u32>();
    extensions.register_for(1);
    let (goes, message_goes) = (extensions.register::<u64>(), extensions.register_message::<u64>());
    let message = extensions.begin_message();
    assert!(extensions.set(conn, stays, 1, None) && extensions.set(conn, goes, 2, None));
    assert!(extensions.set(message, message_goes, 3, None));
    extensions.release(1);
    assert_eq!(extensions.get(conn, stays, now), Some(&mut 1));
    assert_eq!(extensions.get(conn, goes, now), None);
    assert!(
        !extensions.set(conn, goes, 2, None) && !extensions.set(message, message_goes, 3, None)
    );
    extensions.end_message(message);
    extensions.register_for(2);
    let again = extensions.register::<u8>();
    assert!(extensions.set(conn, again, 7, None));
    assert_eq!(extensions.get(conn, goes, now), None, "of another type in the same place");
    assert_eq!(extensions.get(conn, stays, now), Some(&mut 1));
}
