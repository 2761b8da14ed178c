//! A table: columns that give way where it is narrow, rows that can be sorted and filtered, each as one line.

use std::cmp::Ordering;

use super::glyphs::Glyphs;
use super::text::{Line, Mark, width};

/// On which side of its column a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    pub title: &'static str,
    align: Align,
    /// It is at least so wide, whatever is in it, so that it does not jump.
    least: usize,
    /// It grows up to this where there is room.
    most: usize,
    /// One that grows has so much of its content before columns of a rank are shown.
    keeps: usize,
    /// Where it is narrow the columns of the highest rank go first; 0 stays.
    rank: u8,
}

/// What stands in a column of a row.
#[derive(Debug, Clone)]
enum Show {
    Text(String),
    /// Busy, idle, asleep.
    Time([f64; 3]),
    /// A part of 1, to be compared with those of other rows.
    Bar(f64),
    /// A part of 1.
    Gauge(f64),
}

/// By what a row is sorted.
#[derive(Debug, Clone, PartialEq)]
enum Key {
    Number(f64),
    Text(String),
}

/// One of a row's.
#[derive(Debug, Clone)]
pub struct Cell {
    show: Show,
    mark: Mark,
    key: Key,
}

/// A row.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it is, however rows are sorted.
    pub id: String,
    pub cells: Vec<Cell>,
}

/// By which column rows are sorted; `None`: as they come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sort {
    pub column: Option<usize>,
    pub reversed: bool,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// What is said where there are no rows.
    pub empty: String,
}

/// The columns that are shown, with their widths, and the spaces between two.
pub struct Layout {
    columns: Vec<(usize, usize)>,
    gap: usize,
}

impl Column {
    /// Numbers, at the right.
    pub fn number(title: &'static str, least: usize) -> Self {
        Self { title, align: Align::Right, least, most: 0, keeps: 0, rank: 0 }
    }

    /// Words, at the left.
    pub fn words(title: &'static str, least: usize) -> Self {
        Self { align: Align::Left, ..Self::number(title, least) }
    }

    /// Goes before those of a lower rank where it is narrow.
    pub fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    /// Is worth more than columns of a rank, up to so many columns.
    pub fn keeps(self, keeps: usize) -> Self {
        Self { keeps, ..self }
    }

