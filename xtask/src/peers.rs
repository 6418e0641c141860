//! Judges plugins of other origin by the conformance suite and publishes what they fail: go-micro's own and those of others,
//! behind the adapters in `fixtures/adapters`. Each accusation stands beside the place in the plugin's source that confirms it,
//! which a person has read; one without is told as such.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use serde_json::Value;

use crate::step::root;

/// Names the address of a ZooKeeper that somebody else has started.
const ZOOKEEPER: &str = "SHAKETABLE_ZOOKEEPER";

/// Whom to judge.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The adapters' folder below fixtures/adapters
    #[arg(long, default_value = "gomicro")]
    adapter: String,
    /// Judge these alone, such as "registry memory"
    #[arg(long)]
    only: Vec<String>,
}

/// A plugin behind an adapter.
struct Peer {
    interface: &'static str,
    /// What the adapter is told after the interface.
    words: &'static str,
    backend: Backend,
    /// Why it is served and not judged.
    left_out: Option<&'static str>,
}

/// The server that a plugin needs.
#[derive(Clone, Copy)]
enum Backend {
    /// None.
    None,
    /// A real etcd, which the judge starts.
    Etcd,
    /// A real ZooKeeper, which the judge starts where Debian's package is installed; or one that somebody else has started and
    /// [`ZOOKEEPER`] names, which is not shaken.
    Zookeeper,
}

const fn peer(interface: &'static str, words: &'static str) -> Peer {
    peer_on(interface, words, Backend::None)
}

const fn peer_on(interface: &'static str, words: &'static str, backend: Backend) -> Peer {
    Peer { interface, words, backend, left_out: None }
}

const fn left_out(interface: &'static str, words: &'static str, why: &'static str) -> Peer {
    Peer { interface, words, backend: Backend::None, left_out: Some(why) }
}

/// Of a codec that carries bytes alone.
const NO_STRUCTURE: &str = "it carries no structure, which is all that the suite sends";
/// Of go-micro's codec for gRPC.
const FRAMES_OF_GRPC: &str = "it gives an error no body, because gRPC has a place for it elsewhere, and its limit of 4 MiB meets \
                              bodies that the adapter's JSON has made larger";

/// What people call the plugins of `adapter`; the adapter is a package of Go, whose name has no hyphen.
fn title(adapter: &str) -> &str {
    if adapter == "gomicro" { "go-micro" } else { adapter }
}

/// The plugins of an adapter.
fn peers(adapter: &str) -> Result<Vec<Peer>, String> {
    match adapter {
        "gomicro" => Ok(vec![
            peer("registry", "memory"),
            peer_on("registry", "etcd", Backend::Etcd),
            peer("selector", ""),
            peer("broker", "memory"),
            peer("broker", "http"),
            peer("transport", "memory"),
            peer("transport", "http"),
            peer("codec", "json"),
            peer("codec", "json-rpc"),
            peer("codec", "proto"),
            peer("codec", "proto-rpc"),
            left_out("codec", "bytes", NO_STRUCTURE),
            left_out("codec", "text", NO_STRUCTURE),
            left_out("codec", "grpc", FRAMES_OF_GRPC),
        ]),
        "kratos" => {
            Ok(vec![peer_on("registry", "etcd", Backend::Etcd), peer_on("registry", "zookeeper", Backend::Zookeeper)])
        }
        other => Err(format!("no adapter is called '{other}'; there are gomicro and kratos")),
    }
}

/// Judges them and writes `reports/published/<title>-conformance.md`.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match judge(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("xtask: {text}");
            ExitCode::from(3)
        }
    }
}

