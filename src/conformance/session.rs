//! One start of the test program: the requirements as tests.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use shaketable_conformance::judge::{
    Applicability, KnownFailures, Place, VerifyRequest, WEATHERS, today, verify, weather,
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
        let seeds = u64::from(seeds_of_environment()?.unwrap_or(conformance.seeds));
        let weathers = match &arguments.weather {
            None => WEATHERS.to_vec(),
            Some(name) => vec![weather(name).ok_or_else(|| format!("no weather is called '{name}'"))?],
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
            interface: conformance.interface()?,
            plugin: conformance.plugin.clone(),
            beside,
            place: Place::Simulated {
                engine: default_engine(),
                seeds: arguments.seed.map_or_else(|| (0..seeds).collect(), |seed| vec![seed]),
                weathers,
            },
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
                Applicability::Not(reason) => Some(reason),
            },
            subject: requirement,
        };
        let rows = suite.rows.clone();
        let tests: Vec<Test<&Requirement>> = suite.rows.into_iter().map(test).collect();
        if !self.arguments.list && tests.iter().all(|test| test.ignored.is_some()) {
            return Err(format!("no requirement of {} applies; nothing was checked", self.request.interface));
        }
        let mut made: BTreeMap<&str, VerifyReport> = BTreeMap::new();
        let code = harness::run(&tests, self.arguments, |requirement| match self.check(requirement) {
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
                    (None, Applicability::Not(_)) => self.check(requirement)?,
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

    /// Judges by one requirement. When it is not upheld, those through which its check sees are looked at, too.
    fn check(&self, requirement: &Requirement) -> Result<VerifyReport, String> {
        let judge = |only: Vec<&str>| {
            let only = only.into_iter().map(str::to_owned).collect();
            verify(&VerifyRequest { only, ..self.request.clone() }, &self.conformance.plugins, &mut |_| {})
        };
        let mut report = judge(vec![requirement.id])?;
        let presumed: Vec<&str> = requirement.presumed().collect();
        if report.verdict() != Verdict::Held && !presumed.is_empty() {
            report = judge(presumed.into_iter().chain([requirement.id]).collect())?;
            report.rows.retain(|row| row.id == requirement.id);
        }
        Ok(report)
    }
}

fn ended(report: &VerifyReport) -> Ended {
    let verdict = report.verdict();
    let rows = report.rows.iter();
    let status = rows.clone().map(|row| row.status).max().unwrap_or(Status::Error);
    let shown = |row: &&Row| !matches!(row.status, Status::Pass | Status::NotApplicable);
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
