//! Files over streams: whole, resumed, refused.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ringway::stream::file::{self, FileError, Progress, Store};
use ringway::stream::{Anyone, Channel, ChannelOptions, Client, Stream, channel_type};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::rig::{Reach, SCHEMES, features, identity, listener, options};
use crate::common::{Watchdog, pattern, uninterrupted, wait_until};

/// A stream whose other end serves files.
struct Files {
    client: Stream,
    /// What the other end keeps, and what this one has.
    there: TempDir,
    here: TempDir,
    serves: JoinHandle<()>,
    _watchdog: Watchdog,
}

impl Files {
    fn over(scheme: &str, options: &ringway::stream::Options) -> Self {
        Self::with(tempfile::tempdir().unwrap(), scheme, options)
    }

    fn with(there: TempDir, scheme: &str, options: &ringway::stream::Options) -> Self {
        let watchdog = Watchdog::start();
        let here = tempfile::tempdir().unwrap();
        let reach = Reach::over(scheme, here.path(), options);
        let client = reach.connect();
        let store = Store::open(there.path()).unwrap();
        let serves = thread::spawn(move || {
            serve(&store, &reach.listener.accept().unwrap());
            reach.end();
        });
        Self { client, there, here, serves, _watchdog: watchdog }
    }

    fn file(&self, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.here.path().join("file");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn put(&self, bytes: &[u8], name: &str) -> Result<Progress, FileError> {
        file::put(&self.client, &self.file(bytes), name, &mut |_| {})
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, FileError> {
        let path = self.here.path().join("got");
        file::get(&self.client, name, &path, &mut |_| {})?;
        Ok(fs::read(path).unwrap())
    }
}

fn serve(store: &Store, stream: &Stream) {
    thread::scope(|scope| {
        while let Ok(channel) = stream.accept() {
            scope.spawn(move || {
                let _ = store.serve(stream, &channel, &mut |_| {});
            });
        }
    });
}

/// Names in a directory, in order.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries.map(|entry| name(entry).into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_go_there_and_come_back_over_each_connection_and_with_all_features() {
    for scheme in SCHEMES {
        for (name, options) in features() {
            let files = Files::over(scheme, &options);
            for bytes in [0, 1, 64 * 1024, 700_001] {
                let content = pattern(bytes as u64, bytes);
                files.put(&content, "a/b/file").unwrap();
                assert!(fs::read(files.there.path().join("a/b/file")).unwrap() == content);
                assert!(files.get("a/b/file").unwrap() == content, "{scheme} {name} {bytes}");
            }
            assert_eq!(names(&files.there.path().join("a/b")), ["file"], "no part is left");
            files.client.close().unwrap();
            files.serves.join().unwrap();
        }
    }
}

#[test]
fn a_file_arrives_over_a_network_that_loses_datagrams() {
    let _watchdog = Watchdog::start();
    let there = tempfile::tempdir().unwrap();
    let listener = listener("udp", there.path(), &options());
    let ringway::stream::Address::Udp(to) = listener.address().clone() else { unreachable!() };
    let proxy = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = proxy.local_addr().unwrap();
    thread::spawn(move || lossy(&proxy, &to));
    let client = Client::new(identity(1), Anyone).options(options());
    let client = client.connect(&format!("udp:{at}")).unwrap();
    let store = Store::open(there.path()).unwrap();
    thread::spawn(move || serve(&store, &listener.accept().unwrap()));
    let content = pattern(1, 300_000);
    let path = there.path().join("source");
    fs::write(&path, &content).unwrap();
    file::put(&client, &path, "file", &mut |_| {}).unwrap();
    assert!(fs::read(there.path().join("file")).unwrap() == content);
    let back = there.path().join("back");
    file::get(&client, "file", &back, &mut |_| {}).unwrap();
    assert!(fs::read(back).unwrap() == content);
}

/// Relays between one peer and `to`, and loses every 50th datagram.
fn lossy(proxy: &UdpSocket, to: &str) {
    let to: std::net::SocketAddr = to.parse().unwrap();
    let (mut room, mut client, mut count) = ([0; 2000], None, 0u32);
    while let Ok((len, from)) = uninterrupted(|| proxy.recv_from(&mut room)) {
        if from != to {
            client = Some(from);
        }
        count += 1;
        let target = if from == to { client.unwrap() } else { to };
        if !count.is_multiple_of(50) {
            let _ = proxy.send_to(&room[..len], target);
        }
    }
}

#[test]
fn a_transfer_that_was_interrupted_goes_on_where_it_was_both_ways() {
    let content = pattern(7, 3_000_000);
    let there = tempfile::tempdir().unwrap();
    let files = Files::with(there, "tcp", &options());
    let path = files.file(&content);
    // The stream is cut in the middle.
    let cut = |progress: Progress| progress.done > 1_000_000;
    let client = &files.client;
    let cut_off = file::put(client, &path, "f", &mut |now| {
        if cut(now) {
            client.abort()
        }
    });
    assert!(matches!(cut_off, Err(FileError::Stream(_))), "{cut_off:?}");
    let Files { there, .. } = files;
    assert!(names(there.path()).contains(&"f.part".to_owned()));

    let files = Files::with(there, "tcp", &options());
    let done = files.put(&content, "f").unwrap();
    assert!(done.resumed >= 900_000 && done.done == 3_000_000, "{done:?}");
    assert!(fs::read(files.there.path().join("f")).unwrap() == content);

    let got = files.here.path().join("g");
    let client = &files.client;
    let cut_off = file::get(client, "f", &got, &mut |now| {
        if cut(now) {
            client.abort()
        }
    });
    assert!(cut_off.is_err());
    let Files { there, here, .. } = files;
    let files = Files::with(there, "unix", &options());
    let done = file::get(&files.client, "f", &here.path().join("g"), &mut |_| {}).unwrap();
    assert!(done.resumed >= 900_000, "{done:?}");
    assert!(fs::read(here.path().join("g")).unwrap() == content);
}

/// As where the sender before was killed, which over datagrams nobody tells.
#[test]
fn a_transfer_waits_for_the_one_before_of_the_same_file_to_end() {
    let _watchdog = Watchdog::start();
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let before = fs::File::create(there.path().join("f.part")).unwrap();
    before.lock().unwrap();
    let reach = Reach::over("udp", here.path(), &options());
    let client = reach.connect();
    let server = reach.listener.accept().unwrap();
    let (content, path) = (pattern(9, 100_000), here.path().join("file"));
    fs::write(&path, &content).unwrap();
    let store = Store::open(there.path()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| serve(&store, &server));
        let puts = scope.spawn(|| file::put(&client, &path, "f", &mut |_| {}));
        // It says once more what was taken, and not answered.
        let offers = |stream: &Stream| {
            let channels = stream.channels().unwrap();
            channels.iter().map(|channel| channel.statistics.received.packets).max()
        };
        wait_until(|| puts.is_finished() || offers(&server) > Some(2));
        drop(before);
        assert_eq!(puts.join().unwrap().unwrap().done, 100_000);
        client.close().unwrap();
    });
    assert!(fs::read(there.path().join("f")).unwrap() == content);
}

