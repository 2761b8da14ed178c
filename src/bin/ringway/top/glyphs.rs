//! The characters that bars and histograms are drawn with: blocks, or plain ASCII where a terminal has no others.

use super::text::{Line, Mark};

/// The characters that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glyphs {
    /// Work, time without work, sleep.
    pub time: [char; 3],
    /// What is empty of a bar.
    pub empty: char,
    /// Parts of a character from the left, the last one whole.
    parts: &'static [char],
    /// Heights from the bottom, the last one whole.
    heights: &'static [char],
    /// A bucket with nothing in it.
    none: char,
    /// Sorted with the largest first, with the smallest first.
    pub arrows: [char; 2],
    /// A text that is cut.
    pub ellipsis: char,
    /// A state.
    pub dot: char,
    /// The sign of a millionth.
    pub micro: char,
}

const BLOCKS: Glyphs = Glyphs {
    time: ['█', '▒', '·'],
    empty: '·',
    parts: &['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'],
    heights: &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
    none: '·',
    arrows: ['▼', '▲'],
    ellipsis: '…',
    dot: '●',
    micro: 'µ',
};

const ASCII: Glyphs = Glyphs {
    time: ['#', '-', '.'],
    empty: '.',
    parts: &['#'],
    heights: &['1', '2', '3', '4', '5', '6', '7', '8', '9'],
    none: '.',
    arrows: ['v', '^'],
    ellipsis: '~',
    dot: '*',
    micro: 'u',
};

impl Glyphs {
    /// Plain ASCII, or blocks.
    pub fn new(ascii: bool) -> Self {
        if ascii { ASCII } else { BLOCKS }
    }

