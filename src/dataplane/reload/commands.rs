//! The commands that change the configuration, or show it: `config get`, `config set` and `reload`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Difference, Reloaded, Reloader};
use crate::control::{Answer, Commands, settings};
use crate::error::Error as Refusal;
use crate::ipc::{Command, Error, Reply};

const USAGE: &str = "config get [KEY] | set KEY VALUE ...";

/// `config` and `reload`.
pub(in crate::dataplane) fn add_commands(reloader: &Arc<Reloader>, commands: &mut Commands) {
    let here = reloader.clone();
    let help =
        "the configuration in force; set: changes it, all or nothing, until the instance ends";
    commands.add(USAGE, help, move |command, reply| config(&here, command, reply));
    let here = reloader.clone();
    let help = "reads the file again and puts it in force, all or nothing; as SIGHUP does";
    commands.add("reload", help, move |command, reply| {
        if !command.arguments.is_empty() {
            return Err(Error::handler(400, "`reload` takes no arguments"));
        }
        let reloaded = here.reload_again().map_err(refused)?;
        answer(&reloaded, "").write(command.json, reply)
    });
}

fn config(reloader: &Reloader, command: &Command<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
    let words = words(command.arguments);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["get"] => show(reloader, "", command, reply),
        ["get", key] => show(reloader, key, command, reply),
        ["set", ref pairs @ ..] if !pairs.is_empty() && pairs.len().is_multiple_of(2) => {
            let pairs = pairs.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned()));
            let reloaded = reloader.set(&pairs.collect::<Vec<_>>()).map_err(refused)?;
            let note = "the file was not written: a reload goes back to what it says";
            let note = if reloaded.is_unchanged() { "" } else { note };
            answer(&reloaded, note).write(command.json, reply)
        }
        _ => Err(Error::handler(400, format!("it is `{USAGE}`"))),
    }
}

fn show(
    reloader: &Reloader,
    key: &str,
    command: &Command<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let all = settings::in_force(&reloader.parts.current.get(), &reloader.parts.hooks);
    settings::get(&all, key, command, reply)
}

fn refused(error: Refusal) -> Error {
    Error::handler(409, error.to_string())
}

fn answer(reloaded: &Reloaded, note: &str) -> Answer {
    let changed =
        |one: &Difference| json!({ "of": one.of, "key": one.key, "from": one.from, "to": one.to });
    let value = json!({
        "generation": reloaded.generation,
        "added": reloaded.added,
        "removed": reloaded.removed,
        "changed": reloaded.changed.iter().map(changed).collect::<Vec<Value>>(),
        "silent_lcores": reloaded.silent,
    });
    let gap = if note.is_empty() { "" } else { "\n" };
    Answer::Note(value, format!("{reloaded}{gap}{note}"))
}

/// Words between blanks. Quotes and brackets hold what is in them together, blanks as well, and stay.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut quote, mut depth, mut escaped) = (None, 0_usize, false);
    for c in text.chars() {
        if c.is_ascii_whitespace() && quote.is_none() && depth == 0 {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        word.push(c);
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_stand_between_blanks_unless_quotes_or_brackets_hold_them_together() {
        assert_eq!(words(" set  a.b 1 "), ["set", "a.b", "1"]);
        assert_eq!(words("k \"a b\" x"), ["k", "\"a b\"", "x"]);
        assert_eq!(words(r#"k "a \" b" x"#), ["k", r#""a \" b""#, "x"]);
        assert_eq!(words("k [1, 2] { a = 'x ]' } y"), ["k", "[1, 2]", "{ a = 'x ]' }", "y"]);
        assert_eq!(words("k [1, 2"), ["k", "[1, 2"], "what is not closed ends with the text");
        assert_eq!(words("] } a"), ["]", "}", "a"]);
        assert_eq!(words("   "), [""; 0]);
    }

    proptest! {
        #[test]
        fn no_word_loses_a_character(text in "[ab\\t\"'\\\\\\[{}\\] ]{0,40}") {
            let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let words = words(&text);
            prop_assert_eq!(bare(&words.concat()), bare(&text));
            prop_assert!(words.iter().all(|word| !word.starts_with(' ')));
        }
    }
}
