//! Clients that we did not write, `etcdctl` and a program on etcd's own client in Go: a double makes them print what a real
//! etcd makes them print.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Failed, Trial};
use shaketable_fixtures::etcd::{Location, RealEtcd, Settings};
use shaketable_fixtures::process::find_on_path;
use shaketable_reaper::directory::Directory;

use super::common::{Outcome, own_etcds, trial};
use super::double::Double;
use super::normalised::normalised;
use super::runtime;

/// Names the program on etcd's own client.
const CLIENT_VARIABLE: &str = "SHAKETABLE_ETCD_CLIENT";

/// The name of a member that is given none.
const DEFAULT_NAME: &str = "default";

/// What both servers may keep, so that it can be filled.
const QUOTA_BYTES: &str = "4194304";

/// What `etcdctl` is told to do.
const SCRIPT: &str = include_str!("etcdctl.sh");

pub(crate) fn trials() -> Vec<Trial> {
    // A process rather than a container, whose image may be of another line.
    let own = own_etcds().into_iter().rev().map(|(_, found)| found).reduce(Result::or);
    let etcd = own.unwrap_or_else(|| Err("there is no etcd".to_owned()));
    let with = |found: Result<(), String>| found.and(etcd.clone());
    let program = client();
    let found = program.clone().map(drop);
    let program = program.unwrap_or_default();
    vec![
        trial("etcdctl_prints_the_same_as_with_a_real_etcd", with(etcdctl()), |etcd| same(&etcd, &run_etcdctl)),
        trial("a_client_in_go_prints_the_same_as_with_a_real_etcd", with(found), move |etcd| {
            same(&etcd, &|address: &str| run_client(&program, address))
        }),
        trial("what_is_not_simulated_is_refused_in_a_sentence", etcdctl(), |()| refuses_in_sentences()),
    ]
}

pub(crate) fn etcdctl() -> Result<(), String> {
    let missing = "no etcdctl on the PATH (Debian: etcd-client)";
    find_on_path("etcdctl").map(drop).ok_or_else(|| missing.to_owned())
}

fn client() -> Result<PathBuf, String> {
    let program = std::env::var_os(CLIENT_VARIABLE).map(PathBuf::from).ok_or_else(|| {
        format!("{CLIENT_VARIABLE} names no program; `go build` in fixtures/adapters/etcdclient makes one")
    })?;
    if program.is_file() { Ok(program) } else { Err(format!("{CLIENT_VARIABLE}: {} is no file", program.display())) }
}

/// Lets a client loose on an empty double and on an empty etcd, at the same time.
fn same(etcd: &Location, run: &(dyn Fn(&str) -> Result<String, Failed> + Sync)) -> Outcome {
    let runtime = runtime()?;
    let double = runtime.block_on(Double::start(&["--quota", QUOTA_BYTES]))?;
    let flags = vec![format!("--quota-backend-bytes={QUOTA_BYTES}")];
    let real = runtime.block_on(RealEtcd::start_with(etcd, &Settings { flags, ..Settings::default() }))?;
    let (expected, doubled) = std::thread::scope(|scope| {
        let doubled = scope.spawn(|| run(&double.etcd));
        (run(real.address()), doubled.join())
    });
    let doubled = doubled.map_err(|_| "the client's thread has panicked")??;
    // A server that a test starts has a name of its own; the double has the one that etcd takes without being told.
    let expected = expected?.replace(real.name().unwrap_or(DEFAULT_NAME), DEFAULT_NAME);
    let (expected, doubled) = (normalised(&expected, real.address()), normalised(&doubled, &double.etcd));
    if expected == doubled {
        return Ok(());
    }
    let differs = expected.lines().zip(doubled.lines()).position(|(expected, doubled)| expected != doubled);
    let from = differs.unwrap_or(expected.lines().count().min(doubled.lines().count())).saturating_sub(3);
    let part = |text: &str| text.lines().skip(from).take(12).map(|line| format!("  {line}\n")).collect::<String>();
    let (expected, doubled) = (part(&expected), part(&doubled));
    Err(format!("from line {} on, with the real etcd:\n{expected}with the double:\n{doubled}", from + 1).into())
}

fn run_etcdctl(address: &str) -> Result<String, Failed> {
    let directory = Directory::new("etcdctl")?;
    let mut command = Command::new("bash");
    command.args(["-c", SCRIPT]).current_dir(directory.path()).env("ETCDCTL_ENDPOINTS", address);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    // A script that ends at its first line has the same output on both.
    assert!(printed.ends_with("$ etcdctl alarm list\n") && printed.contains("[watched]\nPUT"), "{printed}");
    Ok(printed)
}

fn run_client(program: &Path, address: &str) -> Result<String, Failed> {
    let output = Command::new(program).arg(address).stdin(Stdio::null()).output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && printed.contains("-- administration") {
        return Ok(printed);
    }
    Err(format!("the client at {address}: {}\n{printed}{}", output.status, String::from_utf8_lossy(&output.stderr))
        .into())
}

fn refuses_in_sentences() -> Outcome {
    let double = runtime()?.block_on(Double::start(&[]))?;
    for (words, sentence) in [
        (&["snapshot", "save", "snapshot.db"][..], "no snapshot"),
        (&["member", "add", "other", "--peer-urls=http://127.0.0.1:1"], "no second can be added"),
        (&["user", "add", "somebody:password"], "no users"),
        (&["role", "add", "role"], "no roles"),
    ] {
        let directory = Directory::new("etcdctl")?;
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").env("ETCDCTL_ENDPOINTS", &double.etcd).current_dir(directory.path());
        let output = command.args(words).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("the simulated etcd") && said.contains(sentence), "{said}");
    }
    Ok(())
}
