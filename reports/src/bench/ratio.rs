//! How two contenders compare: the median of their turns' ratios, and between which ratios it lies. Pure functions of figures.

/// How much of the time an interval that people read misses the median, at most.
const MISSED: f64 = 0.05;

/// The same of an interval by which a change is judged. A change is between two of them, so that it is missed twice as often.
const MISSED_WHEN_JUDGED: f64 = 0.005;

/// How many times as long one contender takes as another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Of the turn in the middle.
    pub median: f64,
    /// The median lies between these two with 95 %; `None` when there were too few turns to say that.
    pub interval: Option<(f64, f64)>,
    /// The median lies between these two with 99.5 %; `None` when there were too few turns to say that.
    pub wide_interval: Option<(f64, f64)>,
    /// Half of all turns lie within this distance of the median or nearer, as a share of it.
    pub spread: f64,
}

impl Ratio {
    /// Of `one` to `other`, turn by turn; `None` without turns. Two contenders that take a turn together have the same pace of
    /// the machine, so that its drift cancels.
    pub fn of(one: &[f64], other: &[f64]) -> Option<Self> {
        let mut ratios: Vec<f64> = one.iter().zip(other).map(|(one, other)| one / other).collect();
        ratios.sort_by(f64::total_cmp);
        let middle = median(&ratios)?;
        let between = |missed| ranks(ratios.len(), missed).map(|(low, high)| (ratios[low], ratios[high]));
        let mut distances: Vec<f64> = ratios.iter().map(|ratio| (ratio / middle - 1.0).abs()).collect();
        distances.sort_by(f64::total_cmp);
        let spread = median(&distances)?;
        Some(Self { median: middle, interval: between(MISSED), wide_interval: between(MISSED_WHEN_JUDGED), spread })
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:.2}", self.median)?;
        match self.interval {
            Some((low, high)) => write!(formatter, " ({low:.2} to {high:.2})"),
            None => Ok(()),
        }
    }
}

/// The middle of what one contender took in its turns.
pub fn median_of_turns(turns: &[f64]) -> Option<f64> {
    let mut sorted = turns.to_vec();
    sorted.sort_by(f64::total_cmp);
    median(&sorted)
}

/// The middle of `sorted`.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => Some(sorted[middle]),
        _ => Some((sorted.get(middle.checked_sub(1)?)? + sorted.get(middle)?) / 2.0),
    }
}

/// Which two of `count` sorted values have the median between them, but for `missed` of the time: each value lies below it with
/// one half, whatever their distribution is, so that the number below is binomial. The narrowest such pair with the same number
/// outside on both sides.
fn ranks(count: usize, missed: f64) -> Option<(usize, usize)> {
    // The probability of at most `outside` values below the median, by Pascal's rule from 0 upwards.
    let (mut term, mut below, mut found) = (0.5_f64.powi(i32::try_from(count).ok()?), 0.0_f64, None);
    for outside in 0..count / 2 {
        below += term;
        if 2.0 * below > missed {
            break;
        }
        found = Some((outside, count - 1 - outside));
        term *= (count - outside) as f64 / (outside + 1) as f64;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{MISSED, MISSED_WHEN_JUDGED, Ratio, median, ranks};

    #[test]
    fn ranks_are_those_of_the_tables_of_the_sign_test() {
        // 95 % intervals of the median in tables of the binomial distribution, counted from 1: 6 has 1 and 6, 10 has 2 and 9,
        // 20 has 6 and 15, 31 has 10 and 22. Five values are too few.
        assert_eq!(ranks(5, MISSED), None);
        assert_eq!(ranks(6, MISSED), Some((0, 5)));
        assert_eq!(ranks(10, MISSED), Some((1, 8)));
        assert_eq!(ranks(20, MISSED), Some((5, 14)));
        assert_eq!(ranks(31, MISSED), Some((9, 21)));
        // With 99.5 %: eight are too few, and nine have 2 * 2^-9 outside.
        assert_eq!(ranks(8, MISSED_WHEN_JUDGED), None);
        assert_eq!(ranks(9, MISSED_WHEN_JUDGED), Some((0, 8)));
        assert_eq!(ranks(31, MISSED_WHEN_JUDGED), Some((7, 23)));
    }

    #[test]
    fn a_drift_that_both_share_cancels() {
        let drift = (0..31).map(|turn| 1.0 + f64::from(turn) / 10.0);
        let (one, other): (Vec<f64>, Vec<f64>) = drift.map(|pace| (30.0 * pace, 20.0 * pace)).unzip();
        let ratio = Ratio::of(&one, &other).unwrap();
        assert!((ratio.median - 1.5).abs() < 1e-9 && ratio.spread < 1e-9, "{ratio:?}");
        assert_eq!(ratio.to_string(), "1.50 (1.50 to 1.50)");
    }

    #[test]
    fn few_turns_have_a_median_and_no_interval() {
        let ratio = Ratio::of(&[1.0, 4.0], &[1.0, 2.0]).unwrap();
        assert_eq!((ratio.median, ratio.interval, ratio.wide_interval), (1.5, None, None));
        assert_eq!(Ratio::of(&[], &[]), None);
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_spread_is_the_distance_within_which_half_of_the_turns_lie() {
        let ratio = Ratio::of(&[90.0, 99.0, 100.0, 102.0, 150.0], &[100.0; 5]).unwrap();
        assert!((ratio.spread - 0.02).abs() < 1e-9, "{ratio:?}");
    }
}
