//! Judging a plugin by the whole suite, or a part of it: as many checks at a time as there are jobs, each in a process of
//! its own in the simulator.
#![expect(clippy::disallowed_methods, reason = "a session runs in real time, outside of any simulation")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use shaketable_sim::engine::EngineInfo;
use shaketable_sim::run::{Children, Purpose, RunFailure};
use shaketable_sim::verification::{Row, Status, VERSION, VerifyReport};
use shaketable_stack::plugin::Plugins;

use super::apply::{Applicability, Suite};
use super::job::{CheckJob, CheckReport};
use super::known::KnownFailures;
use super::live::{self, LiveWorld};
use super::pool::{self, Made, Rules};
use super::weather::Weather;
use super::withdraw;
use crate::{Finding, Interface, Level, Requirement};

/// What to judge.
#[derive(Clone, Debug)]
pub struct VerifyRequest {
    /// The interface.
    pub interface: Interface,
    /// The plugin.
    pub plugin: String,
    /// Plugins of other interfaces that are used instead of those of the reference.
    pub beside: Vec<(Interface, String)>,
    /// Where.
    pub place: Place,
    /// Judge by these levels; all when empty.
    pub levels: Vec<Level>,
    /// Judge by these requirements alone, by id; by all when empty.
    pub only: Vec<String>,
    /// What the author knows to be wrong.
    pub known: KnownFailures,
    /// A SHOULD counts as a MUST.
    pub strict: bool,
    /// Stop at the first check that finds what makes the verdict bad; what was not checked is unknown then.
    pub fail_fast: bool,
    /// How many checks at a time, in the simulator.
    pub jobs: usize,
    /// A check that takes longer in real time is ended and breaks.
    pub check_timeout: Duration,
    /// Today, as in `2026-11-21`, for known failures that expire.
    pub today: String,
    /// The words that judge again; see [`VerifyReport::command`].
    pub command: Vec<String>,
}

/// Where a plugin is judged.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the simulator.
    Simulated {
        /// What carries the worlds.
        engine: EngineInfo,
        /// The seeds.
        seeds: Vec<u64>,
        /// The weathers.
        weathers: Vec<Weather>,
    },
    /// On real machines.
    Live(LiveWorld),
}

/// How far a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Checks that have ended.
    pub done: usize,
    /// Checks in all.
    pub total: usize,
    /// Checks that found something.
    pub failed: usize,
    /// The requirement of the check that has just ended.
    pub id: &'static str,
}

impl VerifyRequest {
    /// Which requirements are asked for, each with whether it applies.
    ///
    /// # Errors
    /// When there is no such plugin, or no such requirement.
    pub fn suite(&self, plugins: &Plugins) -> Result<Suite, String> {
        let suite = match &self.place {
            Place::Simulated { engine, .. } => Suite::simulated(self.interface, &self.plugin, plugins, engine),
            Place::Live(world) => Suite::live(self.interface, &self.plugin, plugins, world),
        };
        let mut suite = suite.map_err(|error| error.to_string())?;
        for id in &self.only {
            if !suite.rows.iter().any(|(requirement, _)| requirement.id == id) {
                return Err(format!(
                    "no requirement of {} is called '{id}'; `shaketable spec {}` shows those that there are",
                    self.interface, self.interface
                ));
            }
        }
        suite.rows.retain(|(requirement, _)| {
            (self.levels.is_empty() || self.levels.contains(&requirement.level))
                && (self.only.is_empty() || self.only.iter().any(|id| id == requirement.id))
        });
        Ok(suite)
    }
}

/// Why a requirement is unknown that was not, or not wholly, checked.
const STOPPED: &str = "not checked to the end: another check had found something, and --fail-fast stops there";

/// One check to make.
struct Task {
    row: usize,
    /// How many checks of the same requirement come before it.
    turn: usize,
    seed: Option<u64>,
    weather: Option<Weather>,
    alone: bool,
}

