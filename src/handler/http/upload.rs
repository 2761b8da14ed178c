//! Files from peers into a directory: [`Upload`]. What a form or a `Content-Range` means, `proto::files` knows; what touches
//! the file system is done by the offload pool (`upload/sink.rs`, `upload/part.rs`).

mod answer;
mod part;
mod receiving;
mod sink;
mod stale;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use self::part::{Onward, Target, standing};
use self::receiving::{Ran, Receiving, Taken};
use self::sink::{Fail, Standing};
use self::stale::Leftovers;
use super::files::{Leaving, overloaded};
use super::text::prefix_bytes;
use super::{Files, Pull, Reply, Request, Response, Service};
use crate::error::Result;
use crate::limits::{FILES_OPEN_MAX, FILES_PATH_BYTES_MAX, UPLOAD_BYTES_MAX, UPLOAD_LOOK_NS};
use crate::mem::{Buf, ConnId};
use crate::offload::{Order, Task};
use crate::pipeline::Cx;
use crate::proto::files::{ContentRange, FormDecoder, RelativePath, form_boundary};
use crate::proto::http1::Method;
use crate::sys::beneath::Beneath;
use crate::sys::signal;
use crate::time::Instant;

/// Room for what a form says beside the bytes of one file of the largest size.
const FORM_BYTES_BESIDE: u64 = 64 * 1024;

/// A service that takes files into a directory: PUT of a path, and POST of forms (`multipart/form-data`) to a directory.
///
/// ```no_run
/// use ringway::dataplane::Builder;
/// use ringway::handler::http::{Files, Upload};
///
/// # fn main() -> ringway::error::Result<()> {
/// let upload = Upload::new("/srv/incoming")?
///     .max_bytes(10 << 30)
///     .resumable()
///     .with_files(Files::new("/srv/incoming")?.listing());
/// println!("{}", Builder::on_one_core()?.http(([0, 0, 0, 0], 8080), move || upload.clone()).run()?);
/// # Ok(())
/// # }
/// ```
///
/// Bytes go from the slots that they arrive in to a temporary file in the same directory, written and hashed by the
/// offload pool in their order; at most [`UPLOAD_BUFS_MAX`](crate::limits::UPLOAD_BUFS_MAX) of them wait for the disk, and then
/// the peer waits. Once whole, the file gets its name; whoever reads it sees all of it or nothing.
///
/// | what happened | answer |
/// |---|---|
/// | a new file | 201, `Repr-Digest` (RFC 9530) and `ETag` of the file, and JSON: `{"path": …, "bytes": …, "sha256": …}` |
/// | a form | 201 and JSON: `{"files": […]}`; fields that are no files are read past |
/// | a file was replaced, where [`overwriting`](Self::overwriting) is on | the same with 200 |
/// | there is such a file already | 409, or 412 where `If-None-Match: *` forbids it |
/// | conditions (`If-Match` and the like) do not hold | 412 |
/// | the path or name is none | 400 |
/// | it is larger than [`max_bytes`](Self::max_bytes) | 413, before the body is read where its length is known |
/// | no such directory, or the name is one of a directory | 409 |
/// | it may not be written there | 403 |
/// | the disk or the quota is full, or the file is larger than the system allows | 507, and what came is removed |
///
/// # To go on with an upload
///
/// Where [`resumable`](Self::resumable) is on, what came of a PUT whose connection broke stays for a day. `HEAD` of the path
/// says how much that is (`Upload-Offset`), and a PUT with `Content-Range` (RFC 9110 §14.5) goes on there, which curl does
/// without any help:
///
/// ```text
/// curl -T big.iso http://host/big.iso            # breaks off
/// curl -I http://host/big.iso                    # Upload-Offset: 734003200
/// curl -C 734003200 -T big.iso http://host/big.iso
/// ```
///
/// That is why it is not the PATCH of the IETF's draft on resumable uploads, of which the names of the fields are
/// taken. A range that begins past what is there is 409 with `Upload-Offset`; one that begins before replaces what is
/// behind; one that ends before the file's end is 202. Two at a time for one file are 409 as well.
///
/// A clone takes files into the same directory: one for each lcore.
pub struct Upload {
    site: Arc<Site>,
    prefix: String,
    files: Option<Files>,
    open: HashMap<ConnId, Open>,
    leaving: Leaving,
    /// When it was seen to that parts which were kept for long enough are removed, and the last time that this is done.
    looked: Option<Instant>,
    looking: Option<Task<()>>,
}

