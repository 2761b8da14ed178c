//! The book against a simple account of what is lent, under a process that says anything.

mod shares;
mod sizes;

use proptest::prelude::*;

use super::*;
use crate::mem::{ConnId, Trust};
use crate::sys::mapping::Request;

/// What the account knows of one slot.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    number: u32,
    shares: u16,
    is_supply: bool,
    /// What the bytes are that were lent in it.
    byte: u8,
}

/// The account of one class.
struct Account {
    slot_bytes: u32,
    entries: Vec<Entry>,
    messages_max: usize,
    supplies_max: usize,
}

impl Account {
    fn new(slot_bytes: u32, slots: u32, messages_max: usize, supplies_max: usize) -> Self {
        let entries = vec![Entry::default(); slots as usize];
        Self { slot_bytes, entries, messages_max, supplies_max }
    }

    fn lent(&self, is_supply: bool) -> usize {
        let counts = |entry: &&Entry| entry.shares > 0 && entry.is_supply == is_supply;
        self.entries.iter().filter(counts).count()
    }

    fn may_lend(&self, is_supply: bool) -> bool {
        let most = if is_supply { self.supplies_max } else { self.messages_max };
        self.lent(is_supply) < most
    }

    /// What is to be said of `terms` that a process names.
    fn verdict(&self, terms: &Terms) -> Result<(), LoanFault> {
        match self.entries.get(terms.slot as usize) {
            None => Err(LoanFault::NoSuchSlot),
            Some(entry) if entry.shares == 0 || entry.number != terms.loan >> 8 => {
                Err(LoanFault::NotLent)
            }
            _ if u64::from(terms.start) + u64::from(terms.len) > self.slot_bytes.into() => {
                Err(LoanFault::Range)
            }
            _ => Ok(()),
        }
    }
}

/// One thing that happens to a book.
#[derive(Debug, Clone)]
enum Step {
    /// A fresh buf of so many bytes is lent.
    Lend(usize),
    /// The same, and a share of it is kept.
    LendShared(usize),
    /// Another share of one that was kept.
    LendAgain(usize),
    Supply(usize),
    /// The process sends one that it has or had, changed like this.
    Take(usize, Lie),
    GiveBack(usize, Lie),
    /// What was taken is dropped.
    Drop(usize),
    Recall,
}

#[derive(Debug, Clone, Copy)]
enum Lie {
    None,
    Range(u32, u32),
    Slot(u32),
    Loan(u32),
    Class(u8),
    Any(u32, u32, u32, u32),
}

impl Lie {
    fn apply(self, terms: Terms) -> Terms {
        match self {
            Self::None => terms,
            Self::Range(start, len) => Terms { start, len, ..terms },
            Self::Slot(slot) => Terms { slot, ..terms },
            Self::Loan(number) => Terms { loan: number << 8 | terms.loan & 0xff, ..terms },
            Self::Class(class) => Terms { loan: terms.loan & !0xff | u32::from(class), ..terms },
            Self::Any(loan, slot, start, len) => Terms { loan, slot, start, len },
        }
    }
}

