use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::*;
use crate::counters::{Counter, Counters};
use crate::mem::{ConnId, Mempool};

/// Longer than any of these tests takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pool with one lcore, and what it hears.
struct Bed {
    pool: Pool,
    offload: Offload,
    counters: Counters,
    woken: mpsc::Receiver<ConnId>,
}

impl Bed {
    fn new(threads: usize, queue: u32) -> Self {
        let place = |n| Place { name: format!("offload-{n}"), cpus: Vec::new() };
        let options = Options { threads: (0..threads).map(place).collect(), queue, lcores: 1 };
        Self::over(Pool::new(options))
    }

    fn over(pool: Pool) -> Self {
        let counters = Counters::default();
        let (tell, woken) = mpsc::channel();
        let offload = pool.lcore(counters.clone(), move |conn| {
            let _ = tell.send(conn); // a test that ended needs no wake
            true
        });
        Self { pool, offload, counters, woken }
    }

    fn counts(&self) -> [u64; 5] {
        use Counter::*;
        [Offloaded, OffloadRefused, OffloadDone, OffloadCancelled, OffloadPanicked]
            .map(|counter| self.counters.get(counter))
    }

    fn wait(&self) -> ConnId {
        self.woken.recv_timeout(PATIENCE).expect("a wake")
    }

    /// Work that keeps a thread until the sender is dropped, and has begun when this returns.
    fn block(&self) -> (Task<()>, mpsc::Sender<()>) {
        let (release, held) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let work = move |_: &CancelToken| {
            begun.send(()).unwrap();
            let _ = held.recv();
        };
        let task = self.offload.spawn(conn(63), Order::Any, work).unwrap();
        begins.recv_timeout(PATIENCE).expect("a free thread");
        (task, release)
    }
}

fn conn(slot: u32) -> ConnId {
    ConnId::new(0, slot, 7)
}

#[test]
fn work_is_done_on_another_thread_and_its_connection_is_woken_g_9() {
    let bed = Bed::new(1, 8);
    let name = |_: &CancelToken| std::thread::current().name().map(str::to_owned);
    let mut task = bed.offload.spawn(conn(3), Order::Any, name).unwrap();
    assert_eq!(bed.wait(), conn(3));
    assert!(task.is_done());
    assert_eq!(task.poll(), Some(Ok(Some("offload-0".to_owned()))));
    assert_eq!((task.poll(), task.is_done()), (None, true), "a result is given once");
    assert_eq!(bed.counts(), [1, 0, 1, 0, 0]);
}

#[test]
fn a_pool_that_nobody_uses_has_no_thread() {
    let bed = Bed::new(1, 8);
    assert!(!bed.pool.has_begun());
    let _task = bed.offload.spawn(conn(0), Order::Any, |_| ()).unwrap();
    assert!(bed.pool.has_begun());
}

#[test]
fn so_many_tasks_of_an_lcore_may_be_under_way_and_one_more_comes_back() {
    let bed = Bed::new(1, 2);
    let (_blocked, release) = bed.block();
    let _waits = bed.offload.spawn(conn(1), Order::Any, |_| ()).unwrap();
    let mut kept = vec![1, 2, 3];
    let work = move |_: &CancelToken| std::mem::take(&mut kept);
    let Full(work) = bed.offload.spawn(conn(2), Order::Any, work).unwrap_err();
    assert_eq!(bed.counts()[..2], [2, 1]);
    let other = bed.pool.lcore(bed.counters.clone(), |_| true);
    let _theirs =
        other.spawn(conn(3), Order::Any, |_| ()).expect("each lcore has places of its own");
    drop(release);
    let _ = [bed.wait(), bed.wait()];
    let mut task = bed.offload.spawn(conn(2), Order::Any, work).expect("room again");
    bed.wait();
    assert_eq!(task.poll(), Some(Ok(vec![1, 2, 3])), "the work came back as it was");
}

