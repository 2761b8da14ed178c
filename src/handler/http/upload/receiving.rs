//! One request whose body is coming, on the lcore: what of it waits for the disk.

use std::sync::Arc;

use super::Site;
use super::part::Target;
use super::sink::{Fail, Op, Sink, Stored};
use crate::limits::{FILES_NAME_BYTES_MAX, UPLOAD_BUFS_MAX};
use crate::mem::{Buf, ConnId};
use crate::offload::{CancelToken, Failed, Order, Task};
use crate::pipeline::Cx;
use crate::proto::files::{FormDecoder, FormEvent, FormFault, form_file_name};

/// Bufs that may wait while the pool is short of such slots.
const BUFS_SCARCE: usize = 2;

/// A request whose body is coming.
pub(super) struct Receiving {
    form: Option<Form>,
    /// What is to be done, in order.
    queue: Vec<Op>,
    /// Bufs among it.
    bufs: usize,
    work: Work,
    /// The whole body is here, and the work under way is the last.
    is_last: bool,
    /// Bytes of the file that is coming.
    bytes: u64,
    bytes_max: u64,
}

/// A form, and where its files go.
struct Form {
    decoder: FormDecoder,
    directory: String,
    /// The part that is coming is a file.
    in_file: bool,
}

enum Work {
    /// Nothing is being done.
    Idle(Box<Sink>),
    /// What the pool had no room for.
    Blocked(Job),
    Running(Task<Done>),
    /// It came to its end, or failed, and that was told.
    Over,
}

type Job = Box<dyn FnOnce(&CancelToken) -> Done + Send + Sync>;

/// What comes back from the pool: the sink, and the list to be used again.
type Done = (Box<Sink>, Vec<Op>, Result<(), Fail>);

/// What came of the work.
pub(super) enum Ran {
    Whole(Vec<Stored>),
    Part(u64),
    Failed(Fail),
}

/// What came of a part of the body.
pub(super) enum Taken {
    More,
    /// It was the last, and the work for it is under way.
    Last,
    /// The disk is slower: again when the connection is woken.
    Wait,
    /// The pool of threads is full: again in the next pass.
    Busy,
    Failed(Fail),
}

impl Receiving {
    fn new(site: &Arc<Site>, form: Option<Form>, queue: Vec<Op>) -> Self {
        let work = Work::Idle(Box::new(Sink::new(site)));
        let bytes_max = site.bytes_max;
        Self { form, queue, bufs: 0, work, is_last: false, bytes: 0, bytes_max }
    }

    /// A PUT.
    pub fn put(site: &Arc<Site>, target: Target) -> Self {
        Self::new(site, None, vec![Op::Begin(Box::new(target))])
    }

    /// A form to a directory.
    pub fn form(site: &Arc<Site>, decoder: FormDecoder, directory: &str) -> Self {
        let form = Form { decoder, directory: directory.to_owned(), in_file: false };
        Self::new(site, Some(form), Vec::new())
    }

    pub fn is_form(&self) -> bool {
        self.form.is_some()
    }

    /// Has done what waits, unless something is being done; behind the last part nothing may wait, and its end is still
    /// to be told. `false`: the pool is full.
    pub fn start(&mut self, cx: &mut Cx, conn: ConnId) -> bool {
        let job: Job = match std::mem::replace(&mut self.work, Work::Over) {
            Work::Blocked(job) => job,
            Work::Idle(mut sink) if self.is_last || !self.queue.is_empty() => {
                let mut ops = std::mem::take(&mut self.queue);
                self.bufs = 0;
                Box::new(move |cancel| {
                    let result = sink.run(&mut ops, cancel);
                    (sink, ops, result)
                })
            }
            other => {
                self.work = other;
                return true;
            }
        };
        match cx.offload.spawn(conn, Order::Connection, job) {
            Ok(task) => {
                self.work = Work::Running(task);
                true
            }
            Err(full) => {
                self.work = Work::Blocked(full.0);
                false
            }
        }
    }

    /// Takes the next part of the body. One that was the last comes again until the work for it is under way.
    pub fn take(&mut self, cx: &mut Cx, conn: ConnId, part: &Buf, last: bool) -> Taken {
        let started = self.start(cx, conn);
        if self.is_last {
            return if started { Taken::Last } else { Taken::Busy };
        }
        let is_full = last || self.is_full(cx, part);
        if is_full && !matches!(self.work, Work::Idle(_)) {
            return if started { Taken::Wait } else { Taken::Busy };
        }
        let taken = match &mut self.form {
            Some(_) => self.take_of_form(part, last),
            None => self.take_of_file(part, last),
        };
        if let Err(fail) = taken {
            return Taken::Failed(fail);
        }
        self.is_last = last;
        match (last, self.start(cx, conn)) {
            (true, true) => Taken::Last,
            (true, false) => Taken::Busy,
            (false, _) => Taken::More,
        }
    }

