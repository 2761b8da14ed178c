//! Where another thread of this process is: its backtrace, taken while it runs. One thread at a time is looked at.

use std::ffi::{c_int, c_void};
use std::fs;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{getpid, gettid};

use crate::sync::{AtomicU32, AtomicUsize, Ordering};

/// Frames that are told at most.
const FRAMES_MAX: usize = 64;
/// Between two looks whether it has answered.
const STEP: Duration = Duration::from_millis(1);
/// Ignored where nobody handles it, so that one that comes late hurts nobody (signal(7)).
const SIGNAL: Signal = Signal::SIGURG;

/// Nobody is asked.
const IDLE: u32 = 0;
/// Who was asked writes its frames. No thread has this number, nor the next one (pid_max is 2^22; proc(5)).
const TAKING: u32 = u32::MAX;
/// They are written.
const TAKEN: u32 = u32::MAX - 1;

/// What one asks the other for.
struct Question {
    /// `IDLE`, the thread that is asked, `TAKING` or `TAKEN`.
    state: AtomicU32,
    /// Frames that were written.
    count: AtomicUsize,
    /// Addresses that the frames return to, innermost first.
    frames: [AtomicUsize; FRAMES_MAX],
}

/// Made before the first signal is sent.
static QUESTION: OnceLock<Question> = OnceLock::new();

/// The backtrace of a thread of this process, a line for each frame, innermost first. What runs there is interrupted for
/// some microseconds, and system calls go on afterwards (SA_RESTART; those that never do, as waits for a ring, end with
/// EINTR).
///
/// # Errors
/// When there is no such thread, or it has not answered within `patience`: the kernel has it, or it blocks the signal.
pub fn of_thread(thread: u32, patience: Duration) -> io::Result<Vec<String>> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let question = prepare()?;
    // A handler changes it only where it finds its thread's number or has put `TAKING`.
    if question.state.load(Ordering::Acquire) == TAKING {
        return Err(io::Error::other("the thread that was asked before has not answered yet"));
    }
    question.state.store(thread, Ordering::Relaxed);
    if let Err(why) = send(thread) {
        question.state.store(IDLE, Ordering::Relaxed);
        return Err(why.into());
    }
    let mut left = patience;
    // Pairs with the handler's release.
    while question.state.load(Ordering::Acquire) != TAKEN {
        if left.is_zero() {
            let state = &question.state;
            // One that has just begun is on the way; it is told the next time.
            let _ = state.compare_exchange(thread, IDLE, Ordering::Relaxed, Ordering::Relaxed);
            return Err(io::Error::new(io::ErrorKind::TimedOut, in_the_kernel(thread)));
        }
        thread::sleep(STEP);
        left = left.saturating_sub(STEP);
    }
    let count = question.count.load(Ordering::Relaxed).min(FRAMES_MAX);
    let frames: Vec<usize> =
        question.frames[..count].iter().map(|frame| frame.load(Ordering::Relaxed)).collect();
    question.state.store(IDLE, Ordering::Relaxed);
    Ok(frames.into_iter().flat_map(named).collect())
}

/// Makes the place for answers, and has the signal handled.
fn prepare() -> io::Result<&'static Question> {
    if let Some(question) = QUESTION.get() {
        return Ok(question);
    }
    let question = QUESTION.get_or_init(|| Question {
        state: AtomicU32::new(IDLE),
        count: AtomicUsize::new(0),
        frames: std::array::from_fn(|_| AtomicUsize::new(0)),
    });
    let flags = SaFlags::SA_RESTART | SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::Handler(take), flags, SigSet::empty());
    // SAFETY: `take` does what a handler may: it touches atomics that live for ever, and walks its own stack, for which
    // the unwinder neither allocates nor locks (glibc finds objects without a lock since 2.35: _dl_find_object).
    unsafe { sigaction(SIGNAL, &action) }?;
    Ok(question)
}

fn send(thread: u32) -> Result<(), Errno> {
    let (process, thread) = (getpid().as_raw(), thread as libc::pid_t);
    // SAFETY: tgkill takes numbers alone, and reaches threads of this process alone.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, SIGNAL as c_int) };
    Errno::result(sent).map(drop)
}

