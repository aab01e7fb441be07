//! What the terminal shows at the end.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::figure::{self, CPU, Figure, P50, P99, THROUGHPUT, digits};
use super::report::{Outcome, Report};

/// Columns of the terminal that are used at most.
pub(super) const WIDTH: u16 = 120;

/// A row for each reactor, under each application and load. What is best is marked with `*`, together with what
/// cannot be told from it ([`Figure::clearly_worse`]), unless that is all.
pub fn render(report: &Report) -> String {
    let groups = figure::groups(&report.results);
    let counted = report.results.iter().any(|outcome| outcome.median.syscalls.is_some());
    let failed = report.results.iter().any(|outcome| outcome.errors() > 0);
    let mut head = vec!["app", "load", "reactor", "req/s", "spread", "p50", "p99", "CPU", "switches"];
    head.extend(counted.then_some("syscalls"));
    head.push("memory");
    head.extend(failed.then_some("errors"));

    let mut table = plain(&head, 3);
    let mut marked = false;
    for (nth, group) in groups.iter().enumerate() {
        if nth > 0 {
            table.add_row([""]);
        }
        let best = [&THROUGHPUT, &P50, &P99, &CPU].map(|figure| best(figure, group));
        for (row, outcome) in group.iter().enumerate() {
            let mut cells = match row {
                0 => vec![outcome.app.clone(), load(outcome)],
                _ => vec![String::new(), String::new()],
            };
            let mut show = |nth: usize, figure: &Figure| {
                let mark = best[nth].contains(&outcome.reactor.as_str());
                marked |= mark;
                let value = figure.of(outcome).map_or("-".to_owned(), figure.text);
                let value = value.trim_end_matches(" req/s");
                format!("{value}{}", if mark { " *" } else { "  " })
            };
            cells.extend([outcome.reactor.clone(), show(0, &THROUGHPUT)]);
            cells.push(format!("{:.0} %", 100.0 * THROUGHPUT.spread(outcome)));
            cells.extend([show(1, &P50), show(2, &P99), show(3, &CPU), digits(outcome.median.switches)]);
            cells.extend(counted.then(|| outcome.median.syscalls.map_or("-".into(), digits)));
            cells.push(format!("{} MiB", digits(outcome.median.memory_mib)));
            cells.extend(failed.then(|| outcome.errors().to_string()));
            table.add_row(cells);
        }
    }
    let mut text = format!(
        "{}\nCPU time, context switches and system calls are those of the server, per request\n",
        table.trim_fmt()
    );
    if report.method.destinations > 1 {
        text.push_str(&format!("a server has {} destinations, asked in turn\n", report.method.destinations));
    }
    if marked {
        text.push_str("* the best, and what the scatter of the rounds cannot tell from it\n");
    }
    text
}

/// Its load, in a few letters.
pub(super) fn load(outcome: &Outcome) -> String {
    outcome.load.text().replace(" req/s", "/s")
}

/// A table without lines, whose columns after the first `words` are numbers.
pub(super) fn plain(head: &[&str], words: usize) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(head);
    for (nth, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if nth == 0 { 0 } else { 1 }, 1));
        if nth >= words {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The reactors to be marked.
fn best<'a>(figure: &Figure, group: &[&'a Outcome]) -> Vec<&'a str> {
    let (leaders, rest) = figure.leaders(group);
    let names = leaders.iter().map(|outcome| outcome.reactor.as_str());
    if rest.is_empty() { Vec::new() } else { names.collect() }
}

#[cfg(test)]
mod tests {
    use super::super::invented;
    use super::super::report::Load;
    use super::*;

    /// The cells of the line of a reactor; values and their units are cells, too.
    fn cells(text: &str, reactor: &str) -> Vec<String> {
        let line = text.lines().find(|line| line.contains(reactor)).expect(text);
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn fits_the_terminal_whatever_the_name() {
        let mut report = invented::whole();
        report.results[0].app = "a_package.of_some_depth.and_then_some:the_application_of_it".into();
        report.results[0].rounds[0].errors = 12_345;
        let text = render(&report);
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(WIDTH.into()), "{widest:?}\n{text}");
    }

    #[test]
    fn what_there_usually_is_needs_one_line_each() {
        let whole = invented::whole();
        let text = render(&whole);
        let groups = figure::groups(&whole.results).len();
        // A line between groups, the head and two notes.
        assert_eq!(text.lines().count(), whole.results.len() + (groups - 1) + 1 + 2, "{text}");
    }

    #[test]
    fn the_best_is_marked_with_what_equals_it() {
        let load = Load::InFlight(32);
        let text = render(&invented::report(vec![
            invented::outcome("blocking", load, "mio", &[199.0, 200.0]),
            invented::outcome("blocking", load, "tokio", &[6_100.0, 6_100.0]),
            invented::outcome("blocking", load, "async-std", &[6_200.0, 6_200.0]),
        ]));
        assert_eq!(cells(&text, "tokio")[..4], ["tokio", "6.10", "k", "*"]);
        assert_eq!(cells(&text, "async-std")[..4], ["async-std", "6.20", "k", "*"]);
        assert_eq!(cells(&text, "mio")[4..8], ["mio", "200", "0", "%"]);
        assert!(text.contains("* the best"));
    }

    #[test]
    fn nothing_is_marked_where_all_are_alike_or_alone() {
        let load = Load::Rate(5_000.0);
        let alone = render(&invented::report(vec![invented::outcome("hello", load, "mio", &[5_000.0])]));
        assert!(!alone.contains('*'), "{alone}");
        assert!(alone.contains("5 k/s offered"));
        assert!(!alone.contains("syscalls") && !alone.contains("errors"), "only where there are any");
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        let mut outcome = invented::outcome("hello", Load::InFlight(1), "mio", &[0.0]);
        outcome.rounds[0].errors = 7;
        let text = render(&invented::report(vec![outcome]));
        assert_eq!(cells(&text, "mio")[4..9], ["mio", "-", "0", "%", "-"]);
        assert_eq!(cells(&text, "mio").last().map(String::as_str), Some("7"), "the last column is of errors");
    }
}
