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
        let text = match self {
            Self::Fields(fields) => serde_json::to_string(&Object(fields)),
            Self::Table(table) => {
                let named = |row: &Vec<Value>| {
                    let columns = table.columns.iter().cloned();
                    columns.zip(row.iter().cloned()).collect::<Vec<_>>()
                };
                let rows: Vec<_> = table.rows.iter().map(named).collect();
                serde_json::to_string(&rows.iter().map(|row| Object(row)).collect::<Vec<_>>())
            }
        };
        text.expect("names and plain values") + "\n"
    }

    fn to_text(&self) -> String {
        match self {
            Self::Fields(fields) => {
                let line = |(name, value): &(String, Value)| vec![name.clone(), shown(value)];
                aligned(&fields.iter().map(line).collect::<Vec<_>>(), 1)
            }
            Self::Table(table) => table.to_text(),
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
struct Object<'a>(&'a [(String, Value)]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A value as a person reads it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Lines of cells in columns: numbers to the right, but in columns from `left_from` on.
fn aligned(lines: &[Vec<String>], left_from: usize) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width =
        |column: usize| lines.iter().map(|line: &Vec<String>| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let number = |cell: &str| cell.bytes().all(|b| b.is_ascii_digit() || b == b'-');
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
    fn json_has_the_same_names_in_the_same_order() {
        let json = "[{\"name\":\"a long one\",\"count\":7,\"limit\":null},\
                    {\"name\":\"b\",\"count\":12345678,\"limit\":9}]\n";
        assert_eq!(table(true).to_json(), json);
        let fields = Answer::Fields(vec![("z".into(), 1.into()), ("a".into(), "x".into())]);
        assert_eq!(fields.to_json(), "{\"z\":1,\"a\":\"x\"}\n");
        assert_eq!(fields.to_text(), "z  1\na  x\n");
    }
}
