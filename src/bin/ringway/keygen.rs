//! `ringway keygen`: makes the identity of a node, in a file of its owner alone, or shows whose one is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ringway::error::{Error, Result};
use ringway::limits::STREAM_IDENTITY_FILE_BYTES_MAX;
use ringway::proto::stream::secure::identity::Identity;
use ringway::sys::{random, secret_file};
use zeroize::Zeroizing;

use crate::args::KeygenArgs;

/// Permissions of an identity file: whoever reads it can be that node.
const MODE: u32 = 0o600;

/// Makes an identity or shows one, and prints who it is.
pub fn keygen(args: &KeygenArgs) -> Result<()> {
    let identity = match &args.show {
        Some(path) => read(path)?,
        None => make(&args.out)?,
    };
    let public = identity.public();
    // As lists of nodes have them: what follows is for people.
    let text = format!("{}  address\n{public}  public key\n", public.address());
    // Nobody reading it is no reason to complain.
    _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn make(path: &Path) -> Result<Identity> {
    let mut secret = Zeroizing::new([0; 32]);
    random::fill(&mut secret[..])
        .map_err(|e| Error::new("make a secret", e, "the kernel has no getrandom(2)"))?;
    let identity = Identity::from_secret(&secret);
    let text = identity.to_text();
    let mut file = create(path)?;
    if let Err(e) = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()) {
        // Half an identity is of no use, and would be in the way of the next.
        _ = fs::remove_file(path);
        return Err(Error::new(write_to(path), e, "free some space, or use another --out"));
    }
    Ok(identity)
}

fn create(path: &Path) -> Result<File> {
    let created = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
    created.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => Error::new(
            write_to(path),
            "there is a file of that name, and an identity that is overwritten is lost",
            format!(
                "use another --out, or look whose it is: ringway keygen --show {}",
                path.display()
            ),
        ),
        _ => Error::new(write_to(path), e, "use another --out, or make its directory writable"),
    })
}

fn write_to(path: &Path) -> String {
    format!("write an identity to {}", path.display())
}

/// Reads an identity that nobody but its owner may read.
pub fn read(path: &Path) -> Result<Identity> {
    let made = "make one: ringway keygen --out FILE";
    let mut text = Zeroizing::new(String::with_capacity(STREAM_IDENTITY_FILE_BYTES_MAX));
    secret_file::read(path, "the identity", made, STREAM_IDENTITY_FILE_BYTES_MAX, &mut text)?;
    let what = format!("read the identity {}", path.display());
    Identity::from_text(&text).map_err(|fault| Error::new(what, fault, made))
}
