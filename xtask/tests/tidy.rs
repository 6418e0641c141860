//! Holds the rules of style that a program can hold, over every file of the workspace. It reads text; what needs a
//! compiler is clippy's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest line, in characters. rustfmt holds code at 120; a comment may run over by a word, and a text is not broken.
const LINE_MAX: usize = 128;
/// Longest file, in lines.
const FILE_LINES_MAX: usize = 800;
/// Sentences that say what a scenario is for and what one learns from it.
const SCENARIO_SENTENCES_MIN: usize = 3;

/// What the author of a registry in Go writes at most, in lines; the module that adapters share is no part of it.
const GO_ADAPTER_LINES_MAX: usize = 150;

/// What reaches around the `Env`.
const BANNED: [&str; 7] =
    ["HashMap", "HashSet", "Instant::now()", "SystemTime::now()", "thread::spawn(", "thread::sleep(", "rand::rng()"];

/// The files that may, and why.
const EXEMPT: &[(&str, &str)] = &[
    ("bench/benches/codec/messages.rs", "peers are measured with the maps that they have by default"),
    ("bench/counters/src/child.rs", "a process lives in real time"),
    ("conformance/src/judge/known.rs", "an entry expires by the real date"),
    ("conformance/src/judge/live.rs", "the live world lives in real time"),
    ("conformance/src/judge/verify.rs", "a session runs in real time, outside of any simulation"),
    ("conformance/src/subject/group.rs", "an adapter's process lives in real time"),
    ("conformance/src/subject/process.rs", "an adapter's process lives in real time"),
    ("fixtures/src/cluster.rs", "a real server lives in real time"),
    ("fixtures/src/container.rs", "an engine's client lives on a thread of its own"),
    ("fixtures/src/process.rs", "a real server lives in real time"),
    ("fixtures/src/proxy/tests.rs", "real sockets live in real time"),
    ("fixtures/src/server.rs", "a real server lives in real time"),
    ("fixtures/tests/cluster.rs", "a real server lives in real time"),
    ("fixtures/tests/etcd_cluster/real.rs", "a real server lives in real time"),
    ("fixtures/tests/etcd_parity/expiry.rs", "a real server lives in real time"),
    ("fixtures/tests/etcd_parity/timing.rs", "a real server lives in real time"),
    ("fixtures/tests/live/judged.rs", "a live world lives in real time"),
    ("fixtures/tests/live/misbehaving.rs", "a live world lives in real time"),
    ("fixtures/tests/residue.rs", "processes live in real time"),
    ("reaper/src/group.rs", "processes live in real time"),
    ("reaper/src/left.rs", "what goes away does so in real time"),
    ("scenarios/tests/determinism.rs", "a run that is over a second later must be the same"),
    ("scenarios/tests/scenarios.rs", "how long a run takes is real time"),
    ("sim/src/determinism/interpose.rs", "compares the clocks that it interposes"),
    ("sim/src/engine/live/clock.rs", "makes a live host's clock of the real ones"),
    ("sim/src/engine/live/mod.rs", "the live world lives in real time"),
    ("sim/src/engine/tests.rs", "compares the clocks that are interposed"),
    ("sim/src/engine/turmoil/clock.rs", "makes the simulated clock of tokio's"),
    ("sim/src/run/children.rs", "processes live in real time"),
    ("sim/src/run/sweep.rs", "a sweep runs in real time, outside of any simulation"),
    ("sim/src/toxic/way.rs", "real bytes pass in real time"),
    ("src/tests/outside.rs", "how long a build takes is real time"),
    ("src/command/src/progress.rs", "the time that a person waits is real"),
    ("src/command/tests/contained.rs", "a program lives in real time"),
    ("src/command/tests/double/double.rs", "a double lives in real time"),
    ("src/command/tests/double/orders.rs", "a double lives in real time"),
    ("src/command/tests/double/start.rs", "a double lives in real time"),
    ("src/command/tests/residue/leaks.rs", "processes live in real time"),
    ("src/command/tests/residue/part.rs", "processes live in real time"),
    ("src/command/tests/residue/way.rs", "processes live in real time"),
    ("src/harness/mod.rs", "the time that a person waits is real"),
    ("stack/src/env/os.rs", "the operating system's Env"),
    ("stack/src/env/testing.rs", "the Env of unit tests, on tokio's paused clock"),
    ("xtask/src/ci/aborted.rs", "processes live in real time"),
    ("xtask/src/step.rs", "how long a chore takes is real time"),
];

