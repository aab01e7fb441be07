//! `--csv`: a line for each round.

use std::io::Write;

use csv::Writer;

use super::report::{Load, Report, Round};

/// Writes every round of every result, in the report's order, under a line that names the columns and their units.
pub fn write(report: &Report, to: impl Write) -> csv::Result<()> {
    let mut writer = Writer::from_writer(to);
    writer.write_record(COLUMNS)?;
    for outcome in &report.results {
        let (in_flight, offered) = match outcome.load {
            Load::InFlight(number) => (number.to_string(), String::new()),
            Load::Rate(per_second) => (String::new(), per_second.to_string()),
        };
        for (number, round) in (1..).zip(&outcome.rounds) {
            let number: usize = number;
            let about = [
                outcome.app.clone(),
                in_flight.clone(),
                offered.clone(),
                outcome.reactor.clone(),
                number.to_string(),
            ];
            writer.write_record(about.into_iter().chain(figures(round)))?;
        }
    }
    Ok(writer.flush()?)
}

const COLUMNS: [&str; 19] = [
    "application",
    "in_flight",
    "offered_per_s",
    "reactor",
    "round",
    "throughput_per_s",
    "p50_us",
    "p90_us",
    "p99_us",
    "p99.9_us",
    "max_us",
    "cpu_us_per_request",
    "context_switches_per_request",
    "system_calls_per_request",
    "memory_mib",
    "threads",
    "driver_busy_part",
    "noise_part",
    "errors",
];

fn figures(round: &Round) -> [String; 14] {
    // All by name, so that a new figure is not forgotten here.
    let Round {
        throughput,
        p50_us,
        p90_us,
        p99_us,
        p999_us,
        max_us,
        cpu_us,
        switches,
        syscalls,
        memory_mib,
        threads,
        driver,
        noise,
        errors,
    } = round;
    [
        throughput.to_string(),
        p50_us.to_string(),
        p90_us.to_string(),
        p99_us.to_string(),
        p999_us.to_string(),
        max_us.to_string(),
        cpu_us.to_string(),
        switches.to_string(),
        syscalls.map(|number| number.to_string()).unwrap_or_default(),
        memory_mib.to_string(),
        threads.to_string(),
        driver.to_string(),
        noise.to_string(),
        errors.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::invented::{outcome, report};
    use super::*;

    fn lines(report: &Report) -> Vec<Vec<String>> {
        let mut written = Vec::new();
        write(report, &mut written).unwrap();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&written[..]);
        reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_line_for_each_round_under_the_names() {
        let mut closed = outcome("hello", Load::InFlight(32), "mio", &[100.5, 200.0]);
        closed.rounds[1].syscalls = Some(0.25);
        let open = outcome("shop:app, \"new\"", Load::Rate(5_000.0), "tokio", &[300.0]);
        let lines = lines(&report(vec![closed, open]));
        assert_eq!(lines.len(), 1 + 3);
        assert_eq!(lines[0], COLUMNS);
        assert_eq!(lines[1][..6], ["hello", "32", "", "mio", "1", "100.5"]);
        assert_eq!(lines[2][..6], ["hello", "32", "", "mio", "2", "200"]);
        assert_eq!(lines[3][..6], ["shop:app, \"new\"", "", "5000", "tokio", "1", "300"]);
        assert_eq!((lines[1][13].as_str(), lines[2][13].as_str()), ("", "0.25"), "not counted is not nought");
    }

    #[test]
    fn each_figure_stands_under_its_name() {
        let round = Round {
            throughput: 1.0,
            p50_us: 2.0,
            p90_us: 3.0,
            p99_us: 4.0,
            p999_us: 5.0,
            max_us: 6.0,
            cpu_us: 7.0,
            switches: 8.0,
            syscalls: Some(9.0),
            memory_mib: 10.0,
            threads: 11.0,
            driver: 12.0,
            noise: 13.0,
            errors: 14,
        };
        assert_eq!(
            figures(&round).map(|text| text.parse::<usize>().unwrap()),
            std::array::from_fn(|n| n + 1)
        );
        assert_eq!(COLUMNS.len(), 5 + figures(&round).len());
    }

    #[test]
    fn no_results_are_no_lines() {
        assert_eq!(lines(&report(Vec::new())).len(), 1);
    }
}