/// Where files go, and which.
#[derive(Debug)]
struct Site {
    root: Beneath,
    bytes_max: u64,
    overwriting: bool,
    syncing: bool,
    resumable: bool,
    leftovers: Leftovers,
}

/// A request that is not done with.
enum Open {
    Receiving(Box<Receiving>),
    /// How far an upload is, and the head of the request.
    Asking(Task<std::result::Result<Standing, Fail>>, Buf),
}

impl Upload {
    /// Takes files into the directory `root` and those below it. What a process that died has left of unfinished uploads
    /// there is removed, what can be gone on with after a day. From here on a file that gets larger than the process may
    /// write (RLIMIT_FSIZE) is an error and no signal.
    ///
    /// # Errors
    /// When there is no such directory, or it cannot be read.
    pub fn new(root: impl AsRef<Path>) -> Result<Self> {
        let root = Beneath::open(root.as_ref())?;
        let leftovers = Leftovers::find(&root);
        signal::ignore_file_size();
        let (bytes_max, no) = (UPLOAD_BYTES_MAX, false);
        let site = Site { root, bytes_max, overwriting: no, syncing: no, resumable: no, leftovers };
        Ok(Self::of_site(Arc::new(site), String::new(), None))
    }

    fn of_site(site: Arc<Site>, prefix: String, files: Option<Files>) -> Self {
        let (open, leaving) = (HashMap::new(), Leaving::new());
        Self { site, prefix, files, open, leaving, looked: None, looking: None }
    }

    fn change(mut self, change: impl FnOnce(&mut Site)) -> Self {
        change(Arc::get_mut(&mut self.site).expect("settings come before the first clone"));
        self
    }

    /// Takes them at `prefix`: a PUT of `/up/a.txt` makes `a.txt` in the directory at `/up`.
    pub fn at_prefix(self, prefix: &str) -> Self {
        Self { prefix: prefix.trim_end_matches('/').to_owned(), ..self }
    }

    /// The largest file in bytes; without this, [`UPLOAD_BYTES_MAX`]. To be called before the first clone, as are
    /// those below.
    pub fn max_bytes(self, bytes: u64) -> Self {
        self.change(|site| site.bytes_max = bytes)
    }

    /// A file that is there already is replaced.
    pub fn overwriting(self) -> Self {
        self.change(|site| site.overwriting = true)
    }

    /// The answer comes when the file would outlast a loss of power (fsync(2)).
    pub fn syncing(self) -> Self {
        self.change(|site| site.syncing = true)
    }

    /// What came of an upload that broke off is kept, and can be gone on with.
    pub fn resumable(self) -> Self {
        self.change(|site| site.resumable = true)
    }

    /// Sends the files of `files` to those who GET them. It gets the whole path, so that it needs a prefix of its own.
    pub fn with_files(self, files: Files) -> Self {
        Self { files: Some(files), ..self }
    }

    /// Has the pool remove parts that nobody goes on with, now and then.
    fn look_for_old(&mut self, cx: &Cx, conn: ConnId) {
        let looked = *self.looked.get_or_insert(cx.now);
        if cx.now < looked.after_ns(UPLOAD_LOOK_NS) {
            return;
        }
        let site = Arc::clone(&self.site);
        let work = move |_: &_| site.leftovers.remove_old(&site.root);
        // Where the pool is full, the next upload tries again.
        if let Ok(task) = cx.offload.spawn(conn, Order::Any, work) {
            (self.looked, self.looking) = (Some(cx.now), Some(task));
        }
    }

