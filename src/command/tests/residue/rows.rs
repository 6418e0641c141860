//! What is run: the program on simulated, real and foreign things, and tests on real servers.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Completion, Trial};
use shaketable_fixtures::etcd::{IMAGE_VARIABLE, Location, in_a_container};
use shaketable_fixtures::process::find_on_path;
use shaketable_fixtures::zookeeper::ZookeeperBackend;
use shaketable_reaper::left::Left;

use super::common::{any_etcd, own_etcds, trial};
use super::part::{SERVICE, TESTS};
use super::way::{Row, WAYS, Way};

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_shaketable");

/// Names the Python that has what the adapter's requirements.txt says.
const PYTHON_VARIABLE: &str = "SHAKETABLE_PYTHON";

/// Where nobody listens.
const NOBODY: &str = "127.0.0.1:9";

pub(crate) fn trials() -> Vec<Trial> {
    let [(_, container), (_, process)] = own_etcds();
    let both = process.and(container.clone()).map(drop);
    let rows = [
        ("a_simulated_run", Ok(()), simulated()),
        ("a_live_run_with_a_service_of_somebody", any_etcd().map(drop), live()),
        ("an_adapter_in_python_that_is_judged", python().map(drop), adapter()),
        ("a_plugin_that_is_judged_on_a_container", container.map(drop), contained()),
        ("a_double_of_etcd", Ok(()), double()),
        ("tests_on_etcd_as_processes_and_in_a_container", both, tests_on_etcd()),
    ];
    let mut trials = Vec::new();
    for (name, found, row) in rows {
        for (way, end) in WAYS {
            let row = row.clone();
            trials.push(trial(&format!("{name}::{way}::leaves_nothing"), found.clone(), move |()| row.judge(end)));
        }
    }
    // Nobody insists on a ZooKeeper.
    for (way, end) in WAYS {
        let (row, name) = (tests_on_zookeeper(), format!("tests_on_zookeeper::{way}::leaves_nothing"));
        trials.push(match ZookeeperBackend::find() {
            Ok(()) => Trial::test(name, move || row.judge(end)),
            Err(why) => Trial::ignorable_test(name, move || Ok(Completion::ignored_with(why))),
        });
    }
    trials
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// How many processes there are whose line, once they are what they are to be, contains `part`.
fn processes(there: &[Left], part: &str) -> usize {
    let lines = there.iter().filter_map(|left| match left {
        Left::Process(process) => Some(&process.line),
        _ => None,
    });
    lines.filter(|line| line.contains(part) && !is_waiting(line)).count()
}

/// A shell that waits until it is guarded has the whole line of what it will be.
fn is_waiting(line: &str) -> bool {
    line.contains("read -r _ || exit")
}

fn containers(there: &[Left]) -> usize {
    there.iter().filter(|left| matches!(left, Left::Container(_))).count()
}

fn written(folder: &Path, name: &str, text: &str) -> io::Result<String> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

const LOAD: &str = "
clients:
  web: { count: 1 }
load:
  - CALLS
expect:
  success_rate: [{ phase: shake, at_least: 0.5 }]
  nothing_hangs: { within: 8s }
";

/// It copies itself for each run.
fn simulated() -> Row {
    Row {
        words: |way, folder| {
            let load = LOAD.replace("CALLS", "calls: { from: web, to: user, rate: 20, timeout: 1s, idempotent: true }");
            let faults = if way == Way::Fails {
                "faults:\n  - { at: 1s, for: 28s, partition: { groups: [web, user] } }\n"
            } else {
                ""
            };
            let text = format!(
                "name: residue\nstack: {{ registry: memory }}\nservices:\n  user: {{ replicas: 2 }}\n\
                 phases: {{ warmup: 3s, shake: 30s, settle: 5s }}{load}{faults}"
            );
            let file = written(folder, "residue.yaml", &text)?;
            let seeds = if matches!(way, Way::Passes | Way::Fails) { "2" } else { "1000000" };
            Ok(texts(&[PROGRAM, "run", &file, "--seeds", seeds, "--jobs", "2"]))
        },
        environment: |_| Vec::new(),
        // It, what waits for jobs, and a copy of that with a job.
        works: |there, _| processes(there, PROGRAM) >= 3,
        is_endless: false,
        says: "held: 1 case",
        codes: [0, 1],
    }
}

/// A real etcd, in a container where there is an engine, and a service that has something in a session of its own.
fn live() -> Row {
    Row {
        words: |way, folder| {
            let program = env::current_exe()?;
            let (program, status) = (program.display(), if way == Way::Fails { "500" } else { "200" });
            let load = LOAD.replace("CALLS", "calls: { from: web, to: user, rate: 10, timeout: 1s, http: GET / }");
            let shake = if matches!(way, Way::Passes | Way::Fails) { "2s" } else { "10m" };
            let text = format!(
                "name: residue\nstack: {{ registry: etcd }}\nservices:\n  user: {{ replicas: 1, runs: {{ command: {{ line: \
                 ['{program}', {SERVICE}, '{{port}}', '{status}'] }}, registered_by: shaketable }} }}\n\
                 phases: {{ warmup: 1s, shake: {shake}, settle: 1s }}{load}"
            );
            let file = written(folder, "residue.yaml", &text)?;
            Ok(texts(&[PROGRAM, "run", &file, "--world", "live", "--run-timeout", "15m"]))
        },
        environment: |_| Vec::new(),
        works: |there, _| {
            let etcds = containers(there) + processes(there, "--data-dir=");
            etcds == 1 && processes(there, SERVICE) == 1 && processes(there, "sleep 600") == 1
        },
        is_endless: false,
        says: "held: 1 case",
        codes: [0, 1],
    }
}

/// A Python that can serve gRPC.
fn python() -> Result<PathBuf, String> {
    let python = env::var_os(PYTHON_VARIABLE).map(PathBuf::from).or_else(|| find_on_path("python3"));
    let python = python.ok_or("no python3 on the PATH")?;
    match Command::new(&python).args(["-c", "import grpc, google.protobuf"]).output() {
        Ok(output) if output.status.success() => Ok(python),
        _ => Err(format!("{} has no grpcio; {PYTHON_VARIABLE} may name one that has", python.display())),
    }
}

/// The adapter has something in a session of its own. The one that fails is a shell that says it serves, and ends.
fn adapter() -> Row {
    Row {
        words: |way, folder| {
            let python = python().map_err(io::Error::other)?;
            let adapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/adapters/python/adapter.py");
            let serves = format!("exec '{}' '{}' registry", python.display(), adapter.display());
            let said = format!(
                r#"{{"shaketable_subject":1,"address":"{NOBODY}","message_bytes_max":67108864,"interfaces":["registry"]}}"#
            );
            let serves = if way == Way::Fails { format!("echo '{said}'; sleep 0.2; exit 3") } else { serves };
            let file = written(folder, "adapter.sh", &format!("setsid sleep 600 &\n{serves}\n"))?;
            let mut words = texts(&[PROGRAM, "verify", "registry", "--subject", &format!("sh {file}")]);
            if matches!(way, Way::Passes | Way::Fails) {
                words.extend(texts(&["--only", "REG-001,REG-002"]));
            }
            Ok(words)
        },
        environment: |_| Vec::new(),
        // The first adapter introduces itself and ends; those that are asked belong to checks.
        works: |there, _| processes(there, "adapter.py") >= 2 && processes(there, "sleep 600") >= 2,
        is_endless: false,
        says: "2 pass",
        codes: [0, 1],
    }
}

/// As people judge a plugin on a server in a container. The one that fails has an image that is not there.
fn contained() -> Row {
    Row {
        words: |way, _| {
            let mut words = texts(&[PROGRAM, "verify", "registry", "--plugin", "etcd", "--backend", "container"]);
            if matches!(way, Way::Passes | Way::Fails) {
                words.extend(texts(&["--only", "REG-001,REG-002"]));
            }
            Ok(words)
        },
        environment: |way| {
            let image = match in_a_container() {
                Some(Location::Container(image)) if way != Way::Fails => image.to_string(),
                _ => format!("{NOBODY}/shaketable/nothing:0"),
            };
            vec![(IMAGE_VARIABLE, image)]
        },
        works: |there, said| containers(there) == 1 && said.contains("side by side"),
        is_endless: false,
        says: "a container, at 127.0.0.1:",
        codes: [0, 3],
    }
}

/// The one that fails wants an address that no machine has.
fn double() -> Row {
    Row {
        words: |way, _| {
            let listen = if way == Way::Fails { "192.0.2.1:1" } else { "127.0.0.1:0" };
            Ok(texts(&[PROGRAM, "serve", "etcd", "--allow-remote", "--admin", "127.0.0.1:0", "--listen", listen]))
        },
        environment: |_| Vec::new(),
        works: |_, said| said.contains("listening etcd="),
        is_endless: true,
        says: "listening etcd=",
        codes: [0, 3],
    }
}

fn tests(servers: &str, way: Way) -> io::Result<Vec<String>> {
    let end = match way {
        Way::Passes => "passes",
        Way::Fails => "fails",
        Way::Interrupted | Way::Killed => "lasts",
    };
    Ok(texts(&[&env::current_exe()?.display().to_string(), TESTS, servers, end]))
}

fn tests_on_etcd() -> Row {
    Row {
        words: |way, _| tests("etcd", way),
        environment: |_| Vec::new(),
        // One in memory and three of a cluster.
        works: |there, _| processes(there, "--data-dir=") == 4 && containers(there) == 1,
        is_endless: false,
        says: "3 passed",
        codes: [0, 101],
    }
}

fn tests_on_zookeeper() -> Row {
    Row {
        words: |way, _| tests("zookeeper", way),
        environment: |_| Vec::new(),
        works: |there, _| processes(there, "QuorumPeerMain") == 1,
        is_endless: false,
        says: "1 passed",
        codes: [0, 101],
    }
}
