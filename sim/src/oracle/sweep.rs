//! Pools what the oracles say of many runs into verdicts. The only place where a verdict is made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Finding, Judgement, Picks, all, judge_picks};

/// Judgements of the runs of one scenario, pooled; the order in which runs end does not matter.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    oracles: BTreeMap<String, Pool>,
}

#[derive(Clone, Debug, Default)]
struct Pool {
    runs: u64,
    judged: u64,
    judged_at_least: u64,
    violations: BTreeMap<u64, Vec<Finding>>,
    picks: BTreeMap<String, Picks>,
}

/// What became of one expectation over a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OracleVerdict {
    /// The expectation's name.
    pub oracle: String,
    /// Whether it held.
    pub verdict: Verdict,
    /// Runs in which it was asked for.
    pub runs: u64,
    /// Things that were judged, in all runs.
    pub judged: u64,
    /// Things that had to be judged.
    pub judged_at_least: u64,
    /// What broke, by seed.
    pub violations: Vec<SeedViolations>,
    /// What broke over all runs together, one sentence each; no single seed shows it.
    pub pooled: Vec<String>,
    /// What could not be judged for want of evidence, one sentence each.
    pub too_little: Vec<String>,
}

/// Whether an expectation held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It held, as far as was looked.
    Held,
    /// It could not be judged: nothing, or less than was asked for, happened that it speaks of.
    TooLittleEvidence,
    /// It broke.
    Violated,
}

/// What broke in the run of one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedViolations {
    /// The seed.
    pub seed: u64,
    /// What broke, the clearest first.
    pub findings: Vec<Finding>,
}

impl Sweep {
    /// Adds what the oracles said of the run of `seed`.
    pub fn add(&mut self, seed: u64, judgements: Vec<Judgement>) {
        for judgement in judgements {
            let pool = self.oracles.entry(judgement.oracle).or_default();
            pool.runs += 1;
            pool.judged += judgement.judged;
            pool.judged_at_least = pool.judged_at_least.max(judgement.judged_at_least);
            if !judgement.findings.is_empty() {
                pool.violations.entry(seed).or_default().extend(judgement.findings);
            }
            for (name, picks) in judgement.picks {
                let pooled = pool.picks.entry(name).or_default();
                pooled.counts.resize(pooled.counts.len().max(picks.counts.len()), 0);
                pooled.counts.iter_mut().zip(&picks.counts).for_each(|(pooled, count)| *pooled += count);
                (pooled.false_alarm, pooled.max_min_ratio) = (picks.false_alarm, picks.max_min_ratio);
            }
        }
    }

    /// One verdict for each expectation that was asked for, in the order of [`all`] oracles; those that are none of
    /// them come last.
    pub fn verdicts(&self) -> Vec<OracleVerdict> {
        let order: Vec<&str> = all().iter().map(|oracle| oracle.name()).collect();
        let rank = |name: &str| order.iter().position(|known| *known == name).unwrap_or(order.len());
        let mut verdicts: Vec<_> = self.oracles.iter().map(|(oracle, pool)| pool.verdict(oracle)).collect();
        verdicts.sort_by_key(|verdict| rank(&verdict.oracle));
        verdicts
    }
}

impl Pool {
    fn verdict(&self, oracle: &str) -> OracleVerdict {
        let picks = judge_picks(&self.picks);
        let mut too_little = picks.too_little;
        if self.judged == 0 {
            too_little.push("nothing happened that it could be judged by".to_owned());
        } else if self.judged < self.judged_at_least {
            too_little.push(format!("{} were judged, {} were asked for", self.judged, self.judged_at_least));
        }
        let untested = !self.picks.is_empty() && picks.judged == 0;
        let verdict = if !self.violations.is_empty() || !picks.findings.is_empty() {
            Verdict::Violated
        } else if self.judged == 0 || self.judged < self.judged_at_least || untested {
            Verdict::TooLittleEvidence
        } else {
            Verdict::Held
        };
        let violations =
            self.violations.iter().map(|(seed, findings)| SeedViolations { seed: *seed, findings: findings.clone() });
        OracleVerdict {
            oracle: oracle.to_owned(),
            verdict,
            runs: self.runs,
            judged: self.judged,
            judged_at_least: self.judged_at_least,
            violations: violations.collect(),
            pooled: picks.findings,
            too_little,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgement(judged: u64, findings: &[&str]) -> Judgement {
        let findings = findings.iter().map(|text| Finding { sentence: (*text).to_owned(), events: vec![1] }).collect();
        Judgement { oracle: "lease_expiry".to_owned(), judged, judged_at_least: 3, findings, picks: BTreeMap::new() }
    }

    fn verdict(runs: &[(u64, Judgement)]) -> OracleVerdict {
        let mut sweep = Sweep::default();
        runs.iter().for_each(|(seed, judgement)| sweep.add(*seed, vec![judgement.clone()]));
        sweep.verdicts().remove(0)
    }

    #[test]
    fn evidence_is_counted_over_the_sweep() {
        assert_eq!(verdict(&[(1, judgement(1, &[])), (2, judgement(1, &[]))]).verdict, Verdict::TooLittleEvidence);
        assert_eq!(verdict(&[(1, judgement(1, &[])), (2, judgement(2, &[]))]).verdict, Verdict::Held);
        assert_eq!(
            verdict(&[(1, Judgement { judged_at_least: 0, ..judgement(0, &[]) })]).verdict,
            Verdict::TooLittleEvidence
        );
    }

    #[test]
    fn verdicts_come_in_the_order_of_the_oracles() {
        let mut sweep = Sweep::default();
        let name = |oracle: &str| Judgement { oracle: oracle.to_owned(), ..judgement(3, &[]) };
        let names: Vec<&str> = all().iter().map(|oracle| oracle.name()).collect();
        sweep.add(1, ["a_strangers"].iter().chain(names.iter().rev()).map(|oracle| name(oracle)).collect());
        let told: Vec<String> = sweep.verdicts().into_iter().map(|verdict| verdict.oracle).collect();
        assert_eq!(told, [&names[..], &["a_strangers"]].concat());
    }

    #[test]
    fn one_violation_outweighs_missing_evidence_and_is_listed_by_seed() {
        let verdict =
            verdict(&[(9, judgement(1, &["late"])), (2, judgement(0, &[])), (4, judgement(0, &["early", "late"]))]);
        assert_eq!(verdict.verdict, Verdict::Violated);
        assert_eq!(verdict.violations.iter().map(|violation| violation.seed).collect::<Vec<_>>(), [4, 9]);
    }

    #[test]
    fn picks_are_judged_over_all_runs_together() {
        let run = |counts: &[u64]| {
            let picks = Picks { counts: counts.to_vec(), false_alarm: Some(1e-6), max_min_ratio: None };
            Judgement {
                judged_at_least: 0,
                picks: BTreeMap::from([("random/2 nodes".to_owned(), picks)]),
                ..judgement(1, &[])
            }
        };
        assert_eq!(verdict(&[(1, run(&[4, 1]))]).verdict, Verdict::TooLittleEvidence);
        assert_eq!(verdict(&[(1, run(&[4, 1])), (2, run(&[2, 6]))]).verdict, Verdict::Held);
        let runs: Vec<(u64, Judgement)> = (0..50).map(|seed| (seed, run(&[9, 4]))).collect();
        let unfair = verdict(&runs);
        assert_eq!((unfair.verdict, unfair.pooled.len(), unfair.violations.len()), (Verdict::Violated, 1, 0));
    }
}
