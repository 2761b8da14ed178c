//! One message to thousands of WebSockets over loopback: a publish to a group, beside a loop of send(2) over as many
//! connections, and beside sends of a hand-written io_uring. Both sides have a process of their own with its
//! connections, take turns on one core, and are timed until the last byte was taken by a socket.
//!
//! `cargo bench --bench broadcast -- [CONNECTIONS [ROUNDS]]`

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use io_uring::{IoUring, opcode, types};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{MsgFlags, send};
use ringway::counters::Counter;
use ringway::dataplane::Tuning;
use ringway::handler::Http;
use ringway::handler::websocket::{Out, Service, WebSockets};
use ringway::lcore::Lcore;
use ringway::limits::{LARGE_SLOTS, SMALL_SLOTS};
use ringway::mem::{Buf, ConnId, mask};
use ringway::pipeline::chain::websocket::{MessageMeta, Settings};
use ringway::pipeline::chain::{self, http1};
use ringway::pipeline::write::{Group, Message};
use ringway::pipeline::{Cx, Handler, Pipeline};
use ringway::proto::websocket::Config;
use ringway::sys::affinity;

/// Bytes of the messages.
const SIZES: [usize; 3] = [64, 1000, 15_000];

/// Descriptors of a process that are no connection's.
const OTHERS: u64 = 200;

/// Sends that the hand-written ring submits at a time.
const BATCH: usize = 256;

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// What one round took.
#[derive(Debug, Clone, Copy)]
struct Took {
    wall_us: f64,
    cpu_us: f64,
}

/// All who come are members.
struct Room(Group);

impl Service for Room {
    fn opened(&mut self, cx: &mut Cx, conn: ConnId, _out: &mut Out<'_>) {
        assert!(self.0.join(cx, conn));
    }

    fn message(&mut self, _: &mut Cx, _: Buf, _: MessageMeta, _: &mut Out<'_>) {}
}

fn room(group: Group) -> impl FnOnce(u32) -> (Pipeline, Box<dyn Handler>) {
    |slots| {
        let http = http1::Settings::for_slots(SMALL_SLOTS, LARGE_SLOTS);
        let websocket = Config { ping_interval_ns: 0, ..Config::new(mask) };
        let settings = Settings { http, websocket };
        let chain = Pipeline::WebSocket(Box::new(chain::WebSocket::new(slots, settings)));
        (chain, Box::new(Http::new(slots, WebSockets::new(Room(group)))))
    }
}

/// Times `run`, which this thread does all of.
fn timed(run: impl FnOnce()) -> Took {
    // In nanoseconds, where getrusage(2) may count in ticks.
    let cpu = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
        let ns = text.split(' ').next().and_then(|ns| ns.parse().ok());
        Duration::from_nanos(ns.expect("nanoseconds on a CPU"))
    };
    let (start, before) = (Instant::now(), cpu());
    run();
    let (wall, cpu) = (start.elapsed(), cpu() - before);
    Took { wall_us: wall.as_secs_f64() * 1e6, cpu_us: cpu.as_secs_f64() * 1e6 }
}

/// A message of a server as it goes over the wire.
fn frame(bytes: usize) -> Vec<u8> {
    let pool = ringway::mem::Mempool::small(1).expect("a pool");
    Message::Binary(&vec![b'.'; bytes]).encode(&pool).expect("a slot").to_vec()
}

/// Takes what came, all of it, from each.
fn drain(peers: &mut [TcpStream], bytes: usize) {
    let mut room = vec![0; bytes];
    for peer in peers {
        peer.read_exact(&mut room).expect("what was sent");
    }
}

/// The group's side, turned by hand.
struct Ours {
    lcore: Lcore,
    counters: ringway::counters::Counters,
    group: Group,
    peers: Vec<TcpStream>,
}

