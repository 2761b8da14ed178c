//! The command about sessions of streams (D-16, D-17): all of them, one with its channels, and noting what
//! passes on one. Lcores are asked a page at a time.

mod pages;
mod tables;

use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::Value;

use super::asking::{Lcores, Silence};
use crate::config::Current;
use crate::control::{Answer, Commands};
use crate::ipc::{Command, Error};
use crate::limits::{STREAM_SESSIONS_LISTED_MAX, STREAM_TRACES_MAX};
use crate::mem::ConnId;
use crate::pipeline::chain::stream::NoTrace;
use pages::{Found, Start};

const USAGE: &str = "streams [CONN | trace CONN on|off]";

const HELP: &str = "sessions of streams, one with its channels, and noting what passes on one";

/// Who answers the command.
struct Desk {
    lcores: Lcores,
    /// Where the listeners listen.
    current: Current,
}

/// One session, as it is named: by its connection, or by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Conn(ConnId),
    Id([u8; 16]),
}

/// What the lcores say of all sessions.
#[derive(Default)]
struct Survey {
    found: Vec<Found>,
    /// Sessions that are not listed.
    more: usize,
    /// Lcores that do not answer, by the operator's numbers.
    silent: Vec<(u32, Silence)>,
}

/// `streams`.
pub(super) fn add_commands(lcores: Lcores, current: Current, commands: &mut Commands) {
    let desk = Arc::new(Desk { lcores, current });
    commands
        .add(USAGE, HELP, move |command, reply| desk.answer(command)?.write(command.json, reply));
}

impl Desk {
    fn answer(&self, command: &Command<'_>) -> Result<Answer, Error> {
        let words: Vec<&str> = command.arguments.split_ascii_whitespace().collect();
        match words[..] {
            [] => Ok(tables::survey(&self.survey(), &self.current.get())),
            ["trace", name, "on"] => self.trace(Name::parse(name)?, true),
            ["trace", name, "off"] => self.trace(Name::parse(name)?, false),
            ["trace", ..] => Err(Error::handler(400, "it is `streams trace CONN on|off`")),
            [name] => self.one(Name::parse(name)?),
            _ => Err(Error::handler(400, format!("it is `{USAGE}`"))),
        }
    }

    fn survey(&self) -> Survey {
        let share = STREAM_SESSIONS_LISTED_MAX.div_ceil(self.lcores.len().max(1));
        let asked = self.lcores.each(|index| {
            let mut found = Vec::new();
            let all = self.walk(index, |session| {
                found.push(session);
                if found.len() < share { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            (found, all)
        });
        let mut survey = Survey::default();
        for (index, (found, all)) in asked.into_iter().enumerate() {
            match all {
                Ok(all) => survey.more += all.saturating_sub(found.len()),
                Err(silence) => survey.silent.push((self.lcores.id(index), silence)),
            }
            survey.found.extend(found);
        }
        survey
    }

    /// Shows the sessions of an lcore to `visit` until it breaks off; how many there were at last.
    fn walk(
        &self,
        index: usize,
        mut visit: impl FnMut(Found) -> ControlFlow<()>,
    ) -> Result<usize, Silence> {
        let mut from = Start::default();
        loop {
            let page = self.lcores.ask(index, pages::page(from))?;
            for found in page.found {
                if visit(found).is_break() {
                    return Ok(page.all);
                }
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(page.all),
            }
        }
    }

    fn one(&self, name: Name) -> Result<Answer, Error> {
        let conn = self.find(name)?;
        let detail = self.ask(conn, pages::detail(conn))?;
        let detail = detail.ok_or_else(|| no_session(name))?;
        Ok(tables::detail(&detail, &self.current.get()))
    }

    fn trace(&self, name: Name, on: bool) -> Result<Answer, Error> {
        let conn = self.find(name)?;
        let done = match on {
            true => self.ask(conn, pages::trace(conn, Box::default()))?,
            // What was noted is freed here, and not by the lcore.
            false => self.ask(conn, pages::untrace(conn))?.map(drop),
        };
        done.map_err(|why| match why {
            NoTrace::NoSession => no_session(name),
            NoTrace::TooMany => {
                let why = format!(
                    "{STREAM_TRACES_MAX} sessions of its listener are traced on that lcore, and no \
                     more may be; turn one of them off"
                );
                Error::handler(409, why)
            }
        })?;
        let field = |name: &str, value: Value| (name.to_owned(), value);
        let fields = vec![field("conn", conn.to_string().into()), field("trace", on.into())];
        Ok(Answer::Fields(fields))
    }

    /// The connection of a session.
    fn find(&self, name: Name) -> Result<ConnId, Error> {
        let id = match name {
            Name::Conn(conn) if usize::from(conn.lcore()) < self.lcores.len() => return Ok(conn),
            Name::Conn(_) => return Err(no_session(name)),
            Name::Id(id) => id,
        };
        let asked = self.lcores.each(|index| {
            let mut conn = None;
            let walked = self.walk(index, |session| {
                if session.dump.session_id != Some(id) {
                    return ControlFlow::Continue(());
                }
                conn = Some(session.dump.conn);
                ControlFlow::Break(())
            });
            walked.map(|_| conn).map_err(|silence| (index, silence))
        });
        let silent = asked.iter().find_map(|asked| asked.err());
        let found = asked.into_iter().find_map(|asked| asked.ok().flatten());
        match (found, silent) {
            (Some(conn), _) => Ok(conn),
            // It may have it.
            (None, Some((index, silence))) => Err(self.is_silent(index, silence)),
            (None, None) => Err(no_session(name)),
        }
    }

    /// Asks the lcore of a connection, which is there.
    fn ask<T: Send + 'static>(
        &self,
        conn: ConnId,
        work: impl FnOnce(&mut crate::lcore::Lcore) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let index = usize::from(conn.lcore());
        self.lcores.ask(index, work).map_err(|silence| self.is_silent(index, silence))
    }

    fn is_silent(&self, index: usize, silence: Silence) -> Error {
        let (id, why) = (self.lcores.id(index), silence.name());
        Error::handler(503, format!("lcore {id} does not answer: {why}"))
    }
}

impl Name {
    fn parse(text: &str) -> Result<Self, Error> {
        if let Ok(conn) = text.parse() {
            return Ok(Self::Conn(conn));
        }
        let is_id = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(id) if is_id => Ok(Self::Id(id.to_be_bytes())),
            _ => {
                let why = format!(
                    "`{text}` is no session: it is a connection, such as 0:7.2, or the 32 \
                     hexadecimal digits of an id; `streams` lists them"
                );
                Err(Error::handler(400, why))
            }
        }
    }
}

fn no_session(name: Name) -> Error {
    let name = match name {
        Name::Conn(conn) => conn.to_string(),
        Name::Id(id) => tables::hex(id),
    };
    Error::handler(404, format!("no session `{name}`; `streams` lists those there are"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_its_connection_or_by_its_id() {
        let name = |text: &str| Name::parse(text).ok();
        assert_eq!(name("1:20.3"), Some(Name::Conn(ConnId::new(1, 20, 3))));
        let id = std::array::from_fn(|n| n as u8);
        assert_eq!(name("000102030405060708090a0b0c0d0e0f"), Some(Name::Id(id)));
        assert_eq!(name("000102030405060708090A0B0C0D0E0F"), Some(Name::Id(id)));
        for text in ["", "1", "+00102030405060708090a0b0c0d0e0f", "00010203", "0:1", "x"] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
