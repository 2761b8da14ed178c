//! Disks that are full, met on purpose: by the largest file that a process may write, and by a file system of a
//! megabyte where we may make one.

use std::path::Path;
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::resource::{Resource, setrlimit};

use crate::bed::{Bed, Place};
use crate::common::pattern;
use crate::uploads::upload;

/// Says to this program, which is started again, that it is the process that may write small files alone.
const SMALL: &str = "RINGWAY_TEST_SMALL_FILES";

/// The largest file that it may write, in bytes.
const MOST: usize = 100_000;

#[test]
fn a_file_larger_than_the_system_allows_is_507_and_leaves_nothing() {
    if std::env::var_os(SMALL).is_none() {
        // The limit is one of the whole process, with the other tests in it.
        let name = "disk::a_file_larger_than_the_system_allows_is_507_and_leaves_nothing";
        let own = std::env::current_exe().unwrap();
        let child = Command::new(own).args(["--exact", name]).env(SMALL, "1").output().unwrap();
        assert!(child.status.success(), "{child:?}");
        let text = String::from_utf8(child.stdout).unwrap();
        assert!(text.contains("1 passed"), "{text}");
        return;
    }
    let place = Place::new();
    let mut bed = Bed::new(upload(&place));
    let mut resumable = Bed::new(upload(&place).resumable());
    setrlimit(Resource::RLIMIT_FSIZE, MOST as u64, MOST as u64).unwrap();
    assert_eq!(bed.put("PUT", "/at", "", &pattern(1, MOST)).status, 201);
    for bed in [&mut bed, &mut resumable] {
        let got = bed.put("PUT", "/past", "", &pattern(1, MOST + 1));
        assert_eq!((got.status, got.text()), (507, "the file is larger than the system allows\n"));
        assert_eq!(place.names(), ["at"]);
    }
    bed.finish();
    resumable.finish();
}

/// A file system of its own.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_full_disk_is_507_and_has_room_again_afterwards() {
    let place = Place::new();
    let root = place.root();
    let options = Some("size=1m,mode=755");
    let mounted = mount(Some("tmpfs"), &root, Some("tmpfs"), MsFlags::empty(), options);
    if let Err(why) = mounted {
        println!("skipped: a file system cannot be mounted: {why}");
        return;
    }
    let _mounted = Mounted(&root);
    let mut bed = Bed::new(upload(&place));
    let got = bed.put("PUT", "/past", "", &pattern(1, 2_000_000));
    assert_eq!((got.status, got.text()), (507, "there is no room left on the disk\n"));
    assert_eq!(place.names(), [""; 0]);
    assert_eq!(bed.put("PUT", "/fits", "", &pattern(1, 900_000)).status, 201);
    bed.finish();
}
