//! An lcore's mailbox: nothing that was posted stays unread while the lcore sleeps for ever, which
//! would show as a deadlock. The code is the production code; only the eventfd is a model.

use loom::thread;
use ringway::mailbox::Mailbox;

/// Reads the mail as an lcore does, sleeping whenever there is none, until `count` have come. The
/// first `timeouts` sleeps end by themselves.
fn read(mailbox: &Mailbox<u32>, count: usize, mut timeouts: usize) -> Vec<u32> {
    let mut seen = Vec::new();
    loop {
        seen.extend(std::iter::from_fn(|| mailbox.take()));
        if seen.len() >= count {
            return seen;
        }
        if mailbox.sleep_unless_mail() {
            match timeouts.checked_sub(1) {
                Some(left) => timeouts = left,
                None => mailbox.wait(),
            }
            mailbox.awake();
        }
    }
}

/// Hunts: mail whose poster saw the lcore awake while the lcore saw its box empty.
#[test]
fn an_lcore_that_sleeps_hears_of_every_mail() {
    crate::explore(|| {
        let mailbox = Mailbox::new().unwrap();
        let sender = mailbox.sender();
        let poster = thread::spawn(move || [1, 2].map(|mail| sender.post(mail).unwrap()));
        assert_eq!(read(&mailbox, 2, 0), [1, 2]);
        poster.join().unwrap();
    });
}

/// Hunts: two posters of which each leaves the ringing to the other, or one that rings before the
/// mail of the other can be read.
#[test]
fn two_posters_wake_a_sleeping_lcore() {
    crate::explore(|| {
        let mailbox = Mailbox::new().unwrap();
        let posters = [1, 2].map(|mail| {
            let sender = mailbox.sender();
            thread::spawn(move || sender.post(mail).unwrap())
        });
        let mut seen = read(&mailbox, 2, 0);
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
        posters.into_iter().for_each(|poster| poster.join().unwrap());
    });
}

/// Hunts: a bell that is silenced after a sleep that a timer ended, and with it the only notice of
/// mail that is not read.
#[test]
fn a_sleep_that_something_else_ended_swallows_no_bell() {
    crate::explore(|| {
        let mailbox = Mailbox::new().unwrap();
        let sender = mailbox.sender();
        let poster = thread::spawn(move || [1, 2].map(|mail| sender.post(mail).unwrap()));
        assert_eq!(read(&mailbox, 2, 1), [1, 2]);
        poster.join().unwrap();
    });
}

/// Hunts: mail that a full box kept, lost, or delivered although it was given back.
#[test]
fn what_a_full_box_gives_back_was_not_delivered() {
    crate::explore(|| {
        let mailbox = Mailbox::new().unwrap();
        let first = mailbox.sender();
        [1, 2].into_iter().for_each(|mail| first.post(mail).unwrap());
        let sender = mailbox.sender();
        let poster = thread::spawn(move || sender.post(3).err());
        let mut seen = read(&mailbox, 2, 0);
        let refused = poster.join().unwrap();
        seen.extend(mailbox.take());
        assert_eq!(seen.len(), 3 - refused.iter().count());
        assert!(refused.is_none_or(|mail| mail == 3 && seen == [1, 2]));
    });
}
