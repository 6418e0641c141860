//! The turns of a contest: how often a contender does its work in one, in which order they come, what each took. It knows no
//! clock; contenders say what they took.

use std::time::Duration;

use shaketable_reports::bench::{Contender, Role};

use super::Work;

/// Who is told to do the work this often and needs no time for it does nothing.
const TIMES_MAX: u64 = 1 << 40;

/// So often in a row work must take as long as a turn.
const CALIBRATIONS: usize = 4;

/// How many turns there are, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// So many, each of at least this length.
    Whole(usize, Duration),
    /// One, in which everybody does the work twice: enough to see that it is done.
    Short,
}

/// What all turns have brought.
#[derive(Debug)]
pub(super) struct Turns {
    pub(super) contenders: Vec<Contender>,
}

impl Turns {
    /// Lets everyone in `contenders` take turns.
    ///
    /// # Panics
    /// When one of them takes no time: it did not do its work, or the compiler has seen that nobody wants it.
    pub(super) fn take(mut contenders: Vec<(String, Role, Work<'_>)>, turn: Turn) -> Self {
        let (count, times): (usize, Vec<u64>) = match turn {
            Turn::Whole(count, span) => {
                (count, contenders.iter_mut().map(|(name, _, work)| calibrate(name, work, span)).collect())
            }
            Turn::Short => (1, contenders.iter().map(|_| 2).collect()),
        };
        let measured = |(name, role, _): &(String, Role, _)| Contender {
            name: name.clone(),
            role: *role,
            wall_ns: Vec::with_capacity(count),
            cpu_ns: Vec::with_capacity(count),
        };
        let mut turns = Self { contenders: contenders.iter().map(measured).collect() };
        for number in 0..count {
            for index in order(number, contenders.len()) {
                let spent = contenders[index].2(times[index]);
                let once = |spent: Duration| spent.as_nanos() as f64 / times[index] as f64;
                let measured = &mut turns.contenders[index];
                assert!(!spent.wall.is_zero(), "{} took no time for {} times", measured.name, times[index]);
                measured.wall_ns.push(once(spent.wall));
                measured.cpu_ns.push(once(spent.cpu));
            }
        }
        turns
    }
}

/// How many times `work` fills a turn of `span`, even when nobody disturbs it. It is warm then.
fn calibrate(name: &str, work: &mut Work<'_>, span: Duration) -> u64 {
    let mut times = 1;
    loop {
        // Whoever else uses the machine makes it longer now and then, and never shorter.
        let mut wall = work(times).wall;
        for _ in 1..CALIBRATIONS {
            if wall >= span {
                wall = wall.min(work(times).wall);
            }
        }
        if wall >= span {
            return times;
        }
        assert!(times < TIMES_MAX, "{name} takes {wall:?} for {times} times: it does nothing");
        // By what it just took, and never by much: the first times are slower than those that follow.
        let wanted = span.as_nanos() * u128::from(times) / wall.as_nanos().max(1) + 1;
        times = u64::try_from(wanted).unwrap_or(u64::MAX).clamp(times + 1, times * 10);
    }
}

/// Who comes when in turn `number`: everybody is first in some turns and last in others, and follows one neighbour as often as
/// the other.
fn order(number: usize, contenders: usize) -> impl Iterator<Item = usize> {
    let place = move |place: usize| if number.is_multiple_of(2) { place } else { contenders - 1 - place };
    (0..contenders).map(move |index| place((index + number / 2) % contenders))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use shaketable_reports::bench::{Clock, Role};

    use super::{Turn, Turns, order};
    use crate::clock::Spent;
    use crate::contest::Work;

    const SPAN: Duration = Duration::from_millis(4);

    /// A contender that takes `ns` each time, at the pace that the turns set.
    fn taking(ns: u64, log: &RefCell<Vec<u64>>) -> (String, Role, Work<'_>) {
        let work = move |times| {
            log.borrow_mut().push(ns);
            let wall = Duration::from_nanos(ns * times);
            Spent { wall, cpu: wall / 2 }
        };
        (ns.to_string(), Role::Peer, Box::new(work))
    }

    #[test]
    fn everybody_has_every_turn_and_both_times_are_those_of_doing_the_work_once() {
        let log = RefCell::default();
        let turns = Turns::take(vec![taking(30, &log), taking(7_000_000, &log)], Turn::Whole(6, SPAN));
        for (measured, ns) in turns.contenders.iter().zip([30.0, 7e6]) {
            assert_eq!(measured.of(Clock::Wall), [ns; 6]);
            assert_eq!(measured.of(Clock::Cpu), [ns / 2.0; 6]);
        }
    }

    #[test]
    fn a_short_turn_is_one_of_each() {
        let log = RefCell::default();
        let turns = Turns::take(vec![taking(1, &log), taking(2, &log)], Turn::Short);
        assert_eq!(turns.contenders[1].wall_ns, [2.0]);
        assert_eq!(log.into_inner(), [1, 2]);
    }

    #[test]
    fn over_many_turns_everybody_has_every_place_about_equally_often() {
        let mut counts = [[0_i32; 3]; 3];
        for number in 0..30 {
            for (place, index) in order(number, 3).enumerate() {
                counts[index][place] += 1;
            }
        }
        assert_eq!(counts, [[10; 3]; 3]);
    }

    #[test]
    fn a_disturbance_at_the_beginning_makes_no_turn_short() {
        let (mut calls, log) = (0, RefCell::new(Vec::new()));
        let disturbed: Work<'_> = Box::new(|times| {
            calls += 1;
            log.borrow_mut().push(times);
            let wall = Duration::from_nanos(times * 10) + Duration::from_millis(if calls < 3 { 20 } else { 0 });
            Spent { wall, cpu: wall }
        });
        Turns::take(vec![("disturbed".to_owned(), Role::Ours, disturbed)], Turn::Whole(1, SPAN));
        assert!(log.borrow().last() >= Some(&(SPAN.as_nanos() as u64 / 10)), "{log:?}");
    }

    #[test]
    #[should_panic(expected = "does nothing")]
    fn who_does_nothing_is_found_out() {
        let nothing: Work<'_> = Box::new(|_| Spent { wall: Duration::from_nanos(1), cpu: Duration::ZERO });
        Turns::take(vec![("idle".to_owned(), Role::Ours, nothing)], Turn::Whole(1, SPAN));
    }
}
