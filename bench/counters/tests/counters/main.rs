//! What work costs in numbers that no machine changes, held against `reports/published/counters.json`: a test for each work,
//! one for its instructions where valgrind counts them, and one for each target that compares two works. A count that is
//! better than committed fails, too: what is committed is true. `SHAKETABLE_COUNTERS=write` commits what is counted now.

#[path = "../../../benches/peers/bare_tonic.rs"]
#[allow(dead_code, reason = "it can TCP, too")]
mod bare_tonic;
mod calls;
mod codecs;
#[path = "../../../benches/codec/contender.rs"]
#[allow(dead_code, reason = "nothing is read here")]
mod contender;
#[path = "../../../benches/peers/echo.rs"]
#[allow(dead_code, reason = "nothing is timed here")]
mod echo;
mod fan_out;
#[path = "../../../benches/codec/fixture.rs"]
#[allow(dead_code, reason = "the messages are those of one codec here")]
mod fixture;
#[path = "../../../benches/codec/messages.rs"]
#[allow(dead_code, reason = "the messages are those of one codec here")]
mod messages;
#[path = "../../../benches/codec/ours.rs"]
#[allow(dead_code, reason = "there are more codecs")]
mod ours;
mod registering;
mod selecting;
#[path = "../../../benches/peers/stack.rs"]
#[allow(dead_code, reason = "it can TCP, too")]
mod stack;
mod targets;
mod wire;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Completion, Trial};
use shaketable_bench_counters::{
    BUILD, Committed, Counts, Instructions, MEND, Meter, count_if_asked, counted, instructions, is_there,
};
use shaketable_sim::allocation::Counting;
use tokio::runtime::{Builder, Runtime};

/// Counts what is asked of the system's allocator.
#[global_allocator]
static ALLOCATOR: Counting = Counting(std::alloc::System);

/// Says `write` where the committed counts are to be written anew.
const VARIABLE: &str = "SHAKETABLE_COUNTERS";

/// A difference of instructions by a smaller share is none: what the compiler makes of code that nobody has touched changes
/// with the code beside it, by up to 1 % as yet.
const BAND: f64 = 0.02;

/// A work that is counted.
#[derive(Clone, Debug)]
struct Work {
    name: String,
    /// Whether its instructions are: those of a backend in the same process are not of interest.
    has_instructions: bool,
}

fn main() -> ExitCode {
    if let Some(code) = count_if_asked(work) {
        return code;
    }
    let all = Arc::new(All::new());
    match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("") => {}
        Ok("write") => return write(&all),
        Ok(other) => {
            eprintln!("{VARIABLE}={other} is nothing that can be done; `write` is, and without it counts are tested");
            return ExitCode::from(2);
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials(&all)).exit_code()
}

/// All works. The same work of two contenders has names that differ in their last part.
fn works() -> Vec<Work> {
    let mut works = Vec::new();
    let mut add = |name: String, has_instructions| works.push(Work { name, has_instructions });
    for operation in ["encode", "decode"] {
        for message in codecs::MESSAGES {
            for codec in ["ours", "prost"] {
                add(format!("codec/{operation}/{message}/{codec}"), true);
            }
        }
    }
    for operation in ["write", "read"] {
        add(format!("stored/{operation}"), true);
    }
    for who in ["ours", "ours, with registry and selector", "tonic"] {
        add(format!("grpc/{who}"), true);
    }
    for operation in selecting::OPERATIONS {
        add(format!("select/{operation}"), true);
    }
    add("publish to 64".to_owned(), true);
    for operation in [
        "register 1 node",
        "register 10 nodes",
        "register 10 nodes again",
        "renew 1 node for a minute",
        "renew 10 nodes for a minute",
        "get 1 of 100 nodes",
        "list 100 services",
        "deregister 10 nodes",
    ] {
        add(format!("etcd/{operation}"), false);
    }
    works
}

/// Counts the work called `name`, in a process of its own.
fn work(name: &str, meter: &mut Meter) -> Result<(), String> {
    match name.split('/').collect::<Vec<_>>()[..] {
        ["codec", operation, message, codec] => codecs::count(operation, message, codec, meter),
        ["stored", operation] => codecs::count_stored(operation, meter),
        ["grpc", who] => calls::count(who, meter),
        ["select", operation] => selecting::count(operation, meter),
        ["publish to 64"] => fan_out::count(meter),
        ["etcd", operation] => registering::count(operation, meter),
        _ => Err("there is no such work".to_owned()),
    }
}

/// A runtime on this thread whose clock jumps to the next thing that is due when there is nothing else to do.
fn runtime() -> Result<Runtime, String> {
    let made = Builder::new_current_thread().enable_time().start_paused(true).build();
    made.map_err(|error| format!("no runtime can be made: {error}"))
}

/// Every work, counted when somebody asks first.
struct All(BTreeMap<String, Once>);

/// A work's counts and its instructions.
struct Once {
    work: Work,
    counts: OnceLock<Result<Counts, String>>,
    instructions: OnceLock<Result<u64, String>>,
}

