//! Streams of a dataplane that a process at a port serves: what its suites of messages, files and ends do not
//! show.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ringway::attach::{Attachment, Message, Options as AttachOptions, StreamWord};
use ringway::control::Control;
use ringway::mem::ConnId;
use ringway::stream::{
    Address, Anyone, Callbacks, Cause, Channel, ChannelOptions, Client, Code, Error, Listener,
    Only, Options, Stream, Why,
};

use super::rig::{Pair, TYPE, identity, node, options, served, served_in_small};
use crate::common::{Server, Start, Watchdog, pattern};

const SHORT: Duration = Duration::from_millis(100);

/// A dataplane on which nobody serves yet.
struct Bed {
    server: Server,
    options: Options,
    _directory: tempfile::TempDir,
    _watchdog: Watchdog,
}

impl Bed {
    fn start(change: impl FnOnce(Start) -> Start) -> Self {
        Self::of(|directory| change(served("tcp", directory, &options())))
    }

    fn of(start: impl FnOnce(&Path) -> Start) -> Self {
        let watchdog = Watchdog::start();
        let directory = tempfile::tempdir().unwrap();
        let start = start(directory.path());
        let server = Server::run(start.builder().control(Control::new()));
        let control_socket = server.plane().control_socket().map(Path::to_owned);
        let options = Options { control_socket, ..options() };
        Self { server, options, _directory: directory, _watchdog: watchdog }
    }

    fn listen(&self) -> Listener {
        Listener::with(&app(), identity(2), Anyone, self.options.clone()).unwrap()
    }

    fn attach(&self) -> Attachment {
        let socket = self.options.control_socket.as_deref().unwrap();
        Attachment::connect(socket, "app", AttachOptions::default()).unwrap()
    }

    fn connect(&self) -> Result<Stream, Error> {
        let client = Client::new(identity(1), Anyone).options(self.options.clone());
        client.connect(&format!("tcp:{}", self.server.address(0)))
    }
}

fn app() -> Address {
    "port:app".parse().unwrap()
}

fn open(stream: &Stream) -> Channel {
    stream.open(TYPE, ChannelOptions::default()).unwrap()
}

/// Why a stream ended.
fn why(stream: &Stream) -> Why {
    stream.wait_for_end().unwrap();
    stream.end().unwrap().end().unwrap().why.clone()
}

/// The same of one that may have ended before it was had.
fn fate(outcome: Result<Stream, Error>) -> Why {
    match outcome {
        Ok(stream) => why(&stream),
        Err(error) => error.end().unwrap().why.clone(),
    }
}

/// Until a raw process hears of a session, and what it hears it with.
fn next_word(port: &mut Attachment) -> (ConnId, StreamWord) {
    loop {
        if let Some(message) = port.queues()[0].receive() {
            return (message.conn, message.stream_word().expect("a word of a stream"));
        }
        port.wait(Some(SHORT)).unwrap();
    }
}

#[test]
fn the_process_opens_channels_too_and_hears_who_does_not_want_them_d_4_d_5() {
    let pair = Pair::over("port tcp", &options());
    let ours = open(&pair.server);
    let theirs = pair.client.accept().unwrap();
    assert_eq!((ours.number(), theirs.channel_type()), (theirs.number(), TYPE));
    let refused = pair.server.open(0x77, ChannelOptions::default()).unwrap_err();
    assert_eq!(refused, Error::Refused(Code::Refused));
    ours.send("one").unwrap();
    assert_eq!(theirs.recv().unwrap().unwrap(), b"one");
    theirs.send("two").unwrap();
    assert_eq!(ours.recv().unwrap().unwrap(), b"two");
    ours.close();
    assert_eq!(theirs.recv().unwrap(), None);
    drop(theirs);
    assert_eq!(ours.recv().unwrap(), None);
    pair.end();
}

