//! `verify`: a plugin judged by the numbered requirements of its interface.

mod place;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use shaketable_conformance::judge::{
    ALL_WEATHERS, Applicability, KnownFailures, LiveWorld, Place, VerifyRequest, WEATHERS, Weather, today, verify,
    weather,
};
use shaketable_conformance::subject::{PLUGIN, SubjectClock, SubjectCommand};
use shaketable_conformance::{Interface, Level};
use shaketable_reports::{duration_in_words, terminal, verification};
use shaketable_sim::engine;
use shaketable_sim::verification::VerifyReport;
use shaketable_stack::plugin::Plugins;

use crate::backends::Backends;
use crate::progress::{Meter, Step, Stopwatch};
use crate::run::processors;
use crate::target::{default_engine, known_engine, time_span};
use crate::{Output, Stop};

const EXAMPLES: &str = "\
Examples:
  shaketable verify registry --plugin memory
  shaketable verify broker --plugin http --seeds 100
  shaketable verify registry --plugin etcd --only REG-012,REG-013 --seed 7 --weather lossy
  shaketable verify registry --plugin etcd --known-failures known.yaml --format junit --out results
  shaketable verify registry --plugin etcd --backend process     on a real etcd, in real time
  shaketable verify transport --plugin http --backend none       on real sockets, in real time
  shaketable verify registry --subject ./my-adapter              a plugin in another language

A requirement that presumes what the plugin or the world does not have is not applicable, and says why. Each check is a
process of its own; a plugin is never asked again when it fails.";

/// Judge a plugin by the numbered requirements of its interface.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// transport, codec, registry, selector, broker, client, server or service
    #[arg(value_name = "INTERFACE")]
    interface: Interface,
    /// A plugin of this program; `list --plugins` shows all
    #[arg(long, value_name = "NAME", required_unless_present = "subject", conflicts_with = "subject")]
    plugin: Option<String>,
    /// A command that starts an adapter, behind which a plugin in another language stands
    #[arg(long, value_name = "CMD")]
    subject: Option<String>,
    /// Where the plugin's backend is: sim (simulated), process (a real one of our own, on this machine), etcd or zookeeper (the
    /// same, by its kind), container (a real one of our own, by a Docker engine), HOST:PORT (somebody else's, which is not
    /// shaken), or none (the plugin has none); all but sim mean real sockets and real time [default: sim, or none for
    /// --subject]
    #[arg(long, value_name = "sim|process|container|KIND|HOST:PORT|none")]
    backend: Option<String>,
    /// Make so many checks side by side in real time
    #[arg(long, value_name = "N", default_value = "16")]
    side_by_side: NonZeroUsize,
    /// Use other plugins beside it than those of the reference, such as server=grpc
    #[arg(long, value_name = "INTERFACE=PLUGIN", value_delimiter = ',', value_parser = beside)]
    with: Vec<(Interface, String)>,
    /// Check with seeds 0 to N-1
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// Check with this seed alone
    #[arg(long, value_name = "S", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Check in this weather alone: calm, gusty, lossy or squally [default: each of the first three]
    #[arg(long, value_name = "NAME", value_parser = known_weather)]
    weather: Option<Weather>,
    /// What carries the simulated world; `list --engines` shows all
    #[arg(long, value_name = "NAME", default_value_t = default_engine(), value_parser = known_engine)]
    engine: String,
    /// Judge by requirements of this level alone: MUST, SHOULD or MAY; may be given more than once
    #[arg(long, value_name = "LEVEL")]
    level: Vec<Level>,
    /// Judge by these requirements alone, such as REG-012,REG-013
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    only: Vec<String>,
    /// What is known to be wrong, by id, with the reason, the issue and the last day on which it is accepted
    #[arg(long, value_name = "FILE")]
    known_failures: Option<PathBuf>,
    /// A SHOULD that is not upheld counts as a MUST
    #[arg(long)]
    strict: bool,
    /// Stop at the first check that makes the verdict bad; a requirement that is not checked any more is unknown
    #[arg(long)]
    fail_fast: bool,
    /// Make so many checks at once [default: one per processor]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// End a single check after this much real time
    #[arg(long, value_name = "TIME", value_parser = time_span, default_value = "1m")]
    check_timeout: Duration,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
    /// Write the result into this folder as well, in all formats
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Pretty,
    Json,
    Junit,
    Markdown,
}

