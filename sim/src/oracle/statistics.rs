//! Tests of pooled counts: whether equally entitled nodes were picked equally often. They know no history.

use std::collections::BTreeMap;

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

use super::Picks;

/// Below this many expected picks per node the chi-square distribution is no good approximation (Cochran 1954).
const EXPECTED_MIN: f64 = 5.0;

/// What is said of pooled counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PicksJudgement {
    /// What broke, one sentence each.
    pub findings: Vec<String>,
    /// How many tests were made.
    pub judged: u64,
    /// What could not be tested because too little was counted, one sentence each.
    pub too_little: Vec<String>,
}

/// Judges counts pooled over a sweep. All tests together raise a false alarm with at most the probability that each of them
/// asks for: it is divided by the number of keys (Bonferroni).
pub fn judge_picks(picks: &BTreeMap<String, Picks>) -> PicksJudgement {
    let mut judgement = PicksJudgement::default();
    let tests = |picks: &Picks| u32::from(picks.false_alarm.is_some()) + u32::from(picks.max_min_ratio.is_some());
    let all: u32 = picks.values().map(tests).sum();
    for (name, picks) in picks {
        let total: u64 = picks.counts.iter().sum();
        let expected = total as f64 / picks.counts.len().max(1) as f64;
        if picks.counts.len() < 2 || expected < EXPECTED_MIN {
            judgement.too_little.push(format!("{name}: {total} picks are too few to judge"));
            continue;
        }
        let counts = format!("{:?}", picks.counts);
        if let Some(false_alarm) = picks.false_alarm {
            let (statistic, p_value) = chi_square(&picks.counts, expected);
            judgement.judged += 1;
            if p_value < false_alarm / f64::from(all) {
                judgement.findings.push(format!(
                    "{name}: each should have been picked equally often; of {total} picks they got {counts}, which chance does \
                     with probability {p_value:.1e} (chi-square {statistic:.1})"
                ));
            }
        }
        if let Some(bound) = picks.max_min_ratio {
            let false_alarm = picks.false_alarm.unwrap_or(1e-6) / f64::from(all);
            let ratio = ratio(&picks.counts);
            if ratio_by_chance(expected, picks.counts.len(), false_alarm) >= bound {
                judgement
                    .too_little
                    .push(format!("{name}: {total} picks are too few to tell a ratio of {bound} from chance"));
            } else {
                judgement.judged += 1;
                if ratio > bound {
                    judgement.findings.push(format!(
                        "{name}: the most picked should have been picked at most {bound} times as often as the least; of \
                         {total} picks they got {counts}, a ratio of {ratio:.3}"
                    ));
                }
            }
        }
    }
    judgement
}

/// Pearson's statistic for equal shares, and the probability that chance makes it as large.
fn chi_square(counts: &[u64], expected: f64) -> (f64, f64) {
    let statistic = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    let p_value = ChiSquared::new((counts.len() - 1) as f64).map_or(1.0, |distribution| distribution.sf(statistic));
    (statistic, p_value)
}

fn ratio(counts: &[u64]) -> f64 {
    let (most, least) = (counts.iter().max().copied().unwrap_or(0), counts.iter().min().copied().unwrap_or(0));
    if least == 0 { f64::INFINITY } else { most as f64 / least as f64 }
}

/// The ratio that chance exceeds with at most the probability `false_alarm`, by the normal approximation on both sides of each
/// of `nodes` counts.
fn ratio_by_chance(expected: f64, nodes: usize, false_alarm: f64) -> f64 {
    let tail = false_alarm / (2.0 * nodes as f64);
    let deviations = Normal::standard().inverse_cdf(1.0 - tail);
    let off = deviations * expected.sqrt();
    if off >= expected { f64::INFINITY } else { (expected + off) / (expected - off) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(counts: &[u64], max_min_ratio: Option<f64>) -> BTreeMap<String, Picks> {
        let picks = Picks { counts: counts.to_vec(), false_alarm: Some(1e-6), max_min_ratio };
        BTreeMap::from([(format!("random/{} nodes", counts.len()), picks)])
    }

    #[test]
    fn the_survival_function_agrees_with_published_tables() {
        // NIST/SEMATECH e-Handbook, 1.3.6.7.4: upper critical values.
        for (degrees, critical, tail) in [(1.0, 3.841, 0.05), (4.0, 13.277, 0.01), (10.0, 29.588, 0.001)] {
            let survival = ChiSquared::new(degrees).unwrap().sf(critical);
            assert!((survival / tail - 1.0).abs() < 0.005, "{degrees} degrees: {survival}");
        }
    }

    #[test]
    fn a_favourite_is_found_and_ordinary_noise_is_not() {
        assert_eq!(judge_picks(&picks(&[600, 400], None)).findings.len(), 1);
        let noise = judge_picks(&picks(&[540, 460], None));
        assert_eq!((noise.findings.len(), noise.judged), (0, 1), "1 in 100 by chance, far above the bound");
    }

    #[test]
    fn many_keys_share_one_probability_of_a_false_alarm() {
        // p is about 7e-7: an alarm for one key, none when fifty keys could raise it.
        let suspicious = picks(&[5785, 5251], None);
        assert_eq!(judge_picks(&suspicious).findings.len(), 1);
        let fair = Picks { counts: vec![500, 500], false_alarm: Some(1e-6), max_min_ratio: None };
        let others = (0..49).map(|index| (format!("other {index}"), fair.clone()));
        let many: BTreeMap<String, Picks> = suspicious.into_iter().chain(others).collect();
        assert_eq!((judge_picks(&many).findings.len(), judge_picks(&many).judged), (0, 50));
    }

    #[test]
    fn few_picks_are_too_little_evidence() {
        let few = judge_picks(&picks(&[9, 0], None));
        assert_eq!((few.judged, few.findings.len(), few.too_little.len()), (0, 0, 1));
        assert_eq!(judge_picks(&picks(&[5, 5], None)).judged, 1, "five expected picks each are enough");
    }

    #[test]
    fn a_ratio_is_judged_only_where_chance_stays_below_its_bound() {
        let small = judge_picks(&picks(&[30, 24, 26], Some(1.2)));
        assert_eq!((small.judged, small.findings.len(), small.too_little.len()), (1, 0, 1), "chi-square alone");
        let large = judge_picks(&picks(&[10_000, 10_100, 9_900], Some(1.2)));
        assert_eq!((large.judged, large.findings.len(), large.too_little.len()), (2, 0, 0));
        let unfair = judge_picks(&picks(&[13_000, 10_000, 10_000], Some(1.2)));
        assert_eq!(unfair.findings.len(), 2);
    }
}