impl Ours {
    fn new(connections: usize) -> Self {
        let group = Group::new();
        let slots = connections as u32 + 16;
        let (mut lcore, address, counters) =
            support::lcore_of(slots, Tuning::default(), room(group.clone()));
        let mut peers = Vec::new();
        for _ in 0..connections {
            let mut peer = TcpStream::connect(address).expect("a connection");
            peer.write_all(REQUEST).expect("a request");
            peer.set_nonblocking(true).expect("a socket");
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                lcore.poll_once(usize::MAX);
                let mut room = [0; 1024];
                match peer.read(&mut room) {
                    Ok(len) => answer.extend(&room[..len]),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    Err(e) => panic!("{e}"),
                }
            }
            peer.set_nonblocking(false).expect("a socket");
            peers.push(peer);
        }
        while group.len() < connections {
            lcore.poll_once(usize::MAX);
        }
        Self { lcore, counters, group, peers }
    }

    fn publish(&mut self, bytes: usize) -> Took {
        let payload = vec![b'.'; bytes];
        let all = (self.peers.len() * frame(bytes).len()) as u64;
        let end = self.counters.get(Counter::TxBytes) + all;
        let took = timed(|| {
            self.group.publish(Message::Binary(&payload), &[]).expect("room");
            while self.counters.get(Counter::TxBytes) < end {
                self.lcore.poll_once(usize::MAX);
            }
        });
        drain(&mut self.peers, frame(bytes).len());
        took
    }
}

/// The other side: sockets, and what is known of sending to them.
struct ByHand {
    sockets: Vec<TcpStream>,
    peers: Vec<TcpStream>,
    ring: IoUring,
}

impl ByHand {
    fn new(connections: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let (mut sockets, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..connections {
            peers.push(TcpStream::connect(address).expect("a connection"));
            let (socket, _) = listener.accept().expect("a connection");
            socket.set_nodelay(true).expect("a socket");
            sockets.push(socket);
        }
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_cqsize(4 * BATCH as u32);
        let ring = builder.build(BATCH as u32).expect("an io_uring");
        let fds: Vec<_> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        ring.submitter().register_files(&fds).expect("a file table");
        Self { sockets, peers, ring }
    }

    fn send(&mut self, bytes: usize) -> Took {
        let frame = frame(bytes);
        let took = timed(|| {
            for socket in &self.sockets {
                let sent = send(socket.as_raw_fd(), &frame, MsgFlags::MSG_NOSIGNAL);
                assert_eq!(sent, Ok(frame.len()));
            }
        });
        drain(&mut self.peers, frame.len());
        took
    }

    fn submit(&mut self, bytes: usize) -> Took {
        let frame = frame(bytes);
        let (ring, count) = (&mut self.ring, self.sockets.len());
        let took = timed(|| {
            let mut slot = 0;
            while slot < count {
                let end = count.min(slot + BATCH);
                for slot in slot..end {
                    let fd = types::Fixed(slot as u32);
                    let send = opcode::Send::new(fd, frame.as_ptr(), frame.len() as u32).build();
                    // SAFETY: the frame outlives the sends: all are waited for below.
                    unsafe { ring.submission().push(&send) }.expect("room");
                }
                ring.submit_and_wait(end - slot).expect("io_uring_enter");
                for cqe in ring.completion() {
                    assert_eq!(cqe.result(), frame.len() as i32);
                    slot += 1;
                }
            }
        });
        drain(&mut self.peers, frame.len());
        took
    }
}

/// What a side does: how, and with how many bytes.
type Run = Box<dyn FnMut(&str, usize) -> Took>;

/// One side, which does what it reads and says what it took.
fn serve(side: &str, connections: usize) {
    let cpu = affinity::allowed().expect("cpus")[0];
    affinity::pin(&[cpu]).expect("a core");
    let mut run: Run = match side {
        "ours" => {
            let mut ours = Ours::new(connections);
            Box::new(move |_, bytes| ours.publish(bytes))
        }
        _ => {
            let mut hand = ByHand::new(connections);
            Box::new(move |how, bytes| match how {
                "send" => hand.send(bytes),
                _ => hand.submit(bytes),
            })
        }
    };
    println!("ready {}", resident_kib());
    for line in std::io::stdin().lines() {
        let line = line.expect("a line");
        let (how, bytes) = line.split_once(' ').expect("how, and how much");
        let took = run(how, bytes.parse().expect("bytes"));
        println!("{} {} {}", took.wall_us, took.cpu_us, resident_kib());
    }
}

/// Memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A side in its process.
struct Side {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    resident_kib: u64,
}

impl Side {
    fn start(side: &str, connections: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["side", side, &connections.to_string()]);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let (to, from) = (process.stdin.take().expect("a pipe"), process.stdout.take());
        let mut side =
            Self { process, to, from: BufReader::new(from.expect("a pipe")), resident_kib: 0 };
        side.resident_kib = side.line()[1].parse().expect("memory");
        side
    }

