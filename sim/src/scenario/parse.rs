//! From a file's text to a scenario, or to what is wrong with it. Knows no plugin and no engine.

use serde::Deserialize;

use super::model::Scenario;
use super::problem::{Place, Problems};
use super::tree;

/// Reads a scenario; `file` is what messages call it.
///
/// # Errors
/// The first thing that is wrong, with its place and the mend; never a panic, whatever the text is.
pub fn parse(file: &str, text: &str) -> Result<Scenario, Problems> {
    let tree = tree::read(file, text)?;
    Scenario::deserialize(&tree).map_err(|wrong| {
        let mut problems = Problems::none(file, text);
        let place = wrong.place.clone().unwrap_or(Place { line: 1, column: 1, ..Place::default() });
        let (message, mend) = wrong.words();
        problems.error(&place, message, mend);
        problems
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse;

    #[test]
    fn what_is_wrong_is_shown_with_place_and_mend() {
        let start = "name: x\nservices:\n  api: { replicas: 2 }\n";
        let nines = "[*a, *a, *a, *a, *a, *a, *a, *a, *a]";
        let bomb = ["b", "c", "d", "e", "f"]
            .into_iter()
            .zip(["a", "b", "c", "d", "e"])
            .fold("a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, (new, old)| {
                text + &format!("{new}: &{new} {}\n", nines.replace("*a", &format!("*{old}")))
            });
        let texts = [
            "name: x\nstack:\n  regstry: etcd\nservices: {}\nexpect: {}\n",
            "name: x\nservices:\n  api:\n    version: 1.10\nexpect: {}\n",
            "name: x\nservices:\n  api: { replicas: many }\nexpect: {}\n",
            "name: x\nservices:\n  api: { replicas: -2 }\nexpect: {}\n",
            "name: x\nservices:\n  api: { replicas: 2, work: 30 }\nexpect: {}\n",
            "name: x\nservices:\n  api: { replicas: 2, work: 30 parsecs }\nexpect: {}\n",
            "name: x\nservices:\n  api: [1, 2]\nexpect: {}\n",
            "name: x\nname: y\nservices: {}\nexpect: {}\n",
            "name: x\nservices: {}\n",
            "name: x\nservices: {\nexpect: {}\n",
            "name: x\n\tservices: {}\n",
            "",
            "- a\n",
            "name: x\n---\nname: y\n",
            &format!("{start}load:\n- churn: {{ of: api, every: 1s, actions: [join, leav] }}\nexpect: {{}}\n"),
            &format!("{start}stack: {{ registry: {{ plugin: etcd, option: {{}} }} }}\nexpect: {{}}\n"),
            &format!("{start}stack: {{ registry: }}\nexpect: {{}}\n"),
            &format!("{start}faults:\n  - at: 5s\n    for: 3s\n    crash:\n      fin: true\nexpect: {{}}\n"),
            &format!("{start}load:\n- calls: {{ from: a, to: b, rate: .nan }}\nexpect: {{}}\n"),
            &format!(
                "{start}expect: {{ nothing_hangs: {{ within: 5s }}, latency: [ {{ phase: ü, quantile: high }} ] }}\n"
            ),
            &format!("{start}network: {{ latency: 5 }}\nexpect: {{}}\n"),
            &format!("{start}network: {{ latency: {{ min: 5ms, p99: 9ms }} }}\nexpect: {{}}\n"),
            &format!("{start}network: {{ latency: {{ mni: 5ms, max: 9ms }} }}\nexpect: {{}}\n"),
            &format!("{start}network: {{ latency: [5ms] }}\nexpect: {{}}\n"),
            &format!("{start}faults:\n  - {{ at: 5s, skew: {{ host: api, by: -1 hour and a bit }} }}\nexpect: {{}}\n"),
            &format!("{start}needs: {{ engine: event }}\nexpect: {{}}\n"),
            "name: *a\n",
            &bomb,
            &"[".repeat(300),
            &"- ".repeat(300),
            &"a: 1\n".repeat(100_000),
        ];
        let wrong = |text: &str| parse("churn.yaml", text).expect_err("this is wrong").to_string();
        let shown: Vec<_> = texts.into_iter().map(wrong).collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn colour_changes_nothing_else() {
        let problems = parse("churn.yaml", "nam: x\n").unwrap_err();
        let coloured = problems.render(true);
        assert!(coloured.contains("\u{1b}["));
        let mut plain = String::new();
        for (index, piece) in coloured.split('\u{1b}').enumerate() {
            plain.push_str(if index == 0 { piece } else { piece.split_once('m').unwrap().1 });
        }
        assert_eq!(plain, problems.render(false));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s)[-:,{}\\[\\]&*!|>'\"#%@` \\n\\ta-c0-9\\PC]{0,200}") {
            if let Err(problems) = parse("any.yaml", &text) {
                prop_assert!(!problems.render(true).is_empty());
            }
        }

        #[test]
        fn no_slip_in_a_good_file_makes_it_panic(start in 0usize..2000, length in 0usize..40, slip in "\\PC{0,8}") {
            let good = include_str!("../../../scenarios/registration-churn-members.yaml");
            let cut = |index: usize| (0..=index.min(good.len())).rev().find(|index| good.is_char_boundary(*index)).unwrap_or(0);
            let text = format!("{}{slip}{}", &good[..cut(start)], &good[cut(start + length)..]);
            if let Err(problems) = parse("slip.yaml", &text) {
                let problem = problems.iter().next().unwrap();
                prop_assert!(problem.span.end <= text.len() && !problems.to_string().is_empty());
            }
        }
    }
}
