//! Files of a directory over HTTP: [`Files`]. What a request asks of a file, `proto::files` knows; what touches the file
//! system is done by the offload pool (`files/look.rs`, `files/sending.rs`).

mod cache;
mod leaving;
mod listing;
mod look;
mod sending;
mod state;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use self::cache::{Cache, Kept};
pub(super) use self::leaving::Leaving;
use self::look::{Found, FoundFile, Wanted};
use self::sending::Sending;
pub(super) use self::state::FileState;
use self::state::{Told, told};
use super::fields::Fields;
use super::text::prefix_bytes;
use super::{Body, Pull, Reply, Request, Response, Service};
use crate::error::{Error, Result};
use crate::limits::{FILES_OPEN_MAX, FILES_PATH_BYTES_MAX};
use crate::mem::{Buf, ConnId};
use crate::offload::{Failed, Order, Task};
use crate::pipeline::Cx;
use crate::proto::files::{
    ByteRange, ByteRanges, PathFault, RelativePath, accepted, encode_part_end, encode_part_head,
    media_type,
};
use crate::proto::http1::{Method, is_value};
use crate::sys::beneath::Beneath;
use crate::sys::random;

/// What the fields of one part of several, and the line before it, take at most.
const PART_HEAD_BYTES_MAX: usize = 512;

const NO_BODY: Body = Body::Bytes(Cow::Borrowed(&[]));

/// A service that sends the files below a directory (GET and HEAD), whole or in part, on conditions or without.
///
/// ```no_run
/// use ringway::dataplane::Builder;
/// use ringway::handler::http::Files;
///
/// # fn main() -> ringway::error::Result<()> {
/// let files = Files::new("/srv/www")?.cache_control("max-age=60").precompressed();
/// println!("{}", Builder::on_one_core()?.http(([0, 0, 0, 0], 8080), move || files.clone()).run()?);
/// # Ok(())
/// # }
/// ```
///
/// | request | response |
/// |---|---|
/// | of a file | 200 with `ETag`, `Last-Modified`, `Accept-Ranges` |
/// | with `Range` | 206, one range or up to [`FILES_RANGES_MAX`](crate::limits::FILES_RANGES_MAX); 416; 200 where they overlap or are more |
/// | with conditions (RFC 9110 §13) | 304 or 412 where they say so |
/// | of a directory | its `index.html`; 301 to the path with a slash; 404, or the list that [`listing`](Self::listing) turns on |
/// | of what is not there, is no file, is hidden, or lies outside by a symbolic link | 404 |
/// | whose path has `..`, an encoded slash, a backslash or the like in it | 400 |
///
/// No lcore waits for the disk: files are found, opened and read by the offload pool. Small ones
/// ([`FILES_CACHED_BYTES_MAX`](crate::limits::FILES_CACHED_BYTES_MAX)) that are asked for again are sent from a slot that all
/// share, and looked at again once a second. A larger one is read ahead of the peer by
/// [`FILES_READ_BYTES`](crate::limits::FILES_READ_BYTES), and goes on to be sent when it is replaced meanwhile; when it
/// is cut short, so is the response.
///
/// A clone serves the same directory, and shares nothing but that: each lcore has its own.
pub struct Files {
    site: Arc<Site>,
    /// The part of the path that leads to the directory, without a slash behind it.
    prefix: String,
    cache: Cache,
    /// By connection: those whose response is not out.
    open: HashMap<ConnId, Open>,
    leaving: Leaving,
}

/// What is served, and how.
#[derive(Debug)]
struct Site {
    root: Beneath,
    listing: bool,
    hidden: bool,
    precompressed: bool,
    cache_control: Option<String>,
    /// What separates several ranges: no file has it in it, since nobody can guess it.
    boundary: String,
}

/// A request that is not done with.
enum Open {
    Looking(Looking),
    Sending(Box<Sending>),
}

/// A request whose file is being looked for.
struct Looking {
    task: Task<Found>,
    /// Of the request.
    head: Buf,
    /// Which of the kept files with this path it may be.
    preference: usize,
    /// What was kept of it.
    kept: Option<Arc<Kept>>,
}

impl Files {
    /// Serves the files below the directory `root`.
    ///
    /// # Errors
    /// When there is no such directory, or it cannot be read.
    pub fn new(root: impl AsRef<Path>) -> Result<Self> {
        let mut random = [0; 16];
        random::fill(&mut random).map_err(|why| {
            Error::new(
                "choose a boundary for ranges",
                why,
                "allow getrandom in the seccomp profile",
            )
        })?;
        let site = Site {
            root: Beneath::open(root.as_ref())?,
            listing: false,
            hidden: false,
            precompressed: false,
            cache_control: None,
            boundary: format!("{:032x}", u128::from_le_bytes(random)),
        };
        Ok(Self::of_site(Arc::new(site), String::new()))
    }

