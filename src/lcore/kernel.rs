//! An lcore and the kernel: its completions, from an io_uring, from epoll or from both, and the sleep in
//! either.

use std::os::fd::AsFd;
use std::time::Duration;

use super::{Lcore, idle, ports};
use crate::counters::Counter;
use crate::limits::COMPLETIONS_PER_TURN;
use crate::mem::UringIo;
use crate::sys::uring::Cqe;
use crate::transport::{Engine, Epoll, Token};

/// Operation of the lcore's own token: its doorbell rang.
const OP_BELL: u8 = 1;

/// The same: a look at epoll would find something.
const OP_READY: u8 = 4;

/// Completions taken from the ring at a time.
const REAP: usize = 16;

impl Lcore {
    /// Hands completions to their listeners; returns how many.
    #[inline(always)]
    pub(super) fn completions(&mut self, budget: usize) -> usize {
        let mut done = self.reap(budget);
        if self.io.epoll.is_some() {
            done += self.look(budget - done);
        }
        self.books.own().add(Counter::Completions, done as u64);
        done
    }

    /// Enters the kernel where that achieves something, and reaps completions.
    #[inline(always)]
    fn reap(&mut self, budget: usize) -> usize {
        let Some(uring) = &mut self.io.uring else { return 0 };
        if uring.ring().needs_enter() {
            if uring.ring().overflowed() {
                self.books.own().add(Counter::CqOverflows, 1);
            }
            uring.replenish();
            let entered = uring.ring().enter();
            uring.after_submit();
            entered.unwrap_or_else(|e| panic!("io_uring_enter failed: {e}"));
        }
        let mut batch = [Cqe::default(); REAP];
        let mut done = 0;
        loop {
            let wanted = batch.len().min(budget - done);
            let count = self.io.uring().ring().reap(&mut batch[..wanted]);
            batch[..count].iter().for_each(|cqe| self.complete::<UringIo>(cqe));
            done += count;
            if count < REAP || done >= COMPLETIONS_PER_TURN {
                break;
            }
        }
        done
    }

    /// Looks at what is ready, and does what waits for it.
    /// Apart, so that the pass over a ring is as small as without it.
    #[inline(never)]
    fn look(&mut self, budget: usize) -> usize {
        if budget == 0 {
            return 0;
        }
        let looked = Epoll::of(&mut self.io).look(Duration::ZERO);
        looked.unwrap_or_else(|e| panic!("epoll_wait failed: {e}"));
        let mut done = 0;
        while done < budget.min(COMPLETIONS_PER_TURN)
            && let Some(cqe) = Epoll::of(&mut self.io).complete_one()
        {
            self.complete::<Epoll>(&cqe);
            done += 1;
        }
        done
    }

    #[inline]
    fn complete<E: Engine>(&mut self, cqe: &Cqe) {
        let token = Token::from_user_data(cqe.user_data);
        let index = usize::from(token.listener());
        match self.listeners.get_mut(index) {
            Some(Some(listener)) => {
                self.books.count_for(index, &mut self.io, &mut self.cx);
                listener.transport.complete(&mut self.io, token, cqe);
                self.work |= 1 << index;
            }
            Some(None) => E::of(&mut self.io).take_received(cqe, drop),
            None if token.op() == OP_BELL && !cqe.more() => self.watch_bell(),
            None if token.op() == ports::OP_PORT && !cqe.more() => self.port_unwatched(token),
            None if token.op() == OP_READY && !cqe.more() => self.epoll_watched = false,
            None => {}
        }
    }

    /// Calls that waited for the kernel, or could have.
    #[inline]
    pub(super) fn enters(&self) -> u64 {
        let entered = self.io.uring.as_ref().map_or(0, |uring| uring.ring_ref().enters());
        entered + self.io.epoll.as_ref().map_or(0, Epoll::waits)
    }

    /// Waits for at most so long for completions, and for bells.
    pub(super) fn wait_for_the_kernel(&mut self, timeout: Duration) {
        match (&mut self.io.uring, &mut self.io.epoll) {
            (None, None) => idle::nap_on(self.mailbox.bell(), timeout),
            (None, Some(epoll)) => {
                epoll.look(timeout).unwrap_or_else(|e| panic!("epoll_wait failed: {e}"));
            }
            (Some(uring), epoll) => {
                let is_behind = epoll.as_ref().is_some_and(Epoll::is_behind);
                if let Some(epoll) = epoll
                    && !std::mem::replace(&mut self.epoll_watched, true)
                {
                    let token = Token::new(OP_READY, Token::LCORE, 0, 0).user_data();
                    uring.ring().poll_readable(epoll.as_fd(), token);
                }
                uring.replenish();
                let timeout = if is_behind { Duration::ZERO } else { timeout };
                let waited = uring.ring().enter_and_wait(timeout);
                uring.after_submit();
                waited.unwrap_or_else(|e| panic!("io_uring_enter failed: {e}"));
            }
        }
    }

    /// Wakes up for mail.
    pub(super) fn watch_bell(&mut self) {
        let bell = self.mailbox.bell();
        if let Some(uring) = &mut self.io.uring {
            let token = Token::new(OP_BELL, Token::LCORE, 0, 0).user_data();
            uring.ring().poll_readable_multi(bell, token);
        } else if let Some(epoll) = &self.io.epoll
            && let Err(why) = epoll.watch_bell(bell)
        {
            tracing::error!("an lcore's mail waits for the end of its naps: {why}");
        }
    }
}
