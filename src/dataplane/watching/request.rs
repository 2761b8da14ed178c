//! What somebody asks to have traced or captured, in the words of the command.

use crate::ipc::Error;
use crate::lcore::capture::Boundaries;
use crate::lcore::watch::{Boundary, Looks};
use crate::limits::{CAPTURE_SNAPLEN_MAX, TRACE_COUNT, TRACE_COUNT_MAX, WATCH_SECONDS_MAX};
use crate::mem::ConnId;

pub(super) const TRACE_USAGE: &str =
    "trace [LISTENER [conn ID] [count N] [seconds N] | stop LISTENER]";

pub(super) const CAPTURE_USAGE: &str = "capture [LISTENER STAGE[,STAGE] [conn ID] [snaplen N] [count N] \
                                        [seconds N] | stop LISTENER]";

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Who looks at what.
    List,
    /// That whoever looks at this listener stops.
    Stop(&'a str),
    /// To look.
    Begin(Request<'a>),
}

/// What to look at, and for how long.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The listener's index, or its address.
    pub listener: &'a str,
    /// Of a capture: where.
    pub stages: Boundaries,
    /// This connection alone.
    pub conn: Option<ConnId>,
    /// Messages, or packets.
    pub count: u64,
    /// Seconds.
    pub seconds: u32,
    /// Bytes of each packet that a capture keeps.
    pub snaplen: u32,
}

/// What the arguments of the command say.
pub fn parse(looks: Looks, arguments: &str) -> Result<Wanted<'_>, Error> {
    let mut words = arguments.split_ascii_whitespace();
    let Some(first) = words.next() else { return Ok(Wanted::List) };
    if first == "stop" {
        return match (words.next(), words.next()) {
            (Some(listener), None) => Ok(Wanted::Stop(listener)),
            _ => Err(usage(looks)),
        };
    }
    let (stages, count) = match looks {
        Looks::Trace => (Boundaries::default(), TRACE_COUNT.into()),
        Looks::Capture => (stages(words.next().ok_or_else(|| usage(looks))?)?, u64::MAX),
    };
    let (seconds, snaplen) = (WATCH_SECONDS_MAX, CAPTURE_SNAPLEN_MAX);
    let mut request = Request { listener: first, stages, conn: None, count, seconds, snaplen };
    while let Some(key) = words.next() {
        let value = words.next().ok_or_else(|| usage(looks))?;
        match (key, looks) {
            ("conn", _) => request.conn = Some(conn(value)?),
            ("count", Looks::Trace) => {
                request.count = number(key, value, 1, TRACE_COUNT_MAX.into())?;
            }
            ("count", Looks::Capture) => request.count = number(key, value, 1, u64::MAX)?,
            ("seconds", _) => {
                request.seconds = number(key, value, 1, WATCH_SECONDS_MAX.into())? as u32;
            }
            ("snaplen", Looks::Capture) => {
                request.snaplen = number(key, value, 0, CAPTURE_SNAPLEN_MAX.into())? as u32;
            }
            _ => return Err(usage(looks)),
        }
    }
    Ok(Wanted::Begin(request))
}

fn usage(looks: Looks) -> Error {
    let usage = match looks {
        Looks::Trace => TRACE_USAGE,
        Looks::Capture => CAPTURE_USAGE,
    };
    Error::handler(400, format!("it is `{usage}`"))
}

fn stages(text: &str) -> Result<Boundaries, Error> {
    text.split(',').try_fold(Boundaries::default(), |stages, name| match Boundary::named(name) {
        Some(stage) => Ok(stages.with(stage)),
        None => {
            let names = Boundary::ALL.map(|(_, name)| name).join(", ");
            Err(Error::handler(400, format!("there is no stage `{name}`; they are {names}")))
        }
    })
}

fn conn(text: &str) -> Result<ConnId, Error> {
    text.parse().map_err(|_| {
        let why =
            format!("`{text}` is no connection: those are written as 0:256.1, as a trace does");
        Error::handler(400, why)
    })
}

fn number(name: &str, text: &str, min: u64, max: u64) -> Result<u64, Error> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let found = text.parse().ok().filter(|number| digits && (min..=max).contains(number));
    found.ok_or_else(|| {
        let bounds = match max {
            u64::MAX => format!("from {min} on"),
            max => format!("from {min} to {max}"),
        };
        Error::handler(400, format!("`{name} {text}`: it takes a number {bounds}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(looks: Looks, arguments: &str) -> String {
        parse(looks, arguments).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        let Ok(Wanted::Begin(request)) = parse(Looks::Trace, "0") else { panic!("a request") };
        assert_eq!((request.listener, request.count, request.conn), ("0", 50, None));
        let Ok(Wanted::Begin(request)) = parse(Looks::Capture, "[::1]:80 rx,tx") else {
            panic!("a request")
        };
        assert_eq!((request.listener, request.count), ("[::1]:80", u64::MAX));
        assert!(request.stages.iter().eq([Boundary::Rx, Boundary::Tx]));
        assert_eq!(request.snaplen, CAPTURE_SNAPLEN_MAX);
    }

    #[test]
    fn every_word_is_understood() {
        let all = "1 rx conn 0:7.2 count 3 seconds 9 snaplen 0";
        let Ok(Wanted::Begin(request)) = parse(Looks::Capture, all) else { panic!("a request") };
        assert_eq!(request.conn, Some(ConnId::new(0, 7, 2)));
        assert_eq!((request.count, request.seconds, request.snaplen), (3, 9, 0));
        assert_eq!(parse(Looks::Trace, "").unwrap(), Wanted::List);
        assert_eq!(parse(Looks::Capture, "stop 1").unwrap(), Wanted::Stop("1"));
    }

    #[test]
    fn bounds_are_kept_and_one_past_them_is_refused() {
        assert!(parse(Looks::Trace, "0 count 10000").is_ok());
        assert!(refused(Looks::Trace, "0 count 10001").contains("from 1 to 10000"));
        assert!(refused(Looks::Trace, "0 count 0").contains("from 1"));
        assert!(parse(Looks::Capture, "0 rx seconds 86400 snaplen 262144").is_ok());
        assert!(refused(Looks::Capture, "0 rx seconds 86401").contains("86400"));
        assert!(refused(Looks::Capture, "0 rx snaplen 262145").contains("262144"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for arguments in ["0 count", "0 what 7", "stop", "stop 1 2", "0 snaplen 7"] {
            assert!(refused(Looks::Trace, arguments).contains("trace [LISTENER"), "{arguments}");
        }
        assert!(refused(Looks::Capture, "0").contains("capture [LISTENER STAGE"));
        assert!(refused(Looks::Capture, "0 wire").contains("rx, ingress, handler, egress, tx"));
        assert!(refused(Looks::Trace, "0 conn 7").contains("0:256.1"));
        assert!(refused(Looks::Trace, "0 count +7").contains("takes a number"));
    }
}