fn judge(arguments: &Arguments) -> Result<(), String> {
    let folder = root().join("fixtures/adapters").join(&arguments.adapter);
    let program = root().join("target/adapters").join(&arguments.adapter);
    succeed(Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(&folder))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    succeed(Command::new(&cargo).args(["build", "--quiet", "--workspace", "--bin", "shaketable"]).current_dir(root()))?;
    let confirmed = read_json(&folder.join("confirmed.json"))?;
    let mut text = format!(
        "# What the conformance suite says of {}\n\nWritten by `cargo xtask peers --adapter {}`; do not edit. They are judged \
         live, behind [their adapter](../../fixtures/adapters/{}), which mends nothing. A person has read the plugin's source \
         for each accusation; the place stands beside it.\n",
        title(&arguments.adapter),
        arguments.adapter,
        arguments.adapter
    );
    for peer in peers(&arguments.adapter)? {
        let name = format!("{} {}", peer.interface, peer.words).trim_end().to_owned();
        if !arguments.only.is_empty() && !arguments.only.contains(&name) {
            continue;
        }
        match peer.left_out.map_or_else(|| address(peer.backend), |why| Err(why.to_owned())) {
            Ok(address) => {
                let report = report(&program, &peer, address.as_deref())?;
                text.push_str(&section(&name, &report, &confirmed[&name]));
            }
            Err(why) => {
                eprintln!("xtask: {name} is left out: {why}");
                let _ = write!(text, "\n## {name}\n\nNot judged: {why}.\n");
            }
        }
    }
    let file = root().join("reports/published").join(format!("{}-conformance.md", title(&arguments.adapter)));
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    eprintln!("xtask: wrote {}", file.display());
    Ok(())
}

/// What `--backend` is told, if anything.
fn address(backend: Backend) -> Result<Option<String>, String> {
    match backend {
        Backend::None => Ok(None),
        Backend::Etcd => Ok(Some("process".to_owned())),
        Backend::Zookeeper => match std::env::var(ZOOKEEPER) {
            Ok(address) => Ok(Some(address)),
            Err(_) if Path::new("/usr/share/java/zookeeper.jar").is_file() => Ok(Some("zookeeper".to_owned())),
            Err(_) => Err(format!("Debian's package 'zookeeper' is not installed, and {ZOOKEEPER} names no server")),
        },
    }
}

/// What `shaketable verify` says of `peer`, whose backend is at `address`.
fn report(program: &Path, peer: &Peer, address: Option<&str>) -> Result<Value, String> {
    let subject = format!("{} {} {}", program.display(), peer.interface, peer.words);
    let out = root().join("target/adapters/results");
    let mut verify = Command::new(shaketable());
    verify.args(["verify", peer.interface, "--subject", &subject, "--format", "json", "--out"]).arg(&out);
    if let Some(address) = address {
        verify.args(["--backend", address]);
    }
    eprintln!("xtask: {verify:?}");
    let output = verify.current_dir(root()).output().map_err(|error| format!("cannot start shaketable: {error}"))?;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        format!("shaketable verify said no report ({error}): {}", String::from_utf8_lossy(&output.stderr))
    })
}

fn shaketable() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("debug/shaketable")
}

fn section(name: &str, report: &Value, confirmed: &Value) -> String {
    let rows = report["rows"].as_array().cloned().unwrap_or_default();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in &rows {
        *counts.entry(word(&row["status"]).replace('_', " ")).or_default() += 1;
    }
    let counts: Vec<String> = counts.into_iter().map(|(status, count)| format!("{count} {status}")).collect();
    let mut text = format!("\n## {name}\n\n{} requirements: {}.\n", rows.len(), counts.join(", "));
    let bad: Vec<&Value> =
        rows.iter().filter(|row| !matches!(word(&row["status"]), "pass" | "not_applicable")).collect();
    if bad.is_empty() {
        return text;
    }
    text.push_str("\n| requirement | status | sentence | expected | observed | confirmed in the source |\n|---|---|---|---|---|---|\n");
    for row in bad {
        let id = word(&row["id"]);
        let first = &row["failures"][0];
        let place = confirmed[id].as_str().unwrap_or("**not confirmed**");
        let cells = [
            format!("{id} {}", word(&row["level"])),
            word(&row["status"]).to_owned(),
            cell(word(&row["sentence"])),
            cell(word(&first["expected"])),
            cell(word(&first["observed"])),
            cell(place),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `text` within a cell of a table, cut where it is long.
fn cell(text: &str) -> String {
    let mut short: String = text.chars().take(300).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.replace('|', r"\|").replace('\n', " ")
}

fn read_json(file: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|_| "{}".to_owned());
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    eprintln!("xtask: {command:?}");
    let status = command.status().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}