    fn receive(&mut self, cx: &mut Cx, request: &Request<'_>, below: &[u8]) -> Reply {
        self.leaving.tidy(cx);
        self.look_for_old(cx, request.conn());
        if self.open.len() >= FILES_OPEN_MAX {
            return overloaded().into();
        }
        let conn = request.conn();
        let begun = match request.method() {
            Method::Put => self.begin_put(request, below),
            _ => self.begin_form(request, below),
        };
        match begun {
            Ok(mut receiving) => {
                // Where the pool is full, the first part of the body tries again.
                receiving.start(cx, conn);
                self.open.insert(conn, Open::Receiving(Box::new(receiving)));
                Reply::Body
            }
            Err(fail) => answer::failed(fail).into(),
        }
    }

    fn begin_put(
        &self,
        request: &Request<'_>,
        below: &[u8],
    ) -> std::result::Result<Receiving, Fail> {
        let mut room = [0; FILES_PATH_BYTES_MAX];
        let path = file_path(below, &mut room)?;
        let length = request.content_length();
        let onward = match request.header("content-range") {
            None if !self.site.resumable => Onward::No,
            // Without a length nobody could tell when it is whole.
            None => length.map_or(Onward::No, |total| Onward::From { first: 0, end: total, total }),
            Some(field) => self.onward(field, length)?,
        };
        let most = match onward {
            Onward::No => length.unwrap_or(0),
            Onward::From { total, .. } => total,
        };
        if most > self.site.bytes_max {
            return Err(Fail::too_large());
        }
        let target = Target::of(path, Some(request.share()), onward);
        Ok(Receiving::put(&self.site, target))
    }

    /// Where an upload goes on, by its `Content-Range`.
    fn onward(&self, field: &[u8], length: Option<u64>) -> std::result::Result<Onward, Fail> {
        if !self.site.resumable {
            return Err(Fail::of(400, "Content-Range has no meaning here (RFC 9110 §14.4)\n"));
        }
        match ContentRange::decode(field) {
            Some(ContentRange { range, size: Some(total) })
                if length.is_none_or(|length| length == range.bytes()) =>
            {
                Ok(Onward::From { first: range.first, end: range.last + 1, total })
            }
            _ => Err(Fail::of(
                400,
                "Content-Range must be: bytes FIRST-LAST/TOTAL, of so many bytes\n",
            )),
        }
    }

    fn begin_form(
        &self,
        request: &Request<'_>,
        below: &[u8],
    ) -> std::result::Result<Receiving, Fail> {
        let mut room = [0; FILES_PATH_BYTES_MAX];
        let path = RelativePath::decode(below, &mut room).map_err(Fail::of_path)?;
        if path.is_hidden() {
            return Err(Fail::of(403, "hidden names are not for uploads\n"));
        }
        let kind = request.header("content-type").unwrap_or_default();
        let boundary =
            form_boundary(kind).ok_or(Fail::of(415, "only multipart/form-data is taken\n"))?;
        let most = self.site.bytes_max.saturating_add(FORM_BYTES_BESIDE);
        if request.content_length().is_some_and(|length| length > most) {
            return Err(Fail::too_large());
        }
        Ok(Receiving::form(&self.site, FormDecoder::new(boundary), path.as_str()))
    }

    /// How far the upload of a path is.
    fn ask(&mut self, cx: &mut Cx, request: &Request<'_>, below: &[u8]) -> Reply {
        self.leaving.tidy(cx);
        if self.open.len() >= FILES_OPEN_MAX {
            return overloaded().into();
        }
        let mut room = [0; FILES_PATH_BYTES_MAX];
        let path = match file_path(below, &mut room) {
            Ok(path) => path,
            Err(_) if self.files.is_some() => return self.call_files(cx, request),
            Err(fail) => return answer::failed(fail).into(),
        };
        let (site, target) = (Arc::clone(&self.site), Target::of(path, None, Onward::No));
        match cx.offload.spawn(request.conn(), Order::Any, move |_| standing(&site, &target)) {
            Ok(task) => {
                self.open.insert(request.conn(), Open::Asking(task, request.share()));
                Reply::Later
            }
            Err(_full) => Reply::Busy,
        }
    }

    fn call_files(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        match &mut self.files {
            Some(files) => files.call(cx, request),
            None => answer::not_allowed(self.site.resumable, false).into(),
        }
    }