/// Where alone checks wait for a fixed time, each way with its reason; elsewhere they wait with a deadline.
const WAITS: &str = "conformance/src/site/waiting.rs";

struct Source {
    /// Relative to the root, with `/`.
    name: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file of the tree whose name ends with `extension`, in order; neither build output nor hidden folders.
fn sources(extension: &str) -> Vec<Source> {
    let (mut folders, mut found) = (vec![root()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the tree can be read") {
            let path = entry.expect("the tree can be read").path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    folders.push(path);
                }
            } else if name.ends_with(extension) {
                let relative = path.strip_prefix(root()).expect("it lies below the root");
                let name = relative.to_string_lossy().replace('\\', "/");
                found.push(Source { name, text: fs::read_to_string(&path).expect("a text") });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!found.is_empty(), "no *{extension} found");
    found
}

fn rust() -> Vec<Source> {
    sources(".rs").into_iter().filter(|source| source.name != "xtask/tests/tidy.rs").collect()
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// The lines of `source` that are no comments, with their numbers from 1.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    source.text.lines().enumerate().map(|(index, line)| (index + 1, line)).filter(|(_, line)| {
        let line = line.trim_start();
        !line.starts_with("//")
    })
}

#[test]
fn every_file_begins_with_a_module_head() {
    let headless = rust().into_iter().filter(|source| !source.text.starts_with("//! "));
    assert_none(&headless.map(|source| source.name).collect::<Vec<_>>());
}

#[test]
fn no_file_is_longer_than_a_room() {
    let long = rust().into_iter().filter(|source| source.text.lines().count() > FILE_LINES_MAX);
    assert_none(&long.map(|source| source.name).collect::<Vec<_>>());
}

