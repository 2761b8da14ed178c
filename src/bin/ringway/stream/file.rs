//! `ringway stream file`: a file there, or one from there.

use std::path::{Path, PathBuf};

use ringway::stream::{Error, Stream, file};

use super::args::{GetArgs, PutArgs};
use super::node::Node;
use super::progress::Bar;
use super::{Failure, failed};

/// Sends a file.
pub fn put(args: &PutArgs) -> Result<(), Failure> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => own_name(&args.path)?,
    };
    let stream = Node::new(&args.node)?.connect(&args.address, &args.node)?;
    let mut bar = Bar::new(&name);
    let progress = file::put(&stream, &args.path, &name, &mut |progress| bar.show(progress));
    end(&stream, &mut bar, progress)
}

/// Fetches a file.
pub fn get(args: &GetArgs) -> Result<(), Failure> {
    let last = args.name.rsplit('/').next().unwrap_or_default();
    let path = args.path.clone().unwrap_or_else(|| PathBuf::from(last));
    let stream = Node::new(&args.node)?.connect(&args.address, &args.node)?;
    let mut bar = Bar::new(&args.name);
    let progress = file::get(&stream, &args.name, &path, &mut |progress| bar.show(progress));
    end(&stream, &mut bar, progress)
}

/// Says how it went. The file is there or is not, however the stream ends then.
fn end(
    stream: &Stream,
    bar: &mut Bar,
    outcome: Result<file::Progress, file::FileError>,
) -> Result<(), Failure> {
    bar.end();
    let _ = stream.close();
    bar.summarize(outcome?);
    Ok(())
}

fn own_name(path: &Path) -> Result<String, Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| {
        let what = format!("name {} at the other end", path.display());
        failed(what, "its own name is no UTF-8, or none", "give a NAME behind it")
    })
}
