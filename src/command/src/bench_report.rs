//! `bench-report`: what the benches have measured, as a page, as JSON and as a chart, and what has changed since a baseline. It
//! measures nothing.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use shaketable_reports::bench::{
    Comparison, Contest, Published, TOLERANCE, json, markdown, render_comparison, render_figures, svg,
};

use crate::{Output, Stop};

const EXAMPLES: &str = "\
Examples:
  shaketable bench-report                        compare with what is published, or publish
  shaketable bench-report --write                publish these figures, which are the next baseline
  shaketable bench-report --baseline old.json    compare with other figures
  shaketable bench-report --format markdown      the page, without writing it

`cargo bench` keeps each contest in the build folder; run it first. Ratios to other contenders of
the same contest are compared and no absolute times, so that a machine that was slower on one day
than on another changes nothing. A contest is worse when one of ours is, beside most others, slower
than in the baseline by more than the tolerance and the spread that the baseline had, with 99 %;
what is too noisy to say fails nothing. Figures of another processor are not compared.

Exit codes: 0 nothing is worse, 1 something is, 2 files are missing or wrong, 4 nothing could be
compared.";

/// The files that are published.
const JSON: &str = "bench.json";
const PAGE: &str = "bench.md";
const CHART: &str = "bench.svg";

/// Report what the benches have measured, and compare it with a baseline.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where `cargo bench` has kept contests [default: bench/contests in the build folder]
    #[arg(value_name = "FOLDER")]
    contests: Option<PathBuf>,
    /// Compare with these figures [default: bench.json of the published ones, where there is one]
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Where bench.md, bench.json and bench.svg are published
    #[arg(long, value_name = "DIR", default_value = "reports/published")]
    out: PathBuf,
    /// Publish these figures, whatever they came to; without a baseline they are in any case
    #[arg(long)]
    write: bool,
    /// A change by less than so many percent is none
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0 * TOLERANCE, value_parser = percent)]
    tolerance: f64,
    /// What is printed
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Verdicts for people
    Pretty,
    /// Figures and verdicts for programs
    Json,
    /// The page
    Markdown,
}

pub(crate) fn run(arguments: &Arguments, output: &Output) -> Result<u8, Stop> {
    let published = Published::of(&contests(&arguments.folder())?);
    let baseline = arguments.baseline()?;
    let comparison =
        baseline.as_ref().map(|baseline| Comparison::of(&published, baseline, arguments.tolerance / 100.0));
    let palette = output.palette();
    output.print(&match (arguments.format, &comparison) {
        (Format::Json, comparison) => json(&published, comparison.as_ref()).map_err(Stop::Harness)?,
        (Format::Markdown, _) => markdown(&published, CHART),
        (Format::Pretty, Some(comparison)) => render_comparison(comparison, palette),
        (Format::Pretty, None) => render_figures(&published, palette),
    });
    if arguments.write || comparison.is_none() {
        publish(&published, &arguments.out, output)?;
    }
    Ok(match comparison {
        Some(_) if arguments.write => 0,
        Some(comparison) if comparison.is_worse() => 1,
        Some(comparison) if comparison.says_nothing() => 4,
        Some(_) | None => 0,
    })
}

impl Arguments {
    fn folder(&self) -> PathBuf {
        let build = || std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
        self.contests.clone().unwrap_or_else(|| build().join("bench/contests"))
    }

    /// What is compared with; one that was named must be there.
    fn baseline(&self) -> Result<Option<Published>, Stop> {
        let path = self.baseline.clone().unwrap_or_else(|| self.out.join(JSON));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && self.baseline.is_none() => return Ok(None),
            Err(error) => {
                return Err(Stop::BadInput(format!("{}: {error}; name figures that were published", path.display())));
            }
        };
        match Published::read(&text) {
            // Figures that take its place need not be able to read it.
            Err(_) if self.write && self.baseline.is_none() => Ok(None),
            Err(error) => Err(Stop::BadInput(format!("{}: {error}", path.display()))),
            Ok(baseline) => Ok(Some(baseline)),
        }
    }
}

/// All contests that are kept in `folder`, in the order of their files.
fn contests(folder: &Path) -> Result<Vec<Contest>, Stop> {
    let wrong = |path: &Path, what: String| Stop::BadInput(format!("{}: {what}", path.display()));
    let mend = "run `cargo bench` first, or name the folder where it has kept contests";
    let entries = fs::read_dir(folder).map_err(|error| wrong(folder, format!("{error}; {mend}")))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| wrong(folder, error.to_string()))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(wrong(folder, format!("no contest is kept there; {mend}")));
    }
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).map_err(|error| wrong(path, error.to_string()))?;
        Contest::read(&text).map_err(|error| wrong(path, error))
    };
    paths.iter().map(read).collect()
}

fn publish(published: &Published, folder: &Path, output: &Output) -> Result<(), Stop> {
    if let Some(contest) = published.contests.iter().find(|contest| !contest.optimised) {
        let name = contest.name();
        return Err(Stop::BadInput(format!(
            "{name} was built without optimisation, and what it took says nothing; run `cargo bench`, or delete its file"
        )));
    }
    let failed = |path: &Path, error: std::io::Error| Stop::Harness(format!("{}: {error}", path.display()));
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let texts = [
        (PAGE, markdown(published, CHART)),
        (CHART, svg(published).unwrap_or_default()),
        (JSON, published.text().map_err(Stop::Harness)?),
    ];
    for (name, text) in texts {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
        output.problems(&format!("wrote {}", path.display()));
    }
    Ok(())
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').trim().parse::<f64>() {
        Ok(percent) if (0.1..=100.0).contains(&percent) => Ok(percent),
        _ => Err(format!("'{text}' is no number of percent between 0.1 and 100")),
    }
}
