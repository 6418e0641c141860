//! A stranger's crate, copied out of the tree and built with no configuration of ours against the facade alone: its seeds give
//! one digest each, alone, as the hundredth of a sweep, and with two jobs; and what it pulls in is no more than it should be.
#![expect(clippy::disallowed_methods, reason = "how long a build takes is real time, shown and not judged")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use shaketable_reaper::directory::Directory;

/// The last of a hundred.
const SEED: &str = "99";

#[test]
fn a_strangers_crate_builds_outside_the_tree_and_its_runs_are_the_same_however_they_are_run() {
    let copy = Copy::new("digests");
    let built = copy.cargo(&["test", "--no-run", "--offline"]);
    println!("{}", built.text);
    assert!(built.success, "the stranger's crate does not build:\n{}", built.text);
    let program = copy.program(&built, "shake");

    let alone = digests(&copy, &program, &["--seed", SEED, "--test-threads", "1"], None);
    let two_jobs = digests(&copy, &program, &["--test-threads", "2"], Some("100"));
    let one_job = digests(&copy, &program, &["--test-threads", "1"], Some("5"));
    assert_eq!(two_jobs.len(), 100);
    assert_eq!(alone.first(), two_jobs.last(), "alone and as the hundredth of a sweep");
    assert_eq!(one_job, two_jobs[..5], "with one job and with two");
    let mut different = two_jobs.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 100, "a digest that does not depend on the seed says nothing");
}

#[test]
fn a_strangers_plugin_is_judged_requirement_by_requirement() {
    let copy = Copy::new("judged");
    let built = copy.cargo(&["test", "--no-run", "--offline"]);
    assert!(built.success, "the stranger's crate does not build:\n{}", built.text);
    let program = copy.program(&built, "conformance");

    let listed = copy.run(&program, &["--list", "--format", "terse"]);
    let names: Vec<&str> = listed.text.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    assert!(names.len() >= 40, "{}", listed.text);
    let not_here = copy.run(&program, &["--list", "--format", "terse", "--ignored"]);
    let ignored: Vec<&str> = not_here.text.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    assert!(!ignored.is_empty() && ignored.len() < names.len(), "{}", not_here.text);

    let one = copy.run(&program, &[names[0], "--exact"]);
    assert!(one.success && one.text.contains("1 passed; 0 failed; 0 ignored"), "{}", one.text);
    let never_passed = copy.run(&program, &[ignored[0], "--exact", "--ignored", "--nocapture"]);
    assert!(!never_passed.success && never_passed.text.contains("cannot be run"), "{}", never_passed.text);
    let wrong = copy.run(&program, &["--exat"]);
    assert!(!wrong.success && wrong.text.contains("no option '--exat'"), "{}", wrong.text);

    // The example is no perfect registry; each requirement that concerns it has its verdict.
    let all = copy.run(&program, &["--out", "results"]);
    let passed = all.text.matches(" ... ok").count();
    let failed = all.text.matches(" ... FAILED").count();
    assert!(passed >= 30, "{}", all.text);
    assert_eq!(passed + failed + ignored.len(), names.len(), "{}", all.text);
    assert_eq!(all.success, failed == 0, "{}", all.text);
    let results = |extension: &str| {
        std::fs::read_to_string(copy.folder.join(format!("results/registry-gossip.{extension}"))).unwrap()
    };
    let skipped = results("xml").matches("<skipped").count();
    assert!(skipped >= ignored.len(), "what is not applicable is skipped, with its reason");
    assert!(results("json").contains("\"not_applicable\"") && results("md").starts_with("# registry `gossip`"));
}

#[test]
fn what_the_workflows_for_ci_say_runs_in_a_strangers_crate() {
    let copy = Copy::new("workflows");
    let docs =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the facade lies in the repository").join("docs/ci");
    for (file, steps) in [("github-actions.yml", 2), ("gitlab-ci.yml", 1)] {
        let text = std::fs::read_to_string(docs.join(file)).unwrap();
        let commands = commands(&text);
        assert_eq!(commands.len(), steps, "{file}: {commands:?}");
        let _ = std::fs::remove_dir_all(copy.folder.join("conformance-results"));
        let judged = copy.shell(commands[0]);
        // The example is no perfect registry: the step may fail, and then the next one runs all the same.
        assert!(judged.text.contains("test result: "), "{file}: {}", judged.text);
        for command in &commands[1..] {
            let told = copy.shell(command);
            assert!(told.success, "{file}: {command}: {}", told.text);
            let summary = std::fs::read_to_string(copy.folder.join("summary.md")).unwrap();
            assert!(summary.contains("# registry `gossip`"), "{file}: {command} tells nothing: {summary}");
        }
        let junit = std::fs::read_to_string(copy.folder.join("conformance-results/registry-gossip.xml")).unwrap();
        assert!(junit.contains("<testsuite "), "{file}: {junit:.200}");
    }
}

