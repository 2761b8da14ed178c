//! Lines of text with marks that say what a part means; a screen makes colours of them, plain text nothing.

/// What a piece of text means to the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mark {
    #[default]
    Plain,
    /// What to look at first.
    Strong,
    /// Is there if looked for.
    Faint,
    /// Work, or all is well.
    Good,
    /// Time without work.
    Idle,
    /// Look here.
    Warn,
    /// Something is lost or stuck.
    Bad,
    /// The head of a table.
    Head,
    /// That head's column by which rows are sorted, or the view that is shown.
    Chosen,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub text: String,
    pub mark: Mark,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line(pub Vec<Span>);

impl Line {
    /// With one mark.
    pub fn of(text: impl Into<String>, mark: Mark) -> Self {
        let mut line = Self::default();
        line.push(text, mark);
        line
    }

    /// Adds a piece. What moves a terminal's cursor has no place in a line.
    pub fn push(&mut self, text: impl Into<String>, mark: Mark) -> &mut Self {
        let mut text = text.into();
        if text.contains(char::is_control) {
            text = text.replace(char::is_control, "?");
        }
        if !text.is_empty() {
            self.0.push(Span { text, mark });
        }
        self
    }

    /// Adds a plain piece.
    pub fn plain(&mut self, text: impl Into<String>) -> &mut Self {
        self.push(text, Mark::Plain)
    }

    /// Adds all of another.
    pub fn append(&mut self, other: Self) -> &mut Self {
        self.0.extend(other.0);
        self
    }

    /// Two columns to the right.
    pub fn indented(self) -> Self {
        let mark = self.0.first().map_or(Mark::Plain, |span| span.mark);
        let mut line = Self::of("  ", if mark == Mark::Head { mark } else { Mark::Plain });
        line.append(self);
        line
    }

    /// Its length in columns.
    pub fn width(&self) -> usize {
        self.0.iter().map(|span| width(&span.text)).sum()
    }

    /// Spaces up to this width.
    pub fn pad_to(&mut self, columns: usize, mark: Mark) -> &mut Self {
        let lacks = columns.saturating_sub(self.width());
        self.push(" ".repeat(lacks), mark)
    }

    /// No more than this.
    pub fn cut_to(mut self, columns: usize) -> Self {
        let mut left = columns;
        for span in &mut self.0 {
            span.text = span.text.chars().take(left).collect();
            left -= width(&span.text);
        }
        self.0.retain(|span| !span.text.is_empty());
        self
    }

    /// Without marks, and without spaces at its end.
    pub fn text(&self) -> String {
        let text: String = self.0.iter().map(|span| span.text.as_str()).collect();
        text.trim_end().to_owned()
    }
}

/// Columns of a text: one a character.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

/// A text in lines of at most so many columns, cut between words.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_padded_and_cut_to_columns() {
        let mut line = Line::of("µs", Mark::Plain);
        line.push("ab", Mark::Bad).pad_to(6, Mark::Plain);
        assert_eq!((line.width(), line.text().as_str()), (6, "µsab"));
        assert_eq!(line.clone().cut_to(3).text(), "µsa");
        assert_eq!(line.cut_to(0), Line::default());
    }

    #[test]
    fn what_moves_a_cursor_is_no_text() {
        assert_eq!(Line::of("a\u{1b}[2Jb\n", Mark::Plain).text(), "a?[2Jb?");
    }

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("unbreakable", 4), ["unbreakable"]);
        assert_eq!(wrap("", 4), [""; 0]);
    }
}
