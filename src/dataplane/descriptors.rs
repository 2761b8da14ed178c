//! The limit on open files, and how many connections fit below it.

use crate::error::{Error, Result};

/// How the connections of the lcores count against the limit on open files.
#[derive(Clone, Copy)]
pub(super) struct Tables {
    /// Lcores whose connections count together: one, where each has a file table of an io_uring, which is
    /// held against the limit by itself; all of them, where connections are descriptors of the process.
    pub shared: u64,
    /// What is not for connections.
    pub kept: u64,
}

/// Raises the soft limit on open files as far as it goes: a file table counts against it whole, with
/// the `reserved` places that are nobody's to accept into. Returns the connections per lcore that then
/// fit.
pub(super) fn connections_limit(wanted: u32, reserved: u32, tables: Tables) -> Result<u32> {
    let needed = tables.shared * (u64::from(wanted) + u64::from(reserved)) + tables.kept;
    let reachable = raise_limit(needed)?;
    if needed <= reachable {
        return Ok(wanted);
    }
    let each = reachable.saturating_sub(tables.kept) / tables.shared;
    let fits = each.saturating_sub(reserved.into()) as u32;
    if fits == 0 {
        return Err(Error::new(
            format!("serve {wanted} connections per lcore"),
            format!("the limit on open files is {reachable}"),
            format!("raise it to {needed} with `ulimit -n` (LimitNOFILE= in a unit)"),
        ));
    }
    tracing::warn!(
        "serving at most {fits} connections per lcore, not {wanted}: the limit on open files is \
         {reachable}; raise it to {needed} with `ulimit -n` (LimitNOFILE= in a unit)"
    );
    Ok(fits)
}

/// Raises the soft limit on open files to `needed`, or as far as it goes; how far that is.
pub(super) fn raise_limit(needed: u64) -> Result<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let fail = |why: nix::Error| Error::new("read the limit on open files", why, "see `ulimit -n`");
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(fail)?;
    let reachable = hard.min(soft.max(needed));
    if reachable > soft {
        setrlimit(Resource::RLIMIT_NOFILE, reachable, hard).map_err(fail)?;
    }
    Ok(reachable)
}
