//! What is written from beside the handler under test, where an lcore would bring it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::counters::Reason;
use crate::mem::{Buf, Burst, ConnId, Mempool, Share};
use crate::pipeline::write::{Inlet, Inlets, Letterbox, Word, Writes, Written};
use crate::pipeline::{Admission, Cx, Pipeline};

/// Words for the harness, in order. A test is no data path: there is room for all.
#[derive(Clone, Default)]
pub(super) struct Beside(Arc<Mutex<VecDeque<Word>>>);

impl Letterbox for Beside {
    fn post(&self, word: Word) -> Result<(), Word> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(word);
        Ok(())
    }

    fn is_closed(&self) -> bool {
        false
    }
}

impl Beside {
    /// What a context has to have so that handles of its connections and groups reach the harness.
    pub fn writes(&self, pool: Mempool, slots: u32) -> Writes {
        let inlet = Arc::new(Inlet::new(Box::new(self.clone())));
        inlet.open(pool, slots);
        Writes::new(0, inlet, Arc::new(Inlets::new()), Share::WHOLE)
    }

    fn next(&self) -> Option<Word> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Pushes what waits to `replies`, which is empty, as far as it has room; whether anything moved. All peers keep
    /// up; what a chain would admit later is refused.
    pub fn deliver(
        &self,
        cx: &mut Cx,
        pipeline: &mut Pipeline,
        replies: &mut Burst,
        is_open: impl Fn(ConnId) -> bool,
    ) -> bool {
        let mut moved = false;
        while !replies.is_full() {
            if let Some(frame) = cx.writes.next_frame() {
                let taken = is_open(frame.conn()) && push(cx, pipeline, replies, frame);
                let outcome = cx.writes.outcome();
                outcome.delivered += u64::from(taken);
                outcome.dropped += u64::from(!taken);
                cx.writes.count_outcome();
            } else if let Some(word) = self.next() {
                hear(cx, pipeline, replies, word, &is_open);
            } else {
                break;
            }
            moved = true;
        }
        moved
    }
}

fn hear(
    cx: &mut Cx,
    pipeline: &mut Pipeline,
    replies: &mut Burst,
    word: Word,
    is_open: impl Fn(ConnId) -> bool,
) {
    match word {
        Word::Write(buf, done) => {
            let conn = buf.conn();
            cx.writes.backlog.end(conn, buf.len());
            let written = match is_open(conn) {
                false => Written::Lost,
                true if push(cx, pipeline, replies, buf) => Written::Sent,
                true => Written::Refused,
            };
            if let Some(done) = done {
                done(written);
            }
        }
        Word::Publish(publish) => cx.writes.publish(publish),
        Word::Join(group, conn) if is_open(conn) => drop(group.join(cx, conn)),
        Word::Leave(group, conn) => drop(group.leave(cx, conn)),
        Word::Join(..) | Word::Policy(..) => {}
    }
}

fn push(cx: &Cx, pipeline: &mut Pipeline, replies: &mut Burst, buf: Buf) -> bool {
    if pipeline.admits(buf.conn(), buf.kind()) != Admission::Now {
        cx.drop_buf(buf, Reason::NotAdmitted);
        return false;
    }
    replies.push(buf).is_ok()
}
