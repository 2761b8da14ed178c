//! One io_uring: its submissions and its completions. How it comes up is `setup`'s.
//!
//! Operations that touch no memory of ours are safe methods here. Those that do (send, the
//! provided-buffer ring) go through [`Uring::push`], whose callers in `mem` own the memory.

mod peers;
mod setup;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};
use std::{fmt, io};

use io_uring::types::{CancelBuilder, DestinationSlot, Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode, squeue};
use peers::Peers;
pub use setup::{Mode, Options};
use setup::{climb_down, setup_error};

use crate::error::Result;
use crate::limits::{ACCEPTS_IN_FLIGHT, LISTENERS_MAX};

const CQE_F_MORE: u32 = 1 << 1;
const ENTER_GETEVENTS: u32 = 1 << 0;
const ENTER_SQ_WAKEUP: u32 = 1 << 1;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const REGISTER_RING_FDS: u32 = 20;
const UNREGISTER_RING_FDS: u32 = 21;
const REGISTER_FILE_ALLOC_RANGE: u32 = 25;

/// One completion.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cqe {
    /// The token given at submission.
    pub user_data: u64,
    /// Non-negative result, or a negated errno.
    pub result: i32,
    /// `IORING_CQE_F_*`.
    pub flags: u32,
}

impl Cqe {
    /// The last of its operation, with this result.
    pub fn last(user_data: u64, result: i32) -> Self {
        Self { user_data, result, flags: 0 }
    }

    /// One that others will follow.
    pub fn one_of_several(user_data: u64, result: i32) -> Self {
        Self { user_data, result, flags: CQE_F_MORE }
    }

    /// The operation goes on: more completions with this token will come.
    pub fn more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The provided buffer that this completion filled.
    pub fn buffer_id(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

/// An io_uring with its registered file table, owned by the one thread that made it.
pub struct Uring {
    ring: IoUring,
    /// What `enter` is called with: the registered index, or the plain descriptor.
    enter_fd: RawFd,
    enter_flags: u32,
    mode: Mode,
    no_sqarray: bool,
    /// Operations whose final completion has not been seen.
    in_flight: u32,
    /// Calls of io_uring_enter(2) so far.
    enters: u64,
    /// Entries that found the submission queue full while the kernel refused more.
    backlog: VecDeque<squeue::Entry>,
    /// What single accepts write to.
    peers: Peers,
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring")
            .field("mode", &self.mode)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

impl Uring {
    /// Sets a ring up, peeling off one flag at a time where the kernel does not know it. The ring
    /// belongs to the calling thread from here on (`SINGLE_ISSUER`).
    pub fn create(options: &Options) -> Result<Self> {
        let peers = Peers::create(LISTENERS_MAX * ACCEPTS_IN_FLIGHT)?;
        let (ring, mode, no_sqarray) = climb_down(options).map_err(|e| setup_error(options, e))?;
        let mut uring = Self {
            enter_fd: ring.as_raw_fd(),
            enter_flags: 0,
            mode,
            no_sqarray,
            in_flight: 0,
            enters: 0,
            backlog: VecDeque::new(),
            peers,
            ring,
        };
        uring.register_ring_fd();
        uring.register_files(options).map_err(|e| setup_error(options, e))?;
        Ok(uring)
    }

    /// The set of flags that the kernel accepted, for the operator.
    pub fn flags(&self) -> String {
        let mut text = self.mode.to_string();
        if self.no_sqarray {
            text.push_str("+NO_SQARRAY");
        }
        if self.enter_flags & ENTER_REGISTERED_RING != 0 {
            text.push_str("+REGISTERED_RING");
        }
        text
    }

    /// The mode that the kernel accepted.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Calls of io_uring_enter(2) so far.
    pub fn enters(&self) -> u64 {
        self.enters
    }

    /// Operations whose final completion has not been seen.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// A registered descriptor saves the kernel a look-up each enter; without it all still works.
    fn register_ring_fd(&mut self) {
        // struct io_uring_rsrc_update { u32 offset; u32 resv; u64 data; }
        let mut update = [u32::MAX, 0, self.ring.as_raw_fd() as u32, 0];
        let fd = self.ring.as_raw_fd();
        // SAFETY: the argument is one io_uring_rsrc_update, live for the call, as
        // IORING_REGISTER_RING_FDS asks; the kernel writes the index to its first word.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                fd,
                REGISTER_RING_FDS,
                update.as_mut_ptr(),
                1u32,
            )
        };
        if result == 1 {
            self.enter_fd = update[0] as RawFd;
            self.enter_flags = ENTER_REGISTERED_RING;
        }
    }

    fn register_files(&mut self, options: &Options) -> io::Result<()> {
        if options.files == 0 {
            return Ok(());
        }
        self.ring.submitter().register_files_sparse(options.files)?;
        // struct io_uring_file_index_range { u32 off; u32 len; u64 resv; }
        let range = [options.files_reserved, options.files - options.files_reserved, 0, 0];
        // SAFETY: the argument is one io_uring_file_index_range, live for the call and only read.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                self.ring.as_raw_fd(),
                REGISTER_FILE_ALLOC_RANGE,
                range.as_ptr(),
                0u32,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Puts a descriptor of this process into a reserved slot of the file table.
    pub fn install_file(&mut self, index: u32, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.ring.submitter().register_files_update(index, &[fd.as_raw_fd()]).map(drop)
    }

    /// Accepts connections for as long as it is not cancelled, each into a free direct descriptor
    /// whose index is the completion's result.
    pub fn accept_multi(&mut self, listener: BorrowedFd<'_>, user_data: u64) {
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd()))
            .allocate_file_index(true)
            .build()
            .user_data(user_data);
        // SAFETY: the entry points to no memory.
        unsafe { self.push(entry) }
    }

