use std::os::unix::net::UnixDatagram;
use std::sync::Barrier;

use super::*;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A file whose server is gone.
fn stale(path: &Path) {
    drop(StdListener::bind(path).unwrap());
}

fn reaches(listener: &UnixListener) -> bool {
    UnixStream::connect(listener.path()).is_ok() && listener.accept().is_ok()
}

fn refused(path: &Path) -> Error {
    UnixListener::bind(path, 0o666).unwrap_err()
}

#[test]
fn i2_a_stale_socket_is_replaced_and_the_file_goes_with_its_server() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    stale(&path);
    let listener = UnixListener::bind(&path, 0o600).unwrap();
    assert_eq!(listener.path(), path);
    assert!(listener.is_still_there() && reaches(&listener));
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left there");
    drop(listener);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn i2_what_a_start_that_was_stopped_left_behind_does_no_harm() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    stale(&path);
    stale(&directory.path().join("a.sock.new"));
    let listener = UnixListener::bind(&path, 0o666).unwrap();
    assert!(reaches(&listener));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn i2_the_mode_is_what_was_asked_for_whatever_the_umask_says() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    for (mode, replaces) in [(0o666, false), (0o600, true), (0o777, false), (0o666, true)] {
        if replaces {
            stale(&path);
        }
        let _listener = UnixListener::bind(&path, mode).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
    }
}

#[test]
fn i2_the_path_of_a_server_that_lives_is_not_stolen() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let listener = UnixListener::bind(&path, 0o666).unwrap();
    let error = refused(&path);
    assert!(error.why().contains("listens there already"), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(listener.accept().is_ok(), "the question itself");
    assert!(listener.is_still_there() && reaches(&listener));
    let path = directory.path().join("datagrams");
    let _other = UnixDatagram::bind(&path).unwrap();
    assert!(refused(&path).why().contains("listens there already"));
}

#[test]
fn i2_a_server_whose_backlog_is_full_lives() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let socket = open().unwrap();
    bind(socket.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    listen(&socket, Backlog::new(0).unwrap()).unwrap();
    let _waits = UnixStream::connect(&path).unwrap();
    assert!(refused(&path).why().contains("listens there already"));
}

#[test]
fn i9_of_many_that_start_at_once_over_a_stale_file_one_has_the_path() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    for _ in 0..20 {
        stale(&path);
        let (start, end) = (Barrier::new(8), Barrier::new(8));
        let begin = || {
            start.wait();
            let listener = UnixListener::bind(&path, 0o666);
            end.wait();
            listener.inspect(|listener| assert!(listener.is_still_there())).is_ok()
        };
        let won = thread::scope(|scope| {
            let starters: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
            starters.into_iter().map(|starter| starter.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(won, 1);
        assert!(!path.exists());
    }
}

#[test]
fn who_finds_the_directory_locked_waits_and_then_says_so() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let listener = UnixListener::bind(&path, 0o666).unwrap();
    let other = File::open(directory.path()).unwrap();
    other.lock().unwrap();
    drop(listener);
    assert!(path.exists(), "nobody looks at a file that somebody may be replacing");
    assert!(refused(&path).why().contains("holds a lock"));
    drop(other);
    UnixListener::bind(&path, 0o666).unwrap();
}

#[test]
fn what_is_no_socket_stays_where_it_is() {
    let directory = directory();
    let path = directory.path().join("file");
    fs::write(&path, "precious").unwrap();
    assert!(refused(&path).why().contains("no socket"));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let (link, target) = (directory.path().join("link"), directory.path().join("target"));
    stale(&target);
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(refused(&link).why().contains("no socket"));
    assert!(refused(directory.path()).why().contains("no socket"));
}

#[test]
fn a_path_of_107_bytes_is_taken_and_one_of_108_is_refused() {
    let directory = directory();
    let start = directory.path().as_os_str().len() + 1;
    let longest = directory.path().join("a".repeat(UNIX_PATH_BYTES_MAX - start));
    for replaces in [false, true] {
        if replaces {
            stale(&longest);
        }
        let listener = UnixListener::bind(&longest, 0o666).unwrap();
        assert!(listener.is_still_there() && reaches(&listener));
    }
    let error = refused(&directory.path().join("a".repeat(UNIX_PATH_BYTES_MAX + 1 - start)));
    assert!(error.why().contains("108 bytes") && error.why().contains("107"), "{error}");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let error = refused(Path::new("/no/such/directory/a.sock"));
    assert!(error.why().contains("/no/such/directory"), "{error}");
    assert!(error.remedy().contains("make the directory"), "{error}");
}

#[test]
fn i7_a_file_that_was_deleted_or_replaced_is_noticed_and_made_again() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let first = UnixListener::bind(&path, 0o666).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(!first.is_still_there());
    let second = UnixListener::bind(&path, 0o666).unwrap();
    assert!(!first.is_still_there() && second.is_still_there());
    drop(first);
    assert!(second.is_still_there(), "the file of another is left alone");
    assert!(reaches(&second));
}

