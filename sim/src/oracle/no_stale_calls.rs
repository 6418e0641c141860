//! `no_stale_calls`: no call goes to a node that is gone, once its caller could have known. Serving stale is right
//! for who could not reach the registry, so only stretches in which the caller could count. A node is gone when the
//! backend does not hold it any more, and when its deregistration was answered with success, whatever the backend
//! holds.

use std::collections::BTreeMap;

use crate::history::{Edge, History, Moment, Operation, Point};

use super::findings::{Findings, clarity, text};
use super::membership::Membership;
use super::operations::{Operations, Stamp};
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

/// How a node went whose deregistration was answered with success, while the backend held it still.
const ACKNOWLEDGED: &str = "was deregistered, as its host was told,";

impl Oracle for NoStaleCalls {
    fn name(&self) -> &'static str {
        "no_stale_calls"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        let within = facts.scenario.expect.no_stale_calls?.within;
        let (membership, reach) = (Membership::of(history), Reach::of(history, facts, within));
        let left = Left::of(history);
        let mut registry = BTreeMap::<&str, Spans>::new();
        let mut last_attempt = BTreeMap::<(&str, &str), Moment>::new();
        let mut stale = BTreeMap::<(&str, &str, u64), Stale>::new();
        for event in &history.events {
            let Edge::Point(Point::Attempt { service, node, address, .. }) = &*event.edge else { continue };
            if node == address {
                continue;
            }
            last_attempt.insert((service, &event.host), event.at);
            let Some(presence) = membership.get(node).and_then(|member| member.begun_by(event.at)) else { continue };
            let departed = presence.until.filter(|(gone, _)| gone.at <= event.at);
            let departed = departed.map(|(gone, how)| (gone, how.text()));
            let Some((gone, how)) = departed.or_else(|| Some((left.since(node, Stamp::of(event))?, ACKNOWLEDGED)))
            else {
                continue;
            };
            let spans = registry.entry(&event.host).or_insert_with(|| reach.registry(&event.host));
            let Some(deadline) = spans.first_full(gone.at, within).filter(|deadline| *deadline < event.at) else {
                continue;
            };
            stale
                .entry((&event.host, node, gone.sequence))
                .or_insert_with(|| Stale { first: Stamp::of(event), count: 0, deadline, gone, how })
                .count += 1;
        }
        let mut findings = Findings::default();
        // The departures that only the hosts know of; the backend's are counted below.
        let mut judged = stale.values().filter(|stale| stale.how == ACKNOWLEDGED).count() as u64;
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

/// Deregistrations that were answered with success, and registrations, by node: from invocation to return.
#[derive(Default)]
struct Left<'a> {
    deregistered: BTreeMap<&'a str, Vec<(Stamp, Stamp)>>,
    registered: BTreeMap<&'a str, Vec<(Stamp, Option<Stamp>)>>,
}

impl<'a> Left<'a> {
    fn of(history: &'a History) -> Self {
        let mut left = Self::default();
        for run in Operations::of(history).iter() {
            match run.operation {
                Operation::Register { node, .. } => {
                    left.registered.entry(&node.id).or_default().push((run.invoked, run.returned));
                }
                Operation::Deregister { nodes, .. } => {
                    let Some(done) = run.succeeded() else { continue };
                    for id in nodes {
                        left.deregistered.entry(id).or_default().push((run.invoked, done));
                    }
                }
                _ => {}
            }
        }
        left
    }

    /// When the host of `node` was told that it is deregistered, if it has not registered since or at the same time.
    fn since(&self, node: &str, now: Stamp) -> Option<Stamp> {
        let told = self.deregistered.get(node)?.iter().rev();
        let (asked, done) = told.copied().find(|(_, done)| done.sequence < now.sequence)?;
        let again = self.registered.get(node).into_iter().flatten().any(|(invoked, returned)| {
            invoked.sequence < now.sequence && returned.is_none_or(|returned| returned.sequence > asked.sequence)
        });
        (!again).then_some(done)
    }
}
