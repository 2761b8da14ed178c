//! `ringway doctor`: what this machine lacks for full speed, one line a check. The facts are the
//! library's; here stand what they cost and what mends them.

mod cores;
mod kernel;
mod memory;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use ringway::sys::affinity;
use ringway::sys::host::Host;
use ringway::sys::topology::Topology;
use serde::Serialize;

use crate::args::DoctorArgs;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// As it should be.
    Ok,
    /// ringway runs, but loses something.
    Warn,
    /// ringway cannot run.
    Fail,
}

/// What one check came to.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    found: String,
    /// What is lost; empty when nothing is.
    lost: String,
    /// The command that mends it; empty when there is nothing to mend.
    remedy: String,
}

#[derive(Serialize)]
struct Report {
    fit: bool,
    checks: Vec<Check>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        let (lost, remedy) = (String::new(), String::new());
        Self { name, status: Status::Ok, found: found.into(), lost, remedy }
    }

    fn warn(
        name: &'static str,
        found: impl Into<String>,
        lost: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (found, lost, remedy) = (found.into(), lost.into(), remedy.into());
        Self { name, status: Status::Warn, found, lost, remedy }
    }

    fn fail(
        name: &'static str,
        found: impl Into<String>,
        lost: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { status: Status::Fail, ..Self::warn(name, found, lost, remedy) }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "fail",
        };
        write!(f, "{status:<4}  {:<9}  {}", self.name, self.found)?;
        if self.status == Status::Ok {
            return Ok(());
        }
        write!(f, " | lost: {} | mend: {}", self.lost, self.remedy)
    }
}

impl Report {
    fn of_this_machine() -> Self {
        let host = Host::default();
        let allowed = affinity::allowed().unwrap_or_default();
        let topology = Topology::discover().ok();
        let checks = vec![
            kernel::version(&host),
            kernel::io_uring(&host, host.io_uring()),
            memory::hugepages(&host),
            memory::transparent_hugepages(&host),
            memory::memlock(&host),
            memory::statistics(&host),
            memory::numa(topology.as_ref()),
            cores::allowed(&host, &allowed),
            cores::isolated(&host, &allowed),
            cores::governor(&host, &allowed),
            cores::quota(&host, &allowed),
            cores::machine(&host),
            kernel::descriptors(&host),
            kernel::somaxconn(&host),
        ];
        Self { fit: checks.iter().all(|check| check.status != Status::Fail), checks }
    }
}

/// Prints the checks of this machine; the exit code is 1 when one of them fails.
pub fn doctor(args: &DoctorArgs) -> ExitCode {
    let report = Report::of_this_machine();
    let text = if args.json {
        serde_json::to_string_pretty(&report).expect("a report is plain data")
    } else {
        let lines: Vec<String> = report.checks.iter().map(Check::to_string).collect();
        lines.join("\n")
    };
    // Nobody reading it changes nothing in the verdict.
    let _ = writeln!(io::stdout(), "{text}");
    if report.fit { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
#[path = "../../sys/host/fake.rs"]
mod fake;
#[cfg(test)]
mod tests;
