//! Snapshots of each part of the report.

use std::collections::BTreeMap;
use std::time::Duration;

use shaketable_sim::history::{Edge, Event, History, Moment, Operation, OperationId, Point, Truth};
use shaketable_sim::run::{
    CaseReport, NotApplied, OracleVerdict, Run, RunFailure, RunReport, SweepReport, VERSION, Verdict, Violation,
};

use super::{render, render_failures, render_options, render_summary, render_verdicts};
use crate::Palette;
use crate::trace::{self, Filter};

fn event(sequence: u64, host: &str, operation: Option<u64>, edge: Edge) -> Event {
    let (at, operation) = (Moment(sequence * 1_500_000_000), operation.map(OperationId::nth));
    Event { sequence, at, wall_ns: 0, host: host.into(), operation, cause: None, edge: edge.into() }
}

fn events() -> Vec<Event> {
    let call = Operation::Call {
        service: "user".to_owned(),
        endpoint: "User.Get".to_owned(),
        idempotent: false,
        timeout: Duration::from_secs(5),
    };
    let attempt = Point::Attempt {
        service: "user".to_owned(),
        node: "user-2".to_owned(),
        address: "10.0.0.2:80".to_owned(),
        attempt: 0,
        strategy: "random".to_owned(),
    };
    let expired = Truth::Expired { lease: "7".to_owned(), keys: vec!["/micro/registry/user/user-2".to_owned()] };
    vec![
        event(7, "etcd", None, Edge::Point(Point::Truth(expired))),
        event(9, "client-1", Some(17), Edge::Invoke(call)),
        event(10, "client-1", Some(17), Edge::Point(attempt)),
    ]
}

fn run(seed: u64, outcome: Result<RunReport, RunFailure>) -> Run {
    Run { seed, outcome, wall: Duration::from_millis(120), token: format!("st1:{seed:02x}ab") }
}

fn run_report(seed: u64) -> RunReport {
    RunReport {
        version: VERSION,
        seed,
        digest: format!("{seed:032x}"),
        judgements: Vec::new(),
        not_applied: Vec::new(),
        backends: Vec::new(),
        proof: events().into_iter().map(|event| (event.sequence, event)).collect::<BTreeMap<_, _>>(),
        simulated: Moment(50_000_000_000),
        events: 3,
        packets: 0,
        notes: vec!["lease 7 was lost because the host was cut off for 12s".to_owned()],
        history: Some(History { events: events().into_iter().collect(), ..History::default() }),
        trace: None,
    }
}

fn verdict(oracle: &str, verdict: Verdict, judged: u64) -> OracleVerdict {
    OracleVerdict { oracle: oracle.to_owned(), verdict, judged, violations: Vec::new(), pooled: Vec::new() }
}

fn case(name: &str, overrides: &str, runs: Vec<Run>, verdicts: Vec<OracleVerdict>) -> CaseReport {
    let worst = verdicts.iter().map(|verdict| verdict.verdict).max().unwrap_or(Verdict::Held);
    CaseReport {
        file: format!("scenarios/{name}.yaml"),
        name: name.to_owned(),
        overrides: overrides.to_owned(),
        engine: "turmoil".to_owned(),
        runs,
        verdicts,
        not_applied: Vec::new(),
        verdict: worst,
    }
}

fn sweep(cases: Vec<CaseReport>) -> SweepReport {
    SweepReport { version: VERSION, program: "target/release/shaketable".to_owned(), cases, cut_short: None }
}

fn held() -> CaseReport {
    let verdicts = vec![verdict("nothing_hangs", Verdict::Held, 8_123), verdict("delivery", Verdict::Held, 90)];
    case("fan-out", "", vec![run(7, Ok(run_report(7)))], verdicts)
}

