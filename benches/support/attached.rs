//! A process at a port: this program again. It is handed its port over a socket at its standard input,
//! and does there what that socket orders, a line each.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ringway::attach::{Attachment, Message, Queue};
use ringway::dataplane::{self, Dataplane};
use ringway::mem::{ConnId, Trust, kind};
use ringway::pipeline::chain::http1::HEAD;
use ringway::port::{Grant, Offer};
use ringway::sync::spin_loop;
use ringway::sys::passed_fds::{recv_with_fds, send_with_fds};

/// The first argument by which a bench is asked to be the attached process of another; the core follows.
pub const ATTACHED: &str = "attached";

/// Bytes of a message.
pub const MESSAGE_BYTES: usize = 64;

/// Messages that are sent at once where they go one way.
pub const BURST: usize = 32;

/// The connection that all messages are of where there is no dataplane.
pub const CONN: ConnId = ConnId::new(0, 1, 1);

/// Looks for something to do after which it is asked whether there will ever be.
const PATIENCE: u64 = 1 << 20;

/// How an application waits for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// By looking all the time: it has a core of its own.
    Spin,
    /// By looking, and letting others run in between.
    Yield,
    /// Asleep, as soon as there is nothing.
    Sleep,
}

impl Waiting {
    const ALL: [Self; 3] = [Self::Spin, Self::Yield, Self::Sleep];

    /// Its name in orders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Yield => "yield",
            Self::Sleep => "sleep",
        }
    }
}

/// The process, as the one that started it has it. It ends when this is dropped.
pub struct Process {
    child: Child,
    orders: UnixStream,
}

impl Process {
    /// Starts one on a core.
    pub fn start(cpu: u32) -> Self {
        let (orders, theirs) = UnixStream::pair().expect("a pair of sockets");
        let program = std::env::current_exe().expect("our own path");
        let mut command = Command::new(program);
        command.args([ATTACHED, &cpu.to_string()]).stdin(Stdio::from(OwnedFd::from(theirs)));
        Self { child: command.spawn().expect("this program"), orders }
    }

    /// Starts one at the port `app` of a dataplane.
    pub fn attach(plane: &Dataplane, trust: Trust, cpu: u32) -> (Self, dataplane::Attachment) {
        let process = Self::start(cpu);
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let (pid, ports) = (process.child.id() as i32, plane.ports());
        let (offer, kept) = ports.attach("app", Some(trust), pid, ours).expect("a port");
        process.hand_over(&offer, theirs);
        (process, kept)
    }

    /// Gives it a port, and waits until it has it.
    pub fn hand_over(&self, offer: &Offer, lifeline: UnixStream) {
        let line = format!("{}\n", offer.grant.to_line());
        let mut fds = offer.fds();
        fds.push(lifeline.as_fd());
        let sent = send_with_fds(&self.orders, line.as_bytes(), &fds).expect("sent");
        assert_eq!(sent, line.len());
        (&self.orders).read_exact(&mut [0]).expect("it attaches");
    }