    /// What came of the work for a connection, if that is its answer.
    fn came(&mut self, cx: &mut Cx, conn: ConnId) -> Option<Response> {
        match self.open.get_mut(&conn)? {
            Open::Receiving(receiving) => {
                let response = match receiving.came(cx, conn)? {
                    Ran::Whole(stored) => answer::stored(receiving.is_form(), &stored),
                    Ran::Part(offset) => answer::part(offset),
                    Ran::Failed(fail) => answer::failed(fail),
                };
                self.end(cx, conn);
                Some(response)
            }
            Open::Asking(task, _) => {
                let standing = task.poll()?;
                let Some(Open::Asking(_, head)) = self.open.remove(&conn) else { return None };
                match standing {
                    Ok(Ok(Standing::Nothing | Standing::Whole(_))) if self.files.is_some() => {
                        match self.call_files(cx, &Request::new(&head)) {
                            Reply::Response(response) => Some(response),
                            Reply::Later => None,
                            _ => Some(overloaded()),
                        }
                    }
                    Ok(Ok(standing)) => Some(answer::standing(&standing)),
                    Ok(Err(fail)) => Some(answer::failed(fail)),
                    Err(_) => Some(overloaded()),
                }
            }
        }
    }

    fn end(&mut self, cx: &mut Cx, conn: ConnId) {
        if let Some(open) = self.open.remove(&conn) {
            self.leaving.bury(cx, conn, open);
        }
    }
}

/// The path of a file: not of a directory, and not hidden.
fn file_path<'a>(
    path: &[u8],
    room: &'a mut [u8; FILES_PATH_BYTES_MAX],
) -> std::result::Result<RelativePath<'a>, Fail> {
    let path = RelativePath::decode(path, room).map_err(Fail::of_path)?;
    if path.has_trailing_slash() {
        return Err(Fail::of(409, "the path is one of a directory\n"));
    }
    if path.is_hidden() {
        return Err(Fail::of(403, "hidden names are not for uploads\n"));
    }
    Ok(path)
}

impl Clone for Upload {
    fn clone(&self) -> Self {
        Self::of_site(Arc::clone(&self.site), self.prefix.clone(), self.files.clone())
    }
}

impl Service for Upload {
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        let path = request.path();
        let below = prefix_bytes(path, self.prefix.as_bytes()).map(|bytes| &path[bytes..]);
        let below = below.filter(|below| below.starts_with(b"/"));
        match (request.method(), below) {
            (Method::Put | Method::Post, Some(below)) => self.receive(cx, request, below),
            (Method::Put | Method::Post, None) => Response::text(404, "not found\n").into(),
            (Method::Head, Some(below)) if self.site.resumable => self.ask(cx, request, below),
            (Method::Get | Method::Head, _) => self.call_files(cx, request),
            _ => answer::not_allowed(self.site.resumable, self.files.is_some()).into(),
        }
    }

    fn body_bytes_max(&self) -> Option<u64> {
        Some(self.site.bytes_max.saturating_add(FORM_BYTES_BESIDE))
    }

    fn body(&mut self, cx: &mut Cx, conn: ConnId, part: &Buf, last: bool) -> Reply {
        // What came of the work before may be that it failed.
        if let Some(response) = self.came(cx, conn) {
            return response.into();
        }
        let Some(Open::Receiving(receiving)) = self.open.get_mut(&conn) else {
            return Reply::Later; // of a GET or HEAD, which has no use for it
        };
        match receiving.take(cx, conn, part, last) {
            Taken::More => Reply::Body,
            Taken::Last => Reply::Later,
            Taken::Wait => Reply::Wait,
            Taken::Busy => Reply::Busy,
            Taken::Failed(fail) => {
                self.end(cx, conn);
                answer::failed(fail).into()
            }
        }
    }

    fn woken(&mut self, cx: &mut Cx, conn: ConnId) -> Option<Response> {
        match self.open.contains_key(&conn) {
            true => self.came(cx, conn),
            false => self.files.as_mut().and_then(|files| files.woken(cx, conn)),
        }
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        self.files.as_mut().map_or(Pull::End, |files| files.pull(cx, conn))
    }

    fn closed(&mut self, cx: &mut Cx, conn: ConnId) {
        self.end(cx, conn);
        if let Some(files) = &mut self.files {
            files.closed(cx, conn);
        }
    }
}
