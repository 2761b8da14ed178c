//! The command line of `ringway top`.

#[derive(clap::Args)]
pub struct TopArgs {
    /// The instance, by the name it was started with
    #[arg(long, value_name = "NAME", default_value = "ringway")]
    pub file_prefix: String,

    /// Milliseconds between two looks, over which rates are
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(100..=60_000))]
    pub interval: u32,

    /// Print one page of text and end: for scripts, logs, and terminals that can do no more
    #[arg(long)]
    pub once: bool,

    /// With --once: print one JSON document in place of text
    #[arg(long, requires = "once")]
    pub json: bool,

    /// Draw with ASCII alone; so it is anyway where the locale is not one of UTF-8
    #[arg(long)]
    pub ascii: bool,
}

pub const TOP_EXAMPLES: &str = "\
Views and keys:
  1 lcores      how each spends its time: work, polling, sleep; what it does where it hangs
  2 listeners   connections, messages, bytes, and how long answers take
  3 stages      where the cycles go: calls, bufs in a call, cycles of a call and of a buf
  4 pools       memory: how much of each size is out, and whether it was ever not enough
  5 ports       processes that handle messages: who is there, who does not keep up
  6 drops       what was lost or refused, why, and what to do about it
  Tab next view, Up and Down choose a row, Enter shows more of it, s and S sort by the next and the
  previous column, r the other way round, / filters, f or space freezes, + and - change the
  interval, ? explains, q ends

Examples:
  ringway top                                  the instance of the usual name
  ringway top --file-prefix blue --interval 250
  ringway top --once                           all views as text; of one that died too: its last counts
  ringway top --once --json | jq .rates.messages
  ringway top --once --json | jq '.totals.lcores[] | select(.doing != null)'
  ringway top --once --json | jq '.rates.listeners[] | {address, p99: .latency.p99_ns}'

JSON: an object of `totals`, what was counted since the start (lcores, listeners, pools, ports; times
in nanoseconds), and `rates`, the same per second over the interval, of which `seconds` is the length;
of an instance that is no more, over its whole life. `totals.state` is starting, running, draining,
ended or died.

Colours are the terminal's own; NO_COLOR does without.

Exit codes:
  0  ended as asked
  1  there is no terminal, or what the instance left cannot be read; the reason is on standard error
  2  the command line was not understood
  3  no such instance runs, and none of that name has left its counts";
