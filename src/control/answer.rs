//! What a command found out, written for people or for programs: names and values, or a table. The
//! names in text are the keys in JSON.

use std::fmt::Write as _;
use std::io::Write;

use serde::ser::{Serialize, Serializer};
use serde_json::Value;

use crate::ipc::{Error, Reply};

/// What a command found out.
pub(crate) enum Answer {
    /// Names and values.
    Fields(Vec<(String, Value)>),
    /// The same names for each of several.
    Table(Table),
    /// Several, each with its name: in text without their names, and with a blank line in between.
    Parts(Vec<(String, Answer)>),
    /// A value for programs, and what it means for people: nothing, where the text is empty.
    Note(Value, String),
}

/// Rows under their columns.
pub(crate) struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
    /// In text a row stands in a column: there are few of them with many values each.
    pub upright: bool,
}

impl Answer {
    /// Writes it as one JSON document and a newline, or as aligned lines.
    pub fn write(&self, json: bool, reply: &mut Reply<'_>) -> Result<(), Error> {
        let text = if json { self.to_json() } else { self.to_text() };
        Ok(reply.write_all(text.as_bytes())?)
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names and plain values") + "\n"
    }

    fn to_text(&self) -> String {
        match self {
            Self::Fields(fields) => {
                let line = |(name, value): &(String, Value)| vec![name.clone(), shown(value)];
                aligned(&fields.iter().map(line).collect::<Vec<_>>(), 1)
            }
            Self::Table(table) => table.to_text(),
            Self::Parts(parts) => {
                let texts = parts.iter().map(|(_, part)| part.to_text());
                texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
            }
            Self::Note(_, text) if text.is_empty() => String::new(),
            Self::Note(_, text) => format!("{text}\n"),
        }
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fields(fields) => Object(fields).serialize(serializer),
            Self::Table(table) => {
                serializer.collect_seq(table.rows.iter().map(|row| Row(&table.columns, row)))
            }
            Self::Parts(parts) => Object(parts).serialize(serializer),
            Self::Note(value, _) => value.serialize(serializer),
        }
    }
}

impl Table {
    fn to_text(&self) -> String {
        let mut lines = vec![self.columns.clone()];
        lines.extend(self.rows.iter().map(|row| row.iter().map(shown).collect()));
        if self.upright {
            lines = (0..self.columns.len())
                .map(|column| lines.iter().map(|line| line[column].clone()).collect())
                .collect();
        }
        aligned(&lines, usize::MAX)
    }
}

/// An object whose keys keep their order.
struct Object<'a, V>(&'a [(String, V)]);

impl<V: Serialize> Serialize for Object<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A row of a table as an object.
struct Row<'a>(&'a [String], &'a [Value]);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1))
    }
}

/// A value as a person reads it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        // So that those of a column have their points below each other.
        Value::Number(number) if number.is_f64() => {
            format!("{:.3}", number.as_f64().unwrap_or(0.0))
        }
        other => other.to_string(),
    }
}

/// Lines of cells in columns: numbers to the right, but in columns from `left_from` on.
fn aligned(lines: &[Vec<String>], left_from: usize) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width =
        |column: usize| lines.iter().map(|line: &Vec<String>| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let number = |cell: &str| cell.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    let right: Vec<bool> = (0..columns)
        .map(|column| column < left_from && lines[1..].iter().all(|line| number(&line[column])))
        .collect();
    let mut text = String::new();
    for line in lines {
        let mut written = String::new();
        for (column, cell) in line.iter().enumerate() {
            let (gap, width) = (if column == 0 { "" } else { "  " }, widths[column]);
            let fits = if right[column] {
                write!(written, "{gap}{cell:>width$}")
            } else {
                write!(written, "{gap}{cell:<width$}")
            };
            fits.expect("a string takes everything");
        }
        text.push_str(written.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(upright: bool) -> Answer {
        Answer::Table(Table {
            columns: vec!["name".into(), "count".into(), "limit".into()],
            rows: vec![
                vec!["a long one".into(), 7.into(), Value::Null],
                vec!["b".into(), 12345678.into(), 9.into()],
            ],
            upright,
        })
    }

    #[test]
    fn a_table_is_aligned_with_numbers_to_the_right() {
        let text = "name           count  limit\n\
                    a long one         7      -\n\
                    b           12345678      9\n";
        assert_eq!(table(false).to_text(), text);
        assert_eq!(Answer::Table(Table { rows: Vec::new(), ..none() }).to_text(), "name\n");
    }

    fn none() -> Table {
        Table { columns: vec!["name".into()], rows: Vec::new(), upright: false }
    }

    #[test]
    fn a_table_of_few_rows_with_many_values_stands_upright() {
        let text = "name   a long one         b\n\
                    count           7  12345678\n\
                    limit           -         9\n";
        assert_eq!(table(true).to_text(), text);
    }

    #[test]
    fn parts_stand_apart_in_text_and_have_names_in_json() {
        let fields = Answer::Fields(vec![("ms".into(), 0.25.into())]);
        let part = |name: &str, answer| (name.to_owned(), answer);
        let parts = Answer::Parts(vec![
            part("one", fields),
            part("nothing", Answer::Note(0.into(), String::new())),
            part("more", Answer::Note(7.into(), "and 7 more".into())),
            part("none", Answer::Table(none())),
        ]);
        assert_eq!(parts.to_text(), "ms  0.250\n\nand 7 more\n\nname\n");
        let json = "{\"one\":{\"ms\":0.25},\"nothing\":0,\"more\":7,\"none\":[]}\n";
        assert_eq!(parts.to_json(), json);
    }

    #[test]
    fn json_has_the_same_names_in_the_same_order() {
        let json = "[{\"name\":\"a long one\",\"count\":7,\"limit\":null},\
                    {\"name\":\"b\",\"count\":12345678,\"limit\":9}]\n";
        assert_eq!(table(true).to_json(), json);
        let fields = Answer::Fields(vec![("z".into(), 1.into()), ("a".into(), "x".into())]);
        assert_eq!(fields.to_json(), "{\"z\":1,\"a\":\"x\"}\n");
        assert_eq!(fields.to_text(), "z  1\na  x\n");
    }
}