    fn of_site(site: Arc<Site>, prefix: String) -> Self {
        let (cache, leaving) = (Cache::new(), Leaving::new());
        Self { site, prefix, cache, open: HashMap::new(), leaving }
    }

    fn change(mut self, change: impl FnOnce(&mut Site)) -> Self {
        change(Arc::get_mut(&mut self.site).expect("settings come before the first clone"));
        self
    }

    /// Serves them at `prefix`: `/static/a.css` is `a.css` in the directory at `/static`. What does not begin so is
    /// 404.
    pub fn at_prefix(self, prefix: &str) -> Self {
        Self { prefix: prefix.trim_end_matches('/').to_owned(), ..self }
    }

    /// Lists directories that have no `index.html`: as a page, or as JSON for who accepts `application/json`. To be
    /// called before the first clone, as are those below.
    pub fn listing(self) -> Self {
        self.change(|site| site.listing = true)
    }

    /// Serves names that begin with a dot, too. Without this they are 404, but for `.well-known` (RFC 8615).
    pub fn hidden(self) -> Self {
        self.change(|site| site.hidden = true)
    }

    /// Sends `name.br` or `name.gz` for `name` to those who accept that, where it lies beside it and is not older.
    pub fn precompressed(self) -> Self {
        self.change(|site| site.precompressed = true)
    }

    /// Sends this `Cache-Control` with each file.
    ///
    /// # Panics
    /// When it is no legal value of a field.
    pub fn cache_control(self, value: &str) -> Self {
        assert!(is_value(value.as_bytes()), "no field can have the value {value:?}");
        self.change(|site| site.cache_control = Some(value.to_owned()))
    }

    /// Answers a request for what lies below the first `prefix_bytes` of its path, as [`Service::call`] does for
    /// [`at_prefix`](Self::at_prefix).
    pub fn call_below(&mut self, cx: &mut Cx, request: &Request<'_>, prefix_bytes: usize) -> Reply {
        self.leaving.tidy(cx);
        if !matches!(request.method(), Method::Get | Method::Head) {
            const ALLOW: &[(&str, &[u8])] = &[("Allow", b"GET, HEAD")];
            return Response::text(405, "only GET and HEAD are allowed here\n")
                .static_fields(ALLOW)
                .into();
        }
        let path = &request.path()[prefix_bytes..];
        if path.is_empty() {
            return redirect(request).into();
        }
        if let Err(refused) = self.check_path(path) {
            return refused.into();
        }
        let preference = self.preference(request);
        match self.cache.get(preference, request.path(), cx.now) {
            Some((kept, true)) => respond_kept(cx, request, kept).into(),
            kept => {
                let kept = kept.map(|(kept, _)| Arc::clone(kept));
                self.look(cx, request, prefix_bytes, preference, kept)
            }
        }
    }

    /// What a path that names no file is answered with.
    fn check_path(&self, path: &[u8]) -> Result<(), Response> {
        let mut room = [0; FILES_PATH_BYTES_MAX];
        match RelativePath::decode(path, &mut room) {
            Ok(path) if path.is_hidden() && !self.site.hidden => Err(not_found()),
            Ok(_) => Ok(()),
            Err(PathFault::TooLong) => Err(not_found()),
            Err(fault) => Err(Response::text(400, format!("{fault}\n"))),
        }
    }

    /// Which of the forms of a file the peer would have: those who would have the same are served alike.
    fn preference(&self, request: &Request<'_>) -> usize {
        if self.site.precompressed { look::preference(accepted(&request.headers())) } else { 0 }
    }

    fn look(
        &mut self,
        cx: &mut Cx,
        request: &Request<'_>,
        prefix_bytes: usize,
        preference: usize,
        kept: Option<Arc<Kept>>,
    ) -> Reply {
        if self.open.len() >= FILES_OPEN_MAX {
            return overloaded().into();
        }
        let wanted = Wanted {
            site: Arc::clone(&self.site),
            head: request.share(),
            prefix_bytes,
            preference,
            known: kept.as_ref().map(|kept| kept.identity),
            pool: cx.pool.clone(),
        };
        match cx.offload.spawn(request.conn(), Order::Any, move |cancel| wanted.look(cancel)) {
            Ok(task) => {
                let looking = Looking { task, head: request.share(), preference, kept };
                self.open.insert(request.conn(), Open::Looking(looking));
                Reply::Later
            }
            Err(_full) => Reply::Busy,
        }
    }