    fn line(&mut self) -> Vec<String> {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("a line");
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn round(&mut self, how: &str, bytes: usize) -> Took {
        writeln!(self.to, "{how} {bytes}").expect("a pipe");
        let line = self.line();
        let number = |n: usize| line[n].parse::<f64>().expect("a number");
        self.resident_kib = number(2) as u64;
        Took { wall_us: number(0), cpu_us: number(1) }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The tenth, the middle and the ninetieth of a hundred.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 5, 9].map(|tenth| values[(values.len() - 1) * tenth / 10])
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [word, side, connections] = &*arguments
        && word == "side"
    {
        raise_limit();
        return serve(side, connections.parse().expect("a number"));
    }
    let number = |index: usize, otherwise: usize| {
        arguments.get(index).map_or(otherwise, |n| n.parse().expect("a number"))
    };
    let fits = (raise_limit() - OTHERS) as usize / 2;
    let (connections, rounds) = (number(0, 10_000).min(fits), number(1, 41));
    let (mut ours, mut hand) = (Side::start("ours", connections), Side::start("hand", connections));
    let before = [ours.resident_kib, hand.resident_kib];
    println!("{connections} connections, {rounds} rounds; p10 / median / p90\n");
    println!("| message | | wall, us | CPU, ns a member | CPU: publish / this |");
    println!("|---|---|---|---|---|");
    for bytes in SIZES {
        let mut took: [Vec<Took>; 3] = Default::default();
        for _ in 0..rounds + 2 {
            took[0].push(ours.round("publish", bytes));
            took[1].push(hand.round("send", bytes));
            took[2].push(hand.round("submit", bytes));
        }
        took.iter_mut().for_each(|rounds| drop(rounds.drain(..2)));
        for (index, name) in ["publish", "send(2) by hand", "io_uring by hand"].iter().enumerate() {
            let [w10, w50, w90] = spread(took[index].iter().map(|took| took.wall_us));
            let each = connections as f64 / 1000.0;
            let [c10, c50, c90] = spread(took[index].iter().map(|took| took.cpu_us / each));
            let pairs = took[0].iter().zip(&took[index]).map(|(ours, it)| ours.cpu_us / it.cpu_us);
            let [r10, r50, r90] = spread(pairs);
            println!(
                "| {bytes} B | {name} | {w10:.0} / {w50:.0} / {w90:.0} | {c10:.0} / {c50:.0} / {c90:.0} | {r10:.2} / {r50:.2} / {r90:.2} |"
            );
        }
    }
    println!(
        "\nResident, KiB: ours {} + {}, by hand {} + {}",
        before[0],
        ours.resident_kib as i64 - before[0] as i64,
        before[1],
        hand.resident_kib as i64 - before[1] as i64
    );
}

/// As many descriptors as this process may have.
fn raise_limit() -> u64 {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("the limit that may be had");
    hard
}