    /// Accepts one connection into a free direct descriptor, whose index is the completion's result,
    /// and writes its peer's address to `place` (below `LISTENERS_MAX * ACCEPTS_IN_FLIGHT`), where
    /// no other accept may be in flight.
    pub fn accept(&mut self, listener: BorrowedFd<'_>, place: usize, user_data: u64) {
        let (address, length) = self.peers.room(place);
        let entry = opcode::Accept::new(Fd(listener.as_raw_fd()), address, length)
            .file_index(Some(DestinationSlot::auto_target()))
            .build()
            .user_data(user_data);
        // SAFETY: the place stays where it is until the kernel has let go of it (`drop`).
        unsafe { self.push(entry) }
    }

    /// The peer's address that the accept which completed last on `place` has written.
    pub fn peer(&self, place: usize) -> Option<IpAddr> {
        self.peers.address(place)
    }

    /// Receives into buffers of `group` for as long as it is not cancelled, fails or runs out of
    /// buffers. With `bundle` one completion may fill several buffers.
    pub fn recv_multi(&mut self, file: u32, group: u16, bundle: bool, user_data: u64) {
        let entry = match bundle {
            false => opcode::RecvMulti::new(Fixed(file), group).build(),
            true => opcode::RecvMultiBundle::new(Fixed(file), group).build(),
        };
        // SAFETY: the entry names a buffer group, whose memory its registrar answers for.
        unsafe { self.push(entry.user_data(user_data)) }
    }

    /// Shuts down the sending half of a connection (shutdown(2), `SHUT_WR`).
    pub fn shutdown_write(&mut self, file: u32, user_data: u64) {
        let entry = opcode::Shutdown::new(Fixed(file), libc::SHUT_WR).build().user_data(user_data);
        // SAFETY: the entry points to no memory.
        unsafe { self.push(entry) }
    }

    /// Closes a direct descriptor.
    pub fn close(&mut self, file: u32, user_data: u64) {
        let entry = opcode::Close::new(Fixed(file)).build().user_data(user_data);
        // SAFETY: the entry points to no memory.
        unsafe { self.push(entry) }
    }

    /// Asks for the end of the operation that was submitted with the token `target`.
    pub fn cancel(&mut self, target: u64, user_data: u64) {
        let entry = opcode::AsyncCancel::new(target).build().user_data(user_data);
        // SAFETY: the entry points to no memory.
        unsafe { self.push(entry) }
    }