#[test]
fn names_that_lead_out_of_the_directory_are_refused_by_both_ends() {
    let files = Files::over("tcp", &options());
    std::os::unix::fs::symlink("/", files.there.path().join("root")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", files.there.path().join("passwd")).unwrap();
    for name in ["../x", "/etc/passwd", "a/../../x", "", "x\0y"] {
        assert!(matches!(files.put(b"x", name), Err(FileError::Name(_))), "{name:?}");
        // A peer that does not ask itself.
        let channel = files.client.open(channel_type::FILE, ChannelOptions::default()).unwrap();
        channel.send([&[2][..], &[0; 8], name.as_bytes()].concat()).unwrap();
        assert_eq!(channel.recv().unwrap().unwrap()[0], 8, "{name:?} is refused");
    }
    for name in ["root/etc/passwd", "passwd"] {
        assert!(matches!(files.get(name), Err(FileError::Peer(_))), "{name}");
    }
    assert!(matches!(files.put(b"x", "root/tmp/x"), Err(FileError::Peer(_))));
    files.put(b"x", "passwd").unwrap();
    assert!(fs::read("/etc/passwd").unwrap() != b"x", "the link was replaced, not followed");
}

#[test]
fn a_wrong_checksum_is_told_and_nothing_stays() {
    let files = Files::over("tcp", &options());
    let channel = files.client.open(channel_type::FILE, ChannelOptions::default()).unwrap();
    let put = |content: &[u8]| {
        let sum: [u8; 32] = Sha256::digest(content).into();
        let size = (content.len() as u64).to_le_bytes();
        [&[1][..], &size, &0o644u32.to_le_bytes(), &sum, b"f"].concat()
    };
    channel.send(put(b"right")).unwrap();
    assert_eq!(channel.recv().unwrap().unwrap()[0], 3);
    channel.send([&[5][..], &[0; 8], b"wrong"].concat()).unwrap();
    let fail = channel.recv().unwrap().unwrap();
    assert!(String::from_utf8_lossy(&fail).contains("checksum"));
    assert_eq!(names(files.there.path()), [""; 0]);
}

#[test]
fn several_files_go_over_one_stream_at_a_time() {
    let files = Arc::new(Files::over("tcp", &options()));
    let threads: Vec<_> = (0..4u64)
        .map(|number| {
            let files = files.clone();
            thread::spawn(move || {
                let path = files.here.path().join(format!("in{number}"));
                fs::write(&path, pattern(number, 500_000)).unwrap();
                file::put(&files.client, &path, &format!("{number}"), &mut |_| {}).unwrap();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(names(files.there.path()), ["0", "1", "2", "3"]);
}

#[test]
fn a_channel_of_files_on_which_something_else_is_said_is_closed() {
    let files = Files::over("tcp", &options());
    let open = || files.client.open(channel_type::FILE, ChannelOptions::default()).unwrap();
    let says = |channel: &Channel, bytes: &[u8]| channel.send(bytes).unwrap();
    let channel = open();
    says(&channel, b"\xff nonsense");
    assert_eq!(channel.recv().unwrap(), None);
}