    /// The answer to a request whose file was looked for.
    fn answer(&mut self, cx: &mut Cx, looking: Looking, found: Result<Found, Failed>) -> Response {
        let request = Request::new(&looking.head);
        let (path, preference) = (request.path(), looking.preference);
        let found = match found {
            Ok(Found::Same) => {
                let kept = looking.kept.expect("it was compared with that");
                self.cache.confirm(preference, path, cx.now);
                return respond_kept(cx, &request, &kept);
            }
            Ok(Found::File(found)) if found.whole().is_some() => {
                return self.keep(cx, &request, preference, *found);
            }
            other => other,
        };
        self.cache.forget(preference, path);
        match found {
            Ok(Found::File(found)) => self.begin_sending(cx, &request, *found),
            Ok(Found::Directory) => redirect(&request),
            Ok(Found::Listing(list, kind)) => listed(list, kind),
            Ok(Found::Nothing(status)) => refused(status),
            Err(Failed::Panicked) => refused(500),
            Ok(Found::Same) | Err(_) => refused(503),
        }
    }

    /// Sends a file that is here whole, and keeps it for others.
    fn keep(
        &mut self,
        cx: &mut Cx,
        request: &Request<'_>,
        preference: usize,
        found: FoundFile,
    ) -> Response {
        let content = found.whole().expect("the caller saw it");
        let kept = Arc::new(Kept::new(cx, &self.site, &found.state, found.identity, content));
        let response = respond_kept(cx, request, &kept);
        self.cache.put(cx, preference, request.path(), kept);
        self.leaving.bury(cx, request.conn(), found.file);
        response
    }

    /// A file that is sent as room comes.
    fn begin_sending(&mut self, cx: &mut Cx, request: &Request<'_>, found: FoundFile) -> Response {
        let state = found.state;
        let told = told(request, &state, cx.unix_seconds);
        let ranges = match told {
            Told::Whole if state.size == 0 => None,
            Told::Whole => Some(ByteRanges::one(ByteRange { first: 0, last: state.size - 1 })),
            Told::Ranges(ranges) => Some(ranges),
            _ => None,
        };
        let fields = state.fields(&self.site);
        let Some(ranges) = ranges else {
            self.leaving.bury(cx, request.conn(), (found.file, found.first));
            return respond(&self.site, &state, told, fields, NO_BODY);
        };
        let body = Body::Stream(Some(body_bytes(&self.site, &state, &ranges)));
        let response = respond(&self.site, &state, told, fields, body);
        if request.method() == Method::Head {
            self.leaving.bury(cx, request.conn(), (found.file, found.first));
            return response;
        }
        let site = Arc::clone(&self.site);
        let mut sending = Sending::new(site, found.file, state, ranges, found.first);
        sending.read_ahead(cx, request.conn());
        self.open.insert(request.conn(), Open::Sending(Box::new(sending)));
        response
    }

    fn end(&mut self, cx: &mut Cx, conn: ConnId) {
        if let Some(open) = self.open.remove(&conn) {
            self.leaving.bury(cx, conn, open);
        }
    }
}

impl Clone for Files {
    fn clone(&self) -> Self {
        Self::of_site(Arc::clone(&self.site), self.prefix.clone())
    }
}

impl Service for Files {
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        match prefix_bytes(request.path(), self.prefix.as_bytes()) {
            Some(bytes) => self.call_below(cx, request, bytes),
            None => not_found().into(),
        }
    }

    fn body(&mut self, _cx: &mut Cx, _conn: ConnId, _part: &Buf, _last: bool) -> Reply {
        Reply::Later // nobody asked for it
    }

    fn woken(&mut self, cx: &mut Cx, conn: ConnId) -> Option<Response> {
        let Some(Open::Looking(looking)) = self.open.get_mut(&conn) else { return None };
        let found = looking.task.poll()?;
        let Some(Open::Looking(looking)) = self.open.remove(&conn) else { return None };
        Some(self.answer(cx, looking, found))
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let Some(Open::Sending(sending)) = self.open.get_mut(&conn) else { return Pull::End };
        let pulled = sending.pull(cx, conn);
        if matches!(pulled, Pull::End) {
            self.end(cx, conn);
        }
        pulled
    }

    fn closed(&mut self, cx: &mut Cx, conn: ConnId) {
        self.end(cx, conn);
    }
}