impl All {
    fn new() -> Self {
        let once = |work: Work| {
            let name = work.name.clone();
            (name, Once { work, counts: OnceLock::new(), instructions: OnceLock::new() })
        };
        Self(works().into_iter().map(once).collect())
    }

    fn once(&self, work: &str) -> Result<&Once, String> {
        self.0.get(work).ok_or_else(|| format!("there is no work {work}"))
    }

    fn counts(&self, work: &str) -> Result<Counts, String> {
        self.once(work)?.counts.get_or_init(|| counted(work)).clone()
    }

    fn instructions(&self, work: &str) -> Result<u64, String> {
        self.once(work)?.instructions.get_or_init(|| instructions(work)).clone()
    }
}

fn trials(all: &Arc<All>) -> Vec<Trial> {
    let committed = match Committed::read(&Committed::path()) {
        Ok(committed) => committed,
        Err(error) => return vec![Trial::test("what is committed can be read", move || Err(error.into()))],
    };
    let mut trials = Vec::new();
    for once in all.0.values() {
        let (name, wanted) =
            (once.work.name.clone(), committed.works.get(&once.work.name).cloned().unwrap_or_default());
        let counting = all.clone();
        trials.push(Trial::test(name.clone(), move || {
            let found = counting.counts(&name)?;
            Ok(held(&name, &found.differences(&wanted, 0.0))?)
        }));
        if once.work.has_instructions {
            trials.push(instructions_trial(all, &committed, &once.work.name));
        }
    }
    let gone: Vec<String> = committed.works.keys().filter(|name| !all.0.contains_key(*name)).cloned().collect();
    trials.push(Trial::test("whatever is committed is counted", move || {
        if gone.is_empty() { Ok(()) } else { Err(format!("nobody counts {}; {MEND}", gone.join(", ")).into()) }
    }));
    trials.extend(targets::trials(all, &committed));
    trials
}

/// Those of this build, where somebody has committed some and there is what counts them.
fn of_this_build(committed: &Committed) -> Result<&Instructions, String> {
    let none = || format!("no instructions are committed of {BUILD}; {MEND} in such a build");
    committed.instructions.get(BUILD).ok_or_else(none).and_then(|of_build| is_there().map(|()| of_build))
}

fn instructions_trial(all: &Arc<All>, committed: &Committed, work: &str) -> Trial {
    let name = format!("{work}/instructions");
    let wanted = match of_this_build(committed) {
        Ok(of_build) => of_build.works.get(work).copied(),
        Err(absent) => return Trial::ignorable_test(name, move || Ok(Completion::ignored_with(absent))),
    };
    let (all, work) = (all.clone(), work.to_owned());
    Trial::test(name, move || {
        let (mut found, mut committed) = (Counts::default(), Counts::default());
        found.add("instructions", all.instructions(&work)?);
        if let Some(wanted) = wanted {
            committed.add("instructions", wanted);
        }
        Ok(held(&work, &found.differences(&committed, BAND))?)
    })
}

/// Nothing, when there are no differences.
fn held(work: &str, differences: &[String]) -> Result<(), String> {
    match differences {
        [] => Ok(()),
        some => Err(format!("{work}: {}\nif that is meant, commit what it comes to now: {MEND}", some.join("; "))),
    }
}

/// Whether instructions of this build are worth to be committed.
fn counts_instructions() -> Result<(), String> {
    if BUILD.ends_with("incremental") {
        return Err(format!("this build is cut into pieces for the next one; use {MEND}"));
    }
    is_there()
}

/// Writes what every work comes to now: instructions of this build if there is a valgrind, those of others stay.
fn write(all: &All) -> ExitCode {
    let written = || -> Result<(), String> {
        let path = Committed::path();
        // What cannot be read is written anew.
        let mut committed = Committed::read(&path).unwrap_or_default();
        committed.works.clear();
        let mut of_build = Instructions::default();
        for (name, once) in &all.0 {
            let counts = all.counts(name)?;
            eprintln!("{name}: {counts}");
            committed.works.insert(name.clone(), counts);
            if once.work.has_instructions && counts_instructions().is_ok() {
                let instructions = all.instructions(name)?;
                eprintln!("{name}: {instructions} instructions");
                of_build.works.insert(name.clone(), instructions);
            }
        }
        committed.unmet = targets::unmet(all, false)?;
        match counts_instructions() {
            Ok(()) => {
                of_build.unmet = targets::unmet(all, true)?;
                committed.replace_instructions(of_build);
            }
            Err(absent) => eprintln!("instructions stay as they are: {absent}"),
        }
        let of_build = committed.instructions.get(BUILD).map(|of_build| &of_build.unmet);
        for target in committed.unmet.iter().chain(of_build.into_iter().flatten()) {
            eprintln!("not met: {target}");
        }
        committed.write(&path)?;
        eprintln!("wrote {}, instructions of {BUILD}", path.display());
        Ok(())
    };
    match written() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(3)
        }
    }
}
