//! What is on the screen, as lines: the overview, graphs where there is room, the table, more of the chosen row, keys.

use super::app::App;
use super::format;
use super::glyphs::Glyphs;
use super::header;
use super::table::{Layout, Table};
use super::text::{Line, Mark, wrap};
use super::view::{Look, View};
use super::views::{drops, lcores, listeners, stages};

/// Rows of a screen on which there are graphs, and those of a graph.
const TALL: usize = 34;
const GRAPH_ROWS: usize = 4;

/// Columns on which there are two graphs side by side.
const WIDE: usize = 100;

/// Lines of an explanation that is always there where the view is about explanations.
const EXPLAINED: usize = 5;

/// Rows of another view's table, its head included: fewer are not worth their room.
const SOME_ROWS: usize = 6;

/// All lines of a screen of this size, from the top. Says to the app which rows and columns it shows.
pub fn lines(app: &mut App, now_unix_ms: u64, columns: usize, rows: usize) -> Vec<Line> {
    let mut lines = match app.shown() {
        None => waiting(app, columns),
        Some(look) => {
            let mut lines = header::lines(look, now_unix_ms, columns, app.glyphs);
            if rows >= TALL {
                lines.extend(graphs(app, columns));
            }
            lines.push(tabs(app, look, columns));
            lines.extend(app.trouble.iter().map(|why| Line::of(why.clone(), Mark::Bad)));
            let look = look.clone();
            let room = rows.saturating_sub(lines.len() + 1);
            lines.extend(table(app, &look, columns, room));
            lines
        }
    };
    lines.truncate(rows.saturating_sub(1));
    lines = lines.into_iter().map(|line| line.cut_to(columns)).collect();
    lines.resize(rows.saturating_sub(1), Line::default());
    lines.push(foot(app, columns));
    lines
}

fn waiting(app: &App, columns: usize) -> Vec<Line> {
    let mut lines = vec![Line::of(format!("{}: nothing seen yet", app.name), Mark::Strong)];
    let trouble = app.trouble.iter().flat_map(|why| wrap(why, columns));
    lines.extend(trouble.map(|line| Line::of(line, Mark::Bad)));
    lines
}

/// The last looks: messages, and beside them the time of the slowest in a hundred.
fn graphs(app: &App, columns: usize) -> Vec<Line> {
    let messages: Vec<_> = app.history.messages.iter().copied().collect();
    let p99: Vec<_> = app.history.p99.iter().copied().collect();
    let most = |values: &[f64], columns: usize| {
        values.iter().rev().take(columns).copied().fold(0.0, f64::max)
    };
    let micro = app.glyphs.micro;
    let graph = |columns: usize, title: &str, values: &[f64], show: &dyn Fn(f64) -> String| {
        let most = most(values, columns);
        let mut title = Line::of(format!("{title}  "), Mark::Strong);
        title.plain(values.last().map_or(String::new(), |now| show(*now)));
        title.push(format!("  most {}", show(most)), Mark::Faint).pad_to(columns, Mark::Plain);
        let rows = app.glyphs.graph(values, most, columns, GRAPH_ROWS);
        let rows = rows.into_iter().map(|row| Line::of(row, Mark::Good));
        std::iter::once(title).chain(rows).collect::<Vec<_>>()
    };
    if columns < WIDE {
        return graph(columns, "messages/s", &messages, &format::count);
    }
    let half = columns / 2 - 1;
    let left = graph(half, "messages/s", &messages, &format::count);
    let time = |ns| format::duration(ns as u64, micro);
    let right = graph(half, "latency p99", &p99, &time);
    let join = |(mut left, right): (Line, Line)| {
        left.plain("  ").append(right);
        left
    };
    left.into_iter().zip(right).map(join).collect()
}

/// The views, and what is to be known about what is shown.
fn tabs(app: &App, look: &Look, columns: usize) -> Line {
    let mut line = Line::default();
    let (dropped, errors) = drops::grew(look);
    for (place, view) in View::ALL.into_iter().enumerate() {
        let mark = match view {
            view if view == app.view => Mark::Chosen,
            View::Drops if dropped + errors > 0 => Mark::Bad,
            _ => Mark::Plain,
        };
        line.push(format!(" {} {} ", place + 1, view.name()), mark);
    }
    let mut notes = Line::default();
    if app.trouble.is_some() {
        notes.push(" gone, waiting ", Mark::Bad);
    }
    if app.frozen.is_some() {
        notes.push(" FROZEN ", Mark::Chosen);
    }
    if app.restarts > 0 {
        notes.push(format!(" restarts {} ", app.restarts), Mark::Warn);
    }
    if !app.filter.is_empty() && !app.is_typing {
        notes.push(format!(" filter {} ", app.filter), Mark::Warn);
    }
    let room = columns.saturating_sub(notes.width());
    line.pad_to(room, Mark::Plain);
    line = line.cut_to(room);
    line.append(notes);
    line
}