#[test]
fn no_line_is_too_long() {
    let mut problems = Vec::new();
    for source in rust().iter().chain(&sources(".yaml")) {
        for (index, line) in source.text.lines().enumerate() {
            if line.chars().count() > LINE_MAX && !line.contains('"') {
                problems.push(format!("{}:{}", source.name, index + 1));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn only_the_listed_files_reach_around_the_env() {
    let mut problems = Vec::new();
    let mut unused: Vec<&str> = EXEMPT.iter().map(|(name, _)| *name).collect();
    for source in rust() {
        let exempt = EXEMPT.iter().any(|(name, _)| *name == source.name);
        for (number, line) in code(&source) {
            for banned in BANNED.iter().filter(|banned| line.contains(**banned)) {
                unused.retain(|name| *name != source.name);
                if !exempt {
                    problems.push(format!("{}:{number}: {banned}", source.name));
                }
            }
        }
    }
    problems.extend(unused.iter().map(|name| format!("{name} is exempt and need not be")));
    assert_none(&problems);
}

#[test]
fn no_check_sleeps() {
    let mut problems = Vec::new();
    for source in rust().iter().filter(|source| source.name.starts_with("conformance/src/") && source.name != WAITS) {
        let sleeps = code(source).filter(|(_, line)| line.contains(".sleep("));
        problems.extend(
            sleeps.map(|(number, _)| format!("{}:{number}: say what it waits for, as in {WAITS}", source.name)),
        );
    }
    assert_none(&problems);
}

#[test]
fn every_exception_to_a_lint_has_a_reason() {
    let mut problems = Vec::new();
    for source in rust() {
        for opening in ["#[allow(", "#![allow(", "#[expect(", "#![expect("] {
            for (start, _) in source.text.match_indices(opening) {
                let attribute = source.text[start..].split(")]").next().unwrap_or_default();
                if !attribute.contains("reason") {
                    let line = source.text[..start].lines().count() + 1;
                    problems.push(format!("{}:{line}: {attribute}", source.name));
                }
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn cargo_test_with_the_name_of_the_folder_runs_the_files_alone() {
    let mut problems = Vec::new();
    for source in rust().iter().filter(|source| source.name != "scenarios/tests/scenarios.rs") {
        let mut is_test = false;
        for (number, line) in code(source) {
            let line = line.trim_start();
            if line.starts_with("#[") {
                is_test |= line.starts_with("#[test]") || line.contains("::test");
                continue;
            }
            let name = line.split_once("fn ").map(|(_, rest)| rest).unwrap_or_default();
            let name = name.split(['(', '<']).next().unwrap_or_default();
            if is_test && name.contains("scenarios") {
                problems.push(format!("{}:{number}: {name}", source.name));
            }
            is_test = false;
        }
    }
    assert_none(&problems);
}

#[test]
fn every_file_of_the_language_says_what_it_is_for() {
    let mut problems = Vec::new();
    for source in sources(".yaml").iter().filter(|source| source.text.contains("\nexpect:")) {
        let comment: Vec<&str> = source
            .text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .map(|line| line.trim_start_matches('#').trim())
            .collect();
        let comment = comment.join(" ");
        let sentences = comment.split_inclusive(['.', '?', '!']).filter(|part| {
            let ended = part.ends_with(['.', '?', '!']);
            ended && part.split_whitespace().count() >= 3
        });
        if sentences.count() < SCENARIO_SENTENCES_MIN {
            problems.push(source.name.clone());
        }
    }
    assert_none(&problems);
}

/// The written requirements: level and sentence by id.
fn specification() -> BTreeMap<String, (String, String)> {
    let mut requirements = BTreeMap::new();
    for source in sources(".md").iter().filter(|source| source.name.starts_with("conformance/spec/")) {
        for section in source.text.split("\n## ").skip(1) {
            let mut lines = section.lines().filter(|line| !line.is_empty());
            let (Some((id, level)), Some(sentence)) =
                (lines.next().and_then(|line| line.split_once(' ')), lines.next())
            else {
                continue;
            };
            requirements.insert(id.to_owned(), (level.to_owned(), sentence.to_owned()));
        }
    }
    requirements
}

/// The ids of requirements in `text`, each with what follows it.
fn ids<'a>(text: &'a str, prefixes: &[&str]) -> Vec<(&'a str, &'a str)> {
    let mut found = Vec::new();
    for prefix in prefixes {
        for (start, _) in text.match_indices(prefix) {
            let (Some(id), Some(rest)) = (text.get(start..start + 7), text.get(start + 7..)) else { continue };
            if id[4..].bytes().all(|byte| byte.is_ascii_digit()) {
                found.push((id, rest));
            }
        }
    }
    found
}

#[test]
fn requirements_are_quoted_in_documents_as_they_are_written() {
    let specification = specification();
    let prefixes: Vec<&str> = specification.keys().map(|id| &id[..4]).collect::<BTreeSet<_>>().into_iter().collect();
    let mut problems = Vec::new();
    let documents = sources(".md");
    let is_of_today =
        |name: &str| name.starts_with("docs/") || matches!(name, "README.md" | "CONTRIBUTING.md" | "ARCHITECTURE.md");
    for source in documents.iter().filter(|source| is_of_today(&source.name)) {
        for (id, rest) in ids(&source.text, &prefixes) {
            let Some((level, sentence)) = specification.get(id) else {
                problems.push(format!("{}: there is no {id}", source.name));
                continue;
            };
            // As a report says it, and as the code does.
            let reported = ["MUST", "SHOULD", "MAY"].iter().find_map(|told| {
                let sentence = rest.strip_prefix(&format!(" {told}: "))?.lines().next()?;
                Some(((*told).to_owned(), sentence))
            });
            let coded = rest.strip_prefix("\",\n").and_then(|rest| {
                let told = rest.trim_start().strip_prefix("level: ")?.split(',').next()?.to_uppercase();
                Some((told, rest.split_once("sentence: \"")?.1.split('"').next()?))
            });
            for (told_level, told) in [reported, coded].into_iter().flatten() {
                if told_level != *level || told != sentence {
                    problems.push(format!("{}: {id} {level} says: {sentence}", source.name));
                }
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut problems = Vec::new();
    for source in sources(".md") {
        let folder = root().join(&source.name).parent().map(Path::to_path_buf).unwrap_or_default();
        for part in source.text.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                problems.push(format!("{}: {target}", source.name));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn an_adapter_for_a_registry_is_short_in_go() {
    let (shared, whole) =
        ("fixtures/adapters/go/", ["fixtures/adapters/gomicro/bridge/", "fixtures/adapters/gomicro/minimal/"]);
    let mut lines = 0;
    for source in sources(".go") {
        if whole.iter().any(|folder| source.name.starts_with(folder)) {
            lines += source.text.lines().count();
        } else if source.name.starts_with(shared) {
            assert!(!source.text.contains("go-micro.dev"), "{} is shared, and knows go-micro", source.name);
        }
    }
    assert!((1..=GO_ADAPTER_LINES_MAX).contains(&lines), "the smallest adapter has {lines} lines");
    let readme = fs::read_to_string(root().join("fixtures/adapters/README.md")).expect("a text");
    assert!(readme.contains(&format!("{lines} lines")), "README.md of the adapters does not say {lines} lines");
}
