//! The C interface to the ports of a ringway dataplane: `include/ringway.h` is made from the comments
//! here. Each function checks what it was passed, asks `ringway::attach`, and never unwinds; what is
//! behind a pointer is looked at in the functions of this file and of `http`, and nowhere else.

mod convert;
mod errors;
mod held;
mod http;
mod kinds;
mod port;

use std::ffi::{CStr, c_char, c_int};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use convert::Msg;
pub use errors::*;
pub use http::*;
pub use kinds::*;
pub use port::Port;

/// Runs what a function does. A panic is a bug of ringway; it ends here, as an error.
fn guarded(body: impl FnOnce() -> c_int) -> c_int {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(RINGWAY_EBUG)
}

/// The text at `text`; `None` for a null pointer, or what is not UTF-8.
///
/// # Safety
/// `text` is null, or points to a text that ends with a zero and stays as it is meanwhile.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

/// Calls `body` with the port; `RINGWAY_EINVAL` for a null pointer.
///
/// # Safety
/// `port` is null, or came from `ringway_attach` and was not detached, and no other thread uses it.
unsafe fn with_port(port: *mut Port, body: impl FnOnce(&mut Port) -> c_int) -> c_int {
    // SAFETY: promised by the caller.
    let Some(port) = (unsafe { port.as_mut() }) else { return RINGWAY_EINVAL };
    guarded(|| body(port))
}

/// Attaches to the port `port` of the dataplane whose control socket is at `socket_path`. `trust` is
/// `RINGWAY_TRUST_DEFAULT` (as the port's listener has it), `RINGWAY_TRUST_SHARED` or
/// `RINGWAY_TRUST_ISOLATED`, or one of them `| RINGWAY_FOLLOW`. The port is written to `*attached`; the
/// program gives it to `ringway_detach` in the end. It may be used by any thread, but by one at a time.
///
/// Returns 0, or `RINGWAY_EATTACH`, `RINGWAY_EINVAL` or `RINGWAY_EBUG` with a sentence in `*error` that says
/// what failed, why, and what mends it. `error` may be null.
///
/// # Safety
/// The texts end with a zero; `attached` points to room for a pointer, `error` to an error or nowhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_attach(
    socket_path: *const c_char,
    port: *const c_char,
    trust: u32,
    attached: *mut *mut Port,
    error: *mut Error,
) -> c_int {
    // SAFETY: promised by the caller.
    let error = unsafe { error.as_mut() };
    // SAFETY: promised by the caller.
    let Some(attached) = (unsafe { attached.as_mut() }) else {
        return Error::report(error, RINGWAY_EINVAL);
    };
    *attached = std::ptr::null_mut();
    // SAFETY: promised by the caller.
    let socket_path = unsafe { text(socket_path) };
    // SAFETY: promised by the caller.
    let name = unsafe { text(port) };
    let (Some(socket_path), Some(name)) = (socket_path, name) else {
        return Error::report(error, RINGWAY_EINVAL);
    };
    match catch_unwind(|| Port::attach(socket_path, name, trust)) {
        Ok(Ok(port)) => {
            *attached = Box::into_raw(Box::new(port));
            0
        }
        Ok(Err(failure)) => Error::tell(error, RINGWAY_EATTACH, &failure),
        Err(_) => Error::report(error, RINGWAY_EBUG),
    }
}

/// Detaches: what the program was lent goes home, and what `data` of a message pointed to is gone.
/// Null is no port, and nothing happens.
///
/// # Safety
/// `port` is null or came from `ringway_attach`, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_detach(port: *mut Port) {
    if port.is_null() {
        return;
    }
    // SAFETY: it came from a box, and the caller gives it up.
    let port = unsafe { Box::from_raw(port) };
    guarded(|| {
        drop(port);
        0
    });
}

/// How many queues the port has: one for each lcore of the dataplane. They are numbered from 0.
///
/// # Safety
/// See `ringway_attach`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_queue_count(port: *mut Port) -> c_int {
    // SAFETY: promised by the caller.
    unsafe { with_port(port, |port| port.attachment.queues().len() as c_int) }
}

/// Asks for a connection, at a port whose process is the peer of a listener (`transport = "shm"`), and
/// writes its number to `*number`. What comes next with that number as `request` is `RINGWAY_OPEN`, whose
/// `conn` is the connection, or `RINGWAY_CLOSED`: it was refused.
///
/// Returns 0, or `RINGWAY_EINVAL` at a port whose process handles the connections of others.
///
/// # Safety
/// See `ringway_attach`; `number` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_connect(port: *mut Port, queue: u32, number: *mut u32) -> c_int {
    // SAFETY: promised by the caller.
    let Some(number) = (unsafe { number.as_mut() }) else { return RINGWAY_EINVAL };
    // SAFETY: promised by the caller.
    unsafe { with_port(port, |port| port.connect(queue, number)) }
}