/// The table of the view that is shown, more of its chosen row, and other views where there is room.
fn table(app: &mut App, look: &Look, columns: usize, room: usize) -> Vec<Line> {
    let (view, glyphs) = (app.view, app.glyphs);
    let table = filtered(app, look);
    let mut lines = match table.rows.is_empty() {
        true => vec![Line::default(), Line::of(format!("  {}", table.empty), Mark::Faint)],
        false => head_and_rows(app, look, &table, columns, room),
    };
    lines.extend(others(view, look, columns, room.saturating_sub(lines.len()), glyphs));
    lines
}

/// As it is to be shown. Where the filter leaves nothing it says so.
fn filtered(app: &mut App, look: &Look) -> Table {
    let mut table = app.view.table(look, app.glyphs);
    if !table.rows.is_empty() && !app.filter.is_empty() {
        table.filter(&app.filter);
        table.empty = format!("no row has {:?} in it", app.filter);
    }
    table.sort(app.chosen().sort);
    app.rows = table.rows.iter().map(|row| row.id.clone()).collect();
    table
}

fn head_and_rows(
    app: &mut App,
    look: &Look,
    table: &Table,
    columns: usize,
    room: usize,
) -> Vec<Line> {
    let (glyphs, sort) = (app.glyphs, app.chosen().sort);
    // Two columns say which row is chosen.
    let layout = table.layout(columns.saturating_sub(2));
    app.columns = layout.shown();
    let mut head = Line::of("  ", Mark::Head);
    head.append(table.head(&layout, sort, glyphs)).pad_to(columns, Mark::Head);
    let row = app.chosen().row.clone().filter(|row| app.rows.contains(row));
    let row = row.or_else(|| worst(app.view, look)).or_else(|| app.rows.first().cloned());
    let row = row.unwrap_or_default();
    let more = detail(app.view, look, &row, columns, glyphs);
    let for_more = room_for_more(app, table.rows.len(), more.len(), room);
    let mut lines = vec![head];
    lines.extend(rows(app, table, &layout, room.saturating_sub(for_more + 1)));
    if for_more > 0 {
        lines.push(Line::default());
        lines.extend(more.into_iter().take(for_more - 1));
    }
    lines
}

/// The row that says more than others where nobody has chosen one.
fn worst(view: View, look: &Look) -> Option<String> {
    let stalled = look.totals.lcores.iter().find(|lcore| lcore.doing.is_some());
    stalled.filter(|_| view == View::Lcores).map(|lcore| lcore.lcore_id.to_string())
}

/// Lines for more about a row, of `more` that there are and the one that sets them apart: what the rows leave, and at
/// least some where they were asked for.
fn room_for_more(app: &App, rows: usize, more: usize, room: usize) -> usize {
    let room = room.saturating_sub(1);
    let least = match app.view {
        _ if app.shows_more => (room / 2).max(EXPLAINED),
        View::Drops => EXPLAINED,
        _ => 0,
    };
    let some = room.saturating_sub(rows).max(least).min(more + 1).min(room);
    if more == 0 || some < 3 { 0 } else { some }
}

/// The other views below, as far as there is room.
fn others(view: View, look: &Look, columns: usize, room: usize, glyphs: Glyphs) -> Vec<Line> {
    let after = (1..View::ALL.len()).map(|n| View::ALL[(view as usize + n) % View::ALL.len()]);
    let lines = |view: View| view.table(look, glyphs).lines(columns.saturating_sub(2), glyphs);
    let mut tables: Vec<_> = after.map(|view| (view, lines(view))).collect();
    fit(&mut tables, room);
    let mut shown = Vec::new();
    for (view, lines) in tables {
        shown.extend([Line::default(), Line::of(view.name(), Mark::Strong)]);
        shown.extend(lines.into_iter().map(|line| {
            let mut line = line.indented();
            if line.0[0].mark == Mark::Head {
                line.pad_to(columns, Mark::Head);
            }
            line
        }));
    }
    shown
}

