//! `--compare`: what became faster or slower from one report to another.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::figure::{CPU, Figure, P99, THROUGHPUT};
use super::report::{Outcome, Report, SCHEMA};
use super::table;

/// Why two reports cannot be compared.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CompareError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file holds something else.
    #[error("{} is no report of `stomp-wsgi bench --json`: {error}", path.display())]
    NoReport {
        /// Which.
        path: PathBuf,
        /// Where it departs from one.
        #[source]
        error: serde_json::Error,
    },
    /// A file was written by a version of this tool that lays reports out in another way.
    #[error("{} has layout {found} and this version reads layout {SCHEMA}: measure again with this one", path.display())]
    Schema {
        /// Which.
        path: PathBuf,
        /// Its layout.
        found: u32,
    },
    /// Neither report has an application, load and reactor of the other.
    #[error("the reports have no application, load and reactor in common: measure the same ones for both")]
    NothingInCommon,
}

/// Reads a report that was kept with `--json`.
pub fn read(path: &Path) -> Result<Report, CompareError> {
    #[derive(Deserialize)]
    struct Layout {
        schema: u32,
    }
    let text = fs::read(path).map_err(|error| CompareError::File { path: path.into(), error })?;
    let no_report = |error| CompareError::NoReport { path: path.into(), error };
    let Layout { schema: found } = serde_json::from_slice(&text).map_err(no_report)?;
    if found != SCHEMA {
        return Err(CompareError::Schema { path: path.into(), found });
    }
    serde_json::from_slice(&text).map_err(no_report)
}

/// What compares a report with an earlier one.
#[derive(Debug)]
pub struct Comparison {
    /// For a terminal.
    pub text: String,
    /// Where something became worse: `hello, 32 in flight, mio: p99`.
    pub regressions: Vec<String>,
}

/// Compares what both reports have. A throughput, p99 or CPU per request has regressed if the new median is worse than
/// the old one by more than 5 %, and by more than the spread of the old rounds as well as that of the new ones (the
/// distance between the best and the worst round of that figure, as a part of its median). Requests that fail have
/// regressed, too, if none failed before.
pub fn compare(old: &Report, new: &Report) -> Result<Comparison, CompareError> {
    let pairs: Vec<(&Outcome, &Outcome)> =
        old.results.iter().filter_map(|old| Some((old, counterpart(old, new)?))).collect();
    if pairs.is_empty() {
        return Err(CompareError::NothingInCommon);
    }
    let mut regressions = Vec::new();
    let head =
        ["app", "load", "reactor", "req/s", "", "new/old", "p99", "", "new/old", "CPU/req", "", "new/old"];
    let mut rows = table::plain(&head, 3);
    for (before, after) in &pairs {
        let name = name(before);
        let mut cells = vec![before.app.clone(), table::load(before), before.reactor.clone()];
        for figure in [&THROUGHPUT, &P99, &CPU] {
            let text = |outcome| figure.of(outcome).map_or("-".to_owned(), figure.text).replace(" req/s", "");
            cells.extend([text(before), text(after), ratio(figure, before, after)]);
            if figure.clearly_worse(before, after) {
                regressions.push(format!("{name}: {}", figure.name));
            }
        }
        if before.errors() == 0 && after.errors() > 0 {
            regressions.push(format!("{name}: {} failed, and none before", after.errors()));
        }
        rows.add_row(cells);
    }
    let mut text = format!(
        "{}\n+ clearly better, ! clearly worse: by more than 5 % and than the spread of the rounds of either\n",
        rows.trim_fmt()
    );
    for warning in differences(old, new) {
        text.push_str(&format!("warning: {warning}\n"));
    }
    if regressions.is_empty() {
        text.push_str("no regression\n");
    }
    for regression in &regressions {
        text.push_str(&format!("regression: {regression}\n"));
    }
    Ok(Comparison { text, regressions })
}

/// `0.83 !`.
fn ratio(figure: &Figure, before: &Outcome, after: &Outcome) -> String {
    let mark = match (figure.clearly_worse(before, after), figure.clearly_worse(after, before)) {
        (true, _) => '!',
        (_, true) => '+',
        _ => ' ',
    };
    match (figure.of(before), figure.of(after)) {
        (Some(before), Some(after)) => format!("{:.2} {mark}", after / before),
        _ => format!("- {mark}"),
    }
}