#[test]
fn work_that_is_cancelled_before_it_began_is_dropped_here_and_now_a_9() {
    let bed = Bed::new(1, 8);
    let (_blocked, release) = bed.block();
    let held = Arc::new(());
    let work = |held: Arc<()>| move |_: &CancelToken| drop(held);
    let mut cancelled = bed.offload.spawn(conn(1), Order::Any, work(held.clone())).unwrap();
    let dropped = bed.offload.spawn(conn(2), Order::Connection, work(held.clone())).unwrap();
    assert!(!cancelled.is_done());
    cancelled.cancel();
    assert!(cancelled.is_done());
    assert_eq!(cancelled.poll(), Some(Err(Failed::Cancelled)));
    drop(dropped);
    assert_eq!(Arc::strong_count(&held), 1, "all that it held is gone");
    drop(release);
    assert_eq!(bed.wait(), conn(63));
    let _last = bed.offload.spawn(conn(3), Order::Any, |_| ()).unwrap();
    assert_eq!(bed.wait(), conn(3), "nobody was woken for those");
    assert_eq!(bed.counts(), [4, 0, 2, 2, 0]);
}

#[test]
fn work_that_others_cancel_by_its_token_is_dropped_in_its_turn_a_9() {
    let bed = Bed::new(1, 8);
    let (_blocked, release) = bed.block();
    let mut task = bed.offload.spawn(conn(1), Order::Any, |_| panic!("it began")).unwrap();
    task.token().cancel();
    drop(release);
    assert_eq!([bed.wait(), bed.wait()], [conn(63), conn(1)]);
    assert_eq!(task.poll(), Some(Err::<(), _>(Failed::Cancelled)));
}

/// Work that ends when it is cancelled, and has begun.
fn endless(bed: &Bed, conn: ConnId) -> Task<()> {
    let (begun, begins) = mpsc::channel();
    let work = move |cancel: &CancelToken| {
        begun.send(()).unwrap();
        while !cancel.is_cancelled() {
            std::thread::yield_now();
        }
    };
    let task = bed.offload.spawn(conn, Order::Any, work).unwrap();
    begins.recv_timeout(PATIENCE).expect("a free thread");
    task
}

#[test]
fn work_in_progress_sees_that_it_is_cancelled_and_who_keeps_the_task_is_woken_a_9() {
    let bed = Bed::new(1, 8);
    let mut task = endless(&bed, conn(1));
    task.cancel();
    assert_eq!(bed.wait(), conn(1));
    assert_eq!(task.poll(), Some(Err(Failed::Cancelled)));
    drop(endless(&bed, conn(2)));
    let _after = bed.offload.spawn(conn(3), Order::Any, |_| ()).unwrap();
    assert_eq!(bed.wait(), conn(3), "nobody is woken for a task that nobody has");
    assert_eq!(bed.counts(), [3, 0, 1, 2, 0]);
}

#[test]
fn a_panic_costs_its_task_and_no_thread() {
    let bed = Bed::new(1, 8);
    let boom = |_: &CancelToken| -> u32 { panic!("as the test wants") };
    let mut task = bed.offload.spawn(conn(1), Order::Any, boom).unwrap();
    bed.wait();
    assert_eq!(task.poll(), Some(Err(Failed::Panicked)));
    let mut next = bed.offload.spawn(conn(2), Order::Any, |_| 2).unwrap();
    bed.wait();
    assert_eq!(next.poll(), Some(Ok(2)));
    assert_eq!(bed.counts(), [2, 0, 1, 0, 1]);
}

/// Panics when it is dropped, but not while another panic is under way.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "as the test wants");
    }
}

#[test]
fn a_result_that_panics_when_it_is_dropped_costs_no_thread() {
    let bed = Bed::new(1, 8);
    let (release, held) = mpsc::channel::<()>();
    let work = move |cancel: &CancelToken| {
        let _ = held.recv();
        assert!(cancel.is_cancelled());
        Bomb
    };
    drop(bed.offload.spawn(conn(1), Order::Any, work).unwrap());
    drop(release);
    let bomb = Bomb;
    let (_blocked, release) = bed.block();
    let task = bed.offload.spawn(conn(1), Order::Any, move |_| drop(bomb)).unwrap();
    task.token().cancel();
    drop(release);
    let mut next = bed.offload.spawn(conn(2), Order::Any, |_| 2).unwrap();
    while bed.wait() != conn(2) {}
    assert_eq!(next.poll(), Some(Ok(2)));
}

