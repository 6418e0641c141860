//! `fail_stop`: a host that is down or paused does nothing. What it does all the same is done by something that is not its
//! own: a task of another host, or state that the stack shares. In production it would have no place to run.

use std::collections::BTreeMap;

use crate::history::{Edge, Event, History, Moment, Point};
use crate::world::Fault;

use super::findings::{Findings, clarity};
use super::operations::Stamp;
use super::{Facts, Judgement, Oracle};

/// The oracle. It judges every span in which a host was down or paused.
#[derive(Debug)]
pub(super) struct FailStop;

/// A span in which a host does nothing.
struct Stop {
    since: Stamp,
    /// None: to the end of the run.
    until: Option<Moment>,
    how: &'static str,
    told: bool,
}

impl Oracle for FailStop {
    fn name(&self) -> &'static str {
        "fail_stop"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        facts.scenario.expect.fail_stop?;
        let mut stops = stops(history);
        let judged = stops.values().map(|stops| stops.len() as u64).sum();
        let mut findings = Findings::default();
        for event in history.events.iter().filter(|event| is_done_by_its_host(event)) {
            let stamp = Stamp::of(event);
            let mut of_host = stops.get_mut(&*event.host).into_iter().flatten();
            // What sets a host going happens at the moment of its first deeds.
            let during = |stop: &&mut Stop| {
                stop.since.sequence < stamp.sequence && stop.until.is_none_or(|until| stamp.at < until) && !stop.told
            };
            if let Some(stop) = of_host.find(during) {
                stop.told = true;
                let sentence = format!(
                    "{} should have done nothing while it was {}, from {} on; at {} it did",
                    event.host, stop.how, stop.since.at, stamp.at
                );
                let off_by = clarity(stamp.at.since(stop.since.at));
                findings.add(off_by, sentence, [stop.since.sequence, stamp.sequence]);
            }
        }
        Some(findings.judgement(self.name(), judged))
    }
}

/// When which host did nothing, in order.
fn stops(history: &History) -> BTreeMap<&str, Vec<Stop>> {
    let mut stops = BTreeMap::<&str, Vec<Stop>>::new();
    for event in &history.events {
        let Edge::Point(Point::Fault(fault)) = &*event.edge else { continue };
        let (host, how) = match &**fault {
            Fault::Crash { host, .. } | Fault::BackendDown { host } | Fault::BackendEnd { host } => {
                (host, Some("down"))
            }
            Fault::Pause { host } | Fault::BackendPause { host } => (host, Some("paused")),
            Fault::Restart { host }
            | Fault::BackendUp { host }
            | Fault::Resume { host }
            | Fault::BackendResume { host } => (host, None),
            _ => continue,
        };
        let of_host = stops.entry(host).or_default();
        if let Some(last) = of_host.last_mut().filter(|last| last.until.is_none()) {
            last.until = Some(event.at);
        }
        if let Some(how) = how {
            of_host.push(Stop { since: Stamp::of(event), until: None, how, told: false });
        }
    }
    stops
}

/// Whether the event is something that its host did: neither a truth of a backend, nor what is asked for when the run is over.
fn is_done_by_its_host(event: &Event) -> bool {
    !matches!(*event.edge, Edge::Point(Point::Truth(_) | Point::Loss { .. }))
}
