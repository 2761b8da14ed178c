//! Who is in which group, of the connections of one lcore. The lcore alone looks at it.

use std::collections::HashMap;
use std::sync::Arc;

use super::Group;
use super::group::{Publish, Shared};
use super::inlet::Inlets;
use crate::mem::ConnId;

const NIL: u32 = u32::MAX;

/// The groups that have members here, and the memberships by connection. Joining and leaving touch what they are
/// about and no more; a connection that closes leaves all its groups, one step for each.
pub struct Members {
    inlets: Arc<Inlets>,
    lcore: u8,
    /// By the address of the group's counters, which the room keeps alive.
    rooms_by_group: HashMap<usize, u32>,
    rooms: Vec<Room>,
    free_rooms: Vec<u32>,
    /// By room and connection slot.
    links_by_place: HashMap<(u32, u32), u32>,
    links: Vec<Link>,
    free_links: Vec<u32>,
    /// By connection slot, the first of its links; as long as the highest slot that ever joined.
    first: Vec<u32>,
    /// The room whose members are hearing something.
    visited: Option<Visit>,
    /// Times that somebody joined.
    joins: u64,
}

/// The members of a group. While they are visited, places do not move: who leaves then leaves a hole.
struct Room {
    group: Option<Arc<Shared>>,
    members: Vec<Member>,
    holes: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Member {
    conn: ConnId,
    link: u32,
    /// Which time it was that it joined.
    joined: u64,
}

/// One membership, in the list of those of its connection.
#[derive(Clone, Copy)]
struct Link {
    conn: ConnId,
    room: u32,
    place: u32,
    before: u32,
    after: u32,
}

/// How far a message has come. Who joins meanwhile stands behind `end`.
#[derive(Clone, Copy)]
struct Visit {
    room: u32,
    next: u32,
    end: u32,
}

impl Members {
    pub fn new(lcore: u8, inlets: Arc<Inlets>) -> Self {
        Self {
            inlets,
            lcore,
            rooms_by_group: HashMap::new(),
            rooms: Vec::new(),
            free_rooms: Vec::new(),
            links_by_place: HashMap::new(),
            links: Vec::new(),
            free_links: Vec::new(),
            first: Vec::new(),
            visited: None,
            joins: 0,
        }
    }

    /// Times that somebody joined: who joined later was no member yet.
    pub fn joins(&self) -> u64 {
        self.joins
    }

    /// Whether nobody is in any group.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.links_by_place.is_empty()
    }

    /// `false`: it is a member, or the group another dataplane's.
    pub fn join(&mut self, group: &Group, conn: ConnId) -> bool {
        if !group.shared.belongs_to(&self.inlets) {
            return false;
        }
        let room = self.room(&group.shared);
        if let Some(&link) = self.links_by_place.get(&(room, conn.slot())) {
            if self.links[link as usize].conn == conn {
                return false;
            }
            // The slot's last connection, whose end was not heard.
            self.unlink(link);
        }
        // The room may have gone with that one.
        let room = self.room(&group.shared);
        self.link(room, conn);
        true
    }

    pub fn leave(&mut self, group: &Group, conn: ConnId) -> bool {
        match self.find(group, conn) {
            Some(link) => self.unlink(link),
            None => return false,
        }
        true
    }

    pub fn contains(&self, group: &Group, conn: ConnId) -> bool {
        self.find(group, conn).is_some()
    }

    /// A connection is gone: it leaves whatever it was in.
    pub fn closed(&mut self, conn: ConnId) {
        while let Some(&link) = self.first.get(conn.slot() as usize)
            && link != NIL
            && self.links[link as usize].conn == conn
        {
            self.unlink(link);
        }
    }