pub(crate) fn run(arguments: &Arguments, plugins: &Plugins, backends: &Backends, output: &Output) -> Result<u8, Stop> {
    let mut plugins = plugins.clone();
    let mut virtual_clock = false;
    if let Some(line) = &arguments.subject {
        let command = SubjectCommand::new(line);
        let handshake = command.introduce().map_err(Stop::Harness)?;
        let has_backend = arguments.backend.as_deref().is_some_and(|backend| backend != place::NONE);
        command.add_to(&mut plugins, arguments.interface, &handshake, has_backend).map_err(Stop::BadInput)?;
        virtual_clock = handshake.clock == SubjectClock::Virtual;
    }
    let plugins = &plugins;
    let request = arguments.request(plugins, backends, virtual_clock)?;
    let suite = request.suite(plugins).map_err(Stop::BadInput)?;
    let applying = suite.rows.iter().filter(|(_, applicability)| *applicability == Applicability::Applies).count();
    if suite.rows.is_empty() {
        return Err(Stop::BadInput("no requirement is of this level; nothing was checked".to_owned()));
    }
    if applying == 0 {
        let reasons: Vec<String> = suite
            .rows
            .iter()
            .filter_map(|(requirement, applicability)| match applicability {
                Applicability::Not(why) => Some(format!("  {}: {why}", requirement.id)),
                Applicability::Applies => None,
            })
            .collect();
        return Err(Stop::BadInput(format!("no requirement applies; nothing was checked\n{}", reasons.join("\n"))));
    }
    if arguments.format == Format::Pretty {
        let options = arguments.options(&request, suite.rows.len(), applying);
        output.print(&format!("{}\n", terminal::render_options(&options, output.palette())));
    }
    let stopwatch = Stopwatch::start();
    let mut meter = Meter::new("checks");
    let report = verify(&request, plugins, &mut |progress| {
        let (done, total, failed) = (progress.done, progress.total, progress.failed);
        meter.show(&Step { done, total, failed, what: progress.id.to_owned() });
    })
    .map_err(Stop::BadInput)?;
    meter.finish();
    output.print(&match arguments.format {
        Format::Pretty => verification::pretty(&report, stopwatch.elapsed(), output.palette()),
        Format::Json => verification::json(&report),
        Format::Junit => verification::junit(&report),
        Format::Markdown => verification::markdown(&report),
    });
    if let Some(folder) = &arguments.out {
        write(folder, &report)?;
    }
    Ok(report.verdict().exit_code())
}