#[test]
fn more_channels_than_there_may_be_are_refused_one_after_the_last() {
    let bed = Bed::start(|start| start);
    let listener = bed.listen();
    let client = bed.connect().unwrap();
    let server = listener.accept().unwrap();
    let most = options().channels_max;
    let ours: Vec<_> = (0..most).map(|_| open(&server)).collect();
    let one_more = server.open(TYPE, ChannelOptions::default()).unwrap_err();
    assert_eq!(one_more, Error::Refused(Code::Limit));
    drop(ours);
    client.close().unwrap();
    bed.server.drain();
}

/// The messages of a channel that is filled up.
fn filling(n: u32) -> Vec<u8> {
    pattern(n.into(), 3000)
}

/// Sends on a channel that nobody receives from until it takes no more; how many messages that were.
fn fill(full: &Channel) -> u32 {
    let mut sent = 0;
    // What is under way settles.
    while full.send_timeout(filling(sent), SHORT).is_ok() {
        sent += 1;
    }
    assert!(sent < 1000, "somebody keeps what nobody has asked for");
    sent
}

/// Receives what [`fill`] has sent.
fn drain(unread: &Channel, sent: u32) {
    for n in 0..sent {
        assert!(unread.recv().unwrap().unwrap() == filling(n), "{n}");
    }
}

#[test]
fn a_program_that_does_not_receive_holds_its_peer_back_and_no_other_channel_d_21() {
    let pair = Pair::over("port tcp", &options());
    let (full, free) = (open(&pair.client), open(&pair.client));
    let (unread, echoes) = (pair.server.accept().unwrap(), pair.server.accept().unwrap());
    let sent = fill(&full);
    for _ in 0..100 {
        free.send("to and fro").unwrap();
        echoes.send(echoes.recv().unwrap().unwrap()).unwrap();
        assert_eq!(free.recv().unwrap().unwrap(), b"to and fro");
    }
    drain(&unread, sent);
    full.send("goes again").unwrap();
    assert_eq!(unread.recv().unwrap().unwrap(), b"goes again");
    pair.end();
}

#[test]
fn a_peer_that_does_not_receive_holds_the_process_back_on_that_channel_alone_d_21() {
    let pair = Pair::over("port tcp", &options());
    let (full, free) = (open(&pair.server), open(&pair.server));
    let (unread, heard) = (pair.client.accept().unwrap(), pair.client.accept().unwrap());
    let sent = fill(&full);
    for _ in 0..100 {
        free.send("hither").unwrap();
        assert_eq!(heard.recv().unwrap().unwrap(), b"hither");
    }
    drain(&unread, sent);
    pair.end();
}

#[test]
fn callbacks_of_a_served_stream_hear_and_answer_d_8() {
    let pair = Pair::over("port tcp", &options());
    let client = open(&pair.client);
    let server = std::sync::Arc::new(pair.server.accept().unwrap());
    let answers = server.clone();
    let callbacks = Callbacks::new().on_packet_in(move |bytes| {
        answers.try_send([bytes, b"!"].concat()).unwrap();
        bytes.len()
    });
    server.set_callbacks(callbacks);
    for n in 0..300 {
        client.send(format!("{n}")).unwrap();
        assert_eq!(client.recv().unwrap().unwrap(), format!("{n}!").into_bytes());
    }
    pair.end();
}

#[test]
fn new_keys_are_taken_when_the_process_asks_d_13() {
    let pair = Pair::over("port tcp", &options());
    let (client, server) = (open(&pair.client), pair.server.accept().unwrap());
    let epoch = || pair.client.channels().unwrap()[0].receive_epoch;
    assert_eq!(epoch(), 0);
    pair.server.rekey();
    while epoch() == 0 {
        server.send("under a key, old or new").unwrap();
        assert_eq!(client.recv().unwrap().unwrap(), b"under a key, old or new");
    }
    pair.end();
}