#[test]
fn work_of_one_connection_is_done_in_its_order_by_however_many_threads_g_9() {
    const EACH: u32 = 100;
    let bed = Bed::new(4, 1024);
    let seen = Arc::new(Mutex::new(HashMap::<u32, Vec<u32>>::new()));
    let mut tasks = Vec::new();
    for turn in 0..EACH {
        for slot in 0..8 {
            let seen = seen.clone();
            let work = move |_: &CancelToken| {
                std::thread::yield_now();
                seen.lock().unwrap().entry(slot).or_default().push(turn);
            };
            tasks.push(bed.offload.spawn(conn(slot), Order::Connection, work).unwrap());
        }
    }
    let mut done = HashMap::<ConnId, u32>::new();
    for _ in 0..tasks.len() {
        let conn = bed.wait();
        let before = done.entry(conn).or_default();
        let task = &tasks[(*before * 8 + conn.slot()) as usize];
        assert!(task.is_done(), "results come in order too");
        *before += 1;
    }
    for turns in seen.lock().unwrap().values() {
        assert!(turns.iter().copied().eq(0..EACH), "{turns:?}");
    }
    assert_eq!(bed.counts(), [8 * u64::from(EACH), 0, 8 * u64::from(EACH), 0, 0]);
}

#[test]
fn work_without_an_order_goes_to_a_thread_that_is_free_g_9() {
    let bed = Bed::new(2, 8);
    let (_first, release) = bed.block();
    let (begun, begins) = mpsc::channel();
    // Whichever thread is blocked, this one's order leads to each of them.
    let on = |slot| {
        let begun = begun.clone();
        bed.offload.spawn(conn(slot), Order::Connection, move |_| begun.send(slot).unwrap())
    };
    let _ordered = [on(0).unwrap(), on(1).unwrap()];
    let free = begins.recv_timeout(PATIENCE).expect("one of them is free");
    let _any = bed.offload.spawn(conn(9), Order::Any, |_| ()).unwrap();
    while bed.wait() != conn(9) {}
    assert!(begins.try_recv().is_err(), "the other waits for its thread");
    drop(release);
    assert_eq!(begins.recv_timeout(PATIENCE), Ok(1 - free));
}

#[test]
fn a_stop_drops_what_waits_and_cancels_what_runs_once_its_lcore_ends() {
    let bed = Bed::new(1, 8);
    let mut running = endless(&bed, conn(1));
    let mut waits = bed.offload.spawn(conn(2), Order::Connection, |_| 2).unwrap();
    let Bed { pool, offload, counters, woken } = bed;
    drop(offload);
    assert_eq!(pool.stop(), 0, "no thread is left behind");
    assert_eq!(running.poll(), Some(Err(Failed::Stopped)));
    assert_eq!(waits.poll(), Some(Err(Failed::Stopped)));
    assert_eq!(counters.get(Counter::OffloadCancelled), 2);
    assert!(woken.try_recv().is_err(), "there is no lcore to wake");
    let late = pool.lcore(counters.clone(), |_| true);
    assert!(late.spawn(conn(3), Order::Any, |_| ()).is_err(), "it takes nothing more");
    assert_eq!(counters.get(Counter::OffloadRefused), 1);
}

#[test]
fn who_is_there_when_the_pool_stops_is_woken_for_what_waited() {
    let bed = Bed::new(1, 8);
    let (_blocked, release) = bed.block();
    let mut waits = bed.offload.spawn(conn(2), Order::Any, |_| 2).unwrap();
    assert_eq!(bed.pool.stop_within(Duration::from_millis(1)), 1, "work that does not end");
    assert_eq!((bed.wait(), waits.poll()), (conn(2), Some(Err(Failed::Stopped))));
    drop(release);
    assert_eq!(bed.wait(), conn(63), "a thread that was left behind ends with its work");
    assert_eq!(bed.pool.stop(), 0);
}

#[test]
fn a_pool_that_was_stopped_before_its_first_work_takes_none() {
    let bed = Bed::new(1, 8);
    assert_eq!(bed.pool.stop(), 0);
    assert!(bed.offload.spawn(conn(1), Order::Any, |_| ()).is_err());
    assert_eq!(bed.counts(), [0, 1, 0, 0, 0]);
}

