//! Services that are the user's own, live on a real etcd: programs, containers and what somebody else runs are called, killed,
//! paused, stopped and cut off, and judged as ours are. What they get wrong is found, and nothing of them stays behind.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libtest_mimic::{Completion, Failed, Trial};
use shaketable_fixtures::backend::started;
use shaketable_fixtures::etcd::{Location, REQUIRE_VARIABLE, in_a_container, is_required};
use shaketable_fixtures::process::{LocalProcess, find_on_path, free_port};
use shaketable_fixtures::server::wait_until_ready;
use shaketable_reports::Palette;
use shaketable_reports::terminal::render;
use shaketable_sim::engine::live;
use shaketable_sim::history::{Edge, Operation};
use shaketable_sim::run::{Case, SweepReport, Verdict, cases_of};
use shaketable_sim::scenario::Overrides;
use shaketable_stack::plugin::Plugins;

use super::user::{FOR_EVER, STAYS, WORD};
use super::{held, run, run_and_keep, trial};

/// Names the adapter that serves go-micro's plugins, and go-micro's own server.
const GO_VARIABLE: &str = "SHAKETABLE_GO_ADAPTER";

/// What is done to two replicas of somebody's service, and what must hold all the same.
const SHAKEN: &str = "
clients:
  web: { count: 2 }
phases: { warmup: 3s, shake: 18s, settle: 9s }
load:
  - watch: { on: web, service: user }
  - churn: { of: user, every: 5s, actions: [join, leave], keep: 1 }
faults:
  - { at: 1s, for: 2s, pause: { host: user-1 } }
  - { at: 4s, for: 2s, partition: { groups: [user-2, web-1] } }
  - { at: 7s, for: 3s, crash: { host: user-1 } }
  - { at: 11s, for: 2s, latency: { a: web, b: user, latency: 50ms } }
  - { at: 13s, for: 3s, crash: { host: user-2, fin: false } }
  - { at: 16s, reset: { a: web, b: user } }
expect:
  fail_stop: {}
  registration_visible: { within: 3s }
  watch_order: { within: 3s }
  views_converge: { within: 7s }
  nothing_hangs: { within: 8s }
  success_rate: [{ phase: settle, at_least: 0.8 }]
";

/// What is done to a service that errs when it leaves.
const LEAVING: &str = "
clients:
  web: { count: 1 }
phases: { warmup: 3s, shake: 12s, settle: 3s }
load:
  - churn: { of: user, every: 3s, actions: [leave, join], keep: 1 }
expect:
  no_stale_calls: { within: 500ms }
  nothing_hangs: { within: 8s }
";

/// What is done to a service of which something is wrong from the beginning.
const QUIET: &str = "
clients:
  web: { count: 1 }
phases: { warmup: 3s, shake: 3s, settle: 2s }
load: []
faults:
  - { at: 1s, crash: { host: user-1 } }
expect:
  lease_expiry: { late: 3s, at_least: 0 }
  nothing_hangs: { within: 8s }
";

const PROBE: &str = "calls: { from: web, to: user, rate: 10, timeout: 1s, idempotent: true }";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (client, protocol) in [("rpc", "rpc"), ("grpc", "grpc")] {
        trials.push(trial(&format!("own::a_program_is_shaken_and_judged_as_ours_are::{protocol}"), move |etcd| {
            let stack = format!("{{ registry: etcd, client: {client} }}");
            let case = case(&stack, &ours(protocol, "none", ""), PROBE, SHAKEN)?;
            shaken(&case, etcd)
        }));
    }
    trials.push(trial("own::first_named::no_stale_calls::a_program_that_leaves_without_a_word", |etcd| {
        tripped("no_stale_calls", &case(STUBBORN, &ours("rpc", STAYS, ""), PROBE, LEAVING)?, etcd)
    }));
    trials.push(trial("own::sound_holds::no_stale_calls::a_program_that_leaves_in_order", |etcd| {
        shaken(&case(STUBBORN, &ours("rpc", "none", ""), PROBE, LEAVING)?, etcd)
    }));
    trials.push(trial("own::first_named::lease_expiry::a_program_that_registers_for_ever", |etcd| {
        let case = case("{ registry: etcd }", &ours("rpc", FOR_EVER, ", ttl: 6s"), PROBE, QUIET)?;
        tripped("lease_expiry", &case, etcd)
    }));
    trials.push(gomicro("own::a_service_of_go_micro_is_called_in_its_own_protocol_and_shaken", |etcd, adapter| {
        shaken(&case(GREETING, &greeter(&adapter, "none"), GREETED, SHAKEN)?, etcd)
    }));
    trials.push(gomicro(
        "own::first_named::no_stale_calls::a_service_of_go_micro_that_is_not_stopped",
        |etcd, adapter| tripped("no_stale_calls", &case(STUBBORN, &greeter(&adapter, STAYS), GREETED, LEAVING)?, etcd),
    ));
    trials.push(trial("own::what_somebody_else_runs_is_registered_for_it_and_asked_by_plain_http", elsewhere));
    trials.push(contained());
    trials.push(trial("own::a_program_that_ends_at_once_is_told_with_its_log", |etcd| {
        let runs = "command: { line: [sh, -c, 'echo out of luck at {port}; exit 3'] }";
        let report = run(&case("{ registry: etcd }", runs, PROBE, QUIET)?, &Plugins::reference(), etcd);
        let text = render(&report, Duration::ZERO, Palette::PLAIN);
        let is_told =
            text.contains("user-1 does not start") && text.contains("out of luck") && text.contains("exit status: 3");
        if is_told { Ok(()) } else { Err(format!("it should be told how it ended:\n{text}").into()) }
    }));
    trials
}