    /// Takes what is left, up to so many columns.
    pub fn grows(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

impl Cell {
    /// Words, sorted as words.
    pub fn words(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { key: Key::Text(text.to_lowercase()), show: Show::Text(text), mark: Mark::Plain }
    }

    /// A text that stands for a number.
    pub fn number(text: impl Into<String>, number: f64) -> Self {
        let mark = if number == 0.0 { Mark::Faint } else { Mark::Plain };
        Self { show: Show::Text(text.into()), mark, key: Key::Number(number) }
    }

    /// A part of 1 as a bar, to be compared with those of other rows.
    pub fn bar(share: f64, mark: Mark) -> Self {
        Self { show: Show::Bar(share), mark, key: Key::Number(share) }
    }

    /// The same, of something that can be full.
    pub fn gauge(share: f64, mark: Mark) -> Self {
        Self { show: Show::Gauge(share), mark, key: Key::Number(share) }
    }

    /// How time was spent; sorted by the work.
    pub fn time(shares: [f64; 3]) -> Self {
        Self { show: Show::Time(shares), mark: Mark::Plain, key: Key::Number(shares[0]) }
    }

    /// The number that it is sorted by; 0 for words.
    pub fn as_number(&self) -> f64 {
        match self.key {
            Key::Number(number) => number,
            Key::Text(_) => 0.0,
        }
    }

    /// With another mark.
    pub fn mark(self, mark: Mark) -> Self {
        Self { mark, ..self }
    }

    fn width(&self) -> usize {
        match &self.show {
            Show::Text(text) => width(text),
            Show::Time(_) | Show::Bar(_) | Show::Gauge(_) => 0,
        }
    }

    fn line(&self, column: &Column, columns: usize, glyphs: Glyphs) -> Line {
        let text = match &self.show {
            Show::Time(shares) => return glyphs.time_bar(*shares, columns),
            Show::Bar(share) => return glyphs.bar(*share, columns, self.mark),
            Show::Gauge(share) => return glyphs.gauge(*share, columns, self.mark),
            Show::Text(text) => glyphs.cut(text, columns),
        };
        aligned(text, column.align, columns, self.mark)
    }
}

impl Key {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

impl Layout {
    /// The columns that are shown.
    pub fn shown(&self) -> Vec<usize> {
        self.columns.iter().map(|(at, _)| *at).collect()
    }
}

impl Table {
    /// With these columns, and this to say while it has no rows.
    pub fn new(columns: Vec<Column>, empty: impl Into<String>) -> Self {
        Self { columns, rows: Vec::new(), empty: empty.into() }
    }

    /// Adds a row.
    pub fn push(&mut self, id: impl Into<String>, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(Row { id: id.into(), cells });
    }

    /// Sorts the rows: numbers with the largest first, words from a to z. Equal ones stay as they came.
    pub fn sort(&mut self, sort: Sort) {
        let Some(column) = sort.column.filter(|column| *column < self.columns.len()) else {
            if sort.reversed {
                self.rows.reverse();
            }
            return;
        };
        self.rows.sort_by(|a, b| {
            let (a, b) = (&a.cells[column].key, &b.cells[column].key);
            let down = matches!(a, Key::Number(_)) != sort.reversed;
            if down { b.compare(a) } else { a.compare(b) }
        });
    }

    /// Leaves the rows in which a text stands, in capitals or not.
    pub fn filter(&mut self, text: &str) {
        let text = text.to_lowercase();
        let has = |cell: &Cell| match &cell.show {
            Show::Text(there) => there.to_lowercase().contains(&text),
            _ => false,
        };
        self.rows.retain(|row| text.is_empty() || row.cells.iter().any(has));
    }

    /// Which columns have room, and how much.
    pub fn layout(&self, columns: usize) -> Layout {
        let mut shown: Vec<_> =
            (0..self.columns.len()).map(|at| (at, self.natural(at, true))).collect();
        let mut gap = 2;
        while needed(&shown, gap) > columns {
            let last = shown.iter().map(|(at, _)| self.columns[*at].rank).max().unwrap_or(0);
            let ranked = |(at, _): &(usize, usize)| last > 0 && self.columns[*at].rank == last;
            match shown.iter().rposition(ranked) {
                _ if gap == 2 => gap = 1,
                Some(place) => drop(shown.remove(place)),
                None => {
                    // Nothing more can go: all are cut that may be.
                    shown.iter_mut().for_each(|(at, wide)| *wide = self.natural(*at, false));
                    break;
                }
            }
        }
        let room = columns.saturating_sub(needed(&shown, gap));
        self.give(&mut shown, room);
        Layout { columns: shown, gap }
    }

    /// The width of a column without anything to spare; of one that grows with what it keeps, or without.
    fn natural(&self, at: usize, keeps: bool) -> usize {
        let column = &self.columns[at];
        let content = match (column.most > 0, keeps) {
            (false, _) => self.longest(at),
            (true, true) => self.longest(at).min(column.keeps),
            (true, false) => 0,
        };
        // With room for the arrow of a sort beside the title.
        column.least.max(width(column.title) + 1).max(content)
    }

    /// Gives room to the columns that grow: to words what they lack, what is left to bars.
    fn give(&self, shown: &mut [(usize, usize)], mut room: usize) {
        let grows = |at: usize| self.columns[at].most > 0;
        let mut growing: Vec<_> = shown.iter_mut().filter(|(at, _)| grows(*at)).collect();
        growing.sort_by_key(|(at, _)| self.is_bar(*at));
        let many = growing.len();
        for (done, (at, columns)) in growing.into_iter().enumerate() {
            let most = self.columns[*at].most;
            let (wants, fair) = match self.is_bar(*at) {
                true => (most, room / (many - done)),
                false => (self.longest(*at).min(most), room),
            };
            let more = wants.saturating_sub(*columns).min(fair);
            *columns += more;
            room -= more;
        }
    }

    /// Columns of the longest text in a column.
    fn longest(&self, column: usize) -> usize {
        self.rows.iter().map(|row| row.cells[column].width()).max().unwrap_or(0)
    }

    fn is_bar(&self, column: usize) -> bool {
        let bar = |row: &Row| !matches!(row.cells[column].show, Show::Text(_));
        self.rows.first().is_some_and(bar)
    }

    /// The titles.
    pub fn head(&self, layout: &Layout, sort: Sort, glyphs: Glyphs) -> Line {
        let mut line = Line::default();
        for (place, (at, columns)) in layout.columns.iter().enumerate() {
            if place > 0 {
                line.push(" ".repeat(layout.gap), Mark::Head);
            }
            let column = &self.columns[*at];
            let chosen = sort.column == Some(*at);
            let arrow = if chosen { glyphs.arrows[usize::from(sort.reversed)] } else { ' ' };
            let title = match (column.align, chosen) {
                (_, false) => column.title.to_owned(),
                (Align::Left, _) => format!("{}{arrow}", column.title),
                (Align::Right, _) => format!("{arrow}{}", column.title),
            };
            let mark = if chosen { Mark::Chosen } else { Mark::Head };
            line.append(aligned(title, column.align, *columns, mark));
        }
        line
    }

    /// A row.
    pub fn line(&self, row: &Row, layout: &Layout, glyphs: Glyphs) -> Line {
        let mut line = Line::default();
        for (place, (at, columns)) in layout.columns.iter().enumerate() {
            if place > 0 {
                line.plain(" ".repeat(layout.gap));
            }
            line.append(row.cells[*at].line(&self.columns[*at], *columns, glyphs));
        }
        line
    }

    /// All of it, as it is sorted, in lines of at most `columns`.
    pub fn lines(&self, columns: usize, glyphs: Glyphs) -> Vec<Line> {
        if self.rows.is_empty() {
            return vec![Line::of(self.empty.clone(), Mark::Faint)];
        }
        let layout = self.layout(columns);
        let head = self.head(&layout, Sort::default(), glyphs);
        let rows = self.rows.iter().map(|row| self.line(row, &layout, glyphs));
        std::iter::once(head).chain(rows).collect()
    }
}

fn needed(shown: &[(usize, usize)], gap: usize) -> usize {
    let widths: usize = shown.iter().map(|(_, columns)| columns).sum();
    widths + gap * shown.len().saturating_sub(1)
}

fn aligned(text: String, align: Align, columns: usize, mark: Mark) -> Line {
    let text = match align {
        Align::Left => format!("{text:<columns$}"),
        Align::Right => format!("{text:>columns$}"),
    };
    Line::of(text, mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = vec![
            Column::words("NAME", 4),
            Column::number("RATE", 5),
            Column::number("MORE", 5).rank(1),
            Column::words("WHY", 6).grows(60),
        ];
        let mut table = Table::new(columns, "nothing");
        for (name, rate) in [("blue", 5.0), ("Green", 50.0), ("ash", 5.0)] {
            let why = Cell::words("because of a long story");
            table.push(
                name,
                vec![
                    Cell::words(name),
                    Cell::number(rate.to_string(), rate),
                    Cell::number("7", 7.0),
                    why,
                ],
            );
        }
        table
    }

    fn ids(table: &Table) -> Vec<&str> {
        table.rows.iter().map(|row| row.id.as_str()).collect()
    }

    #[test]
    fn numbers_are_sorted_from_the_largest_and_words_from_a() {
        let mut table = table();
        table.sort(Sort { column: Some(1), reversed: false });
        assert_eq!(ids(&table), ["Green", "blue", "ash"]);
        table.sort(Sort { column: Some(1), reversed: true });
        assert_eq!(ids(&table), ["blue", "ash", "Green"]);
        table.sort(Sort { column: Some(0), reversed: false });
        assert_eq!(ids(&table), ["ash", "blue", "Green"]);
        table.sort(Sort { column: None, reversed: true });
        assert_eq!(ids(&table), ["Green", "blue", "ash"]);
    }

    #[test]
    fn a_filter_leaves_rows_that_have_the_text() {
        let mut table = table();
        table.filter("gReE");
        assert_eq!(ids(&table), ["Green"]);
        table.filter("no such");
        assert_eq!(table.lines(80, Glyphs::new(true)), [Line::of("nothing", Mark::Faint)]);
    }

    #[test]
    fn columns_stand_under_their_titles_and_give_way_where_it_is_narrow() {
        let text = |columns| -> Vec<String> {
            table().lines(columns, Glyphs::new(true)).iter().map(Line::text).collect()
        };
        assert_eq!(
            text(60)[..2],
            ["NAME    RATE   MORE  WHY", "blue       5      7  because of a long story",]
        );
        assert_eq!(text(20)[..2], ["NAME   RATE WHY", "blue      5 because~"]);
        for columns in 18..100 {
            let lines = table().lines(columns, Glyphs::new(true));
            assert!(lines.iter().all(|line| line.width() <= columns), "{columns}");
        }
    }

    #[test]
    fn the_column_that_rows_are_sorted_by_is_marked() {
        let table = table();
        let layout = table.layout(80);
        let sort = Sort { column: Some(1), reversed: false };
        let head = table.head(&layout, sort, Glyphs::new(false));
        assert!(head.text().contains(" ▼RATE"), "{}", head.text());
        assert!(head.0.iter().any(|span| span.mark == Mark::Chosen && span.text.contains("RATE")));
    }
}
