//! Waiting for signals that are blocked, and the one that a file too large raises.

use std::time::Duration;

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

/// Waits until one of `signals`, all of them blocked in every thread, is delivered, for at most
/// `timeout`; returns which one was (sigtimedwait(2)).
pub fn wait(signals: &SigSet, timeout: Duration) -> Option<Signal> {
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: set and timeout are live for the call, which only reads them; no information about
    // the signal is asked for.
    let got = unsafe { libc::sigtimedwait(signals.as_ref(), std::ptr::null_mut(), &timeout) };
    Signal::try_from(got).ok()
}

/// From here on a write that makes a file larger than this process may (RLIMIT_FSIZE) fails with EFBIG, where
/// SIGXFSZ would have ended the process.
pub fn ignore_file_size() {
    // SAFETY: no handler is installed, so that none can do what a handler may not.
    let result = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
    debug_assert!(result.is_ok(), "it can be ignored (signal(7))");
}