    /// The next member that is to hear of `publish`; `None`: all have.
    pub fn next(&mut self, publish: &Publish) -> Option<ConnId> {
        let mut visit = match self.visited {
            Some(visit) => visit,
            None => {
                let room = *self.rooms_by_group.get(&address(&publish.group))?;
                let end = self.rooms[room as usize].members.len() as u32;
                Visit { room, next: 0, end }
            }
        };
        let members = &self.rooms[visit.room as usize].members;
        while visit.next < visit.end {
            let Member { conn, joined, .. } = members[visit.next as usize];
            visit.next += 1;
            if joined <= publish.joins && conn != ConnId::NONE && !publish.leaves_out(conn) {
                self.visited = Some(visit);
                return Some(conn);
            }
        }
        self.visited = None;
        self.close_holes(visit.room);
        None
    }

    /// Has the member that [`next`](Self::next) gave last be given again.
    pub fn again(&mut self) {
        if let Some(visit) = &mut self.visited {
            visit.next -= 1;
        }
    }

    fn find(&self, group: &Group, conn: ConnId) -> Option<u32> {
        let room = self.rooms_by_group.get(&address(&group.shared))?;
        let link = *self.links_by_place.get(&(*room, conn.slot()))?;
        (self.links[link as usize].conn == conn).then_some(link)
    }

    /// The room of a group, which is new where nobody is in it.
    fn room(&mut self, group: &Arc<Shared>) -> u32 {
        let (rooms, free) = (&mut self.rooms, &mut self.free_rooms);
        *self.rooms_by_group.entry(address(group)).or_insert_with(|| {
            let room = Room { group: Some(group.clone()), members: Vec::new(), holes: Vec::new() };
            let index = free.pop().unwrap_or(rooms.len() as u32);
            match rooms.get_mut(index as usize) {
                Some(place) => *place = room,
                None => rooms.push(room),
            }
            index
        })
    }

    fn link(&mut self, room: u32, conn: ConnId) {
        let index = self.free_links.pop().unwrap_or(self.links.len() as u32);
        let slot = conn.slot() as usize;
        if slot >= self.first.len() {
            self.first.resize(slot + 1, NIL);
        }
        let Room { group, members, holes } = &mut self.rooms[room as usize];
        let group = group.as_ref().expect("a room that is found has its group");
        if members.len() == holes.len() {
            group.set_present(self.lcore, true);
        }
        group.count_member(true);
        let after = std::mem::replace(&mut self.first[slot], index);
        let link = Link { conn, room, place: members.len() as u32, before: NIL, after };
        self.joins += 1;
        members.push(Member { conn, link: index, joined: self.joins });
        match self.links.get_mut(index as usize) {
            Some(place) => *place = link,
            None => self.links.push(link),
        }
        if after != NIL {
            self.links[after as usize].before = index;
        }
        self.links_by_place.insert((room, conn.slot()), index);
    }

    fn unlink(&mut self, index: u32) {
        let Link { conn, room, place, before, after } = self.links[index as usize];
        match before {
            NIL => self.first[conn.slot() as usize] = after,
            before => self.links[before as usize].after = after,
        }
        if after != NIL {
            self.links[after as usize].before = before;
        }
        self.links_by_place.remove(&(room, conn.slot()));
        self.free_links.push(index);
        let Room { group, members, holes } = &mut self.rooms[room as usize];
        if self.visited.is_some_and(|visit| visit.room == room) {
            members[place as usize].conn = ConnId::NONE;
            holes.push(place);
        } else {
            self.links[take_out(members, place) as usize].place = place;
        }
        let group = group.as_ref().expect("it has a member");
        group.count_member(false);
        if members.len() == holes.len() {
            group.set_present(self.lcore, false);
            self.give_up(room);
        }
    }

    /// Closes the gaps that leaving left while the room was visited.
    fn close_holes(&mut self, room: u32) {
        let Room { members, holes, .. } = &mut self.rooms[room as usize];
        // From the back, so that what moves into a gap is no gap.
        holes.sort_unstable();
        while let Some(place) = holes.pop() {
            self.links[take_out(members, place) as usize].place = place;
        }
        if members.is_empty() {
            self.give_up(room);
        }
    }