    /// Completes once, when `fd` is readable.
    pub fn poll_readable(&mut self, fd: BorrowedFd<'_>, user_data: u64) {
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), libc::POLLIN as u32)
            .build()
            .user_data(user_data);
        // SAFETY: the entry points to no memory.
        unsafe { self.push(entry) }
    }

    /// Completes once, when `fd` takes something to send.
    pub fn poll_writable(&mut self, fd: BorrowedFd<'_>, user_data: u64) {
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), libc::POLLOUT as u32)
            .build()
            .user_data(user_data);
        // SAFETY: the entry points to no memory.
        unsafe { self.push(entry) }
    }

    /// Completes each time that `fd` becomes readable.
    pub fn poll_readable_multi(&mut self, fd: BorrowedFd<'_>, user_data: u64) {
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), libc::POLLIN as u32)
            .multi(true)
            .build()
            .user_data(user_data);
        // SAFETY: the entry points to no memory.
        unsafe { self.push(entry) }
    }

    /// Queues one entry for the next enter; when the queue is full the kernel is entered at once.
    /// An entry is never lost: one that the kernel will not take now waits in a backlog.
    ///
    /// # Safety
    ///
    /// Memory that the entry points to stays valid until its final completion, or, for headers and
    /// vectors that the kernel copies (`IORING_FEAT_SUBMIT_STABLE`), until [`Uring::unsubmitted`]
    /// is 0.
    pub unsafe fn push(&mut self, entry: squeue::Entry) {
        self.in_flight += 1;
        if !self.backlog.is_empty() {
            return self.backlog.push_back(entry);
        }
        // SAFETY: what the entry points to is valid by this function's own contract.
        if unsafe { self.ring.submission().push(&entry) }.is_ok() {
            return;
        }
        // A refusal (EBUSY, EAGAIN) passes: the entry waits in the backlog, which enter empties.
        let _ = self.enter();
        self.backlog.push_back(entry);
        self.drain_backlog();
    }

    fn drain_backlog(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            // SAFETY: `push` took this entry under its contract, which lasts until completion.
            if unsafe { self.ring.submission().push(&entry) }.is_err() {
                return self.backlog.push_front(entry);
            }
        }
    }

    /// Entries queued that the kernel has not taken yet.
    pub fn unsubmitted(&mut self) -> usize {
        self.ring.submission().len() + self.backlog.len()
    }

    /// Whether entering the kernel would achieve something: entries to submit, completion work to
    /// run, or completions that overflowed. A few loads, no system call.
    #[inline]
    pub fn needs_enter(&mut self) -> bool {
        let unflagged = self.mode == Mode::DeferUnflagged;
        let sq = self.ring.submission();
        unflagged || !sq.is_empty() || sq.taskrun() || sq.cq_overflow()
    }

    /// Whether the kernel has completions that an enter would bring, where the mode has it say so.
    pub fn has_task_work(&mut self) -> bool {
        let sq = self.ring.submission();
        sq.taskrun() || sq.cq_overflow()
    }

    /// Whether the completion queue overflowed into the kernel's own list.
    pub fn overflowed(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Submits what is queued and runs the completion work that is due; never waits.
    /// `EBUSY` and `EAGAIN` (completions must be reaped first) and `EINTR` are no errors.
    pub fn enter(&mut self) -> io::Result<()> {
        self.enter_with(0, None)
    }

    /// Like [`enter`](Self::enter), then sleeps until there is a completion or `timeout` is over.
    pub fn enter_and_wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.enter_with(1, Some(timeout))
    }

    fn enter_with(&mut self, want: u32, timeout: Option<Duration>) -> io::Result<()> {
        if !self.backlog.is_empty() {
            self.drain_backlog();
        }
        let sq = self.ring.submission();
        let submit = sq.len() as u32;
        let mut flags = self.enter_flags | ENTER_GETEVENTS;
        if self.mode == Mode::SqPoll {
            if sq.need_wakeup() {
                flags |= ENTER_SQ_WAKEUP;
            } else if want == 0 && !sq.taskrun() && !sq.cq_overflow() {
                return Ok(());
            }
        }
        drop(sq);
        self.enters += 1;
        match enter_syscall(self.enter_fd, submit, want, flags, timeout) {
            Ok(()) => Ok(()),
            Err(e) => match e.raw_os_error() {
                Some(libc::EBUSY | libc::EAGAIN | libc::EINTR | libc::ETIME) => Ok(()),
                _ => Err(e),
            },
        }
    }

    /// Takes completions, oldest first; returns how many.
    #[inline]
    pub fn reap(&mut self, out: &mut [Cqe]) -> usize {
        let mut taken = 0;
        let mut finals = 0;
        let mut completions = self.ring.completion();
        while taken < out.len() {
            let Some(entry) = completions.next() else { break };
            let cqe =
                Cqe { user_data: entry.user_data(), result: entry.result(), flags: entry.flags() };
            finals += u32::from(!cqe.more());
            out[taken] = cqe;
            taken += 1;
        }
        drop(completions);
        self.in_flight -= finals;
        taken
    }

    /// Registers a ring of provided buffers as `group`.
    ///
    /// # Safety
    ///
    /// `ring` points to `entries` × 16 bytes on a page boundary, valid until
    /// [`unregister_buffers`](Self::unregister_buffers) or the end of this ring; so is every buffer
    /// put into it.
    pub unsafe fn register_buffers(
        &mut self,
        ring: *mut u8,
        entries: u16,
        group: u16,
        flags: u16,
    ) -> io::Result<()> {
        // SAFETY: the caller's contract is the one that this call asks for.
        unsafe {
            self.ring.submitter().register_buf_ring_with_flags(ring as u64, entries, group, flags)
        }
    }

    /// Takes a group of provided buffers back from the kernel.
    pub fn unregister_buffers(&mut self, group: u16) -> io::Result<()> {
        self.ring.submitter().unregister_buf_ring(group)
    }

    /// Cancels everything in flight and waits, at most `patience`, until the kernel has let go of
    /// all memory. Completions go to `seen`. Returns whether it has.
    pub fn quiesce(&mut self, patience: Duration, mut seen: impl FnMut(Cqe)) -> bool {
        let start = Instant::now();
        let mut batch = [Cqe::default(); 32];
        while self.in_flight > 0 {
            // What is queued can be cancelled only once it is submitted.
            let entered = self.enter();
            let _ = self.ring.submitter().register_sync_cancel(None, CancelBuilder::any().all());
            let _ = self.enter_and_wait(Duration::from_millis(1));
            loop {
                let count = self.reap(&mut batch);
                batch[..count].iter().for_each(|cqe| seen(*cqe));
                if count == 0 {
                    break;
                }
            }
            if entered.is_err() || start.elapsed() > patience {
                return self.in_flight == 0;
            }
        }
        true
    }
}

