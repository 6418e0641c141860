//! Toxics: one kind each, with attributes that it can have; and what to write instead where the simulator carries the file.

use super::Checker;
use crate::scenario::model::{Fault, ToxicFault};

const KINDS: &str = "latency, bandwidth, slow_close, timeout, reset_peer, slicer, limit_data, down";

/// What the simulator has for a kind, if it has something.
const INSTEAD: [(&str, &str); 5] = [
    ("latency", "write 'latency: { a, b, latency }' for it, or 'link' with a distribution"),
    ("bandwidth", "write 'link: { a, b, bytes_per_second }' for it"),
    ("timeout", "write 'hold: { a, b }' for it, or 'partition'"),
    ("reset_peer", "write 'reset: { a, b }' for it"),
    ("down", "write 'reset: { a, b }' and 'partition' for it"),
];

impl Checker<'_> {
    /// A toxic where no connection passes a proxy.
    pub(super) fn toxic_in_the_simulator(&mut self, path: &str, fault: &Fault) {
        let kinds = fault.toxic.as_ref().map(ToxicFault::kinds).unwrap_or_default();
        let kind = kinds.first().map(|(kind, _)| *kind);
        let instead = INSTEAD.iter().find(|(of, _)| Some(*of) == kind).map(|(_, mend)| format!("{mend}; "));
        let mend = format!(
            "{}'needs: {{ engine: live, because: … }}' leaves the file to live runs",
            instead.unwrap_or_default()
        );
        let place = self.key(&format!("{path}.toxic"));
        self.problems.error(&place, format!("engine {} cannot put toxics on connections", self.engine.name), mend);
    }

    pub(super) fn toxic(&mut self, path: &str, toxic: &ToxicFault) {
        let kinds = toxic.kinds();
        match kinds.as_slice() {
            [] => self.error(path, "a toxic without a kind", format!("write one of {KINDS}")),
            [(kind, _)] => match toxic.toxics("") {
                Err(error) if (0.0..=1.0).contains(&toxic.toxicity.unwrap_or(1.0)) => {
                    self.error(&format!("{path}.{kind}"), error.to_string(), None);
                }
                _ => {}
            },
            [_, (other, _), ..] => {
                let place = self.key(&format!("{path}.{other}"));
                let mend = "make each an entry of its own, with a '-'".to_owned();
                self.problems.error(&place, "a toxic of more than one kind", mend);
            }
        }
        if let Some(toxicity) = toxic.toxicity {
            self.share(&format!("{path}.toxicity"), toxicity);
            if toxicity == 0.0 {
                let mend = "write a share of the connections, as 0.5".to_owned();
                self.error(&format!("{path}.toxicity"), "a toxic that acts on no connection", mend);
            }
        }
        for (field, is_given) in [("direction", toxic.direction.is_some()), ("toxicity", toxic.toxicity.is_some())] {
            if toxic.down.is_some() && is_given {
                let place = self.key(&format!("{path}.{field}"));
                self.problems.error(&place, "what is down is down as a whole", format!("leave '{field}' out"));
            }
        }
    }
}
