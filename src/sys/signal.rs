//! Waiting for signals that are blocked.

use std::time::Duration;

use nix::sys::signal::SigSet;

/// Waits until one of `signals`, all of them blocked in every thread, is delivered, for at most
/// `timeout`; returns whether one was (sigtimedwait(2)).
pub fn wait(signals: &SigSet, timeout: Duration) -> bool {
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: set and timeout are live for the call, which only reads them; no information about
    // the signal is asked for.
    let signal = unsafe { libc::sigtimedwait(signals.as_ref(), std::ptr::null_mut(), &timeout) };
    signal > 0
}