impl Drop for Uring {
    /// The kernel must not write to memory that its owner is about to unmap.
    fn drop(&mut self) {
        if !self.quiesce(Duration::from_secs(1), |_| ()) {
            self.peers.leave();
        }
        if self.enter_flags & ENTER_REGISTERED_RING != 0 {
            // The registration holds the ring, and all its sockets, until the thread ends.
            let update = [self.enter_fd as u32, 0, 0, 0];
            // SAFETY: the argument is one io_uring_rsrc_update, live for the call and only read.
            unsafe {
                libc::syscall(
                    libc::SYS_io_uring_register,
                    self.ring.as_raw_fd(),
                    UNREGISTER_RING_FDS,
                    update.as_ptr(),
                    1u32,
                )
            };
        }
    }
}

impl AsRawFd for Uring {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

/// io_uring_enter(2), with a relative timeout where the caller waits.
fn enter_syscall(
    fd: RawFd,
    submit: u32,
    want: u32,
    flags: u32,
    timeout: Option<Duration>,
) -> io::Result<()> {
    let timespec = timeout.map(|t| libc::timespec {
        tv_sec: t.as_secs() as libc::time_t,
        tv_nsec: t.subsec_nanos().into(),
    });
    // struct io_uring_getevents_arg { u64 sigmask; u32 sigmask_sz; u32 min_wait_usec; u64 ts; }
    let argument = timespec.as_ref().map(|ts| [0u64, 0, std::ptr::from_ref(ts) as u64]);
    let (pointer, bytes, flags) = match &argument {
        Some(argument) => (argument.as_ptr(), size_of_val(argument), flags | ENTER_EXT_ARG),
        None => (std::ptr::null(), 0, flags),
    };
    // SAFETY: the ring is live, and the argument with its timespec outlives the call, which only
    // reads them.
    let result =
        unsafe { libc::syscall(libc::SYS_io_uring_enter, fd, submit, want, flags, pointer, bytes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(mode: Mode) -> Options {
        Options { sq_entries: 8, cq_entries: 8, files: 16, files_reserved: 4, mode }
    }

    #[test]
    fn each_mode_comes_up_and_completes_an_operation() {
        for mode in [Mode::Defer, Mode::DeferUnflagged, Mode::Coop, Mode::Plain] {
            let mut ring = Uring::create(&options(mode)).unwrap();
            ring.cancel(1, 7);
            assert!(ring.needs_enter());
            ring.enter().unwrap();
            let mut batch = [Cqe::default(); 4];
            assert_eq!(ring.reap(&mut batch), 1, "{mode}");
            assert_eq!((batch[0].user_data, batch[0].result), (7, -libc::ENOENT));
            assert_eq!(ring.in_flight(), 0);
        }
    }

    #[test]
    fn a_full_submission_queue_submits_and_loses_nothing() {
        let mut ring = Uring::create(&options(Mode::Defer)).unwrap();
        let mut batch = [Cqe::default(); 4];
        let mut seen = Vec::new();
        (0..100).for_each(|token| ring.cancel(u64::MAX, token));
        while ring.in_flight() > 0 {
            ring.enter().unwrap();
            let count = ring.reap(&mut batch);
            seen.extend(batch[..count].iter().map(|cqe| cqe.user_data));
        }
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_wait_ends_at_its_timeout_without_an_error() {
        let mut ring = Uring::create(&options(Mode::Defer)).unwrap();
        let start = Instant::now();
        ring.enter_and_wait(Duration::from_millis(5)).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(4));
    }

    #[test]
    fn more_direct_descriptors_than_the_limit_is_a_clear_error() {
        let (_, hard) =
            nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
        let files = u32::try_from(hard).unwrap_or(u32::MAX - 1) + 1;
        let error = Uring::create(&Options { files, ..options(Mode::Defer) }).unwrap_err();
        assert!(error.to_string().contains("ulimit -n"), "{error}");
    }
}