    /// Forgets a room that is empty, unless somebody looks into it.
    fn give_up(&mut self, room: u32) {
        let place = &mut self.rooms[room as usize];
        if self.visited.is_some_and(|visit| visit.room == room) || !place.members.is_empty() {
            return;
        }
        if let Some(group) = place.group.take() {
            self.rooms_by_group.remove(&address(&group));
            self.free_rooms.push(room);
        }
    }
}

impl Drop for Members {
    /// The lcore ends, and with it its connections.
    fn drop(&mut self) {
        for Room { group, members, holes } in &self.rooms {
            if let Some(group) = group {
                (holes.len()..members.len()).for_each(|_| group.count_member(false));
                group.set_present(self.lcore, false);
            }
        }
    }
}

/// Takes the member at `place` out; the link of the one that has the place now, or of the one that had it.
fn take_out(members: &mut Vec<Member>, place: u32) -> u32 {
    let gone = members.swap_remove(place as usize);
    members.get(place as usize).unwrap_or(&gone).link
}

fn address(group: &Arc<Shared>) -> usize {
    Arc::as_ptr(group).addr()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::group::Exclude;
    use super::*;
    use crate::mem::Buf;

    fn members() -> Members {
        Members::new(3, Arc::new(Inlets::new()))
    }

    fn publish(group: &Group, but: ConnId) -> Publish {
        let (group, buf) = (group.shared.clone(), Buf::marker(ConnId::NONE, 0));
        Publish { group, buf, exclude: Exclude::One(but), joins: u64::MAX }
    }

    fn conn(slot: u32) -> ConnId {
        ConnId::new(3, slot, slot + 7)
    }

    fn heard(members: &mut Members, group: &Group) -> BTreeSet<u32> {
        let publish = publish(group, ConnId::NONE);
        let mut heard = BTreeSet::new();
        while let Some(conn) = members.next(&publish) {
            assert!(heard.insert(conn.slot()), "{conn} hears twice");
        }
        heard
    }

    #[test]
    fn a_member_is_one_once_and_leaves_all_groups_when_it_closes_g_16() {
        let (mut members, a, b) = (members(), Group::new(), Group::new());
        assert!(members.join(&a, conn(1)) && !members.join(&a, conn(1)));
        assert!(members.join(&b, conn(1)) && members.join(&b, conn(2)));
        assert_eq!((a.len(), b.len()), (1, 2));
        let newer = ConnId::new(3, 1, 99);
        assert!(!members.leave(&a, newer) && !members.contains(&a, newer));
        members.closed(newer);
        assert_eq!(a.len(), 1, "it was another connection of the slot");
        members.closed(conn(1));
        assert_eq!((a.len(), b.len()), (0, 1));
        assert!(members.leave(&b, conn(2)) && !members.leave(&b, conn(2)));
        assert!(members.is_empty() && members.rooms_by_group.is_empty());
    }

    #[test]
    fn the_next_connection_of_a_slot_takes_the_place_of_one_whose_end_was_not_heard_g_16() {
        let (mut members, group) = (members(), Group::new());
        assert!(members.join(&group, conn(4)));
        let newer = ConnId::new(3, 4, 99);
        assert!(members.join(&group, newer));
        assert_eq!(group.len(), 1);
        assert!(members.contains(&group, newer) && !members.contains(&group, conn(4)));
    }

    #[test]
    fn who_joins_while_a_message_is_on_its_way_does_not_hear_it_and_who_leaves_neither_g_16() {
        let (mut members, group) = (members(), Group::new());
        (0..4).for_each(|slot| assert!(members.join(&group, conn(slot))));
        let publish = publish(&group, conn(1));
        assert_eq!(members.next(&publish), Some(conn(0)));
        members.again();
        assert_eq!(members.next(&publish), Some(conn(0)), "there was no room for it");
        assert!(members.join(&group, conn(9)) && members.leave(&group, conn(0)));
        assert!(members.leave(&group, conn(3)));
        assert_eq!(members.next(&publish), Some(conn(2)));
        assert_eq!(members.next(&publish), None);
        assert_eq!(heard(&mut members, &group), BTreeSet::from([1, 2, 9]));
    }

    #[test]
    fn who_joins_before_the_turn_of_a_message_that_the_lcore_has_heard_of_does_not_hear_it_g_16() {
        let (mut members, group) = (members(), Group::new());
        assert!(members.join(&group, conn(0)));
        let publish = Publish { joins: members.joins(), ..publish(&group, ConnId::NONE) };
        assert!(members.join(&group, conn(1)));
        assert_eq!((members.next(&publish), members.next(&publish)), (Some(conn(0)), None));
    }

    #[test]
    fn a_room_that_empties_under_a_message_is_given_up_behind_it_g_16() {
        let (mut members, group) = (members(), Group::new());
        (0..3).for_each(|slot| assert!(members.join(&group, conn(slot))));
        let publish = publish(&group, ConnId::NONE);
        assert_eq!(members.next(&publish), Some(conn(0)));
        (0..3).for_each(|slot| members.closed(conn(slot)));
        assert!(members.join(&group, conn(5)));
        members.closed(conn(5));
        assert_eq!((members.next(&publish), group.len()), (None, 0));
        assert!(members.rooms_by_group.is_empty());
        assert!(members.join(&group, conn(6)));
        assert_eq!(heard(&mut members, &group), BTreeSet::from([6]));
    }

    #[test]
    fn a_group_is_of_one_dataplane_g_16() {
        let group = Group::new();
        assert!(members().join(&group, conn(1)));
        assert!(!members().join(&group, conn(2)));
    }

    proptest! {
        #[test]
        fn members_are_what_a_set_of_pairs_says_g_16(
            ops in prop::collection::vec((0u8..8, 0u32..6, 0usize..3), 1..300),
        ) {
            let (mut members, groups) = (members(), [(); 3].map(|()| Group::new()));
            let mut oracle = BTreeSet::new();
            for (op, slot, which) in ops {
                match op {
                    0..4 => {
                        let joined = members.join(&groups[which], conn(slot));
                        prop_assert_eq!(joined, oracle.insert((which, slot)));
                    }
                    4..6 => {
                        let left = members.leave(&groups[which], conn(slot));
                        prop_assert_eq!(left, oracle.remove(&(which, slot)));
                    }
                    6 => {
                        members.closed(conn(slot));
                        oracle.retain(|(_, other)| *other != slot);
                    }
                    _ => {
                        // One leaves in the middle of it.
                        let publish = publish(&groups[which], ConnId::NONE);
                        let first = members.next(&publish);
                        members.closed(conn(slot));
                        oracle.retain(|(_, other)| *other != slot);
                        let mut all: BTreeSet<u32> = first.iter().map(|c| c.slot()).collect();
                        while let Some(conn) = members.next(&publish) {
                            prop_assert!(all.insert(conn.slot()));
                        }
                        let first = first.map(|conn| conn.slot());
                        all.retain(|s| *s != slot || first == Some(slot));
                        let mut left: BTreeSet<u32> =
                            oracle.iter().filter(|(w, _)| *w == which).map(|(_, s)| *s).collect();
                        left.extend(first);
                        prop_assert_eq!(all, left);
                    }
                }
                for (which, group) in groups.iter().enumerate() {
                    let there: BTreeSet<u32> =
                        oracle.iter().filter(|(w, _)| *w == which).map(|(_, s)| *s).collect();
                    prop_assert_eq!(group.len(), there.len());
                    prop_assert_eq!(heard(&mut members, group), there);
                }
            }
        }
    }
}
