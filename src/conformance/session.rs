//! One start of the test program: the requirements as tests.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use shaketable_conformance::judge::{
    Applicability, KnownFailures, LiveWorld, Place, VerifyRequest, WEATHERS, today, verify, weather,
};
use shaketable_conformance::{Interface, Requirement};
use shaketable_reports::{Palette, verification};
use shaketable_sim::engine::default_engine;
use shaketable_sim::run::Verdict;
use shaketable_sim::verification::{Row, Status, VerifyReport};

use super::Conformance;
use crate::harness::{self, Arguments, Ended, Test, seeds_of_environment};

/// Real time for one check; those of the reference take some milliseconds.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// What is to be done, and with what.
pub(super) struct Session<'a> {
    conformance: &'a Conformance,
    arguments: &'a Arguments,
    request: VerifyRequest,
}

impl<'a> Session<'a> {
    /// # Errors
    /// What is wrong with the input, for people.
    pub(super) fn new(conformance: &'a Conformance, arguments: &'a Arguments) -> Result<Self, String> {
        let interface = conformance.interface()?;
        let place = match &conformance.live {
            Some(world) => live(conformance, interface, world, arguments)?,
            None => simulated(conformance, arguments)?,
        };
        let known = match &conformance.known_failures {
            None => KnownFailures::default(),
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| format!("failed to read {}: {error}", file.display()))?;
                KnownFailures::parse(&file.display().to_string(), &text)?
            }
        };
        let mut beside = Vec::new();
        for (interface, plugin) in &conformance.beside {
            beside.push((interface.parse::<Interface>()?, plugin.clone()));
        }
        let processors = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let request = VerifyRequest {
            interface,
            plugin: conformance.plugin.clone(),
            beside,
            place,
            levels: Vec::new(),
            only: Vec::new(),
            known,
            strict: arguments.strict,
            fail_fast: false,
            jobs: arguments.jobs.map_or_else(processors, NonZeroUsize::get),
            check_timeout: CHECK_TIMEOUT,
            today: today(),
            command: vec![std::env::args().next().unwrap_or_default()],
        };
        Ok(Self { conformance, arguments, request })
    }

    /// Does it; the exit code.
    pub(super) fn run(&self) -> Result<u8, String> {
        let suite = self.request.suite(&self.conformance.plugins)?;
        let test = |(requirement, applicability): (&'static Requirement, Applicability)| Test {
            name: format!("{}::{}", requirement.id, requirement.check.name()),
            ignored: match applicability {
                Applicability::Applies => None,
                // It fails as a stale entry.
                Applicability::Not(_) if self.request.known.get(requirement.id).is_some() => None,
                Applicability::Not(reason) => Some(reason),
            },
            subject: requirement,
        };
        let rows = suite.rows.clone();
        let mut live: Option<VerifyReport> = None;
        let tests: Vec<Test<&Requirement>> = suite.rows.into_iter().map(test).collect();
        if !self.arguments.list && tests.iter().all(|test| test.ignored.is_some()) {
            return Err(format!("no requirement of {} applies; nothing was checked", self.request.interface));
        }
        let mut made: BTreeMap<&str, VerifyReport> = BTreeMap::new();
        let code =
            harness::run(&tests, self.arguments, |requirement| match self.report(requirement, &tests, &mut live) {
                Ok(report) => {
                    let ended = ended(&report);
                    made.insert(requirement.id, report);
                    ended
                }
                Err(text) => Ended { passed: false, word: None, lines: String::new(), details: text, exit_code: 3 },
            });
        if let (Some(folder), false) = (&self.arguments.out, self.arguments.list) {
            let mut whole: Option<VerifyReport> = None;
            for (requirement, applicability) in &rows {
                let report = match (made.remove(requirement.id), applicability) {
                    (Some(report), _) => report,
                    // Nothing runs: the row says why.
                    (None, Applicability::Not(_)) => self.judge([requirement.id])?,
                    // It was not asked for.
                    (None, Applicability::Applies) => continue,
                };
                match &mut whole {
                    Some(whole) => whole.rows.extend(report.rows),
                    None => whole = Some(report),
                }
            }
            whole.map_or(Ok(()), |whole| write(folder, &whole))?;
        }
        Ok(code)
    }

    /// What comes of one requirement.
    fn report(
        &self,
        requirement: &'static Requirement,
        tests: &[Test<&'static Requirement>],
        live: &mut Option<VerifyReport>,
    ) -> Result<VerifyReport, String> {
        let Place::Live(_) = &self.request.place else { return self.judge([requirement.id]) };
        // Real time passes once for all, which are judged side by side.
        let report = match live {
            Some(report) => report,
            None => {
                let asked = tests.iter().filter(|test| test.ignored.is_none() && self.arguments.chooses(&test.name));
                let ids = asked.map(|test| test.subject.id);
                live.insert(self.judge(ids)?)
            }
        };
        let mut report = report.clone();
        report.rows.retain(|row| row.id == requirement.id);
        Ok(report)
    }

    fn judge(&self, ids: impl IntoIterator<Item = &'static str>) -> Result<VerifyReport, String> {
        let only = ids.into_iter().map(str::to_owned).collect();
        verify(&VerifyRequest { only, ..self.request.clone() }, &self.conformance.plugins, &mut |_| {})
    }
}