#[test]
fn either_end_aborts_and_the_other_hears_of_it_a_9() {
    let pair = Pair::over("port tcp", &options());
    pair.server.abort();
    assert!(matches!(why(&pair.client), Why::Connection(_)));
    assert_eq!(why(&pair.server), Why::Aborted);
    let client = pair.reach.connect();
    let server = pair.reach.listener.accept().unwrap();
    client.abort();
    assert_eq!(why(&client), Why::Aborted);
    assert!(server.accept().unwrap_err().is_final());
    drop((client, server));
    pair.reach.end();
}

#[test]
fn a_peer_that_the_process_does_not_trust_is_told_so_and_the_program_hears_who_it_was_d_12() {
    let bed = Bed::start(|start| start);
    let policy = Only(node(9));
    let listener = Listener::with(&app(), identity(2), policy, bed.options.clone()).unwrap();
    assert_eq!(fate(bed.connect()), Why::Cause(Cause::Closed(Code::Unauthorised)));
    let refused = listener.accept().unwrap_err().to_string();
    assert!(refused.contains(&node(1).to_string()), "{refused}");
    bed.server.drain();
}

#[test]
fn while_nobody_serves_peers_are_turned_away_and_the_next_process_serves_again_p_4() {
    let bed = Bed::start(|start| start);
    assert_eq!(fate(bed.connect()), Why::Cause(Cause::Closed(Code::Internal)));
    let mut port = bed.attach();
    let client = bed.connect().unwrap();
    assert!(matches!(next_word(&mut port).1, StreamWord::Connected { .. }));
    drop(port);
    assert_eq!(why(&client), Why::Cause(Cause::Closed(Code::Internal)), "its process has died");
    let listener = loop {
        match Listener::with(&app(), identity(2), Anyone, bed.options.clone()) {
            Ok(listener) => break listener,
            Err(error) => assert!(error.to_string().contains("is attached"), "{error}"),
        }
    };
    let client = bed.connect().unwrap();
    listener.accept().unwrap();
    drop((client, listener));
    bed.server.drain();
}

#[test]
fn peers_wait_for_a_process_where_they_may() {
    let bed = Bed::start(|start| start.limited("unattended = \"park\""));
    let client = bed.connect().unwrap();
    let channel = open(&client);
    // As much as there is credit for, and then it waits.
    let mut sent = 0u32;
    while channel.send_timeout(sent.to_le_bytes(), SHORT).is_ok() && sent < 500 {
        sent += 1;
    }
    let listener = bed.listen();
    let server = listener.accept().unwrap().accept().unwrap();
    for n in 0..sent {
        assert_eq!(server.recv().unwrap().unwrap(), n.to_le_bytes());
    }
    drop((server, client, listener));
    bed.server.drain();
}

#[test]
fn a_process_serves_the_streams_of_every_lcore() {
    let bed = Bed::start(|start| start.lcores(2));
    let listener = bed.listen();
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let client = bed.connect().unwrap();
            let server = listener.accept().unwrap();
            (open(&client), server.accept().unwrap(), client, server)
        })
        .collect();
    for (n, (there, here, ..)) in clients.iter().enumerate() {
        there.send(pattern(n as u64, 20_000)).unwrap();
        here.send(here.recv().unwrap().unwrap()).unwrap();
    }
    for (n, (there, ..)) in clients.iter().enumerate() {
        assert!(there.recv().unwrap().unwrap() == pattern(n as u64, 20_000));
    }
    drop((clients, listener));
    bed.server.drain();
}

#[test]
fn an_isolated_process_serves_streams_up_to_its_largest_message() {
    let bed = Bed::start(|start| start.limited("isolated = true"));
    let listener = bed.listen();
    let client = bed.connect().unwrap();
    let stream = listener.accept().unwrap();
    let (there, here) = (open(&client), stream.accept().unwrap());
    let most = here.message_bytes_max();
    assert_eq!(most, 16_384 - 40);
    for bytes in [0, 1, 2048, most - 1, most] {
        there.send(pattern(3, bytes)).unwrap();
        here.send(here.recv().unwrap().unwrap()).unwrap();
        assert!(there.recv().unwrap().unwrap() == pattern(3, bytes), "{bytes}");
    }
    // Compressed it is one packet, and comes to the process in pieces.
    for bytes in [most + 100, 1024 * 1024] {
        there.send(vec![7; bytes]).unwrap();
        assert!(here.recv().unwrap().unwrap() == vec![7; bytes], "{bytes}");
    }
    let too_large = Error::TooLarge { bytes: most + 1, bytes_max: most };
    assert_eq!(here.send(vec![0; most + 1]).unwrap_err(), too_large);
    drop((there, here, stream));
    client.close().unwrap();
    drop(listener);
    bed.server.drain();
}

