//! A contest: contenders that do the same work by turns, so that what the machine does meanwhile meets all of them alike. It
//! knows criterion, to which it hands what the turns brought, and no contender.
//!
//! criterion measures one benchmark after the other, for seconds each; on a machine that others share its pace is another one
//! by then. Here every contender works for some milliseconds in each turn, the order changes from turn to turn, and contenders
//! are compared within a turn. criterion is given each contender's turns as its samples: its reports, baselines and filters
//! work as ever, only the numbers of iterations that it prints are not those that were made.

mod result;
mod turns;

use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};
use shaketable_reports::bench::{Clock, Role};

use crate::clock::{Spent, spent};
use crate::place::{Kind, Place, Placement};
use result::Outcome;
use turns::{Turn, Turns};

/// Turns of a contest.
pub(crate) const TURNS: usize = 31;

/// How long a contender works in a turn, at least: long beside a look at the clock and an interrupt, short beside the pace of
/// a machine that others share.
const TURN: Duration = Duration::from_millis(4);

/// What doing the work once brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many bytes.
    Bytes(usize),
    /// So many calls, picks or deliveries.
    Elements(usize),
}

/// Does the work so many times, and says what that took.
pub type Work<'a> = Box<dyn FnMut(u64) -> Spent + 'a>;

/// What a contender is made of before the first turn.
type Make<'a> = Box<dyn FnOnce() -> Work<'a> + 'a>;

/// Contenders for one piece of work.
pub struct Contest<'a> {
    group: &'static str,
    case: String,
    amount: Amount,
    placement: Placement,
    kind: Kind,
    turn: Duration,
    entrants: Vec<Entrant<'a>>,
}

/// A contender before it is made.
struct Entrant<'a> {
    name: String,
    role: Role,
    make: Make<'a>,
}

impl<'a> Contest<'a> {
    /// A contest called `group`/`case`, on one core within this process, in which doing the work once brings
    /// `amount`.
    pub fn new(group: &'static str, case: impl Into<String>, amount: Amount) -> Self {
        let (placement, kind) = (Placement::OneCore, Kind::InProcess);
        Self { group, case: case.into(), amount, placement, kind, turn: TURN, entrants: Vec::new() }
    }

    /// The same elsewhere.
    #[must_use]
    pub fn on(mut self, placement: Placement, kind: Kind) -> Self {
        (self.placement, self.kind) = (placement, kind);
        self
    }

    /// The same with longer turns, for work that begins and ends slowly: 4 ms are enough where nothing waits.
    #[must_use]
    pub fn in_turns_of(mut self, turn: Duration) -> Self {
        self.turn = turn;
        self
    }

    /// Adds a contender. `make` sets it up, asserts that it does the work, and returns what does it once; that is called many
    /// times in a turn.
    #[must_use]
    pub fn enter<Once: FnMut() + 'a>(self, name: &str, role: Role, make: impl FnOnce() -> Once + 'a) -> Self {
        self.enter_batch(name, role, move || {
            let mut once = make();
            move |times| (0..times).for_each(|_| once())
        })
    }

    /// As [`enter`](Self::enter), for work that is told how many times it is wanted.
    #[must_use]
    pub fn enter_batch<Batch: FnMut(u64) + 'a>(
        self,
        name: &str,
        role: Role,
        make: impl FnOnce() -> Batch + 'a,
    ) -> Self {
        self.enter_timed(name, role, move || {
            let mut batch = make();
            move |times| spent(|| batch(times))
        })
    }

    /// As [`enter_batch`](Self::enter_batch), for work that takes its own time.
    #[must_use]
    pub fn enter_timed<Timed: FnMut(u64) -> Spent + 'a>(
        mut self,
        name: &str,
        role: Role,
        make: impl FnOnce() -> Timed + 'a,
    ) -> Self {
        let make = move || Box::new(make()) as Work<'a>;
        self.entrants.push(Entrant { name: name.to_owned(), role, make: Box::new(make) });
        self
    }

    /// Holds the contest, unless a filter leaves all of it out, and tells and keeps how it ended.
    ///
    /// # Panics
    /// When a contender does not do its work, or the outcome cannot be kept.
    pub fn hold(self, criterion: &mut Criterion) {
        let Self { group: name, case, amount, placement, kind, turn, entrants } = self;
        let mut group = criterion.benchmark_group(format!("{name}/{case}"));
        group.sample_size(TURNS).sampling_mode(SamplingMode::Flat).throughput(match amount {
            Amount::Bytes(bytes) => Throughput::Bytes(bytes as u64),
            Amount::Elements(elements) => Throughput::Elements(elements as u64),
        });
        // There is nothing to warm up nor to wait for when criterion asks: the turns are over then.
        group.warm_up_time(Duration::from_nanos(1)).measurement_time(Duration::from_millis(100));
        let clock = if placement == Placement::OneCore { Clock::Cpu } else { Clock::Wall };
        let names: Vec<String> = entrants.iter().map(|entrant| entrant.name.clone()).collect();
        let mut held = None;
        let mut entrants = Some(entrants);
        for (index, contender) in names.iter().enumerate() {
            let mut calls: usize = 0;
            group.bench_function(contender.as_str(), |bencher| {
                let outcome: &Outcome = held.get_or_insert_with(|| {
                    let place = Place::take(placement);
                    let turns = take_turns(entrants.take().into_iter().flatten(), turn);
                    Outcome { group: name, case: case.clone(), amount, place: place.to_string(), kind, clock, turns }
                });
                // The first call is the warm-up's, or the only one; after it each is a sample.
                let turns_ns = outcome.turns.contenders[index].of(outcome.clock);
                let turn_ns = turns_ns[calls.saturating_sub(1) % turns_ns.len()];
                calls += 1;
                bencher.iter_custom(|iterations| Duration::from_nanos((turn_ns * iterations as f64) as u64));
            });
        }
        group.finish();
        match held {
            Some(outcome) if is_test() => println!("\n{name}/{}: all {} do their work", outcome.case, names.len()),
            Some(outcome) => {
                print!("{}", outcome.table());
                outcome.keep().expect("what was measured can be kept");
            }
            None => {}
        }
    }
}

/// Makes the contenders and lets them take turns: one short one of each in a test.
fn take_turns<'a>(entrants: impl Iterator<Item = Entrant<'a>>, turn: Duration) -> Turns {
    let made = entrants.map(|Entrant { name, role, make }| (name, role, make())).collect();
    Turns::take(made, if is_test() { Turn::Short } else { Turn::Whole(TURNS, turn) })
}

/// Whether this program was asked to try the work and measure nothing, as criterion understands its arguments: `cargo test`
/// does not say `--bench`.
fn is_test() -> bool {
    let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    has("--test") || !has("--bench")
}