/// Writes all formats into `folder`.
fn write(folder: &PathBuf, report: &VerifyReport) -> Result<(), Stop> {
    let failed = |error: std::io::Error| Stop::Harness(format!("failed to write to {}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let name = format!("{}-{}", report.interface, report.plugin);
    for (extension, text) in verification::files(report) {
        std::fs::write(folder.join(format!("{name}.{extension}")), text).map_err(failed)?;
    }
    Ok(())
}

impl Arguments {
    /// Its name in the tables.
    fn plugin(&self) -> &str {
        self.plugin.as_deref().unwrap_or(PLUGIN)
    }

    /// In the simulator.
    fn simulated(&self) -> Result<Place, Stop> {
        let engine = engine::engine(&self.engine)
            .ok_or_else(|| Stop::BadInput(format!("no engine is called '{}'", self.engine)))?;
        let weathers = match self.weather {
            Some(weather) => vec![weather],
            // What an engine of ticks cannot carry is left out, as its info says.
            None if engine.ticks => vec![WEATHERS[0]],
            None => WEATHERS.to_vec(),
        };
        let seeds = self.seed.map_or_else(|| (0..u64::from(self.seeds)).collect(), |seed| vec![seed]);
        Ok(Place::Simulated { engine, seeds, weathers })
    }

    fn request(&self, plugins: &Plugins, backends: &Backends, virtual_clock: bool) -> Result<VerifyRequest, Stop> {
        let place = match (self.backend.as_deref(), &self.subject) {
            (None | Some("sim"), None) => self.simulated()?,
            (Some("sim"), Some(_)) => {
                return Err(Stop::BadInput(
                    "an adapter is a process of its own, which no simulator carries; leave --backend out, or say process or \
                     an address"
                        .to_owned(),
                ));
            }
            _ => Place::Live(place::live(self, plugins, backends, virtual_clock)?),
        };
        let known = match &self.known_failures {
            None => KnownFailures::default(),
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| Stop::BadInput(format!("failed to read {}: {error}", file.display())))?;
                KnownFailures::parse(&file.display().to_string(), &text).map_err(Stop::BadInput)?
            }
        };
        Ok(VerifyRequest {
            interface: self.interface,
            plugin: self.plugin().to_owned(),
            beside: self.with.clone(),
            place,
            levels: self.level.clone(),
            only: self.only.clone(),
            known,
            strict: self.strict,
            fail_fast: self.fail_fast,
            jobs: self.jobs.map_or_else(processors, NonZeroUsize::get),
            check_timeout: self.check_timeout,
            today: today(),
            command: self.command(),
        })
    }

    /// The words that judge the same plugin again.
    fn command(&self) -> Vec<String> {
        let program = std::env::args().next().unwrap_or_else(|| "shaketable".to_owned());
        let (how, who) = match &self.subject {
            Some(line) => ("--subject", line.as_str()),
            None => ("--plugin", self.plugin()),
        };
        let mut command = vec![program];
        command.extend(["verify", self.interface.as_str(), how, who].map(str::to_owned));
        if let Some(backend) = &self.backend {
            command.extend(["--backend".to_owned(), backend.clone()]);
        }
        for (interface, plugin) in &self.with {
            command.extend(["--with".to_owned(), format!("{interface}={plugin}")]);
        }
        if self.engine != default_engine() {
            command.extend(["--engine".to_owned(), self.engine.clone()]);
        }
        command
    }

    /// What stands before the address of a backend of our own.
    fn kind_of_backend(&self) -> String {
        let kind = match self.backend.as_deref() {
            Some("container") => "a container, at ",
            Some(word) if !word.contains(':') => "a process, at ",
            _ => "",
        };
        kind.to_owned()
    }

    /// What was asked for, defaults included.
    fn options(&self, request: &VerifyRequest, requirements: usize, applying: usize) -> Vec<(&'static str, String)> {
        let mut options = vec![
            ("interface", self.interface.to_string()),
            ("plugin", self.subject.clone().unwrap_or_else(|| self.plugin().to_owned())),
            ("requirements", format!("{requirements}, {applying} of them apply")),
        ];
        match &request.place {
            Place::Simulated { engine, weathers, .. } => {
                let seeds = match self.seed {
                    Some(seed) => format!("{seed} alone"),
                    None => format!("{} for each weather", self.seeds),
                };
                let weathers: Vec<&str> = weathers.iter().map(|weather| weather.name).collect();
                options.extend([
                    ("seeds", seeds),
                    ("weather", weathers.join(", ")),
                    ("engine", engine.name.to_owned()),
                    ("jobs", request.jobs.to_string()),
                    ("check-timeout", duration_in_words(self.check_timeout)),
                ]);
            }
            Place::Live(world) => {
                let backend = world.backend.as_ref().and_then(|backend| backend.made().ok());
                let backend = backend.map(|backend| self.kind_of_backend() + &backend.addresses().join(", "));
                options.extend([
                    ("world", world_in_words(world).to_owned()),
                    ("backend", backend.unwrap_or_else(|| "none".to_owned())),
                    ("side by side", world.at_once.to_string()),
                ]);
            }
        }
        options
    }
}

fn beside(text: &str) -> Result<(Interface, String), String> {
    let (interface, plugin) =
        text.split_once('=').ok_or_else(|| format!("'{text}' is no INTERFACE=PLUGIN, such as server=grpc"))?;
    Ok((interface.parse()?, plugin.to_owned()))
}

fn world_in_words(world: &LiveWorld) -> &'static str {
    if world.virtual_clock { "live: real sockets, the adapter's virtual time" } else { "live: real sockets, real time" }
}

fn known_weather(name: &str) -> Result<Weather, String> {
    let names: Vec<&str> = ALL_WEATHERS.iter().map(|weather| weather.name).collect();
    weather(name).ok_or_else(|| format!("there are: {}", names.join(", ")))
}
