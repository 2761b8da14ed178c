//! What is let go of elsewhere: to close the last descriptor of a large file that was deleted takes the file system
//! long, and so does to remove one.

use crate::mem::ConnId;
use crate::offload::{CancelToken, Order, Task};
use crate::pipeline::Cx;

/// Things that a thread of the pool drops, as soon as one has time.
pub(in crate::handler::http) struct Leaving {
    /// Those on their way. To drop one before it is done would be to drop what it holds here.
    tasks: Vec<Task<()>>,
    /// What the pool had no room for.
    waiting: Vec<(ConnId, Burial)>,
}

type Burial = Box<dyn FnOnce(&CancelToken) + Send + Sync>;

impl Leaving {
    pub fn new() -> Self {
        Self { tasks: Vec::new(), waiting: Vec::new() }
    }

    /// Has `thing` dropped by the pool. `conn` is woken when that is done, if it is still there.
    pub fn bury(&mut self, cx: &Cx, conn: ConnId, thing: impl Send + Sync + 'static) {
        self.waiting.push((conn, Box::new(move |_| drop(thing))));
        self.tidy(cx);
    }

    /// Forgets what is done, and tries again what found no room. Both are bounded by what was open.
    pub fn tidy(&mut self, cx: &Cx) {
        if self.tasks.is_empty() && self.waiting.is_empty() {
            return;
        }
        self.tasks.retain(|task| !task.is_done());
        while let Some((conn, burial)) = self.waiting.pop() {
            match cx.offload.spawn(conn, Order::Any, burial) {
                Ok(task) => self.tasks.push(task),
                Err(full) => return self.waiting.push((conn, full.0)),
            }
        }
    }
}