/// This program, as a service.
fn ours(protocol: &str, flaw: &str, more: &str) -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.display();
    format!(
        "command: {{ line: ['{program}', {WORD}, user, '{{port}}', '{{registry}}', {protocol}, {flaw}, {}] }}{more}",
        mark()
    )
}

/// Callers that ask a node again and again, as long as it is registered: many have no blacklist.
const STUBBORN: &str = "{ registry: etcd, selector: { plugin: round_robin, options: { blacklist_failures: 1000 } } }";

/// go-micro answers each later request on a connection with the id of its first one.
const GREETING: &str = "{ registry: etcd, client: { plugin: rpc, options: { pool_size: 0 } } }";

const GREETED: &str = "calls: { from: web, to: user, rate: 10, timeout: 1s, idempotent: true, endpoint: Greeter.Hello, \
                       content_type: application/json, body: '{\"name\": \"shaketable\"}' }";

/// go-micro's own server, on its own registry.
fn greeter(adapter: &Path, flaw: &str) -> String {
    let adapter = adapter.display();
    let line = format!("'{adapter}', service, user, '{{port}}', '{{registry}}', '6', {flaw}, {}", mark());
    format!("command: {{ line: [{line}] }}, ttl: 6s")
}

/// An argument that no other service of this machine has.
fn mark() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{MARK}{}-{}-", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn case(stack: &str, runs: &str, calls: &str, rest: &str) -> Result<Case, Failed> {
    let replicas = if rest == QUIET { 1 } else { 2 };
    let loads = rest.replacen("load:", &format!("load:\n  - {calls}"), 1).replacen(" []", "", 1);
    let text =
        format!("name: own\nstack: {stack}\nservices:\n  user: {{ replicas: {replicas}, runs: {{ {runs} }} }}{loads}");
    let loaded = cases_of("own.yaml", &text, &Overrides::default(), &Plugins::reference(), &live::info());
    let mut loaded = loaded.map_err(|problems| format!("{problems}\n{text}"))?;
    Ok(loaded.cases.remove(0))
}

/// It holds, single requests were heard, and the report says what was shaken.
fn shaken(case: &Case, etcd: Location) -> Result<(), Failed> {
    let heard = Cell::new(Heard::default());
    held(&|| {
        let report = run_and_keep(case, &Plugins::reference(), etcd.clone());
        heard.set(Heard::of(&report));
        report
    })?;
    let heard = heard.into_inner();
    // Some calls are cut off, and some fail on their way.
    if heard.handled * 2 < heard.calls || heard.calls < 50 || heard.registered == 0 {
        return Err(format!("what the service did should have been heard: {heard:?}").into());
    }
    left_behind(case)
}

/// How much a history has of what was asked and of what the service did.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    calls: usize,
    /// On a host of the service, because of a call, to the end.
    handled: usize,
    registered: usize,
}

impl Heard {
    fn of(report: &SweepReport) -> Self {
        let Ok(outcome) = &report.cases[0].runs[0].outcome else { return Self::default() };
        let mut heard = Self::default();
        let (mut calls, mut handling) = (BTreeSet::new(), BTreeSet::new());
        for event in outcome.history.iter().flat_map(|history| &history.events) {
            let is_of_user = event.host.starts_with("user-");
            match &*event.edge {
                Edge::Invoke(Operation::Call { .. }) => drop(calls.insert(event.operation)),
                Edge::Invoke(Operation::Register { .. }) if is_of_user => heard.registered += 1,
                Edge::Invoke(Operation::Handle { .. }) if is_of_user && calls.contains(&event.cause) => {
                    handling.insert(event.operation);
                }
                Edge::Return(Ok(_)) if handling.remove(&event.operation) => heard.handled += 1,
                _ => {}
            }
        }
        Self { calls: calls.len(), ..heard }
    }
}

fn tripped(oracle: &str, case: &Case, etcd: Location) -> Result<(), Failed> {
    let report = run(case, &Plugins::reference(), etcd);
    let text = render(&report, Duration::ZERO, Palette::PLAIN);
    let first = report.cases[0].verdicts.iter().find(|verdict| verdict.verdict == Verdict::Violated);
    if first.map(|verdict| verdict.oracle.as_str()) != Some(oracle) {
        return Err(format!("{oracle} should be named first:\n{text}").into());
    }
    kept_logs(&report, &text)?;
    left_behind(case)
}

