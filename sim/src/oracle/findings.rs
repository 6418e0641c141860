//! Collects what broke and puts the clearest first. It knows no oracle.

use std::fmt;
use std::time::Duration;

use super::{Finding, Judgement};

/// Findings of one run beyond these say nothing new.
const FINDINGS_MAX: usize = 20;
/// Proving events of one finding; more nobody reads.
const EVENTS_MAX: usize = 6;

/// What broke in one run, before it is put in order.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<(u64, Finding)>);

impl Findings {
    /// Adds one; the higher its `clarity`, the more it says (how late, how many).
    pub(super) fn add(&mut self, clarity: u64, sentence: impl Into<String>, events: impl IntoIterator<Item = u64>) {
        let mut events: Vec<u64> = events.into_iter().collect();
        events.sort_unstable();
        events.dedup();
        events.truncate(EVENTS_MAX);
        self.0.push((clarity, Finding { sentence: sentence.into(), events }));
        if self.0.len() > FINDINGS_MAX * 50 {
            self.keep_clearest();
        }
    }

    /// The judgement of a run.
    pub(super) fn judgement(mut self, oracle: &str, judged: u64) -> Judgement {
        self.keep_clearest();
        let findings = self.0.into_iter().map(|(_, finding)| finding).collect();
        Judgement { oracle: oracle.to_owned(), judged, findings, ..Judgement::default() }
    }

    fn keep_clearest(&mut self) {
        self.0.sort_by(|(a, left), (b, right)| b.cmp(a).then_with(|| left.events.cmp(&right.events)));
        self.0.truncate(FINDINGS_MAX);
    }
}

/// A duration in a sentence, in milliseconds where it is short.
pub(super) fn text(duration: Duration) -> impl fmt::Display {
    let milliseconds = duration.as_millis();
    match milliseconds {
        0 if !duration.is_zero() => format!("{duration:?}"),
        0..1_000 => format!("{milliseconds}ms"),
        _ => format!("{}.{:03}s", milliseconds / 1_000, milliseconds % 1_000),
    }
}

/// How clear a finding is by the time that it is off.
pub(super) fn clarity(off_by: Duration) -> u64 {
    u64::try_from(off_by.as_micros()).unwrap_or(u64::MAX)
}