#[test]
fn streams_end_with_their_dataplane_and_the_next_one_is_served_p_5() {
    let _watchdog = Watchdog::start();
    let directory = tempfile::tempdir().unwrap();
    let socket: PathBuf = directory.path().join("c.sock");
    let start = || {
        let tables = format!("[control]\nsocket = \"{}\"\n", socket.display());
        served("tcp", directory.path(), &options()).tables(&tables).start()
    };
    let first = start();
    let options = Options { control_socket: Some(socket.clone()), ..options() };
    let listener = Listener::with(&app(), identity(2), Anyone, options.clone()).unwrap();
    let client = Client::new(identity(1), Anyone).options(options);
    let _there = client.connect(&format!("tcp:{}", first.address(0))).unwrap();
    let here = listener.accept().unwrap();
    first.stop();
    assert!(matches!(why(&here), Why::Connection(_)));
    let second = start();
    let there = loop {
        let stream = client.connect(&format!("tcp:{}", second.address(0)));
        // It takes a moment until the process has found it.
        match listener.accept_timeout(SHORT) {
            Ok(_) => break stream.unwrap(),
            Err(error) => assert!(matches!(error, Error::TimedOut(_)), "{error}"),
        }
    };
    drop((there, listener));
    second.drain();
}

#[test]
fn a_listener_that_is_stopped_takes_nobody_more_and_those_it_has_go_on_d_1() {
    let pair = Pair::over("port tcp", &options());
    pair.reach.listener.stop();
    pair.reach.listener.stop();
    assert_eq!(fate(pair.reach.try_connect()), Why::Cause(Cause::Closed(Code::Refused)));
    let (there, here) = (open(&pair.client), pair.server.accept().unwrap());
    there.send("still there").unwrap();
    assert_eq!(here.recv().unwrap().unwrap(), b"still there");
    pair.end();
}

#[test]
fn a_port_that_is_not_there_or_is_for_peers_is_refused_with_what_helps() {
    let bed = Bed::start(|start| start.peer("feed", "echo"));
    let listen = |at: &str, options: &Options| {
        let outcome = Listener::with(&at.parse().unwrap(), identity(2), Anyone, options.clone());
        outcome.err().expect("nobody can listen there").to_string()
    };
    assert!(listen("port:nothing", &bed.options).contains("`nothing`"));
    assert!(listen("port:feed", &bed.options).contains("handler = \"port:NAME\""));
    let lost = Options { control_socket: None, ..options() };
    assert!(listen("port:app", &lost).contains("control_socket"));
    bed.server.drain();
}

/// What a hostile process says of a session that it has.
fn say(port: &mut Attachment, conn: ConnId, kind: u8, meta: u32) {
    let mut word = Message::marker(conn, kind);
    word.meta = meta;
    let queue = &mut port.queues()[0];
    queue.send(word);
    queue.flush();
}