/// In the simulator.
fn simulated(conformance: &Conformance, arguments: &Arguments) -> Result<Place, String> {
    let seeds = u64::from(seeds_of_environment()?.unwrap_or(conformance.seeds));
    let weathers = match &arguments.weather {
        None => WEATHERS.to_vec(),
        Some(name) => vec![weather(name).ok_or_else(|| format!("no weather is called '{name}'"))?],
    };
    let seeds = arguments.seed.map_or_else(|| (0..seeds).collect(), |seed| vec![seed]);
    Ok(Place::Simulated { engine: default_engine(), seeds, weathers })
}

/// On real machines.
fn live(
    conformance: &Conformance,
    interface: Interface,
    world: &LiveWorld,
    arguments: &Arguments,
) -> Result<Place, String> {
    if arguments.seed.is_some() || arguments.weather.is_some() {
        return Err("a live world has neither seeds nor weathers; leave --seed and --weather out".to_owned());
    }
    let promises = interface.promises(&conformance.plugins, &conformance.plugin).map_err(|error| error.to_string())?;
    match (&world.backend, promises.backend) {
        (Some(_), None) => {
            Err("there is a backend, and the plugin would not be given its address: name its kind in the \
                                promises, such as `backend: Some(\"redis\")`, or say live_without_backend"
                .to_owned())
        }
        (None, Some(kind)) => Err(format!("the plugin needs a backend ({kind}): say live with what makes one")),
        _ => {
            let at_once = arguments.jobs.map_or(world.at_once, NonZeroUsize::get);
            Ok(Place::Live(LiveWorld { at_once, ..world.clone() }))
        }
    }
}

fn ended(report: &VerifyReport) -> Ended {
    let rows = report.rows.iter();
    let status = rows.clone().map(|row| row.status).max().unwrap_or(Status::Error);
    // It was listed as applicable, and the backend that was made allows less: that is no success.
    let unchecked = status == Status::NotApplicable && report.checks() == 0;
    // It fails beside what it rests on, which fails, too; a test of its own must not pass for that.
    let withdrawn = rows.clone().any(|row| row.status == Status::NotApplicable && !row.failures.is_empty());
    let verdict = match (unchecked, withdrawn) {
        (true, _) => Verdict::TooLittleEvidence,
        (false, true) => Verdict::Violated,
        (false, false) => report.verdict(),
    };
    let shown = |row: &&Row| unchecked || withdrawn || !matches!(row.status, Status::Pass | Status::NotApplicable);
    let details: String = rows.filter(shown).map(|row| verification::render_row(report, row, Palette::PLAIN)).collect();
    let held = verdict == Verdict::Held;
    Ended {
        passed: held,
        word: (status != Status::Pass).then(|| status.as_str().to_owned()),
        // What passes and is still worth a look.
        lines: if held { details.lines().map(|line| format!("  {line}\n")).collect() } else { String::new() },
        details,
        exit_code: verdict.exit_code(),
    }
}

fn write(folder: &std::path::Path, report: &VerifyReport) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("failed to write to {}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    for (extension, text) in verification::files(report) {
        let name = format!("{}-{}.{extension}", report.interface, report.plugin);
        std::fs::write(folder.join(name), text).map_err(failed)?;
    }
    Ok(())
}
