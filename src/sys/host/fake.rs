//! A host made of a few files, for the tests of those who read its facts and of those who judge
//! them: `ringway doctor` includes this file.

use std::fs;

use tempfile::TempDir;

use super::Host;

/// A host made of the given files, which are there for as long as the directory is kept.
pub fn fake(files: &[(&str, &str)]) -> (TempDir, Host) {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let host = Host::at(root.path());
    (root, host)
}
