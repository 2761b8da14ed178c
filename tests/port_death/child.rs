//! The process that is killed: this test's own executable, told by its environment what to do and where
//! to stop.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio, exit};
use std::time::Duration;
use std::{env, process};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringway::attach::{Attachment, Message, Options, Queue};
use ringway::mem::{Trust, kind};
use ringway::pipeline::chain::http1::HEAD;
use ringway::port::{Grant, Offer, Role};
use ringway::sys::passed_fds::recv_with_fds;

use crate::pipe;

/// Where it may be told to stop, in the order in which it gets there.
pub const STEPS: [&str; 12] = [
    "connected", // nothing was said
    "half",      // part of the line
    "asked",     // the line, and the answer was not read
    "answered",  // nothing is mapped
    "inherited", // a child holds the connection too
    "mapped",
    "allocated",
    "waiting", // asleep, or about to be
    "received",
    "sent",    // and nobody woken
    "dropped", // the request, and not given back
    "flushed", // a response that is not whole
];

/// A child, killed if its test fails.
pub struct Child {
    child: process::Child,
    lines: BufReader<ChildStdout>,
}

impl Child {
    /// One that attaches to `port`, and stops at `step`; or serves, where there is no such step.
    pub fn start(socket: &Path, port: &str, trust: Trust, step: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child::acts_as_it_is_told", "--nocapture"])
            .env("PORT_DEATH_SOCKET", socket)
            .env("PORT_DEATH_PORT", port)
            .env("PORT_DEATH_TRUST", trust.name())
            .env("PORT_DEATH_STEP", step)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Waits until it says so.
    pub fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while !line.ends_with(&format!("{word}\n")) {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended before `{word}`");
        }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits until it is no more.
    pub fn wait_for_death(&mut self) {
        self.child.wait().unwrap();
    }

    /// Waits for an end that was not by a signal.
    pub fn ended_well(mut self) {
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does nothing unless it is a child.
#[test]
fn acts_as_it_is_told() {
    let Ok(step) = env::var("PORT_DEATH_STEP") else { return };
    let told = Told {
        socket: env::var("PORT_DEATH_SOCKET").unwrap().into(),
        port: env::var("PORT_DEATH_PORT").unwrap(),
        trust: env::var("PORT_DEATH_TRUST").unwrap(),
        step,
    };
    told.act();
    say("gone");
    exit(0);
}

fn say(word: &str) {
    println!("at {word}");
    std::io::stdout().flush().unwrap();
}

struct Told {
    socket: PathBuf,
    port: String,
    trust: String,
    step: String,
}

impl Told {
    /// Stops here if it was told to, until its test ends.
    fn stop_at(&self, step: &str) {
        assert!(STEPS.contains(&step));
        if self.step == step {
            say(step);
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            exit(0);
        }
    }

    fn act(&self) {
        if STEPS[..5].contains(&&*self.step) {
            return self.ask();
        }
        let mut port = self.attach();
        say("attached");
        self.stop_at("mapped");
        if self.step == "allocated" {
            self.allocate(&mut port);
        }
        if port.grant().role == Role::Peer {
            return pipe::feed(&mut port);
        }
        if self.step == "waiting" {
            say("waiting");
        }
        while port.wait(Some(Duration::from_secs(50))).is_ok() {
            for queue in port.queues() {
                while let Some(message) = queue.receive() {
                    self.answer(queue, message);
                }
                queue.flush();
            }
        }
    }

    /// Attaches. One that was killed while it asked may have the port for a moment yet.
    fn attach(&self) -> Attachment {
        let options = Options { trust: Trust::named(&self.trust), ..Options::default() };
        loop {
            match Attachment::connect(&self.socket, &self.port, options) {
                Ok(port) => return port,
                Err(error) if error.to_string().contains("is attached to it") => {
                    std::thread::sleep(Duration::from_micros(100));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Attaches by hand.
    fn ask(&self) {
        let stream = UnixStream::connect(&self.socket).unwrap();
        self.stop_at("connected");
        (&stream).write_all(format!("attach {}", self.port).as_bytes()).unwrap();
        self.stop_at("half");
        (&stream).write_all(format!(" {}\n", self.trust).as_bytes()).unwrap();
        self.stop_at("asked");
        let mut line = [0; 256];
        let (bytes, fds) = recv_with_fds(&stream, &mut line, Offer::FDS_MAX).unwrap();
        let line = str::from_utf8(&line[..bytes]).unwrap();
        let offer = Offer::of_parts(Grant::of_line(line).unwrap(), fds).unwrap();
        self.stop_at("answered");
        // It ends when the dataplane ends the connection, and not before.
        let held = OwnedFd::from(stream.try_clone().unwrap());
        let mut heir = Command::new("cat").stdin(held).stdout(Stdio::null()).spawn().unwrap();
        self.stop_at("inherited");
        drop((offer, stream));
        heir.wait().unwrap();
    }

    fn allocate(&self, port: &mut Attachment) {
        let mut taken = Vec::new();
        while taken.is_empty() {
            for queue in port.queues() {
                while let Some(message) = queue.receive() {
                    taken.push(message);
                }
                taken.extend(queue.alloc(ringway::mem::ConnId::NONE, 1));
            }
        }
        self.stop_at("allocated");
    }

    fn answer(&self, queue: &mut Queue, message: Message) {
        match message.kind {
            HEAD => {}
            kind::DATA => return queue.send(message),
            kind::EOF => return queue.send(Message::marker(message.conn, kind::CLOSE)),
            _ => return,
        }
        self.stop_at("received");
        let fields = "X: y\r\n";
        if self.step == "flushed" {
            let mut begun = queue.alloc(message.conn, 20).expect("a slot");
            assert!(begun.append(fields.as_bytes()) && begun.append(b"begun"));
            begun.respond(&message, 200, fields.len(), false);
            queue.send(begun);
            queue.flush();
            self.stop_at("flushed");
        }
        queue.respond(&message, 200, fields, b"served");
        self.stop_at("sent");
        drop(message);
        self.stop_at("dropped");
    }
}
