//! `--html`: one page that needs nothing else, not even a network.

use std::collections::BTreeMap;

use serde::Serialize;

use super::report::Report;
use super::verdict::{Verdict, verdicts};
use crate::select::MODELS;

const PAGE: &str = include_str!("page.html");

/// Where the data goes in the page.
const MARK: &str = "\"@DATA@\"";

#[derive(Serialize)]
struct Data<'a> {
    report: &'a Report,
    verdicts: Vec<Verdict>,
    /// What each reactor of ours is.
    models: BTreeMap<&'static str, &'static str>,
}

/// The page of a report.
pub fn render(report: &Report) -> String {
    let models = MODELS.iter().map(|model| (model.name, model.summary)).collect();
    let data = Data { report, verdicts: verdicts(report), models };
    let json = serde_json::to_string(&data).expect("a report has no map whose keys are no strings");
    // In JSON `<` occurs in strings only. Without it, no name can end the script that the data is in, or open a comment.
    PAGE.replacen(MARK, &json.replace('<', "\\u003c"), 1)
}

#[cfg(test)]
mod tests {
    use super::super::invented;
    use super::*;

    /// The data of a page, as its script finds it.
    fn data(page: &str) -> &str {
        let start = "<script type=\"application/json\" id=\"data\">";
        page.split_once(start).expect("the data").1.split_once("</script>").expect("its end").0
    }

    #[test]
    fn the_page_holds_the_whole_report() {
        let report = invented::whole();
        let page = render(&report);
        let found: serde_json::Value = serde_json::from_str(data(&page)).unwrap();
        assert!(found["report"] == serde_json::to_value(&report).unwrap());
        assert_eq!(found["verdicts"].as_array().map(Vec::len), Some(7));
    }

    #[test]
    fn no_name_ends_the_script() {
        let mut report = invented::whole();
        let name = "</script><!-- <script> \"@DATA@\"";
        report.results[0].app = name.into();
        let page = render(&report);
        assert!(!data(&page).contains('<'));
        let found: serde_json::Value = serde_json::from_str(data(&page)).unwrap();
        assert_eq!(found["report"]["results"][0]["app"], name);
    }

    #[test]
    fn the_page_needs_nothing_else() {
        assert_eq!(PAGE.matches(MARK).count(), 1);
        for reach in ["http:", "https:", "src=", "@import", "url(", "fetch(", "innerHTML"] {
            let namespace = "http://www.w3.org/2000/svg";
            assert!(!PAGE.replace(namespace, "").contains(reach), "{reach}");
        }
    }

    /// `PAGE=some/directory cargo test --lib bench::html -- --ignored` writes pages to be looked at.
    #[test]
    #[ignore = "writes files, for looking at the page"]
    fn pages_to_look_at() {
        use super::super::report::{Load, Report};
        let directory = std::path::PathBuf::from(std::env::var_os("PAGE").expect("PAGE names a directory"));
        let save = |name: &str, report: &Report| {
            std::fs::write(directory.join(format!("{name}.html")), render(report)).unwrap();
            std::fs::write(directory.join(format!("{name}.json")), serde_json::to_string(report).unwrap())
                .unwrap();
        };
        let outcome = invented::outcome;
        save("whole", &invented::whole());
        save("none", &invented::report(Vec::new()));
        save(
            "one",
            &invented::report(vec![outcome(
                "shop.orders.views:the_application",
                Load::InFlight(32),
                "mio",
                &[81e3],
            )]),
        );
        save("silent", &invented::report(vec![outcome("hello", Load::InFlight(1), "mio", &[0.0])]));
        let rates = [500.0, 5e3].into_iter().flat_map(|rate| {
            ["tokio", "mio", "my-own"]
                .map(|reactor| outcome("hello", Load::Rate(rate), reactor, &[rate, 0.99 * rate]))
        });
        save("open", &invented::report(rates.collect()));
    }
}
