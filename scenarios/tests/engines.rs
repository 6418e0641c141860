//! Every scenario file that engine `turmoil` can carry has the same verdicts there as on the default engine, expectation by
//! expectation. What the two cannot agree on by nature says in the file which engine it needs, and why.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use shaketable_reports::Palette;
use shaketable_reports::terminal::render_failures;
use shaketable_scenarios::{cases, label, seeds};
use shaketable_sim::engine::{default_engine, engine};
use shaketable_sim::run::{Case, Seeds, SweepReport, SweepRequest, Verdict, run_child_if_asked, sweep};
use shaketable_stack::plugin::Plugins;

const RUN_TIMEOUT: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let plugins = Plugins::reference();
    if let Some(code) = run_child_if_asked(&plugins) {
        return code;
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    if let Some(turmoil) = engine("turmoil").filter(|turmoil| turmoil.name != default_engine().name) {
        for case in cases(&plugins, &turmoil) {
            let name = format!("same_verdicts::{}", label(&case));
            trials.push(Trial::test(name, move || compare(&case, [default_engine().name, turmoil.name])));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn compare(case: &Case, engines: [&str; 2]) -> Result<(), Failed> {
    let reports = engines.map(|engine| run(case, engine));
    let [one, other] = reports.each_ref().map(verdicts);
    if let Some(broken) = reports.iter().find(|report| report.cases[0].runs.iter().any(|run| run.outcome.is_err())) {
        return Err(render_failures(broken, Palette::PLAIN).into());
    }
    if one.is_empty() {
        return Err("nothing was judged".into());
    }
    if one == other {
        return Ok(());
    }
    let mut text = String::new();
    for (name, verdict) in &one {
        let elsewhere = other.get(name);
        if elsewhere != Some(verdict) {
            text += &format!("{name}: {verdict:?} on {}, {elsewhere:?} on {}\n", engines[0], engines[1]);
        }
    }
    for report in &reports {
        text += &render_failures(report, Palette::PLAIN);
    }
    Err(text.into())
}

fn run(case: &Case, engine: &str) -> SweepReport {
    let request = SweepRequest {
        cases: vec![case.clone()],
        seeds: Seeds::Count(u32::try_from(seeds()).unwrap_or(u32::MAX)),
        engine: engine.to_owned(),
        jobs: 1,
        run_timeout: RUN_TIMEOUT,
        time_limit: None,
        fail_fast: false,
        keep: false,
    };
    sweep(&request, &mut |_| {})
}

/// What was said of each expectation.
fn verdicts(report: &SweepReport) -> BTreeMap<String, Verdict> {
    let told = report.cases.iter().flat_map(|case| &case.verdicts);
    told.map(|told| (told.oracle.clone(), told.verdict)).collect()
}
