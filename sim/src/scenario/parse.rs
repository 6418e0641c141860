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
    use std::fs;
    use std::path::Path;

    use super::parse;

    #[test]
    fn the_files_of_this_repository_parse() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let mut count = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = fs::read_to_string(&path).unwrap();
                let scenario =
                    parse(&path.display().to_string(), &text).unwrap_or_else(|problems| panic!("{problems}"));
                assert_eq!(Some(scenario.name.as_str()), path.file_stem().and_then(|stem| stem.to_str()));
                count += 1;
            }
        }
        assert!(count >= 8, "only {count} files");
    }

    fn wrong(text: &str) -> String {
        parse("churn.yaml", text).expect_err("this is wrong").to_string()
    }

    #[test]
    fn probe() {
        for text in [
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
            "name: x\nservices: {}\nload:\n- churn: { of: api, every: 1s, actions: [join, leav] }\nexpect: {}\n",
            "name: x\nstack: { registry: { plugin: etcd, option: {} } }\nservices: {}\nexpect: {}\n",
            "name: x\nstack: { registry: }\nservices: {}\nexpect: {}\n",
            "name: x\nservices: {}\nfaults:\n  - at: 5s\n    for: 3s\n    crash:\n      fin: true\nexpect: {}\n",
            "name: *a\n",
            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
            "name: x\nservices: {}\nload:\n- calls: {from: a, to: b, rate: .nan}\nexpect: {}\n",
        ] {
            println!("{}", wrong(text));
        }
        println!("{}", wrong(&"[".repeat(100_000)));
        println!("{}", wrong(&"- ".repeat(100_000)));
        println!("{}", wrong(&"a: 1\n".repeat(100_000)));
    }
}
