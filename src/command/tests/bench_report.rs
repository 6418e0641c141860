//! `bench-report` as CI meets it: the program, the files that it is given and that it writes, and its exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use shaketable_reaper::directory::Directory;
use shaketable_reports::bench::{Clock, Contender, Contest, Ground, Machine, Once, Role, Versions};

/// Where benches keep contests and where figures are published.
struct Folders {
    both: Directory,
}

impl Folders {
    /// With one contest in which ours takes so many nanoseconds and a peer 100.
    fn with(ours_ns: f64) -> Self {
        let folders = Self { both: Directory::new("report").expect("a directory") };
        fs::create_dir(folders.path("contests")).expect("a directory");
        folders.keep(&contest(ours_ns));
        folders
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.both.path().join(name)
    }

    fn keep(&self, contest: &Contest) {
        fs::write(self.path("contests/one.json"), contest.text().expect("figures")).expect("a file");
    }

    fn report(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shaketable"));
        command.arg("bench-report").arg(self.path("contests")).arg("--out").arg(self.path("published")).args(words);
        command.output().expect("it starts")
    }
}

fn contest(ours_ns: f64) -> Contest {
    let contender = |name: &str, role, ns: f64| {
        let turns: Vec<f64> = (0..31).map(|turn| ns * (1.0 + f64::from(turn % 5) / 1_000.0)).collect();
        Contender { name: name.to_owned(), role, wall_ns: turns.clone(), cpu_ns: turns }
    };
    let ground = Ground {
        place: "core 1".to_owned(),
        kind: "in process".to_owned(),
        machine: Machine { processor: "Example".to_owned(), cores: 2, kernel: "6.1.0".to_owned() },
        versions: Versions { shaketable: "0.1.0".to_owned(), rustc: "rustc 1.95.0".to_owned(), crates: [].into() },
    };
    let contenders = vec![contender("ours", Role::Ours, ours_ns), contender("peer", Role::Peer, 100.0)];
    Contest::new(("work", "once"), ground, Clock::Cpu, Once { amount: 1, unit: "elements".to_owned() }, contenders)
}

/// The exit code, and what was printed and said.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn figures_are_published_once_and_compared_from_then_on() {
    let folders = Folders::with(200.0);
    let (code, printed, said) = told(&folders.report(&[]));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        printed.contains("beside peer") && printed.contains("2.00 (") && said.contains("bench.json"),
        "{printed}{said}"
    );
    let read = |name: &str| fs::read_to_string(folders.path("published").join(name)).expect("it was published");
    assert!(read("bench.md").contains("| once | ours | 200.4 ns CPU | 2.00 (2.00 to 2.00) |"), "{}", read("bench.md"));
    assert!(read("bench.svg").starts_with("<svg ") && read("bench.json").contains("\"format\": 1"));

    let (code, printed, said) = told(&folders.report(&[]));
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(printed.contains("same") && printed.ends_with("\n1 same\n"), "{printed}");

    folders.keep(&contest(220.0));
    let (code, printed, _) = told(&folders.report(&[]));
    assert_eq!(code, Some(1));
    assert!(printed.contains("worse  work/once  ours takes 2.20 times as long as peer, and took 2.00"), "{printed}");
    assert!(!printed.contains('\u{1b}'), "no colours but on a terminal");
    assert_eq!(told(&folders.report(&["--tolerance", "15"])).0, Some(0));
    let (code, printed, _) = told(&folders.report(&["--format", "json"]));
    assert!(code == Some(1) && printed.contains("\"verdict\": \"worse\""), "{printed}");

    assert_eq!(told(&folders.report(&["--write"])).0, Some(0), "who publishes has accepted");
    assert_eq!(told(&folders.report(&[])).0, Some(0));
}

#[test]
fn nothing_that_can_be_compared_is_no_success() {
    let folders = Folders::with(200.0);
    assert_eq!(told(&folders.report(&[])).0, Some(0));
    let mut elsewhere = contest(200.0);
    elsewhere.ground.machine.processor = "Another".to_owned();
    folders.keep(&elsewhere);
    let (code, printed, _) = told(&folders.report(&[]));
    assert_eq!(code, Some(4));
    assert!(printed.contains("too noisy to say") && printed.contains("another processor"), "{printed}");
}

#[test]
fn what_is_wrong_with_files_is_told_with_the_mend() {
    let folders = Folders::with(200.0);
    let one = folders.path("contests/one.json");
    let text = fs::read_to_string(&one).expect("it was kept");
    for (wrong, wanted) in [
        (text[..text.len() / 2].to_owned(), "the text is cut off"),
        (text.replace("\"format\": 1", "\"format\": 2"), "its format is 2, and this program knows 1"),
        (text.replace("\"optimised\": true", "\"optimised\": false"), "built without optimisation"),
    ] {
        fs::write(&one, wrong).expect("a file");
        let (code, _, said) = told(&folders.report(&[]));
        assert!(code == Some(2) && said.contains(wanted) && said.contains("cargo bench"), "{said}");
    }
    assert!(!folders.path("published/bench.json").exists(), "nothing of it is published");

    fs::remove_file(&one).expect("it is there");
    let (code, _, said) = told(&folders.report(&[]));
    assert!(code == Some(2) && said.contains("no contest is kept there; run `cargo bench` first"), "{said}");
    fs::remove_dir(folders.path("contests")).expect("it is empty");
    let (code, _, said) = told(&folders.report(&[]));
    assert!(code == Some(2) && said.contains("run `cargo bench` first"), "{said}");

    let folders = Folders::with(200.0);
    let (code, _, said) = told(&folders.report(&["--baseline", "nowhere.json"]));
    assert!(
        code == Some(2) && said.contains("nowhere.json: ") && said.contains("name figures that were published"),
        "{said}"
    );
    fs::create_dir(folders.path("published")).expect("a directory");
    fs::write(folders.path("published/bench.json"), "{}").expect("a file");
    let (code, _, said) = told(&folders.report(&[]));
    assert!(code == Some(2) && said.contains("write it anew with `shaketable bench-report --write`"), "{said}");
    assert_eq!(told(&folders.report(&["--write"])).0, Some(0));
    assert!(Path::new(&folders.path("published/bench.md")).exists());
}
