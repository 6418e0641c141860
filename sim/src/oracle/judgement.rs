//! What an oracle says of one run. A sweep pools judgements; only there is a verdict made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one oracle says of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The expectation's name.
    pub oracle: String,
    /// How many things were judged; none is too little evidence.
    pub judged: u64,
    /// How many must have been judged over the sweep; fewer are too little evidence.
    pub judged_at_least: u64,
    /// What broke, the clearest first.
    pub findings: Vec<Finding>,
    /// Counts that are judged over the whole sweep, by what they are counts of.
    pub picks: BTreeMap<String, Picks>,
}

/// Something that broke.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was expected and what happened, in one sentence.
    pub sentence: String,
    /// The few events that prove it, by sequence.
    pub events: Vec<u64>,
}

/// How often each of equally entitled nodes was picked; pooled by rank over runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Picks {
    /// How often, by rank of the node.
    pub counts: Vec<u64>,
    /// Probability of a false alarm over the sweep, at most; none: not judged by chi-square.
    pub false_alarm: Option<f64>,
    /// Largest ratio between the most and the least picked.
    pub max_min_ratio: Option<f64>,
}