fn violated() -> CaseReport {
    let sentence = "client-1 called user-2 2s after its lease had expired, though it could reach the registry";
    let violation = |seed| Violation { seed, sentence: sentence.to_owned(), events: vec![7, 9, 10] };
    let mut stale = verdict("no_stale_calls", Verdict::Violated, 3_120);
    stale.violations = vec![violation(1), violation(2)];
    let mut fair = verdict("selector_fairness", Verdict::Violated, 12_000);
    fair.pooled = vec!["random over 3 nodes: 1, 1 and 11998 picks; p = 1e-300".to_owned()];
    let runs = (0..3).map(|seed| run(seed, Ok(run_report(seed)))).collect();
    case("churn", "registry=etcd", runs, vec![verdict("nothing_hangs", Verdict::Held, 4_000), stale, fair])
}

#[test]
fn options_come_first_and_align() {
    let options = [("engine", "turmoil".to_owned()), ("seeds", "20 (0..20)".to_owned())];
    insta::assert_snapshot!(render_options(&options, Palette::PLAIN), @r"
    engine  turmoil
    seeds   20 (0..20)
    ");
}

#[test]
fn each_expectation_has_a_line() {
    insta::assert_snapshot!(render_verdicts(&sweep(vec![held(), violated()]), Palette::PLAIN), @r"
    fan-out                scenarios/fan-out.yaml  turmoil  seed 7      digest 00000000000000000000000000000007
      nothing_hangs      held       8123  judged
      delivery           held         90  judged
    churn [registry=etcd]  scenarios/churn.yaml    turmoil  seeds 0..3
      nothing_hangs      held       4000  judged
      no_stale_calls     VIOLATED   3120  judged  2 findings at 2 seeds
      selector_fairness  VIOLATED  12000  judged
    ");
}

#[test]
fn a_violation_shows_sentence_proof_and_replay() {
    insta::assert_snapshot!(render_failures(&sweep(vec![violated()]), Palette::PLAIN), @r"
    VIOLATED churn [registry=etcd]: no_stale_calls
      seed 1: client-1 called user-2 2s after its lease had expired, though it could reach the registry
        TIME     HOST      OPERATION  WHAT
        10.500s  etcd                 lease 7 ran out, with it /micro/registry/user/user-2
        13.500s  client-1  #17        call user User.Get, at most 5s
        15.000s  client-1  #17        attempt 0 goes to user-2 of 'user' at 10.0.0.2:80, picked by random
      also at seed 2
      note: lease 7 was lost because the host was cut off for 12s
      digest: 00000000000000000000000000000001, and the same when it is replayed
      replay: target/release/shaketable replay st1:01ab scenarios/churn.yaml

    VIOLATED churn [registry=etcd]: selector_fairness
      over all seeds: random over 3 nodes: 1, 1 and 11998 picks; p = 1e-300
      again: target/release/shaketable run scenarios/churn.yaml --seeds 3 --set registry=etcd
    ");
}

/// The same as it would be of a live run.
fn live(mut case: CaseReport) -> CaseReport {
    case.engine = "live".to_owned();
    case.runs.truncate(2);
    for run in &mut case.runs {
        run.token.clear();
        if let Ok(report) = &mut run.outcome {
            report.digest.clear();
            report.backends = vec!["etcd as a process".to_owned()];
        }
    }
    let reason = "no link of this machine takes that long".to_owned();
    case.not_applied.push(NotApplied { oracle: "latency".to_owned(), reason });
    case
}

#[test]
fn a_live_run_says_what_it_stood_on_and_what_did_not_apply_and_promises_no_replay() {
    let report = sweep(vec![live(violated())]);
    insta::assert_snapshot!(render(&report, Duration::from_secs(101), Palette::PLAIN), @r"
    churn [registry=etcd]  scenarios/churn.yaml  live  seeds 0..2  on etcd as a process
      nothing_hangs      held          4000  judged
      no_stale_calls     VIOLATED      3120  judged  2 findings at 2 seeds
      selector_fairness  VIOLATED     12000  judged
      latency            not applied      0  judged  no link of this machine takes that long

    VIOLATED churn [registry=etcd]: no_stale_calls
      seed 1: client-1 called user-2 2s after its lease had expired, though it could reach the registry
        TIME     HOST      OPERATION  WHAT
        10.500s  etcd                 lease 7 ran out, with it /micro/registry/user/user-2
        13.500s  client-1  #17        call user User.Get, at most 5s
        15.000s  client-1  #17        attempt 0 goes to user-2 of 'user' at 10.0.0.2:80, picked by random
      also at seed 2
      note: lease 7 was lost because the host was cut off for 12s
      no replay: real time and real sockets decide a live run, too
      once more: target/release/shaketable run scenarios/churn.yaml --world live --seed 1 --set registry=etcd

    VIOLATED churn [registry=etcd]: selector_fairness
      over all seeds: random over 3 nodes: 1, 1 and 11998 picks; p = 1e-300
      again: target/release/shaketable run scenarios/churn.yaml --world live --seeds 2 --set registry=etcd

    VIOLATED: 1 case, 2 runs, 1m 40s live in 1m 41s; expectations: 1 held, 2 violated, 1 not applied
    ");
}

#[test]
fn too_little_evidence_comes_with_the_mend() {
    let mut expiry = verdict("lease_expiry", Verdict::TooLittleEvidence, 2);
    expiry.pooled = vec!["2 expiries were seen, `at_least` asks for 10".to_owned()];
    let case = case("expiry", "", vec![run(0, Ok(run_report(0)))], vec![expiry]);
    insta::assert_snapshot!(render_failures(&sweep(vec![case]), Palette::PLAIN), @r"
    TOO LITTLE EVIDENCE expiry: lease_expiry
      judged 2: nothing can be said of it
      2 expiries were seen, `at_least` asks for 10
      mend: more seeds (--seeds), a longer `shake` phase, or a load and faults that lead to it
    ");
}

#[test]
fn runs_without_a_result_are_named_by_reason() {
    let broken = || Err(RunFailure::Harness("the engine failed: host 'user-1' panicked".to_owned()));
    let late = Err(RunFailure::TimedOut(Duration::from_secs(60)));
    let mut case = case("churn", "", vec![run(0, broken()), run(1, broken()), run(2, late)], Vec::new());
    case.verdict = Verdict::HarnessFailed;
    insta::assert_snapshot!(render(&sweep(vec![case]), Duration::from_secs(3), Palette::PLAIN), @r"
    churn  scenarios/churn.yaml  turmoil  seeds 0..3

    NO RESULT churn: seed 2
      it was still running after 1m of real time and was ended; a busy loop, or a limit that is too short (--run-timeout)
      replay: target/release/shaketable replay st1:02ab scenarios/churn.yaml
    NO RESULT churn: seeds 0, 1
      the harness or a backend failed: the engine failed: host 'user-1' panicked
      replay: target/release/shaketable replay st1:00ab scenarios/churn.yaml

    HARNESS FAILED: 1 case, 3 runs, 0ms simulated in 3s; expectations: 0 held, 3 runs without a result
    ");
}

#[test]
fn the_last_line_sums_it_up() {
    let mut report = sweep(vec![held(), violated()]);
    report.cut_short = Some("the first failure ended the sweep, 17 of 21 runs were left out".to_owned());
    insta::assert_snapshot!(render_summary(&report, Duration::from_secs(41), Palette::PLAIN), @r"
    cut short: the first failure ended the sweep, 17 of 21 runs were left out
    VIOLATED: 2 cases, 4 runs, 3m 20s simulated in 41s; expectations: 3 held, 2 violated
    ");
}

#[test]
fn a_trace_has_fixed_columns_and_filters() {
    let report = run_report(1);
    insta::assert_snapshot!(trace::render(&report, &Filter::default(), Palette::PLAIN), @r"
    TIME     HOST      KIND     EDGE  OPERATION  WHAT
    10.500s  etcd      backend  .                lease 7 ran out, with it /micro/registry/user/user-2
    13.500s  client-1  call     >     #17        call user User.Get, at most 5s
    15.000s  client-1  call     .     #17        attempt 0 goes to user-2 of 'user' at 10.0.0.2:80, picked by random
    ");
    let filter = Filter { host: Some("etcd".to_owned()), ..Filter::default() };
    assert_eq!(trace::render(&report, &filter, Palette::PLAIN).lines().count(), 2);
}