/// Takes up to `n` messages of a queue and writes them to `msgs`; returns how many, 0 when there are none.
/// It never waits. Each message that has a slot is the program's until it passes it to
/// `ringway_tx_burst` or `ringway_release`. In no time without calls of this function does a queue
/// get new slots or send what waited for the peer.
///
/// # Safety
/// See `ringway_attach`; `msgs` has room for `n` messages.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_rx_burst(
    port: *mut Port,
    queue: u32,
    msgs: *mut Msg,
    n: u32,
) -> c_int {
    if msgs.is_null() {
        return RINGWAY_EINVAL;
    }
    // SAFETY: promised by the caller; what is there need not be messages yet.
    let msgs =
        unsafe { std::slice::from_raw_parts_mut(msgs.cast::<MaybeUninit<Msg>>(), n as usize) };
    // SAFETY: promised by the caller.
    unsafe { with_port(port, |port| port.receive(queue, msgs)) }
}

/// Writes to `*msg` a message of kind `RINGWAY_DATA` for the connection `conn`, with room for `bytes` at
/// least: the program writes up to `capacity` bytes to `data`, and sets `len`. `conn` belongs to the queue
/// that it came from.
///
/// Returns 0, or `RINGWAY_EAGAIN` when the dataplane has lent no such slot: flush, receive, and try again.
/// Slots hold 16384 bytes at most, or 4194304 on a shared port of a dataplane with blocks
/// (`RINGWAY_EMSGSIZE`).
///
/// # Safety
/// See `ringway_attach`; `msg` has room for a message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_alloc(
    port: *mut Port,
    queue: u32,
    conn: u64,
    bytes: u32,
    msg: *mut Msg,
) -> c_int {
    // SAFETY: promised by the caller.
    unsafe { make(port, msg, |port| port.alloc(queue, conn, bytes)) }
}

/// Writes what `alloc` makes to `*msg`.
///
/// # Safety
/// As for `ringway_alloc`.
unsafe fn make(
    port: *mut Port,
    msg: *mut Msg,
    alloc: impl FnOnce(&mut Port) -> Result<Msg, c_int>,
) -> c_int {
    if msg.is_null() {
        return RINGWAY_EINVAL;
    }
    let made = |port: &mut Port| match alloc(port) {
        Ok(made) => {
            // SAFETY: `msg` has room for a message, as the caller promised.
            unsafe { msg.write(made) };
            0
        }
        Err(code) => code,
    };
    // SAFETY: promised by the caller.
    unsafe { with_port(port, made) }
}

/// The same for a part of the response to a request: `asked` is a message of that request, or zeroes but for
/// `conn` and `request`. What is written to `*msg` is of kind `RINGWAY_BODY` and of that request.
///
/// Parts of a response wait in the program while requests before it on its connection are not answered: once
/// enough do, the answer is `RINGWAY_ETURN`, until those are. `RINGWAY_EAGAIN` as for `ringway_alloc`, and while
/// the peer is slow to take what it was sent.
///
/// # Safety
/// See `ringway_attach`; `asked` is null or points to a message, and `msg` has room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_alloc_part(
    port: *mut Port,
    queue: u32,
    asked: *const Msg,
    bytes: u32,
    msg: *mut Msg,
) -> c_int {
    // SAFETY: promised by the caller.
    let Some(asked) = (unsafe { asked.as_ref() }) else { return RINGWAY_EINVAL };
    // SAFETY: promised by the caller.
    unsafe { make(port, msg, |port| port.alloc_part(queue, asked, bytes)) }
}

/// Sends `n` messages, in order with those before them on their connections; returns how many were
/// taken. All are, unless one is not right (a slot that was released or sent before, a range outside of
/// it, a message of another queue): it and those behind it stay the program's, and when it is the
/// first the answer is `RINGWAY_EINVAL`.
///
/// A message may have come from `ringway_rx_burst` (its own bytes go back, or a part of them: move
/// `data`, lower `len`), from `ringway_alloc`, or be a marker: zeroes but for `conn` and `kind`. What the
/// peer is too slow for waits on its slot; its connection is not received from meanwhile. The lcore
/// hears of messages at the next `ringway_flush` or `ringway_wait`.
///
/// # Safety
/// See `ringway_attach`; `msgs` points to `n` messages.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_tx_burst(
    port: *mut Port,
    queue: u32,
    msgs: *const Msg,
    n: u32,
) -> c_int {
    if msgs.is_null() {
        return RINGWAY_EINVAL;
    }
    // SAFETY: promised by the caller.
    let msgs = unsafe { std::slice::from_raw_parts(msgs, n as usize) };
    // SAFETY: promised by the caller.
    unsafe { with_port(port, |port| port.send(queue, msgs)) }
}