    /// Whether as much waits as may: each holds a slot that others may need more.
    fn is_full(&self, cx: &Cx, part: &Buf) -> bool {
        let is_scarce = || part.size_class().is_some_and(|class| cx.pool.is_short(class));
        self.bufs >= UPLOAD_BUFS_MAX || self.bufs >= BUFS_SCARCE && is_scarce()
    }

    fn take_of_file(&mut self, part: &Buf, last: bool) -> Result<(), Fail> {
        self.push_data(part, 0, part.len())?;
        self.bufs += 1;
        if last {
            self.queue.push(Op::End);
        }
        Ok(())
    }

    fn push_data(&mut self, part: &Buf, start: usize, end: usize) -> Result<(), Fail> {
        self.count(end - start)?;
        if end > start {
            self.queue.push(Op::Data(part.slice(start, end)));
        }
        Ok(())
    }

    /// Counts bytes of the file that is coming.
    fn count(&mut self, bytes: usize) -> Result<(), Fail> {
        self.bytes += bytes as u64;
        if self.bytes > self.bytes_max { Err(Fail::too_large()) } else { Ok(()) }
    }

    fn take_of_form(&mut self, part: &Buf, last: bool) -> Result<(), Fail> {
        self.bufs += 1;
        let mut at = 0;
        while at < part.len() {
            let form = self.form.as_mut().expect("the caller saw it");
            let (taken, event) = form.decoder.step(&part[at..]).map_err(of_form)?;
            let in_file = form.in_file;
            match event {
                Some(FormEvent::Begins) => self.begin_part()?,
                Some(FormEvent::Data) if in_file => self.push_data(part, at, at + taken)?,
                Some(FormEvent::Held(bytes)) if in_file => {
                    let held = form.decoder.delimiter()[..bytes].into();
                    self.count(bytes)?;
                    self.queue.push(Op::Bytes(held));
                }
                Some(FormEvent::Ends) if in_file => self.queue.push(Op::End),
                _ => {}
            }
            at += taken;
        }
        let is_over = self.form.as_ref().is_some_and(|form| form.decoder.is_over());
        if last && !is_over { Err(of_form(FormFault::Truncated)) } else { Ok(()) }
    }

    /// A part of the form begins: a file, or a field that is read past.
    fn begin_part(&mut self) -> Result<(), Fail> {
        let Some(form) = &mut self.form else { return Ok(()) };
        let mut room = [0; FILES_NAME_BYTES_MAX];
        let name = form_file_name(form.decoder.head(), &mut room).map_err(of_form)?;
        form.in_file = name.is_some();
        self.bytes = 0;
        let Some(name) = name else { return Ok(()) };
        if name.starts_with('.') {
            return Err(Fail::of(403, "hidden names are not for uploads\n"));
        }
        let target = Target::in_directory(&form.directory, name);
        self.queue.push(Op::Begin(Box::new(target)));
        Ok(())
    }

    /// What came of all the work, or of its failure; `None` while there is more to do.
    pub fn came(&mut self, cx: &mut Cx, conn: ConnId) -> Option<Ran> {
        let Work::Running(task) = &mut self.work else { return None };
        let done = task.poll()?;
        self.work = Work::Over;
        let (sink, ops, result) = match done {
            Ok(done) => done,
            Err(Failed::Panicked) => return Some(Ran::Failed(Fail::of(500, "it failed\n"))),
            Err(_) => return Some(Ran::Failed(Fail::of(503, "the server stops\n"))),
        };
        if let Err(fail) = result {
            return Some(Ran::Failed(fail));
        }
        if self.is_last {
            let Sink { stored, waits_at, .. } = *sink;
            return Some(waits_at.map_or(Ran::Whole(stored), Ran::Part));
        }
        if self.queue.is_empty() {
            self.queue = ops; // for its room
        }
        self.work = Work::Idle(sink);
        self.start(cx, conn);
        None
    }
}

fn of_form(fault: FormFault) -> Fail {
    Fail::of(400, format!("{fault}\n"))
}