#[test]
fn words_that_make_no_sense_harm_the_session_that_they_are_about_and_no_more_p_6() {
    use ringway::pipeline::chain::stream::{
        CONSUMED, GOODBYE, MESSAGE, OPEN_CHANNEL, SHUT_CHANNEL,
    };
    let bed = Bed::start(|start| start);
    let mut port = bed.attach();
    let client = bed.connect().unwrap();
    let (conn, _) = next_word(&mut port);
    // Channels that there are not, credit for what never came, bits that are the chain's own.
    for kind in [MESSAGE, SHUT_CHANNEL, CONSUMED] {
        for meta in [0, 1, 0xffff, 0xff_ffff, 0x4_0001, 0x5_0002] {
            say(&mut port, conn, kind, meta);
        }
    }
    say(&mut port, ConnId::new(0, 900, 77), GOODBYE, 0);
    say(&mut port, conn, OPEN_CHANNEL, u32::from(TYPE));
    let channel = client.accept().unwrap();
    say(&mut port, conn, SHUT_CHANNEL, channel.number().into());
    assert_eq!(channel.recv().unwrap(), None, "the session goes on");
    drop(client);
    drop(port);
    bed.server.drain();
}

#[test]
fn a_process_that_says_what_is_not_its_to_say_is_cut_off_p_6() {
    use ringway::pipeline::chain::stream::{CONNECTED, TRANSMIT};
    for kind in [CONNECTED, TRANSMIT, ringway::mem::kind::DATA, ringway::mem::kind::PAUSE] {
        let bed = Bed::start(|start| start);
        let mut port = bed.attach();
        let client = bed.connect().unwrap();
        let (conn, _) = next_word(&mut port);
        say(&mut port, conn, kind, 0);
        assert_eq!(why(&client), Why::Cause(Cause::Closed(Code::Internal)), "{kind}");
        while port.wait(Some(SHORT)).is_ok() {}
        drop(port);
        bed.server.drain();
    }
}

#[test]
fn files_go_both_ways_where_no_slot_is_larger_than_a_large_one() {
    use ringway::stream::file::{self, Store};
    let bed = Bed::of(|directory| served_in_small("tcp", directory, &options()));
    let there = tempfile::tempdir().unwrap();
    let (source, back) = (there.path().join("source"), there.path().join("back"));
    let content = pattern(9, 1_000_000);
    fs::write(&source, &content).unwrap();
    let listener = bed.listen();
    thread::scope(|scope| {
        scope.spawn(|| {
            let stream = listener.accept().unwrap();
            let store = Store::open(there.path()).unwrap();
            while let Ok(channel) = stream.accept() {
                store.serve(&stream, &channel, &mut |_| {}).unwrap();
            }
        });
        let client = bed.connect().unwrap();
        file::put(&client, &source, "file", &mut |_| {}).unwrap();
        file::get(&client, "file", &back, &mut |_| {}).unwrap();
        client.close().unwrap();
    });
    assert!(fs::read(back).unwrap() == content);
    drop(listener);
    bed.server.drain();
}

#[test]
fn a_file_that_is_put_through_a_port_goes_on_after_its_process_has_died() {
    use ringway::stream::file::{self, Store};
    let bed = Bed::start(|start| start);
    let there = tempfile::tempdir().unwrap();
    let path = there.path().join("source");
    let content = pattern(5, 4_000_000);
    fs::write(&path, &content).unwrap();
    let serve = |listener: &Listener, cut_at: u64| {
        let stream = listener.accept().unwrap();
        let channel = stream.accept().unwrap();
        let store = Store::open(there.path()).unwrap();
        let _ = store.serve(&stream, &channel, &mut |progress| {
            if progress.done >= cut_at {
                stream.abort();
            }
        });
    };
    let listener = bed.listen();
    thread::scope(|scope| {
        let serves = scope.spawn(|| serve(&listener, 1_000_000));
        let client = bed.connect().unwrap();
        assert!(file::put(&client, &path, "file", &mut |_| {}).is_err());
        serves.join().unwrap();
        let serves = scope.spawn(|| serve(&listener, u64::MAX));
        let client = bed.connect().unwrap();
        let progress = file::put(&client, &path, "file", &mut |_| {}).unwrap();
        assert!(progress.resumed > 0, "{progress:?}");
        client.close().unwrap();
        serves.join().unwrap();
    });
    assert!(fs::read(there.path().join("file")).unwrap() == content);
    drop(listener);
    bed.server.drain();
}