    /// `echo`, `ends` (the same, and look at the end of each), `take` or `give` so many messages; `serve`
    /// with a way to wait.
    pub fn order(&self, what: &str, how: impl std::fmt::Display) {
        (&self.orders).write_all(format!("{what} {how}\n").as_bytes()).expect("it lives");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the attached process, on core `cpu`, until there is nobody to order anything.
pub fn run(cpu: &str) {
    super::pin(cpu.parse().expect("the number of a core"));
    let orders = std::io::stdin().as_fd().try_clone_to_owned().expect("a descriptor");
    let orders = UnixStream::from(orders);
    let mut port = accept(&orders);
    (&orders).write_all(b"\n").expect("told");
    for order in BufReader::new(orders).lines() {
        let order = order.expect("a line");
        let (what, how) = order.split_once(' ').expect("two words");
        let count = how.parse().unwrap_or(0);
        match what {
            "echo" => exchange(&mut port, count, |queue| echo(queue, look)),
            "ends" => exchange(&mut port, count, |queue| echo(queue, look_at_ends)),
            "take" => exchange(&mut port, count, take),
            "give" => {
                let mut left = count;
                exchange(&mut port, count, |queue| {
                    let given = give(queue, left);
                    left -= given;
                    given
                });
            }
            "serve" => {
                let named = |waiting: &Waiting| waiting.name() == how;
                serve(&mut port, Waiting::ALL.into_iter().find(named).expect("a way to wait"));
            }
            _ => panic!("`{order}` is no order"),
        }
    }
}

fn accept(orders: &UnixStream) -> Attachment {
    let mut line = [0; 1024];
    let (bytes, mut fds) =
        recv_with_fds(orders, &mut line, Offer::FDS_MAX + 1).expect("a port is handed over");
    let line = std::str::from_utf8(&line[..bytes]).expect("text");
    let lifeline = UnixStream::from(fds.pop().expect("the lifeline is the last"));
    let offer = Offer::of_parts(Grant::of_line(line).expect("a grant"), fds).expect("an offer");
    Attachment::accept(offer, lifeline).expect("a port")
}

/// Takes steps, each of some messages, until there were `count`, or the other side has ended.
fn exchange(port: &mut Attachment, count: u64, mut step: impl FnMut(&mut Queue) -> u64) {
    let (mut left, mut looks) = (count, 0);
    while left > 0 {
        let done = step(&mut port.queues()[0]);
        left -= done;
        looks += 1;
        if done == 0 {
            spin_loop();
        }
        if looks % PATIENCE == 0 && !port.is_alive() {
            return;
        }
    }
}

/// Looks at the first bytes of a message.
pub fn look(bytes: &[u8]) {
    let mut copy = [0; MESSAGE_BYTES];
    copy.copy_from_slice(&bytes[..MESSAGE_BYTES]);
    std::hint::black_box(&copy);
}

/// Looks at the first and at the last bytes.
fn look_at_ends(bytes: &[u8]) {
    look(bytes);
    look(&bytes[bytes.len() - MESSAGE_BYTES..]);
}

/// Sends messages back in the slots that they came in.
fn echo(queue: &mut Queue, look: impl Fn(&[u8])) -> u64 {
    let mut done = 0;
    while let Some(message) = queue.receive() {
        look(message.bytes());
        queue.send(message);
        done += 1;
    }
    if done > 0 {
        queue.flush();
    }
    done
}

/// Gives the slots of messages back.
fn take(queue: &mut Queue) -> u64 {
    let mut done = 0;
    while done < BURST as u64
        && let Some(message) = queue.receive()
    {
        look(message.bytes());
        done += 1;
    }
    if done > 0 {
        queue.flush();
    }
    done
}

/// Sends messages as long as there are slots.
fn give(queue: &mut Queue, left: u64) -> u64 {
    let mut done = 0;
    // Supplies and credits; nothing else comes.
    while queue.receive().is_some() {}
    while done < left.min(BURST as u64)
        && let Some(mut message) = queue.alloc(CONN, MESSAGE_BYTES)
    {
        assert!(message.append(&[7; MESSAGE_BYTES]), "a slot holds a message");
        queue.send(message);
        done += 1;
    }
    if done > 0 {
        queue.flush();
    }
    done
}

/// Answers connections and requests until the dataplane ends.
fn serve(port: &mut Attachment, waiting: Waiting) {
    let mut looks = 0;
    loop {
        let mut answered = false;
        for queue in port.queues() {
            while let Some(message) = queue.receive() {
                answer(queue, message);
                answered = true;
            }
            queue.flush();
        }
        looks += 1;
        match waiting {
            _ if answered => {}
            Waiting::Spin => spin_loop(),
            Waiting::Yield => std::thread::yield_now(),
            Waiting::Sleep => sleep(port),
        }
        let ask = !answered && (waiting == Waiting::Sleep || looks % PATIENCE == 0);
        if ask && !port.is_alive() {
            return;
        }
    }
}

fn answer(queue: &mut Queue, message: Message) {
    match message.kind {
        kind::DATA => queue.send(message),
        kind::EOF => queue.send(Message::marker(message.conn, kind::CLOSE)),
        HEAD => {
            let fields = "Content-Type: text/plain\r\n";
            queue.respond(&message, 200, fields, b"Hello World!");
        }
        _ => {}
    }
}

fn sleep(port: &Attachment) {
    if port.prepare_sleep() {
        let mut fds = [
            PollFd::new(port.as_fd(), PollFlags::POLLIN),
            PollFd::new(port.lifeline(), PollFlags::POLLIN),
        ];
        // An interrupted sleep is a short one.
        let _ = poll(&mut fds, PollTimeout::NONE);
    }
    port.awake();
}

/// The core of an application beside an lcore on core 0 and a client on core 1: where there are only
/// two, the client's.
pub fn core() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores > 2 { 2 } else { 1 }
}

/// Says where everybody runs.
pub fn placed(cpu: u32, waiting: Waiting) -> String {
    let shares = if cpu == 1 { ", **which they share**" } else { "" };
    let how = match waiting {
        Waiting::Spin => "spins",
        Waiting::Yield => "looks and yields",
        Waiting::Sleep => "sleeps as soon as there is nothing",
    };
    format!("lcore on core 0, client on core 1, application on core {cpu}{shares}; it {how}")
}
