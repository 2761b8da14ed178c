//! What the dataplane tells about itself, as JSON and as lines.

use std::fmt::{Result, Write};

use crate::counters::{Counter, Reason, Totals};

/// One JSON object and a newline.
pub(super) fn write_json(status: &Totals, out: &mut impl Write) -> Result {
    write!(out, "{{\"version\":\"{}\",", env!("CARGO_PKG_VERSION"))?;
    write!(out, "\"uptime_seconds\":{},", status.uptime().as_secs())?;
    write!(out, "\"lcores\":{},\"connections\":{},", status.lcores(), status.connections())?;
    out.write_str("\"counters\":{")?;
    for (index, (counter, name)) in Counter::ALL.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}\"{name}\":{}", status.sum(counter))?;
    }
    out.write_str("},\"dropped\":{")?;
    for (index, (reason, name)) in Reason::ALL.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}\"{name}\":{}", status.dropped(reason))?;
    }
    out.write_str("}}\n")
}

/// The same as lines of a name and a value.
pub(super) fn write_lines(status: &Totals, out: &mut impl Write) -> Result {
    writeln!(out, "version {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "uptime_seconds {}", status.uptime().as_secs())?;
    writeln!(out, "lcores {}\nconnections {}", status.lcores(), status.connections())?;
    for (counter, name) in Counter::ALL {
        writeln!(out, "{name} {}", status.sum(counter))?;
    }
    for (reason, name) in Reason::ALL {
        writeln!(out, "dropped.{name} {}", status.dropped(reason))?;
    }
    Ok(())
}