/// Cuts the longest tables, or leaves them out, until there is room for all, with a title and an empty line each.
fn fit(tables: &mut Vec<(View, Vec<Line>)>, room: usize) {
    loop {
        let needed: usize = tables.iter().map(|(_, lines)| lines.len() + 2).sum();
        let longest = (0..tables.len()).max_by_key(|place| tables[*place].1.len());
        let (Some(longest), true) = (longest, needed > room) else { return };
        let (view, lines) = &mut tables[longest];
        match lines.len().checked_sub(needed - room + 1).filter(|kept| *kept >= SOME_ROWS) {
            Some(kept) => {
                let (more, key) = (lines.len() - kept, *view as usize + 1);
                lines.truncate(kept);
                lines.push(Line::of(format!("{more} more: press {key}"), Mark::Faint));
            }
            None => drop(tables.remove(longest)),
        }
    }
}

/// The rows for which there is room, around the one that is chosen.
fn rows(app: &mut App, table: &Table, layout: &Layout, room: usize) -> Vec<Line> {
    let glyphs = app.glyphs;
    let room = room.max(1);
    app.page_rows = room;
    let chosen = app.chosen();
    let place = chosen.row.as_ref().and_then(|row| table.rows.iter().position(|it| it.id == *row));
    let last = table.rows.len().saturating_sub(room);
    let mut first = chosen.first.min(last);
    if let Some(place) = place {
        first = first.clamp((place + 1).saturating_sub(room), place);
    }
    chosen.first = first;
    let shown = table.rows.iter().enumerate().skip(first).take(room);
    let line = |(at, row)| {
        let is_chosen = Some(at) == place;
        let mut line = Line::of(if is_chosen { "> " } else { "  " }, Mark::Strong);
        line.append(table.line(row, layout, glyphs));
        if is_chosen {
            let plain =
                line.0.iter_mut().filter(|it| [Mark::Plain, Mark::Faint].contains(&it.mark));
            plain.for_each(|span| span.mark = Mark::Strong);
        }
        line
    };
    shown.map(line).collect()
}

/// What there is to say of one row.
fn detail(view: View, look: &Look, row: &str, columns: usize, glyphs: Glyphs) -> Vec<Line> {
    match view {
        View::Lcores => lcores::detail(look, row, columns, glyphs),
        View::Listeners => listeners::detail(look, row, columns, glyphs),
        View::Stages => stages::detail(look, row, columns, glyphs),
        View::Drops => drops::detail(look, row, columns),
        View::Pools | View::Ports => Vec::new(),
    }
}

/// The keys; while a filter is typed, that.
fn foot(app: &App, columns: usize) -> Line {
    if app.is_typing {
        let mut line = Line::of("filter: ", Mark::Strong);
        line.plain(app.filter.clone()).push("_", Mark::Strong);
        line.push("   Enter keeps it, Esc takes it away", Mark::Faint);
        return line.cut_to(columns);
    }
    let interval = format!("{} s", app.interval.as_millis() as f64 / 1000.0);
    let freeze = if app.frozen.is_some() { "go on" } else { "freeze" };
    let mut keys = vec![
        ("1-6 Tab", "view"),
        ("s S", "sort"),
        ("r", "reverse"),
        ("f", freeze),
        ("+ -", &interval),
        ("/", "filter"),
        ("?", "help"),
        ("q", "quit"),
    ];
    if columns >= WIDE {
        keys.insert(1, ("Up Down", "choose"));
        keys.insert(2, ("Enter", "more"));
    }
    let mut line = Line::default();
    for (key, what) in keys {
        line.push(key, Mark::Chosen).plain(format!(" {what}  "));
    }
    line.cut_to(columns)
}

/// What the help says, in lines of about 70 columns.
pub const HELP: &str = " 1-6, Tab    views: lcores, listeners, stages, pools, ports, drops
 Up, Down    choose a row; Enter shows more of it, Esc goes back
 s, S        sort by the next, the previous column; r turns it round
 f, space    freeze what is shown; counting goes on
 + -         longer, shorter interval; all rates are over the last one
 /           show rows with a text in them
 q           quit

 busy        passes of the poll loop that found work; idle: none
 CQE/E       completions taken for each io_uring_enter: more is better
 ENOBUFS     receives for which the kernel had no slot
 P50 P99.9   what half, all but one in 1000 stayed below, from receive
             to send of an answer
 BURSTS      calls by bufs: up to 1, 2, 4, 8, 16, 32, and more; work in
             large bursts costs less a buf
 TIME%       of the lcore's time; of a listener: of all lcores' time
 SLOWEST     the longest of the last seconds, and its connection";