/// What the steps of a workflow run, in their order: `run:` at GitHub, the items of `script:` at GitLab.
fn commands(workflow: &str) -> Vec<&str> {
    let mut in_script = false;
    let mut commands = Vec::new();
    for line in workflow.lines().map(str::trim) {
        commands.extend(line.strip_prefix("run: "));
        commands.extend(line.strip_prefix("- ").filter(|_| in_script));
        in_script = line == "script:" || in_script && line.starts_with("- ");
    }
    commands
}

#[test]
fn a_stranger_gets_no_command_line_http_framework_container_or_broker_crate() {
    let copy = Copy::new("tree");
    let tree = copy.cargo(&["tree", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    assert!(tree.success, "{}", tree.text);
    let names: Vec<&str> = tree.text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"shaketable-sim"), "{}", tree.text);
    for unwanted in [
        "axum",
        "clap",
        "libtest-mimic",
        "indicatif",
        "actix-web",
        "rocket",
        "warp",
        "testcontainers",
        "bollard",
        "lapin",
        "rdkafka",
        "async-nats",
        "etcd-client",
        "protoc-bin-vendored",
        "criterion",
    ] {
        assert!(!names.contains(&unwanted), "a stranger's tests would pull in {unwanted}:\n{}", tree.text);
    }
}

struct Copy {
    folder: PathBuf,
    target: PathBuf,
    _directory: Directory,
}

struct Output {
    success: bool,
    text: String,
}

impl Copy {
    /// Copies the example out of the tree. Its build is kept beside ours, so that only the first one is cold.
    fn new(name: &str) -> Self {
        let facade = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = facade.parent().expect("the facade lies in the repository");
        let example = root.join("fixtures/outside");
        let directory = Directory::new(&format!("outside-{name}")).unwrap();
        let folder = directory.path().to_owned();
        for part in ["src", "tests"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
            for entry in std::fs::read_dir(example.join(part)).unwrap() {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), folder.join(part).join(entry.file_name())).unwrap();
            }
        }
        let manifest = std::fs::read_to_string(example.join("Cargo.toml")).unwrap();
        let pointed = manifest.replace("\"../../src\"", &format!("{:?}", facade.display().to_string()));
        assert_ne!(manifest, pointed, "the example depends on the facade by path");
        std::fs::write(folder.join("Cargo.toml"), pointed).unwrap();
        std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        // The program that runs is target/<profile>/deps/<test>.
        let program = std::env::current_exe().unwrap();
        let target = program.ancestors().nth(3).expect("a test program lies in a target folder").join("outside");
        Self { folder, target, _directory: directory }
    }

    /// Runs cargo there as a stranger would.
    fn cargo(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO"));
        command.args(words);
        self.finish(command, &format!("cargo {}", words.join(" ")))
    }

    /// Runs a line of a workflow there, with one seed and without a network.
    fn shell(&self, line: &str) -> Output {
        let mut command = Command::new("sh");
        let cargo = Path::new(env!("CARGO")).parent().unwrap_or(Path::new(""));
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .args(["-c", line])
            .env("PATH", format!("{}:{path}", cargo.display()))
            .env("SHAKETABLE_SEEDS", "1")
            .env("GITHUB_STEP_SUMMARY", self.folder.join("summary.md"));
        self.finish(command, line)
    }

    /// Runs `command` without our configuration, flags and protoc.
    fn finish(&self, mut command: Command, shown: &str) -> Output {
        for (name, _) in std::env::vars() {
            let ours = name.starts_with("CARGO") && name != "CARGO_HOME";
            if ours || name.starts_with("RUST") && !name.starts_with("RUSTUP") || name == "PROTOC" {
                command.env_remove(name);
            }
        }
        let began = Instant::now();
        let output = command
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_NET_OFFLINE", "true")
            .output()
            .unwrap();
        println!("{shown} took {:?}", began.elapsed());
        Output::of(&output)
    }

    /// The test program called `test` that cargo has built.
    fn program(&self, built: &Output, test: &str) -> PathBuf {
        let named = format!("tests/{test}.rs (");
        let program = built.text.lines().find_map(|line| line.split_once(&named)?.1.strip_suffix(')'));
        self.folder.join(program.unwrap_or_else(|| panic!("cargo named no test program:\n{}", built.text)))
    }

    /// Runs a test program with one seed, where cargo would.
    fn run(&self, program: &Path, words: &[&str]) -> Output {
        let mut command = Command::new(program);
        let output = command.args(words).current_dir(&self.folder).env("SHAKETABLE_SEEDS", "1").output().unwrap();
        Output::of(&output)
    }
}

impl Output {
    fn of(output: &std::process::Output) -> Self {
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Self { success: output.status.success(), text }
    }
}

/// The digests of the runs, in the order of their seeds.
fn digests(copy: &Copy, program: &Path, words: &[&str], seeds: Option<&str>) -> Vec<String> {
    let mut command = Command::new(program);
    command.args(words).arg("--digests").current_dir(&copy.folder).env_remove("SHAKETABLE_SEEDS");
    if let Some(seeds) = seeds {
        command.env("SHAKETABLE_SEEDS", seeds);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter_map(|line| Some(line.split_once(" digest ")?.1.to_owned())).collect()
}
