//! Sweeps: many cases and seeds, each run in a process of its own, as many at a time as there are jobs. Results come in the
//! order in which they were asked for, whatever order they end in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::cases::Case;
use super::child::Purpose;
use super::children::Children;
use super::result::{
    CaseReport, Job, NotApplied, OracleVerdict, Run, RunFailure, RunReport, SweepReport, VERSION, Verdict, Violation,
};
use super::token::Token;
use crate::oracle::{self, Sweep};

/// Which seeds a sweep takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// As many as each scenario says, from 0.
    FromScenario,
    /// So many, from 0.
    Count(u32),
    /// This one.
    One(u64),
}

/// What to sweep.
#[derive(Clone, Debug)]
pub struct SweepRequest {
    /// Scenarios with their overrides.
    pub cases: Vec<Case>,
    /// Which seeds.
    pub seeds: Seeds,
    /// The engine.
    pub engine: String,
    /// How many processes at a time.
    pub jobs: usize,
    /// A run that takes longer in real time is ended and fails.
    pub run_timeout: Duration,
    /// No run is started after this much real time.
    pub time_limit: Option<Duration>,
    /// Start no run after the first violation or failure.
    pub fail_fast: bool,
    /// Send back whole histories and traces.
    pub keep: bool,
}

/// How far a sweep is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Runs that have ended.
    pub done: usize,
    /// Runs in all.
    pub total: usize,
    /// Runs that found something or failed.
    pub failed: usize,
    /// The scenario of the run that has just ended, with its overrides.
    pub case: String,
    /// Its seed.
    pub seed: u64,
}

/// Runs what `request` asks for; `progress` is told after each run.
pub fn sweep(request: &SweepRequest, progress: &mut dyn FnMut(&Progress)) -> SweepReport {
    let children = Children::new(Purpose::Run);
    let run = |job: &Job| (children.run(job, request.run_timeout), Token::of(job).to_string());
    sweep_by(request, &run, progress)
}

/// What came of a job, and the token that replays it; an empty one where nothing does.
pub(super) type Made = (Result<RunReport, RunFailure>, String);