/// What services have said is kept where something was violated.
fn kept_logs(report: &SweepReport, text: &str) -> Result<(), Failed> {
    let outcome = report.cases[0].runs[0].outcome.as_ref().map_err(|failure| format!("{failure:?}"))?;
    let kept = outcome.notes.iter().filter_map(|note| note.split_once("the log of user-"));
    let kept: Vec<&str> = kept.filter_map(|(_, rest)| Some(rest.split_once(" is kept in ")?.1)).collect();
    if kept.is_empty() {
        return Err(format!("the log should be kept:\n{text}").into());
    }
    for path in kept {
        let is_there = std::fs::metadata(path).map_err(|error| format!("{path}: {error}"));
        let removed = std::fs::remove_file(path);
        is_there.and(removed.map_err(|error| error.to_string()))?;
    }
    Ok(())
}

/// Begins what tells the services of one case from all others.
const MARK: &str = "of-test-";

/// No service of `case` is there any more.
fn left_behind(case: &Case) -> Result<(), Failed> {
    let Some((_, rest)) = case.text.split_once(MARK) else { return Ok(()) };
    let mark = format!("{MARK}{}", rest.split(']').next().unwrap_or_default());
    for process in std::fs::read_dir("/proc")? {
        let Ok(process) = process else { continue };
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&mark) {
            return Err(format!("{} is still there: {line}", process.path().display()).into());
        }
    }
    Ok(())
}

/// A test with go-micro, ignored where there is none and nobody insists.
fn gomicro(name: &str, test: impl FnOnce(Location, PathBuf) -> Result<(), Failed> + Send + 'static) -> Trial {
    match std::env::var_os(GO_VARIABLE).map(PathBuf::from) {
        Some(adapter) => trial(name, move |etcd| test(etcd, adapter)),
        None => absent(name, format!("{GO_VARIABLE} names no adapter")),
    }
}

fn absent(name: &str, why: String) -> Trial {
    if is_required() {
        return Trial::test(name, move || Err(format!("{why}, but {REQUIRE_VARIABLE}=1").into()));
    }
    Trial::ignorable_test(name, move || Ok(Completion::ignored_with(why)))
}

const PLAIN: &str = "calls: { from: web, to: user, rate: 10, timeout: 1s, idempotent: true, http: GET / }";

/// A plain HTTP server of Python's, of which nobody here starts or ends anything.
fn elsewhere(etcd: Location) -> Result<(), Failed> {
    let Some(python) = find_on_path("python3") else {
        return Err("there is no python3 on the PATH, which is to be somebody else's server".into());
    };
    let port = free_port()?.to_string();
    let arguments = ["-m", "http.server", "--bind", "127.0.0.1", &port].map(std::ffi::OsString::from);
    let mut server = LocalProcess::start(&python, arguments, tempfile::tempdir()?)?;
    let at = format!("127.0.0.1:{port}");
    started(async {
        let ready = || std::future::ready(std::net::TcpStream::connect(&at).is_ok());
        wait_until_ready(&mut server, Duration::from_secs(30), ready).await.map_err(|error| error.to_string())
    })?;
    let rest = "
clients:
  web: { count: 2 }
phases: { warmup: 3s, shake: 9s, settle: 5s }
load:
  - watch: { on: web, service: user }
  - churn: { of: user, every: 3s, actions: [join, leave], keep: 0 }
faults:
  - { at: 3s, for: 1s, partition: { groups: [user, web-1] } }
  - { at: 6s, reset: { a: web, b: user } }
expect:
  registration_visible: { within: 3s }
  watch_order: { within: 3s }
  no_stale_calls: { within: 2s }
  nothing_hangs: { within: 8s }
";
    let runs = format!("url: 'http://127.0.0.1:{port}'");
    let text = format!(
        "name: own\nstack: {{ registry: etcd }}\nservices:\n  user: {{ replicas: 1, register_ttl: 6s, register_interval: 2s, \
         runs: {{ {runs} }} }}{}",
        rest.replacen("load:", &format!("load:\n  - {PLAIN}"), 1)
    );
    let loaded = cases_of("own.yaml", &text, &Overrides::default(), &Plugins::reference(), &live::info());
    let case = loaded.map_err(|problems| problems.to_string())?.cases.remove(0);
    shaken(&case, etcd)
}

/// A container as a service: an etcd, of which nobody asks more than whether it is well.
fn contained() -> Trial {
    let name = "own::a_container_is_started_killed_paused_and_stopped";
    let image = match in_a_container() {
        Some(Location::Container(image)) => image,
        _ => return absent(name, "there is no engine for containers".to_owned()),
    };
    trial(name, move |etcd| {
        let runs = format!(
            "image: {{ name: '{image}', line: [etcd, --data-dir, /memory/etcd, --listen-client-urls, 'http://127.0.0.1:{{port}}', \
             --advertise-client-urls, 'http://127.0.0.1:{{port}}', --listen-peer-urls, 'http://127.0.0.1:0'], ready: {{ path: \
             /health }} }}, registered_by: shaketable"
        );
        let calls = PLAIN.replace("GET /", "GET /health");
        shaken(&case("{ registry: etcd }", &runs, &calls, SHAKEN)?, etcd)
    })
}
