//! Descriptors that go to another process beside bytes (SCM_RIGHTS, unix(7)). What they are is
//! agreed above.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use crate::limits::PASSED_FDS_MAX;

/// Bytes of a control message before its descriptors: its length, level and type.
const HEADER_BYTES: usize = size_of::<libc::cmsghdr>();

/// Room for as many descriptors as the kernel passes at a time, in words, which align it.
const CONTROL_WORDS: usize = HEADER_BYTES / 8 + PASSED_FDS_MAX.div_ceil(2);

const _: () = assert!(HEADER_BYTES == 16);

/// Sends `bytes`, or the front of them, and with the first of them all of `fds`; returns how many
/// bytes went. The sender keeps its own descriptors.
///
/// Fails without `bytes`, since descriptors cannot go alone, and with more than
/// [`PASSED_FDS_MAX`] descriptors; else as a write does.
pub fn send_with_fds(
    stream: &UnixStream,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    if bytes.is_empty() || fds.len() > PASSED_FDS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights };
    let bytes = [IoSlice::new(bytes)];
    loop {
        let flags = MsgFlags::MSG_NOSIGNAL;
        match sendmsg::<UnixAddr>(stream.as_raw_fd(), &bytes, control, flags, None) {
            Err(Errno::EINTR) => {}
            outcome => return Ok(outcome?),
        }
    }
}

/// Receives bytes and the descriptors that came with them, which close when a program is executed.
/// `0` bytes: the peer has ended.
///
/// More than `max` descriptors, and some that the kernel could not hand over (the limit on open
/// files), are an error; those that came are closed. Else fails as a read does.
pub fn recv_with_fds(
    stream: &UnixStream,
    out: &mut [u8],
    max: usize,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = [0u64; CONTROL_WORDS];
    let mut vector = libc::iovec { iov_base: out.as_mut_ptr().cast(), iov_len: out.len() };
    let mut message = libc::msghdr {
        msg_name: std::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: &raw mut vector,
        msg_iovlen: 1,
        msg_control: control.as_mut_ptr().cast(),
        msg_controllen: size_of_val(&control),
        msg_flags: 0,
    };
    let received = loop {
        // SAFETY: the message points to `out` and `control` with their true lengths, and both
        // outlive the call; nobody else touches them.
        let result =
            unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
        match Errno::result(result) {
            Err(Errno::EINTR) => {}
            outcome => break outcome? as usize,
        }
    };
    let bytes: &[u8] = bytemuck::cast_slice(&control);
    let fds = owned(&bytes[..message.msg_controllen.min(bytes.len())]);
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::other(
            "descriptors were lost on the way: raise the limit on open files (`ulimit -n`)",
        ));
    }
    if fds.len() > max {
        return Err(io::Error::other(format!("{} descriptors came, not {max}", fds.len())));
    }
    Ok((received, fds))
}

/// The descriptors of the control messages that the kernel has just written.
fn owned(mut control: &[u8]) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    while let Some((header, _)) = control.split_first_chunk::<HEADER_BYTES>() {
        let word = |at: usize| i32::from_ne_bytes(header[at..at + 4].try_into().expect("4 bytes"));
        let length = usize::from_ne_bytes(header[..8].try_into().expect("8 bytes"));
        if length < HEADER_BYTES || length > control.len() {
            break;
        }
        if (word(8), word(12)) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            for fd in control[HEADER_BYTES..length].chunks_exact(size_of::<RawFd>()) {
                let fd = RawFd::from_ne_bytes(fd.try_into().expect("4 bytes"));
                // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
                fds.push(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
        // The next message is aligned to a word.
        control = control.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    fds
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use super::*;

    fn file(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn text(fd: OwnedFd) -> String {
        let (mut file, mut text) = (File::from(fd), String::new());
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn descriptors_arrive_in_order_with_their_bytes_and_close_on_exec() {
        let (one, other) = UnixStream::pair().unwrap();
        let (a, b) = (file("a"), file("b"));
        assert_eq!(send_with_fds(&one, b"two", &[a.as_fd(), b.as_fd()]).unwrap(), 3);
        let mut room = [0; 8];
        let (bytes, fds) = recv_with_fds(&other, &mut room, 2).unwrap();
        assert_eq!(&room[..bytes], b"two");
        for fd in &fds {
            let flags = fcntl(fd, FcntlArg::F_GETFD).unwrap();
            assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        }
        assert_eq!(fds.into_iter().map(text).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(text(a.into()), "a", "the sender keeps his");
    }

    #[test]
    fn bytes_go_without_descriptors_but_not_the_other_way_round() {
        let (one, other) = UnixStream::pair().unwrap();
        assert!(send_with_fds(&one, b"", &[one.as_fd()]).is_err());
        send_with_fds(&one, b"plain", &[]).unwrap();
        let (bytes, fds) = recv_with_fds(&other, &mut [0; 8], 4).unwrap();
        assert_eq!((bytes, fds.len()), (5, 0));
        drop(one);
        assert_eq!(recv_with_fds(&other, &mut [0; 8], 4).unwrap().0, 0);
    }

    #[test]
    fn as_many_descriptors_as_the_kernel_passes_go_and_one_more_is_refused() {
        let (one, other) = UnixStream::pair().unwrap();
        let (fd, most) = (file("many"), PASSED_FDS_MAX);
        assert!(send_with_fds(&one, b"x", &vec![fd.as_fd(); most + 1]).is_err());
        send_with_fds(&one, b"x", &vec![fd.as_fd(); most]).unwrap();
        assert_eq!(recv_with_fds(&other, &mut [0; 8], most).unwrap().1.len(), most);
    }

    #[test]
    fn more_descriptors_than_are_wanted_are_an_error_and_closed() {
        let (one, other) = UnixStream::pair().unwrap();
        let (mut end, passed) = UnixStream::pair().unwrap();
        send_with_fds(&one, b"x", &[passed.as_fd(), passed.as_fd()]).unwrap();
        drop(passed);
        let error = recv_with_fds(&other, &mut [0; 8], 1).unwrap_err();
        assert!(error.to_string().contains("2 descriptors came, not 1"), "{error}");
        assert_eq!(end.read(&mut [0; 8]).unwrap(), 0, "no copy of it is left open");
    }
}