/// Runs what `request` asks for by means of `run`, which answers what came of a job and the token that replays it.
#[expect(clippy::disallowed_methods, reason = "a sweep runs in real time, outside of any simulation")]
pub(super) fn sweep_by(
    request: &SweepRequest,
    run: &(dyn Fn(&Job) -> Made + Sync),
    progress: &mut dyn FnMut(&Progress),
) -> SweepReport {
    let started = Instant::now();
    let jobs: Vec<(usize, Job)> = jobs(request);
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut outcomes: BTreeMap<usize, Run> = BTreeMap::new();
    let mut failed = 0;
    let mut cut_short = None;
    std::thread::scope(|scope| {
        let (sender, ended) = mpsc::channel();
        for _ in 0..request.jobs.clamp(1, jobs.len().max(1)) {
            let (sender, jobs, next, stop) = (sender.clone(), &jobs, &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((_, job)) = jobs.get(index) else { return };
                    let began = Instant::now();
                    let (outcome, token) = run(job);
                    let run = Run { seed: job.seed, outcome, wall: began.elapsed(), token };
                    if sender.send((index, run)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (index, run) in ended {
            let found = run
                .outcome
                .as_ref()
                .map_or(true, |report| report.judgements.iter().any(|judgement| !judgement.findings.is_empty()));
            failed += usize::from(found);
            let case = &request.cases[jobs[index].0];
            outcomes.insert(index, run);
            progress(&Progress {
                done: outcomes.len(),
                total: jobs.len(),
                failed,
                case: case_name(case),
                seed: jobs[index].1.seed,
            });
            if request.fail_fast && found && !stop.swap(true, Ordering::Relaxed) {
                cut_short = Some("a first failure ended the sweep (--fail-fast)".to_owned());
            }
            if request.time_limit.is_some_and(|limit| started.elapsed() >= limit) && !stop.swap(true, Ordering::Relaxed)
            {
                cut_short = Some(format!("the time limit of {:?} was reached", request.time_limit.unwrap_or_default()));
            }
        }
    });
    if outcomes.len() == jobs.len() {
        cut_short = None;
    }
    let cut_short = cut_short.map(|why| format!("{why}: {} of {} runs were done", outcomes.len(), jobs.len()));
    let mut by_case: Vec<Vec<Run>> = request.cases.iter().map(|_| Vec::new()).collect();
    for (index, run) in outcomes {
        by_case[jobs[index].0].push(run);
    }
    let cases = request.cases.iter().zip(by_case).map(|(case, runs)| judge_case(case, &request.engine, runs)).collect();
    let program = std::env::args().next().unwrap_or_else(|| "shaketable".to_owned());
    SweepReport { version: VERSION, program, cases, cut_short }
}

fn jobs(request: &SweepRequest) -> Vec<(usize, Job)> {
    let of_case = |(index, case): (usize, &Case)| {
        let seeds = match request.seeds {
            Seeds::FromScenario => 0..u64::from(case.scenario.seeds),
            Seeds::Count(count) => 0..u64::from(count),
            Seeds::One(seed) => seed..seed.saturating_add(1),
        };
        let job = |seed| Job {
            file: case.file.clone(),
            text: case.text.clone(),
            overrides: case.overrides.to_string(),
            seed,
            engine: request.engine.clone(),
            keep: request.keep,
        };
        seeds.map(move |seed| (index, job(seed))).collect::<Vec<_>>()
    };
    request.cases.iter().enumerate().flat_map(of_case).collect()
}

/// `name [registry=etcd]`.
pub fn case_name(case: &Case) -> String {
    if case.overrides.is_empty() {
        case.scenario.name.clone()
    } else {
        format!("{} [{}]", case.scenario.name, case.overrides)
    }
}

/// What the runs of one case say together. The only place where their verdict is made.
pub fn judge_case(case: &Case, engine: &str, runs: Vec<Run>) -> CaseReport {
    let mut pool = Sweep::default();
    let mut broken = false;
    let mut not_applied: Vec<NotApplied> = Vec::new();
    for run in &runs {
        match &run.outcome {
            Ok(report) => {
                pool.add(run.seed, report.judgements.clone());
                let news = report.not_applied.iter().filter(|apart| !not_applied.contains(apart));
                let news: Vec<NotApplied> = news.cloned().collect();
                not_applied.extend(news);
            }
            Err(RunFailure::BadInput(_) | RunFailure::Harness(_) | RunFailure::TimedOut(_)) => broken = true,
        }
    }
    let verdicts: Vec<OracleVerdict> = pool.verdicts().into_iter().map(translate).collect();
    let worst = verdicts.iter().map(|verdict| verdict.verdict).max().unwrap_or(Verdict::TooLittleEvidence);
    CaseReport {
        file: case.file.clone(),
        name: case.scenario.name.clone(),
        overrides: case.overrides.to_string(),
        engine: engine.to_owned(),
        runs,
        verdicts,
        not_applied,
        verdict: if broken { Verdict::HarnessFailed } else { worst },
    }
}

fn translate(verdict: oracle::OracleVerdict) -> OracleVerdict {
    let violations = verdict.violations.into_iter().flat_map(|by_seed| {
        by_seed.findings.into_iter().map(move |finding| Violation {
            seed: by_seed.seed,
            sentence: finding.sentence,
            events: finding.events,
        })
    });
    OracleVerdict {
        oracle: verdict.oracle,
        verdict: match verdict.verdict {
            oracle::Verdict::Held => Verdict::Held,
            oracle::Verdict::TooLittleEvidence => Verdict::TooLittleEvidence,
            oracle::Verdict::Violated => Verdict::Violated,
        },
        judged: verdict.judged,
        violations: violations.collect(),
        pooled: verdict.pooled.into_iter().chain(verdict.too_little).collect(),
    }
}
