//! `no_stale_calls`: no call goes to a node that is gone, once its caller could have known. Serving stale is right for who
//! could not reach the registry, so only stretches in which the caller could count.

use std::collections::BTreeMap;

use crate::history::{Edge, History, Moment, Point};

use super::findings::{Findings, clarity, text};
use super::membership::Membership;
use super::operations::Stamp;
use super::reach::Reach;
use super::spans::Spans;
use super::{Facts, Judgement, Oracle};

/// The oracle. It judges every pair of a departure and a host that went on calling the service.
#[derive(Debug)]
pub(super) struct NoStaleCalls;

/// Calls of one host to one node that was gone.
struct Stale {
    first: Stamp,
    count: u64,
    deadline: Moment,
    gone: Stamp,
    how: &'static str,
}

impl Oracle for NoStaleCalls {
    fn name(&self) -> &'static str {
        "no_stale_calls"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        let within = facts.scenario.expect.no_stale_calls?.within;
        let (membership, reach) = (Membership::of(history), Reach::of(history, facts, within));
        let mut registry = BTreeMap::<&str, Spans>::new();
        let mut last_attempt = BTreeMap::<(&str, &str), Moment>::new();
        let mut stale = BTreeMap::<(&str, &str, u64), Stale>::new();
        for event in &history.events {
            let Edge::Point(Point::Attempt { service, node, address, .. }) = &event.edge else { continue };
            if node == address {
                continue;
            }
            last_attempt.insert((service, &event.host), event.at);
            let Some((gone, how)) = membership
                .get(node)
                .and_then(|member| member.begun_by(event.at))
                .and_then(|presence| presence.until)
                .filter(|(gone, _)| gone.at <= event.at)
            else {
                continue;
            };
            let spans = registry.entry(&event.host).or_insert_with(|| reach.registry(&event.host));
            let Some(deadline) = spans.first_full(gone.at, within).filter(|deadline| *deadline < event.at) else {
                continue;
            };
            stale
                .entry((&event.host, node, gone.sequence))
                .or_insert_with(|| Stale { first: Stamp::of(event), count: 0, deadline, gone, how: how.text() })
                .count += 1;
        }
        let mut findings = Findings::default();
        for ((host, node, _), stale) in stale {
            let calls =
                if stale.count == 1 { "a call".to_owned() } else { format!("the first of {} calls", stale.count) };
            findings.add(
                clarity(stale.first.at.since(stale.deadline)),
                format!(
                    "{host} should not have called node {node} after {}: it {} at {}, and {host} could reach the registry \
                     for {} since; {calls} went to it at {}",
                    stale.deadline,
                    stale.how,
                    stale.gone.at,
                    text(within),
                    stale.first.at
                ),
                [stale.gone.sequence, stale.first.sequence],
            );
        }
        let mut judged = 0;
        for (_, member) in membership.iter() {
            let callers = last_attempt.range((member.service, "")..).take_while(|((to, _), _)| *to == member.service);
            for ((_, host), last) in callers {
                let spans = registry.entry(host).or_insert_with(|| reach.registry(host));
                let departures = member.presences.iter().filter_map(|presence| presence.until);
                let known = departures.filter_map(|(gone, _)| spans.first_full(gone.at, within));
                judged += known.filter(|deadline| deadline < last).count() as u64;
            }
        }
        Some(findings.judgement(self.name(), judged))
    }
}
