//! The `ringway` command. Nothing of it is built under loom: cargo builds the binary along with the
//! models, which have no system under them.

#[cfg(not(loom))]
mod args;
#[cfg(not(loom))]
mod attach;
#[cfg(not(loom))]
mod command;
#[cfg(not(loom))]
mod ctl;
#[cfg(not(loom))]
mod doctor;
#[cfg(not(loom))]
mod keygen;
#[cfg(not(loom))]
mod logs;
#[cfg(not(loom))]
mod options;
#[cfg(not(loom))]
mod plan;
#[cfg(not(loom))]
mod run;
#[cfg(not(loom))]
mod stream;
#[cfg(not(loom))]
mod top;
#[cfg(not(loom))]
mod watch;
#[cfg(not(loom))]
mod ws;

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    command::main()
}

#[cfg(loom)]
fn main() {}
