//! `ringway stream file`: a file there, or one from there.

use ringway::stream::Error;

use super::args::{GetArgs, PutArgs};

pub fn put(_args: &PutArgs) -> Result<(), Error> {
    Err(Error::Closed)
}

pub fn get(_args: &GetArgs) -> Result<(), Error> {
    Err(Error::Closed)
}