#[test]
fn an_lcore_whose_mailbox_is_full_is_told_again_until_it_takes_the_wake() {
    let pool = Pool::new(Options::default());
    let (tell, told) = mpsc::channel();
    let tries = Mutex::new(0);
    let offload = pool.lcore(Counters::default(), move |conn| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        *tries > 3 && tell.send((conn, *tries)).is_ok()
    });
    let task = offload.spawn(conn(5), Order::Any, |_| ()).unwrap();
    assert_eq!(told.recv_timeout(PATIENCE), Ok((conn(5), 4)));
    assert!(task.is_done());
}

#[test]
fn an_lcore_that_takes_no_wake_and_ends_keeps_no_thread() {
    let pool = Pool::new(Options::default());
    let (tell, told) = mpsc::channel();
    let offload = pool.lcore(Counters::default(), move |conn| tell.send(conn).is_err());
    let _task = offload.spawn(conn(5), Order::Any, |_| ()).unwrap();
    assert_eq!(told.recv_timeout(PATIENCE), Ok(conn(5)));
    drop(offload);
    assert_eq!(pool.stop(), 0);
}

#[test]
fn threads_that_cannot_be_pinned_are_an_error_at_start() {
    let place = Place { name: "offload-9".to_owned(), cpus: vec![1023] };
    let pool = Pool::new(Options { threads: vec![place], ..Options::default() });
    let error = pool.start().unwrap_err();
    assert!(error.to_string().contains("1023"), "{error}");
    let pool = Pool::new(Options::default());
    pool.start().unwrap();
    pool.start().expect("it runs already");
}

#[test]
fn work_fills_bufs_of_the_lcores_pool_and_none_is_lost() {
    use std::os::unix::fs::FileExt;
    let memory = Mempool::small(32).unwrap();
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), [b'a'; 3000]).unwrap();
    let file = Arc::new(path.reopen().unwrap());
    let bed = Bed::new(2, 64);
    let read = |at: u64| {
        let (memory, file) = (memory.clone(), file.clone());
        bed.offload.spawn(conn(1), Order::Connection, move |_| {
            let mut buf = memory.alloc(2048)?;
            let read = file.read_at(buf.spare_mut()?, at).ok()?;
            buf.grow(read);
            buf.set_conn(conn(1));
            Some(buf)
        })
    };
    let mut parts = [read(0).unwrap(), read(2048).unwrap()];
    let _ = [bed.wait(), bed.wait()];
    let bufs = parts.each_mut().map(|part| part.poll().unwrap().unwrap().unwrap());
    assert_eq!(
        bufs.each_ref().map(|buf| (buf.len(), buf.conn())),
        [(2048, conn(1)), (952, conn(1))]
    );
    let nobody_asks = read(0).unwrap();
    drop(bufs);
    bed.wait();
    drop(nobody_asks);
    drop(bed);
    assert_eq!(memory.missing(), 0);
}

#[test]
fn a_pool_by_hand_does_its_work_in_turn_where_it_is_told_to() {
    let bed = Bed::over(Pool::by_hand(8));
    assert!(!bed.pool.run_one());
    let here = std::thread::current().id();
    let work = |n: u32| move |_: &CancelToken| (n, std::thread::current().id());
    let mut first = bed.offload.spawn(conn(1), Order::Any, work(1)).unwrap();
    let second = bed.offload.spawn(conn(2), Order::Connection, work(2)).unwrap();
    assert!(bed.pool.run_one());
    assert_eq!(first.poll(), Some(Ok((1, here))));
    assert!(!second.is_done());
    assert!(bed.pool.run_one() && second.is_done() && !bed.pool.run_one());
    assert_eq!([bed.wait(), bed.wait()], [conn(1), conn(2)]);
}

#[test]
fn an_end_without_a_pool_gives_all_work_back() {
    let Full(work) = Offload::none().spawn(conn(1), Order::Any, |_| 5).unwrap_err();
    assert_eq!(work(&CancelToken::new()), 5);
}

#[test]
fn tasks_and_tokens_may_go_to_other_threads_a_9() {
    fn sendable<T: Send + Sync>() {}
    sendable::<Task<Vec<u8>>>();
    sendable::<CancelToken>();
    let token = CancelToken::new();
    std::thread::scope(|scope| scope.spawn(|| token.clone().cancel()).join().unwrap());
    assert!(token.is_cancelled());
}