/// Judges what `request` asks for; `progress` is told after each check.
///
/// # Errors
/// When there is no such plugin or requirement.
pub fn verify(
    request: &VerifyRequest,
    plugins: &Plugins,
    progress: &mut dyn FnMut(&Progress),
) -> Result<VerifyReport, String> {
    let listed = request.suite(plugins)?;
    let plugins = Arc::new(plugins.clone());
    let opened = opened(request, &listed, &plugins);
    let asked = request;
    let (request, broken) = match &opened {
        Ok(opened) => (opened, None),
        Err(why) => (request, Some(why)),
    };
    // A backend that is there may allow less than was said of it.
    let suite = request.suite(&plugins)?;
    let mut tasks = Vec::new();
    for (row, (requirement, applicability)) in suite.rows.iter().enumerate() {
        if *applicability != Applicability::Applies || broken.is_some() {
            continue;
        }
        match &request.place {
            Place::Simulated { seeds, weathers, .. } => {
                // No weather reaches a codec.
                let weathers = if request.interface == Interface::Codec {
                    weathers.get(..1).unwrap_or_default()
                } else {
                    weathers
                };
                let places = weathers.iter().flat_map(|weather| seeds.iter().map(move |seed| (*weather, *seed)));
                tasks.extend(places.enumerate().map(|(turn, (weather, seed))| Task {
                    row,
                    turn,
                    seed: Some(seed),
                    weather: Some(weather),
                    alone: false,
                }));
            }
            Place::Live(_) => {
                let alone = live::runs_alone(requirement);
                tasks.push(Task { row, turn: 0, seed: None, weather: None, alone });
            }
        }
    }
    if request.fail_fast {
        // Each requirement once, before any of them in another weather or with another seed.
        tasks.sort_by_key(|task| task.turn);
    }
    let total = tasks.len();
    let planned = tasks.iter().fold(BTreeMap::<usize, usize>::new(), |mut planned, task| {
        *planned.entry(task.row).or_default() += 1;
        planned
    });
    let (alone, beside): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(|task| task.alone);
    let mut made: BTreeMap<usize, Vec<Made>> = BTreeMap::new();
    let (mut done, mut failed) = (0, 0);
    let at_once = match &request.place {
        Place::Simulated { .. } => request.jobs,
        Place::Live(world) => world.at_once,
    };
    let rules = Rules { strict: request.strict, today: &request.today };
    let mut left = Vec::new();
    let mut stopped = false;
    for (tasks, at_once) in [(beside, at_once), (alone, 1)] {
        let taken = make_all(&tasks, at_once, &suite, request, &plugins, stopped, &mut |row, check| {
            let requirement = suite.rows[row].0;
            done += 1;
            failed += usize::from(check.report.finding.is_some());
            stopped |=
                request.fail_fast && pool::is_bad(requirement, &check, request.known.get(requirement.id), &rules);
            made.entry(row).or_default().push(check);
            progress(&Progress { done, total, failed, id: requirement.id });
            stopped
        });
        left.extend(tasks.into_iter().skip(taken));
    }
    // An accusation stands only where what it presumes is upheld, so that is still looked at.
    while let Some(row) = presumed(&suite, &made, &left) {
        let tasks: Vec<Task> = left.extract_if(.., |task| task.row == row).collect();
        let at_once = if tasks.iter().any(|task| task.alone) { 1 } else { at_once };
        make_all(&tasks, at_once, &suite, request, &plugins, false, &mut |row, check| {
            made.entry(row).or_default().push(check);
            false
        });
    }
    let row = |(index, (requirement, applicability)): (usize, &(&'static Requirement, Applicability))| {
        let mut made = made.remove(&index).unwrap_or_default();
        made.sort_by(|a, b| (a.seed, &a.weather).cmp(&(b.seed, &b.weather)));
        let missing = planned.get(&index).map_or(0, |planned| planned.saturating_sub(made.len()));
        let mut row = pool::row(requirement, applicability, made, request.known.get(requirement.id), &rules);
        if missing > 0 && matches!(row.status, Status::Pass | Status::UnexpectedPass) {
            row.status = Status::Unknown;
            row.reason = Some(STOPPED.to_owned());
        }
        if let (Some(why), Applicability::Applies) = (broken, applicability) {
            (row.status, row.reason) = (Status::Error, Some(why.clone()));
        }
        row
    };
    let mut rows: Vec<Row> = suite.rows.iter().enumerate().map(row).collect();
    let beside = match withdraw::unseen(&rows) {
        ids if ids.is_empty() => Vec::new(),
        only => {
            // In a namespace of its own: that of these checks is not empty any more.
            let request = VerifyRequest { only, levels: Vec::new(), fail_fast: false, ..asked.clone() };
            verify(&request, &plugins, &mut |_| {})?.rows
        }
    };
    withdraw::withdraw(&mut rows, &beside);
    let (world, seeds, weathers) = match &request.place {
        Place::Simulated { engine, seeds, weathers } => (
            format!("engine {}", engine.name),
            seeds.clone(),
            weathers.iter().map(|weather| weather.name.to_owned()).collect(),
        ),
        Place::Live(_) => ("live".to_owned(), Vec::new(), Vec::new()),
    };
    Ok(VerifyReport {
        version: VERSION,
        command: request.command.clone(),
        interface: request.interface.to_string(),
        plugin: request.plugin.clone(),
        world,
        seeds,
        weathers,
        rows,
    })
}

/// `request` in a world in which its checks can be made. Where nothing applies, nobody looks.
///
/// # Errors
/// One sentence with the mend, when the world does not work.
fn opened(request: &VerifyRequest, suite: &Suite, plugins: &Arc<Plugins>) -> Result<VerifyRequest, String> {
    let applying: Vec<&Requirement> = suite
        .rows
        .iter()
        .filter(|(_, applicability)| *applicability == Applicability::Applies)
        .map(|(requirement, _)| *requirement)
        .collect();
    let place = match &request.place {
        Place::Live(world) if !applying.is_empty() => Place::Live(live::open(world, request, plugins, &applying)?),
        unchanged => unchanged.clone(),
    };
    Ok(VerifyRequest { place, ..request.clone() })
}

/// A requirement with checks `left` on which a finding rests.
fn presumed(suite: &Suite, made: &BTreeMap<usize, Vec<Made>>, left: &[Task]) -> Option<usize> {
    let broken = made.iter().filter(|(_, made)| made.iter().any(|made| made.report.finding.is_some()));
    let presumed: BTreeSet<&str> = broken.flat_map(|(row, _)| suite.rows[*row].0.presumed()).collect();
    left.iter().map(|task| task.row).find(|row| presumed.contains(suite.rows[*row].0.id))
}

/// Makes `tasks` in their order until `ended` says to stop; how many were made. None when it is `stopped` already.
fn make_all(
    tasks: &[Task],
    at_once: usize,
    suite: &Suite,
    request: &VerifyRequest,
    plugins: &Arc<Plugins>,
    stopped: bool,
    ended: &mut dyn FnMut(usize, Made) -> bool,
) -> usize {
    if stopped {
        return 0;
    }
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let take = || {
        // Nothing is taken after the stop, so that those that were made are the first ones.
        let index = next
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |next| {
                (next < tasks.len() && !stop.load(Ordering::SeqCst)).then_some(next + 1)
            })
            .ok()?;
        tasks.get(index)
    };
    let children = Children::new(Purpose::Check);
    std::thread::scope(|scope| {
        let (sender, made) = mpsc::channel();
        for _ in 0..at_once.clamp(1, tasks.len().max(1)) {
            let (sender, take, children) = (sender.clone(), &take, &children);
            scope.spawn(move || {
                while let Some(task) = take() {
                    let began = Instant::now();
                    let report = make(task, suite.rows[task.row].0, request, plugins, children);
                    let weather = task.weather.map(|weather| weather.name.to_owned());
                    let check = Made { seed: task.seed, weather, report, took: began.elapsed() };
                    if sender.send((task.row, check)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (row, check) in made {
            if ended(row, check) {
                stop.store(true, Ordering::SeqCst);
            }
        }
    });
    next.into_inner()
}

fn make(
    task: &Task,
    requirement: &Requirement,
    request: &VerifyRequest,
    plugins: &Arc<Plugins>,
    children: &Children,
) -> CheckReport {
    let engine = match &request.place {
        Place::Live(world) => return live::run(requirement, request, world, plugins),
        Place::Simulated { engine, .. } => engine.name.to_owned(),
    };
    let job = CheckJob {
        id: requirement.id.to_owned(),
        plugin: request.plugin.clone(),
        beside: request.beside.iter().map(|(other, plugin)| (other.to_string(), plugin.clone())).collect(),
        seed: task.seed.unwrap_or_default(),
        engine,
        weather: task.weather.map(|weather| weather.name.to_owned()).unwrap_or_default(),
    };
    match children.ask::<CheckReport>(job.seed, &job, request.check_timeout) {
        Ok((report, errors)) => match report.finding {
            Some(Finding::Broke(why)) if !errors.is_empty() => {
                CheckReport { finding: Some(Finding::Broke(format!("{why}\n{errors}"))), ..report }
            }
            _ => report,
        },
        // A process that never yields is the plugin's doing: the harness always does.
        Err(RunFailure::TimedOut(limit)) => CheckReport {
            finding: Some(Finding::violated(
                format!("an end within {limit:?} of real time"),
                "the process was still running and was ended: a busy loop, or a call that blocks its thread",
            )),
            events: Vec::new(),
            took: limit,
        },
        Err(RunFailure::BadInput(why) | RunFailure::Harness(why)) => CheckReport::broken(why),
    }
}