/// Gives the slot of a message back of which the program makes nothing more. Returns 0, also for a
/// marker, which has none; `RINGWAY_EINVAL` when the slot was released or sent before.
///
/// # Safety
/// See `ringway_attach`; `msg` points to a message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_release(port: *mut Port, msg: *const Msg) -> c_int {
    // SAFETY: promised by the caller.
    let Some(msg) = (unsafe { msg.as_ref() }) else { return RINGWAY_EINVAL };
    // SAFETY: promised by the caller.
    unsafe { with_port(port, |port| port.release(msg)) }
}

/// Ends a turn: sends what waits for room, gives released slots back, and wakes the lcores that sleep.
/// Call it behind each burst. Returns 0.
///
/// # Safety
/// See `ringway_attach`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_flush(port: *mut Port) -> c_int {
    // SAFETY: promised by the caller.
    unsafe { with_port(port, Port::flush) }
}

/// Flushes, and waits until a queue has something: spins for some 50 µs, then sleeps, for at most
/// `timeout_ms` milliseconds, or without an end when that is negative. Returns 1 when there is
/// something, 0 after the timeout or a signal, and `RINGWAY_EGONE` when the dataplane has ended and all
/// that it had sent was received: detach, and attach to the next.
///
/// # Safety
/// See `ringway_attach`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_wait(port: *mut Port, timeout_ms: c_int) -> c_int {
    // SAFETY: promised by the caller.
    unsafe { with_port(port, |port| port.wait(timeout_ms)) }
}

/// A descriptor to wait for in a loop of one's own (poll, epoll): readable when something came while the
/// program had announced its sleep. It stays the port's: do not read, write or close it. The order is
///
///     if (ringway_prepare_sleep(port) == 1)
///         poll ringway_fd and ringway_lifeline_fd for input;
///     ringway_awake(port);
///     receive until there is nothing
///
/// # Safety
/// See `ringway_attach`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_fd(port: *mut Port) -> c_int {
    // SAFETY: promised by the caller.
    unsafe { with_port(port, |port| port.attachment.as_fd().as_raw_fd()) }
}

/// A descriptor that becomes readable when the dataplane is gone, and never before. It stays the
/// port's.
///
/// # Safety
/// See `ringway_attach`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_lifeline_fd(port: *mut Port) -> c_int {
    // SAFETY: promised by the caller.
    unsafe { with_port(port, |port| port.attachment.lifeline().as_raw_fd()) }
}

/// Flushes, and announces that the program is about to sleep until `ringway_fd` is readable. Returns 1:
/// sleep now, and call `ringway_awake` then; 0: there is something already, and nothing was announced.
///
/// # Safety
/// See `ringway_attach`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_prepare_sleep(port: *mut Port) -> c_int {
    // SAFETY: promised by the caller.
    unsafe { with_port(port, Port::prepare_sleep) }
}

/// Ends the announcement of `ringway_prepare_sleep`, however the sleep ended, and silences `ringway_fd`.
/// Returns 0.
///
/// # Safety
/// See `ringway_attach`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_awake(port: *mut Port) -> c_int {
    let awake = |port: &mut Port| {
        port.attachment.awake();
        0
    };
    // SAFETY: promised by the caller.
    unsafe { with_port(port, awake) }
}

/// 1 when the dataplane still serves the port, else 0. It costs a system call: a program that spins
/// asks now and then.
///
/// # Safety
/// See `ringway_attach`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_is_alive(port: *mut Port) -> c_int {
    // SAFETY: promised by the caller.
    unsafe { with_port(port, |port| port.attachment.is_alive().into()) }
}

/// 1 when another instance takes over from the one that serves the port, else 0, as `ringway_wait` or
/// `ringway_is_alive` has heard last; only where `RINGWAY_FOLLOW` asked for it. Attach once more by the same
/// path, within five seconds, and go on with this port too until it ends: what it has begun ends there.
///
/// # Safety
/// See `ringway_attach`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_has_moved(port: *mut Port) -> c_int {
    // SAFETY: promised by the caller.
    unsafe { with_port(port, |port| port.attachment.has_moved().into()) }
}
