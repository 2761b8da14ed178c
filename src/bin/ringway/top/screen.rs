//! Lines on a terminal: what marks look like, and the help above them.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text as tui;
use ratatui::widgets::{Block, Clear, Paragraph};

use super::app::App;
use super::page::{self, HELP};
use super::text::{Line, Mark};

/// Whether there are colours. They are the terminal's own eight, so that they fit a dark as a light one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    pub has_colours: bool,
}

impl Theme {
    /// As no-color.org says.
    pub fn of_environment() -> Self {
        let said = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { has_colours: !said }
    }

    fn style(self, mark: Mark) -> Style {
        let style = Style::default();
        let coloured = |colour| if self.has_colours { style.fg(colour) } else { style };
        match mark {
            Mark::Plain => style,
            Mark::Strong => style.add_modifier(Modifier::BOLD),
            Mark::Faint => style.add_modifier(Modifier::DIM),
            Mark::Good => coloured(Color::Green),
            Mark::Idle => coloured(Color::Blue),
            Mark::Warn => coloured(Color::Magenta).add_modifier(Modifier::BOLD),
            Mark::Bad => coloured(Color::Red).add_modifier(Modifier::BOLD),
            Mark::Head => style.add_modifier(Modifier::REVERSED),
            Mark::Chosen => style.add_modifier(Modifier::REVERSED | Modifier::BOLD),
        }
    }

    fn line(self, line: Line) -> tui::Line<'static> {
        let span = |span: super::text::Span| tui::Span::styled(span.text, self.style(span.mark));
        tui::Line::from_iter(line.0.into_iter().map(span))
    }
}

/// Draws it.
pub fn draw(frame: &mut Frame<'_>, app: &mut App, now_unix_ms: u64, theme: Theme) {
    let area = frame.area();
    let lines = page::lines(app, now_unix_ms, area.width.into(), area.height.into());
    let lines: Vec<_> = lines.into_iter().map(|line| theme.line(line)).collect();
    frame.render_widget(Paragraph::new(lines), area);
    if app.shows_help {
        help(frame, area);
    }
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let lines = HELP.lines();
    let wide = lines.clone().map(|line| line.chars().count()).max().unwrap_or(0) as u16 + 4;
    let high = lines.count() as u16 + 2;
    let (width, height) = (wide.min(area.width), high.min(area.height));
    let x = area.x + (area.width - width) / 2;
    let y = area.y + (area.height - height) / 2;
    let place = Rect { x, y, width, height };
    let block = Block::bordered().title(" ringway top: keys and words ");
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(HELP).block(block), place);
}