/// A response whose bytes lie in one slot, of which it takes a share.
fn respond_kept(cx: &Cx, request: &Request<'_>, kept: &Kept) -> Response {
    let told = told(request, &kept.state, cx.unix_seconds);
    let (body, size) = (&kept.body, kept.state.size);
    let body = match &told {
        Told::Whole => Body::Buf(body.slice(0, body.len())),
        Told::Ranges(ranges) => match ranges.as_slice() {
            [range] => Body::Buf(body.slice(range.first as usize, range.last as usize + 1)),
            ranges => Body::Bytes(several(&kept.site, &kept.state, ranges, body, size).into()),
        },
        _ => NO_BODY,
    };
    let mut fields = Fields::NONE;
    match &kept.shared_lines {
        Some(lines) => fields.share(lines.slice(0, lines.len())),
        None => fields.append(&kept.lines),
    }
    respond(&kept.site, &kept.state, told, fields, body)
}

/// The same with `body`, which is what was asked for, and with the `fields` of the file.
fn respond(site: &Site, state: &FileState, told: Told, fields: Fields, body: Body) -> Response {
    let status = match told {
        Told::Whole => 200,
        Told::Ranges(_) => 206,
        Told::NotModified => 304,
        Told::Failed => return Response::text(412, "the file is another by now\n"),
        Told::Unsatisfiable => 416,
    };
    let mut response = Response::new(status, body);
    response.fields = fields;
    match told {
        Told::Whole => response.content_type(state.media_type),
        Told::Ranges(ranges) => match ranges.as_slice() {
            [ByteRange { first, last }] => response
                .content_type(state.media_type)
                .header("Content-Range", format!("bytes {first}-{last}/{}", state.size)),
            _ => {
                let kind = format!("multipart/byteranges; boundary={}", site.boundary);
                response.header("Content-Type", kind)
            }
        },
        Told::Unsatisfiable => {
            response.fields.clear_lines();
            response.header("Content-Range", format!("bytes */{}", state.size))
        }
        Told::NotModified | Told::Failed => response,
    }
}

/// Several ranges of a file that is in memory, as one body.
fn several(
    site: &Site,
    state: &FileState,
    ranges: &[ByteRange],
    body: &[u8],
    size: u64,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut room = [0; PART_HEAD_BYTES_MAX];
    for range in ranges {
        let head = encode_part_head(&mut room, &site.boundary, state.media_type, range, size);
        bytes.extend(&room[..head.expect("there is room for one")]);
        bytes.extend(&body[range.first as usize..=range.last as usize]);
    }
    let end = encode_part_end(&mut room, &site.boundary).expect("there is room");
    bytes.extend(&room[..end]);
    bytes
}

/// Bytes of the body that these ranges make.
fn body_bytes(site: &Site, state: &FileState, ranges: &ByteRanges) -> u64 {
    let ranges = ranges.as_slice();
    let content: u64 = ranges.iter().map(ByteRange::bytes).sum();
    if ranges.len() == 1 {
        return content;
    }
    let mut room = [0; PART_HEAD_BYTES_MAX];
    let mut frame = encode_part_end(&mut room, &site.boundary).expect("there is room");
    for range in ranges {
        let head = encode_part_head(&mut room, &site.boundary, state.media_type, range, state.size);
        frame += head.expect("there is room for one");
    }
    content + frame as u64
}

/// To the same path with a slash behind it. It has no empty name in it, or would have been refused: what it leads to is
/// on this host.
fn redirect(request: &Request<'_>) -> Response {
    let (target, path) = (request.target(), request.path());
    let query = target.iter().position(|&byte| byte == b'?').map_or(&[][..], |at| &target[at..]);
    Response::text(301, "").header("Location", [path, b"/", query].concat())
}

fn listed(list: Vec<u8>, media_type: &'static str) -> Response {
    Response::new(200, Body::Bytes(list.into()))
        .content_type(media_type)
        .header("Cache-Control", "no-cache")
        .header("Vary", "Accept")
}

fn not_found() -> Response {
    Response::text(404, "not found\n")
}

/// What a failure of the file system is told as.
fn refused(status: u16) -> Response {
    match status {
        403 => Response::text(403, "forbidden\n"),
        404 => not_found(),
        503 => overloaded(),
        _ => Response::text(500, "the file could not be read\n"),
    }
}

pub(super) fn overloaded() -> Response {
    const RETRY: &[(&str, &[u8])] = &[("Retry-After", b"1")];
    Response::text(503, "too much is under way, try again\n").static_fields(RETRY)
}