    /// What the environment says that the terminal shows (locale(7)). One that says nothing shows all: most do.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let said = |name: &&str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(said);
        let locale = locale.map(|it| it.to_lowercase());
        let utf8 = locale.is_none_or(|it| it.contains("utf-8") || it.contains("utf8"));
        let poor = ["linux", "dumb"].contains(&variable("TERM").unwrap_or_default().as_str());
        Self::new(!utf8 || poor)
    }

    /// How an lcore spent its time, in one bar.
    pub fn time_bar(&self, shares: [f64; 3], columns: usize) -> Line {
        let marks = [Mark::Good, Mark::Idle, Mark::Faint];
        let (mut line, mut reached, mut drawn) = (Line::default(), 0.0, 0);
        for ((share, glyph), mark) in shares.into_iter().zip(self.time).zip(marks) {
            reached += share;
            let end = ((reached * columns as f64).round() as usize).min(columns);
            line.push(String::from_iter(vec![glyph; end.saturating_sub(drawn)]), mark);
            drawn = end.max(drawn);
        }
        line.pad_to(columns, Mark::Plain);
        line
    }

    /// A part of 1 as a bar whose end is to be seen.
    pub fn gauge(&self, share: f64, columns: usize, mark: Mark) -> Line {
        let mut line = self.bar(share, columns, mark);
        let blank = line.0.pop_if(|last| last.text.starts_with(' '));
        let blank = blank.map_or(0, |it| it.text.len());
        line.push(String::from_iter(vec![self.empty; blank]), Mark::Faint);
        line
    }

    /// A part of 1 as a bar, to be compared with others.
    pub fn bar(&self, share: f64, columns: usize, mark: Mark) -> Line {
        let steps = self.parts.len();
        let filled = (share.clamp(0.0, 1.0) * (columns * steps) as f64).round() as usize;
        let whole = *self.parts.last().expect("there is a whole one");
        let mut text = String::from_iter(vec![whole; filled / steps]);
        text.extend((filled % steps).checked_sub(1).map(|part| self.parts[part]));
        let mut line = Line::of(text, mark);
        line.pad_to(columns, Mark::Plain);
        line
    }

    /// How much there is of each, one character each, the largest whole.
    pub fn histogram(&self, counts: &[u64]) -> String {
        let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let height = |count: &u64| match count {
            0 => self.none,
            n => {
                let level = (*n as f64 / most * self.heights.len() as f64).ceil() as usize;
                self.heights[level.clamp(1, self.heights.len()) - 1]
            }
        };
        counts.iter().map(height).collect()
    }

    /// Values over time, the newest at the right, in `rows` lines from the top; the highest is `most`.
    pub fn graph(&self, values: &[f64], most: f64, columns: usize, rows: usize) -> Vec<String> {
        let steps = self.heights.len();
        let shown = &values[values.len().saturating_sub(columns)..];
        let level = |value: &f64| {
            let part = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
            (part * (rows * steps) as f64).ceil() as usize
        };
        let cell = |value: &f64, row: usize| {
            let below = (rows - 1 - row) * steps;
            match level(value).saturating_sub(below).min(steps) {
                0 => ' ',
                height => self.heights[height - 1],
            }
        };
        let line = |row| shown.iter().map(|value| cell(value, row)).collect::<String>();
        (0..rows).map(|row| format!("{:>columns$}", line(row))).collect()
    }

    /// A text of at most so many columns.
    pub fn cut(&self, text: &str, columns: usize) -> String {
        if text.chars().count() <= columns {
            return text.to_owned();
        }
        let kept = text.chars().take(columns.saturating_sub(1));
        kept.chain((columns > 0).then_some(self.ellipsis)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_as_much_as_they_say() {
        let glyphs = Glyphs::new(false);
        assert_eq!(glyphs.gauge(0.5, 4, Mark::Good).text(), "██··");
        assert_eq!(glyphs.gauge(0.53125, 4, Mark::Good).text(), "██▏·");
        assert_eq!(glyphs.gauge(7.0, 4, Mark::Good).text(), "████");
        assert_eq!(glyphs.gauge(0.0, 4, Mark::Good).text(), "····");
        assert_eq!(Glyphs::new(true).gauge(0.5, 4, Mark::Good).text(), "##..");
        assert_eq!(glyphs.bar(0.5, 4, Mark::Good).text(), "██");
        assert_eq!(glyphs.bar(0.5, 4, Mark::Good).width(), 4);
        assert_eq!(glyphs.time_bar([0.5, 0.25, 0.25], 8).text(), "████▒▒··");
        assert_eq!(glyphs.time_bar([0.0, 0.0, 0.0], 8).width(), 8);
        assert_eq!(glyphs.time_bar([0.334, 0.333, 0.333], 10).width(), 10);
    }

    #[test]
    fn a_little_is_more_than_nothing_in_a_histogram() {
        assert_eq!(Glyphs::new(false).histogram(&[0, 1, 500, 1000]), "·▁▄█");
        assert_eq!(Glyphs::new(true).histogram(&[0, 1, 500, 1000]), ".159");
        assert_eq!(Glyphs::new(true).histogram(&[0, 0]), "..");
    }

    #[test]
    fn a_graph_has_the_newest_at_the_right_and_rows_from_the_top() {
        let lines = Glyphs::new(false).graph(&[9.0, 0.0, 1.0, 2.0], 2.0, 3, 2);
        assert_eq!(lines, ["  █", " ██"]);
        assert_eq!(Glyphs::new(false).graph(&[2.0], 2.0, 3, 1), ["  █"]);
        assert_eq!(Glyphs::new(false).graph(&[], 0.0, 2, 1), ["  "]);
    }

    #[test]
    fn the_locale_says_what_a_terminal_shows() {
        let of = |pairs: &'static [(&str, &str)]| {
            Glyphs::of_environment(move |name| {
                pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned())
            })
        };
        assert_eq!(of(&[]), BLOCKS);
        assert_eq!(of(&[("LANG", "en_US.UTF-8")]), BLOCKS);
        assert_eq!(of(&[("LC_ALL", ""), ("LANG", "C.utf8")]), BLOCKS);
        assert_eq!(of(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]), ASCII);
        assert_eq!(of(&[("TERM", "linux")]), ASCII);
    }

    #[test]
    fn a_text_that_is_cut_says_so() {
        assert_eq!(Glyphs::new(false).cut("[::]:8080", 6), "[::]:…");
        assert_eq!(Glyphs::new(false).cut("[::]:8080", 9), "[::]:8080");
    }
}