fn lie() -> impl Strategy<Value = Lie> {
    let word =
        || prop_oneof![0u32..20, 2040u32..2056, 16380u32..16390, 65530u32..65540, any::<u32>()];
    prop_oneof![
        6 => Just(Lie::None),
        2 => (word(), word()).prop_map(|(start, len)| Lie::Range(start, len)),
        1 => word().prop_map(Lie::Slot),
        1 => (0u32..4).prop_map(Lie::Loan),
        1 => (0u8..4).prop_map(Lie::Class),
        1 => (word(), word(), word(), word()).prop_map(|(a, b, c, d)| Lie::Any(a, b, c, d)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop_oneof![4 => 1usize..9, 4 => 2047usize..2050, 4 => 16384usize..16386, 1 => Just(65536)];
    prop_oneof![
        4 => bytes().prop_map(Step::Lend),
        2 => bytes().prop_map(Step::LendShared),
        2 => any::<usize>().prop_map(Step::LendAgain),
        3 => (0usize..4).prop_map(Step::Supply),
        6 => (any::<usize>(), lie()).prop_map(|(at, lie)| Step::Take(at, lie)),
        3 => (any::<usize>(), lie()).prop_map(|(at, lie)| Step::GiveBack(at, lie)),
        3 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Recall),
    ]
}

/// A book, its account, and who else has bufs.
struct Bed {
    pool: Mempool,
    ledger: Ledger,
    accounts: Vec<Account>,
    is_own: bool,
    /// All terms that were ever lent: what a process may name.
    known: Vec<Terms>,
    kept: Vec<Buf>,
    taken: Vec<Buf>,
    next_byte: u8,
}

const OWN: [ClassSize; 2] =
    [ClassSize { slot_bytes: 2048, slots: 16 }, ClassSize { slot_bytes: 16384, slots: 4 }];

/// A pool with few slots of a third size.
const SIZES: [ClassSize; 3] = [
    ClassSize { slot_bytes: 2048, slots: 64 },
    ClassSize { slot_bytes: 16384, slots: 8 },
    ClassSize { slot_bytes: 65536, slots: 4 },
];

fn pool_of(sizes: &[ClassSize]) -> Mempool {
    let request = Request { no_huge: true, ..Request::new("ringway-test-ledger", 0) };
    Mempool::create(&request, sizes, None).unwrap()
}

fn own_ledger(pool: &Mempool) -> Ledger {
    let segment = PortSegment::create("ringway-test-ledger", Trust::Isolated, 2, &OWN).unwrap();
    Ledger::of_segment(pool.clone(), Arc::new(segment), 1)
}

impl Bed {
    /// Over a pool of 64 small slots, of which 16 may be lent, 8 and 2 large ones, and 4 and 2 of a third
    /// size; or a segment of 16 and 4.
    fn new(is_own: bool) -> Self {
        let pool = pool_of(&SIZES);
        let (ledger, accounts) = if is_own {
            let accounts = vec![Account::new(2048, 16, 12, 4), Account::new(16384, 4, 3, 1)];
            (own_ledger(&pool), accounts)
        } else {
            let large = Account::new(16384, 8, 1, 1);
            let accounts = vec![Account::new(2048, 64, 12, 4), large, Account::new(65536, 4, 1, 1)];
            (Ledger::of_pool(pool.clone(), 1), accounts)
        };
        let (known, kept, taken) = (Vec::new(), Vec::new(), Vec::new());
        Self { pool, ledger, accounts, is_own, known, kept, taken, next_byte: 0 }
    }

    fn fresh(&mut self, bytes: usize) -> Option<Buf> {
        let mut buf = self.pool.alloc(bytes)?;
        self.next_byte = self.next_byte.wrapping_add(1);
        assert!(buf.append(&vec![self.next_byte; bytes]));
        buf.set_conn(ConnId::new(0, u32::from(self.next_byte % 5), 0));
        Some(buf)
    }

    fn lend(&mut self, mut buf: Buf) {
        let (whole, byte) = (buf.len(), buf[0]);
        let bytes = if self.is_own { whole.min(16384) } else { whole };
        let fits = |account: &Account| account.slot_bytes as usize >= bytes;
        let index = if self.is_own {
            self.accounts.iter().position(|account| fits(account) && account.may_lend(false))
        } else {
            let index = self.accounts.iter().position(|a| a.slot_bytes as usize == buf.capacity());
            index.filter(|&index| {
                let account = &self.accounts[index];
                account.entries[buf.slot() as usize].shares > 0 || account.may_lend(false)
            })
        };
        match (self.ledger.lend(&mut buf), index) {
            (Some(terms), Some(index)) => {
                let left = (buf.len(), buf.is_empty() != (buf.capacity() > 0));
                assert_eq!(left, (whole - bytes, true), "a marker, or the rest");
                assert_eq!((terms.loan & 0xff, terms.len as usize), (index as u32, bytes));
                let entry = &mut self.accounts[index].entries[terms.slot as usize];
                if entry.shares == 0 {
                    let number = (entry.number + 1) % LOANS;
                    *entry = Entry { number, shares: 0, is_supply: false, byte };
                }
                entry.shares += 1;
                assert_eq!(terms.loan >> 8, entry.number);
                self.known.push(terms);
            }
            (None, None) => assert_eq!((buf.len(), buf[0]), (whole, byte)),
            (outcome, expected) => panic!("{outcome:?}, and expected was class {expected:?}"),
        }
    }

    fn supply(&mut self, index: usize) {
        let may = self.accounts.get(index).is_some_and(|account| account.may_lend(true));
        let Some(terms) = self.ledger.supply(index) else {
            let empty = || self.pool.alloc(SIZES[index].slot_bytes as usize).is_none();
            return assert!(!may || !self.is_own && empty(), "there is room for a supply");
        };
        assert!(may, "too many supplies");
        let entry = &mut self.accounts[index].entries[terms.slot as usize];
        assert_eq!(entry.shares, 0, "it is with the process already");
        let number = (entry.number + 1) % LOANS;
        *entry = Entry { number, shares: 1, is_supply: true, byte: 0 };
        assert_eq!(terms.loan, number << 8 | index as u32);
        self.known.push(terms);
    }

    fn verdict(&self, terms: &Terms) -> Result<(), LoanFault> {
        let account = self.accounts.get((terms.loan & 0xff) as usize);
        account.ok_or(LoanFault::NoSuchSlot)?.verdict(terms)
    }

    fn settle(&mut self, terms: &Terms) -> Entry {
        let entry = &mut self.accounts[(terms.loan & 0xff) as usize].entries[terms.slot as usize];
        entry.shares -= 1;
        *entry
    }

    fn take(&mut self, terms: &Terms) {
        let verdict = self.verdict(terms);
        match self.ledger.take(terms) {
            Ok(Taken::Buf(buf)) => {
                assert_eq!(verdict, Ok(()), "{terms:?}");
                assert_eq!(buf.len(), terms.len as usize);
                let entry = self.settle(terms);
                if !entry.is_supply && terms.start == 0 && !buf.is_empty() {
                    assert_eq!(buf[0], entry.byte);
                }
                self.taken.push(buf);
            }
            Ok(Taken::Later) => {
                assert!(self.is_own && self.pool.alloc(terms.len as usize).is_none());
                assert_eq!(verdict, Ok(()), "{terms:?}");
            }
            Err(fault) => assert_eq!(Err(fault), verdict, "{terms:?}"),
        }
    }

    fn give_back(&mut self, terms: &Terms) {
        let verdict = self.verdict(terms);
        assert_eq!(self.ledger.give_back(terms), verdict, "{terms:?}");
        if verdict.is_ok() {
            self.settle(terms);
        }
    }

    fn recall(&mut self) {
        let entries = self.accounts.iter_mut().flat_map(|account| &mut account.entries);
        let mut lent = 0;
        for entry in entries {
            lent += u32::from(entry.shares > 0);
            entry.shares = 0;
        }
        assert_eq!(self.ledger.recall(), lent);
    }

    fn run(&mut self, step: &Step) {
        let named = |at: usize, known: &[Terms]| match known.len() {
            0 => Terms { loan: 0, slot: 0, start: 0, len: 0 },
            // Mostly one of the last.
            len => known[len - 1 - at % len.min(if at.is_multiple_of(3) { len } else { 8 })],
        };
        match *step {
            Step::Lend(bytes) => {
                if let Some(buf) = self.fresh(bytes) {
                    self.lend(buf);
                }
            }
            Step::LendShared(bytes) => {
                if let Some(buf) = self.fresh(bytes) {
                    let share = buf.slice(0, 1);
                    self.kept.push(buf);
                    self.lend(share);
                }
            }
            Step::LendAgain(at) if !self.kept.is_empty() => {
                let share = self.kept[at % self.kept.len()].slice(0, 1);
                self.lend(share);
            }
            Step::Supply(index) => self.supply(index),
            Step::Take(at, lie) => self.take(&lie.apply(named(at, &self.known))),
            Step::GiveBack(at, lie) => self.give_back(&lie.apply(named(at, &self.known))),
            Step::Drop(at) if !self.taken.is_empty() => {
                self.taken.swap_remove(at % self.taken.len());
            }
            Step::Drop(at) if !self.kept.is_empty() => {
                self.kept.swap_remove(at % self.kept.len());
            }
            Step::Recall => self.recall(),
            Step::LendAgain(_) | Step::Drop(_) => {}
        }
        self.audit();
    }

    /// Nothing is lost, nothing is there twice.
    fn audit(&self) {
        let lent: usize = self.accounts.iter().map(|a| a.lent(false) + a.lent(true)).sum();
        assert_eq!(self.ledger.lent() as usize, lent);
        let entries = self.accounts.iter().flat_map(|account| &account.entries);
        let messages =
            entries.filter(|e| !e.is_supply).map(|e| usize::from(e.shares)).sum::<usize>();
        let both =
            |lent: &[u16; CLASSES]| lent.iter().map(|&lent| usize::from(lent)).sum::<usize>();
        let by_conn = self.ledger.by_conn.iter().map(both).sum::<usize>();
        assert_eq!(by_conn, messages, "what each connection has lent");
        let mut out: Vec<(usize, u32)> =
            self.kept.iter().chain(&self.taken).map(|buf| (buf.capacity(), buf.slot())).collect();
        if !self.is_own {
            for account in &self.accounts {
                let lent = account.entries.iter().enumerate().filter(|(_, e)| e.shares > 0);
                out.extend(lent.map(|(slot, _)| (account.slot_bytes as usize, slot as u32)));
            }
        }
        out.sort_unstable();
        out.dedup();
        assert_eq!(self.pool.missing() as usize, out.len(), "{out:?}");
    }

    fn finish(self) {
        let Self { pool, ledger, kept, taken, .. } = self;
        drop((ledger, kept, taken));
        assert_eq!(pool.missing(), 0);
    }
}

proptest! {
    #[test]
    fn whatever_a_process_says_the_book_and_the_account_agree(
        is_own: bool,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut bed = Bed::new(is_own);
        for step in &steps {
            bed.run(step);
        }
        bed.finish();
    }
}

/// Lends until no more goes; how many that were.
fn fill(ledger: &mut Ledger, pool: &Mempool, bytes: usize) -> usize {
    let lend = |_: &usize| {
        let mut buf = pool.alloc(bytes).unwrap();
        assert!(buf.append(&vec![1; bytes]));
        buf.set_conn(ConnId::new(0, 0, 0));
        ledger.lend(&mut buf).is_some()
    };
    (0..).take_while(lend).count()
}

#[test]
fn as_much_is_lent_as_the_bounds_say_and_one_more_when_one_comes_back() {
    let pool = Mempool::small(64).unwrap();
    for mut ledger in [Ledger::of_pool(pool.clone(), 1), own_ledger(&pool)] {
        // Where a small message finds the small slots lent, a port's own large ones hold it too.
        let large = if matches!(ledger.slots, Slots::Own { .. }) { 3 } else { 0 };
        assert_eq!(fill(&mut ledger, &pool, 1), 12 + large);
        let supplies: Vec<Terms> = std::iter::from_fn(|| ledger.supply(0)).collect();
        assert_eq!(supplies.len(), 4);
        assert_eq!(ledger.supply(1).map(|terms| terms.len), Some(16384));
        assert_eq!((ledger.supply(1), ledger.supply(2)), (None, None));
        ledger.give_back(&supplies[0]).unwrap();
        assert_eq!(ledger.give_back(&supplies[0]), Err(LoanFault::NotLent), "twice");
        assert!(ledger.supply(0).is_some() && ledger.supply(0).is_none());
        assert_eq!(fill(&mut ledger, &pool, 1), 0, "an empty slot makes no room for a message");
        assert_eq!(ledger.recall(), 17 + large as u32);
        assert_eq!(ledger.recall(), 0);
        assert_eq!(fill(&mut ledger, &pool, 1), 12 + large);
    }
    assert_eq!(pool.missing(), 0);
}

#[test]
fn a_range_may_end_where_its_slot_does_and_not_behind() {
    let pool = Mempool::small(64).unwrap();
    for mut ledger in [Ledger::of_pool(pool.clone(), 1), own_ledger(&pool)] {
        for (start, len, fits) in [
            (0, 2048, true),
            (2048, 0, true),
            (2047, 1, true),
            (0, 2049, false),
            (2048, 1, false),
            (2049, 0, false),
            (u32::MAX, 1, false),
            (u32::MAX, u32::MAX, false),
        ] {
            let terms = Terms { start, len, ..ledger.supply(0).unwrap() };
            match ledger.take(&terms) {
                Ok(Taken::Buf(buf)) => assert!(fits && buf.len() == len as usize, "{terms:?}"),
                outcome => assert!(!fits && matches!(outcome, Err(LoanFault::Range))),
            }
            ledger.recall();
        }
    }
    assert_eq!(pool.missing(), 0);
}

#[test]
fn what_waits_for_a_slot_to_be_copied_to_is_still_lent() {
    let pool = Mempool::small(1).unwrap();
    let mut ledger = own_ledger(&pool);
    let terms = Terms { len: 5, ..ledger.supply(0).unwrap() };
    let hoard: Vec<Buf> = std::iter::from_fn(|| pool.alloc(1)).collect();
    assert!(matches!(ledger.take(&terms), Ok(Taken::Later)));
    let large: Vec<Buf> = std::iter::from_fn(|| pool.alloc(16384)).collect();
    assert!(matches!(ledger.take(&terms), Ok(Taken::Later)));
    assert_eq!(ledger.lent(), 1);
    drop((hoard, large));
    assert!(matches!(ledger.take(&terms), Ok(Taken::Buf(_))));
    assert!(matches!(ledger.take(&terms), Err(LoanFault::NotLent)));
    drop(ledger);
    assert_eq!(pool.missing(), 0);
}