#[test]
fn an_abstract_name_has_no_file_and_one_server() {
    let name = format!("@ringway-test-{}", std::process::id());
    let listener = UnixListener::bind(Path::new(&name), 0).unwrap();
    assert!(listener.is_still_there() && listener.path() == Path::new(&name));
    let peer = open().unwrap();
    connect(peer.as_raw_fd(), &UnixAddr::new_abstract(&name.as_bytes()[1..]).unwrap()).unwrap();
    assert!(listener.accept().is_ok());
    assert!(refused(Path::new(&name)).why().contains("listens there already"));
    drop(listener);
    UnixListener::bind(Path::new(&name), 0).unwrap();
}

#[test]
fn one_that_takes_a_place_is_found_from_then_on_and_the_others_end_leaves_its_file() {
    for name in ["a.sock", &"l".repeat(90)] {
        let directory = directory();
        let path = directory.path().join(name);
        let old = UnixListener::bind(&path, 0o600).unwrap();
        let staged = UnixListener::stage(&path, 0o640).unwrap();
        assert!(old.is_still_there() && reaches(&old), "nobody finds the next one yet");
        let before = UnixStream::connect(&path).unwrap();
        let next = staged.take_place().unwrap();
        assert!(!old.is_still_there() && next.is_still_there() && reaches(&next));
        assert!(old.accept().is_ok(), "who came before is the old one's");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        drop((old, before));
        assert!(next.is_still_there());
        drop(next);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
    }
}

#[test]
fn one_that_does_not_take_the_place_leaves_nothing() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let old = UnixListener::bind(&path, 0o600).unwrap();
    // What was left by one that was stopped there is replaced.
    std::mem::forget(UnixListener::stage(&path, 0o600).unwrap());
    drop(UnixListener::stage(&path, 0o600).unwrap());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert!(reaches(&old));
    let why = UnixListener::stage(Path::new("@name"), 0).unwrap_err().to_string();
    assert!(why.contains("abstract name"), "{why}");
}

#[test]
fn a_socket_that_two_have_keeps_its_file_until_the_one_ends_whose_it_is() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let old = UnixListener::bind(&path, 0o600).unwrap();
    let fd = old.as_fd().try_clone_to_owned().unwrap();
    let next = UnixListener::of_fd(fd, path.clone(), old.file_id());
    assert!(next.is_still_there());
    let other = old.as_fd().try_clone_to_owned().unwrap();
    drop(UnixListener::of_fd(other, path.clone(), old.file_id()));
    assert!(old.is_still_there(), "one that comes to nothing takes nothing along");
    old.leave_file();
    drop(old);
    assert!(next.is_still_there() && reaches(&next));
    next.keep_file();
    drop(next);
    assert!(!path.exists());
}