/// The signal's handler: writes the frames of the thread that it interrupts, if that is the one that was asked.
extern "C" fn take(_: c_int) {
    let Some(question) = QUESTION.get() else { return };
    let this = gettid().as_raw() as u32;
    let state = &question.state;
    if state.compare_exchange(this, TAKING, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return;
    }
    let before = Errno::last_raw();
    // The first frames are this function's own and what it calls, then the one by which it returns.
    let (mut count, mut own) = (0, Some(take as *const () as usize));
    let note = |frame: &backtrace::Frame| {
        match own {
            Some(function) if frame.symbol_address() as usize == function => own = Some(0),
            Some(0) => own = None,
            Some(_) => {}
            None => {
                question.frames[count].store(frame.ip() as usize, Ordering::Relaxed);
                count += 1;
            }
        }
        count < FRAMES_MAX
    };
    // SAFETY: what must not happen is that two threads are in here at once, or in what names frames: `state` lets one
    // in, and frames are named once it has left.
    unsafe { backtrace::trace_unsynchronized(note) };
    question.count.store(count, Ordering::Relaxed);
    // Pairs with the acquire of who asked.
    state.store(TAKEN, Ordering::Release);
    Errno::set_raw(before);
}

/// What is at an address, a line for each function that was inlined there.
fn named(address: usize) -> Vec<String> {
    let mut lines = Vec::new();
    backtrace::resolve(address as *mut c_void, |symbol| {
        let name = symbol.name().map_or_else(|| "?".to_owned(), |name| format!("{name:#}"));
        lines.push(match (symbol.filename(), symbol.lineno()) {
            (Some(file), Some(line)) => format!("{name} ({}:{line})", file.display()),
            _ => name,
        });
    });
    if lines.is_empty() {
        lines.push(format!("{address:#x}"));
    }
    lines
}

/// Why a thread does not answer, as far as the kernel tells.
fn in_the_kernel(thread: u32) -> String {
    let of = |file: &str| fs::read_to_string(format!("/proc/self/task/{thread}/{file}"));
    let state = of("stat").ok().and_then(|stat| {
        // After the name, which may hold anything but is in brackets (proc(5)).
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    });
    let place = of("wchan").ok().filter(|place| !matches!(place.as_str(), "" | "0"));
    match (state, place) {
        (Some(state), Some(place)) => {
            format!("the thread does not answer: state {state} in {place}")
        }
        (Some(state), None) => format!("the thread does not answer: state {state}"),
        _ => "the thread does not answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::sync::AtomicBool;

    #[inline(never)]
    fn somewhere_that_is_known_by_its_name(over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_thread_that_runs_tells_where_it_is_and_goes_on() {
        static OVER: AtomicBool = AtomicBool::new(false);
        let (tell, told) = mpsc::channel();
        let runs = thread::spawn(move || {
            tell.send(gettid().as_raw() as u32).unwrap();
            somewhere_that_is_known_by_its_name(&OVER);
        });
        let thread = told.recv().unwrap();
        for _ in 0..3 {
            let known = |line: &String| line.contains("somewhere_that_is_known_by_its_name");
            // Its first moments may be over before it gets there.
            while !of_thread(thread, Duration::from_secs(60)).unwrap().iter().any(known) {}
        }
        OVER.store(true, Ordering::Relaxed);
        runs.join().unwrap();
        let gone = of_thread(thread, Duration::from_secs(60)).unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn a_thread_that_blocks_the_signal_is_said_not_to_answer() {
        let (tell, told) = mpsc::channel();
        let (end, over) = mpsc::channel::<()>();
        let runs = thread::spawn(move || {
            let mut blocked = SigSet::empty();
            blocked.add(SIGNAL);
            blocked.thread_block().unwrap();
            tell.send(gettid().as_raw() as u32).unwrap();
            let _ = over.recv();
        });
        let why = of_thread(told.recv().unwrap(), Duration::from_millis(20)).unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::TimedOut);
        assert!(why.to_string().starts_with("the thread does not answer: state "), "{why}");
        drop(end);
        runs.join().unwrap();
    }
}