/// The result for the same application, load and reactor.
fn counterpart<'a>(of: &Outcome, report: &'a Report) -> Option<&'a Outcome> {
    report.results.iter().find(|it| it.app == of.app && it.load == of.load && it.reactor == of.reactor)
}

fn name(outcome: &Outcome) -> String {
    format!("{}, {}, {}", outcome.app, outcome.load.text(), outcome.reactor)
}

/// What makes a comparison doubtful.
fn differences(old: &Report, new: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut differ = |what: &str, before: String, after: String| {
        if before != after {
            warnings.push(format!("{what} differs: {before} before, {after} now"));
        }
    };
    let ((a, b), (m, n)) = ((&old.machine, &new.machine), (&old.method, &new.method));
    let build = |optimised| if optimised { "optimised" } else { "not optimised" }.to_owned();
    differ("the processor", a.cpu.clone(), b.cpu.clone());
    differ("the number of cores", a.cores.to_string(), b.cores.to_string());
    differ("the memory", format!("{} MiB", a.memory_mib), format!("{} MiB", b.memory_mib));
    differ("the kernel", a.kernel.clone(), b.kernel.clone());
    differ("Python", a.python.clone(), b.python.clone());
    differ("the build", build(a.optimised), build(b.optimised));
    differ("the broker", m.broker.clone(), n.broker.clone());
    differ("the number of rounds", m.rounds.to_string(), n.rounds.to_string());
    differ("the length of a round", format!("{} s", m.seconds), format!("{} s", n.seconds));
    differ("the warm-up", format!("{} s", m.warm_up), format!("{} s", n.warm_up));
    differ("the number of workers", m.threads.to_string(), n.threads.to_string());
    differ("the number of destinations", m.destinations.to_string(), n.destinations.to_string());
    for (method, which) in [(m, "old"), (n, "new")] {
        if method.rounds < 2 {
            warnings.push(format!(
                "the {which} report has one round only: its spread is unknown, and taken for 0"
            ));
        }
    }
    for (report, other, which) in [(old, new, "old"), (new, old, "new")] {
        let alone = report.results.iter().filter(|outcome| counterpart(outcome, other).is_none());
        warnings.extend(alone.map(|outcome| format!("{}: in the {which} report only", name(outcome))));
        warnings
            .extend(report.doubts.iter().map(|doubt| format!("the {which} report doubts itself: {doubt}")));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::super::invented::{self, outcome, report};
    use super::super::report::Load;
    use super::*;

    const LOAD: Load = Load::InFlight(32);

    fn compared(old: &[f64], new: &[f64]) -> Comparison {
        let of = |throughputs| report(vec![outcome("hello", LOAD, "mio", throughputs)]);
        compare(&of(old), &of(new)).unwrap()
    }

    #[test]
    fn the_same_again_is_no_regression() {
        let whole = invented::whole();
        let comparison = compare(&whole, &whole).unwrap();
        assert!(comparison.regressions.is_empty(), "{}", comparison.text);
        assert!(comparison.text.contains("no regression"));
    }

    #[test]
    fn a_loss_beyond_the_spread_is_one() {
        let comparison = compared(&[100.0, 100.0, 101.0], &[79.0, 80.0, 80.0]);
        let expected =
            ["throughput", "p99", "CPU/request"].map(|figure| format!("hello, 32 in flight, mio: {figure}"));
        assert_eq!(comparison.regressions, expected);
        assert!(
            comparison.text.contains("0.80 !") && comparison.text.contains("1.25 !"),
            "{}",
            comparison.text
        );
    }

    #[test]
    fn a_loss_within_either_spread_is_none() {
        assert!(compared(&[85.0, 100.0, 115.0], &[80.0, 80.0, 80.0]).regressions.is_empty());
        assert!(compared(&[100.0, 100.0, 100.0], &[70.0, 80.0, 98.0]).regressions.is_empty());
    }

    #[test]
    fn five_per_cent_are_none_and_a_gain_neither() {
        assert!(compared(&[100.0], &[95.5]).regressions.is_empty());
        let gain = compared(&[100.0], &[130.0]);
        assert!(gain.regressions.is_empty());
        assert!(gain.text.contains("1.30 +"), "{}", gain.text);
    }

    #[test]
    fn requests_that_fail_are_a_regression() {
        let before = report(vec![outcome("hello", LOAD, "mio", &[100.0])]);
        let mut after = before.clone();
        after.results[0].rounds[0].errors = 3;
        assert_eq!(
            compare(&before, &after).unwrap().regressions,
            ["hello, 32 in flight, mio: 3 failed, and none before"]
        );
        assert!(compare(&after, &after).unwrap().regressions.is_empty());
    }

    #[test]
    fn no_answer_any_more_is_a_regression() {
        let comparison = compared(&[100.0], &[0.0]);
        assert_eq!(comparison.regressions, ["hello, 32 in flight, mio: throughput"]);
        assert!(comparison.text.contains("- !"), "{}", comparison.text);
    }

    #[test]
    fn other_machines_and_methods_are_warned_of() {
        let old = report(vec![
            outcome("hello", LOAD, "mio", &[100.0, 100.0]),
            outcome("cpu", LOAD, "mio", &[100.0]),
        ]);
        let mut new = report(vec![outcome("hello", LOAD, "mio", &[100.0, 100.0])]);
        new.machine.cpu = "Another".into();
        new.machine.optimised = false;
        new.method.rounds = 1;
        new.doubts = vec!["it was noisy".into()];
        let text = compare(&old, &new).unwrap().text;
        for warning in [
            "the processor differs: An Invented Processor 3000 before, Another now",
            "the build differs: optimised before, not optimised now",
            "the number of rounds differs: 3 before, 1 now",
            "the new report has one round only",
            "cpu, 32 in flight, mio: in the old report only",
            "the new report doubts itself: it was noisy",
        ] {
            assert!(text.contains(&format!("warning: {warning}")), "{warning}\n{text}");
        }
        assert!(!compare(&old, &old).unwrap().text.contains("warning"));
    }

    #[test]
    fn the_table_fits_the_terminal() {
        let whole = invented::whole();
        let text = compare(&whole, &whole).unwrap().text;
        let rows = text.lines().take_while(|line| !line.starts_with('+'));
        assert!(rows.map(|line| line.chars().count()).max() <= Some(table::WIDTH.into()), "{text}");
    }

    #[test]
    fn nothing_in_common_is_an_error() {
        let of = |app| report(vec![outcome(app, LOAD, "mio", &[100.0])]);
        let error = compare(&of("hello"), &of("cpu")).unwrap_err();
        assert!(matches!(error, CompareError::NothingInCommon));
    }

    #[test]
    fn what_is_written_is_read_and_what_is_no_report_is_named() {
        let directory = std::env::temp_dir().join(format!("stomp-wsgi-compare-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let whole = invented::whole();
        let json = serde_json::to_string(&whole).unwrap();
        let back = read(&file("whole.json", &json)).unwrap();
        assert!(serde_json::to_string(&back).unwrap() == json);

        let error = |path: &Path| read(path).unwrap_err().to_string();
        assert!(error(&directory.join("none.json")).contains("none.json: "));
        assert!(
            error(&file("text.json", "req/s: 12"))
                .contains("text.json is no report of `stomp-wsgi bench --json`")
        );
        assert!(error(&file("other.json", "{\"name\": 1}")).contains("missing field `schema`"));
        assert!(
            error(&file("part.json", &format!("{{\"schema\": {SCHEMA}}}"))).contains("missing field `began`")
        );
        for (name, found) in [("earlier.json", SCHEMA - 1), ("later.json", SCHEMA + 1)] {
            let said = error(&file(name, &format!("{{\"schema\": {found}, \"other\": []}}")));
            let layouts =
                format!("{name} has layout {found} and this version reads layout {SCHEMA}: measure again");
            assert!(said.contains(&layouts), "{said}");
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
