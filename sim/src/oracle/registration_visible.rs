//! `registration_visible`: whoever could reach the registry for long enough sees a new registration: its open watchers were
//! told, and its lookups find the node. It does not judge how a registration ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::history::{Answer, Change, Edge, History, Moment, Operation, Point};

use super::findings::{Findings, clarity, text};
use super::membership::{Member, Membership, Presence};
use super::operations::{Operations, Stamp};
use super::reach::Reach;
use super::spans::Spans;
use super::watchers::{Watching, watchers};
use super::{Facts, Judgement, Oracle};

/// The oracle.
#[derive(Debug)]
pub(super) struct RegistrationVisible;

impl Oracle for RegistrationVisible {
    fn name(&self) -> &'static str {
        "registration_visible"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        let within = facts.scenario.expect.registration_visible?.within;
        let operations = Operations::of(history);
        let reach = Reach::of(history, facts, within);
        let hosts: BTreeSet<&str> = operations.iter().map(|run| run.host).collect();
        let mut court = Court {
            within,
            tick: facts.scenario.network.tick,
            early: facts.early,
            end: facts.end,
            registry: hosts.into_iter().map(|host| (host, reach.registry(host))).collect(),
            watchers: watchers(history, &operations).into_iter().map(Told::of).collect(),
            looks: looks(history, &operations),
            findings: Findings::default(),
            judged: 0,
        };
        let membership = Membership::of(history);
        let acknowledged = acknowledgements(&operations);
        for (id, member) in membership.iter() {
            for presence in &member.presences {
                let since = first_acknowledged(acknowledged.get(id), presence);
                court.judge_watchers(id, member, presence, since);
                court.judge_lookups(id, member, presence, since);
            }
        }
        if membership.told {
            court.judge_unheld(&acknowledged, &membership, &operations);
        }
        Some(court.findings.judgement(self.name(), court.judged))
    }
}

/// Registrations of a node that were answered with success: invocation and return.
type Acknowledged<'a> = BTreeMap<&'a str, Vec<(Stamp, Stamp)>>;

/// What a host saw of a service when it looked.
struct Look<'a> {
    asked: Moment,
    seen: Stamp,
    nodes: BTreeSet<&'a str>,
    how: &'static str,
}

/// A watcher with the times at which it told of a node's being there.
struct Told<'a> {
    watching: Watching<'a>,
    there: BTreeMap<&'a str, Vec<Stamp>>,
}

impl<'a> Told<'a> {
    fn of(watching: Watching<'a>) -> Self {
        let mut there = BTreeMap::<&str, Vec<Stamp>>::new();
        for report in watching.reports.iter().filter(|report| report.change != Change::Delete) {
            for node in report.nodes {
                there.entry(&node.id).or_default().push(report.stamp);
            }
        }
        Self { watching, there }
    }
}

struct Court<'a> {
    within: Duration,
    tick: Duration,
    early: Duration,
    end: Moment,
    registry: BTreeMap<&'a str, Spans>,
    watchers: Vec<Told<'a>>,
    looks: BTreeMap<(&'a str, &'a str), Vec<Look<'a>>>,
    findings: Findings,
    judged: u64,
}

impl Court<'_> {
    /// When `host` must know at the latest what is so since `since`; none when the run, or the presence, ended first.
    fn deadline(&self, host: &str, since: Stamp, presence: &Presence) -> Option<Moment> {
        let deadline = self.registry.get(host)?.first_full(since.at, self.within)?;
        presence.covers(since.at, deadline).then_some(deadline)
    }

    fn judge_watchers(&mut self, id: &str, member: &Member<'_>, presence: &Presence, since: Stamp) {
        for told in &self.watchers {
            let watching = &told.watching;
            if !watching.watches(member.service) || watching.opened.at + self.early >= presence.since.at {
                continue;
            }
            let Some(deadline) = self.deadline(watching.host, since, presence) else { continue };
            if !watching.open_at(deadline) {
                continue;
            }
            self.judged += 1;
            let stamps = told.there.get(id).map_or(&[][..], Vec::as_slice);
            let told_at = stamps.iter().find(|stamp| stamp.at + self.tick >= presence.since.at);
            if told_at.is_some_and(|told_at| told_at.at <= deadline) {
                continue;
            }
            let late = told_at.map_or(self.end, |told_at| told_at.at).since(deadline);
            let happened = told_at.map_or_else(
                || "it was never told".to_owned(),
                |told_at| format!("it was told at {}, {} late", told_at.at, text(late)),
            );
            self.findings.add(
                clarity(late),
                format!(
                    "the watcher of {} should have been told of node {id} of {}, registered at {}, by {deadline} ({} in \
                     which {} could reach the registry); {happened}",
                    watching.host,
                    member.service,
                    since.at,
                    text(self.within),
                    watching.host
                ),
                [presence.since.sequence, since.sequence, watching.opened.sequence]
                    .into_iter()
                    .chain(told_at.map(|told_at| told_at.sequence)),
            );
        }
    }

    fn judge_lookups(&mut self, id: &str, member: &Member<'_>, presence: &Presence, since: Stamp) {
        for ((service, host), looks) in self.looks.range((member.service, "")..) {
            if *service != member.service {
                break;
            }
            let Some(deadline) = self.deadline(host, since, presence) else { continue };
            let after = looks.partition_point(|look| look.asked <= deadline);
            let mut judged =
                looks[after..].iter().take_while(|look| presence.covers(look.asked, look.seen.at)).peekable();
            self.judged += u64::from(judged.peek().is_some());
            let Some(miss) = judged.find(|look| !look.nodes.contains(id)) else { continue };
            self.findings.add(
                clarity(miss.asked.since(deadline)),
                format!(
                    "{host} should have seen node {id} of {service}, registered at {}, from {deadline} on ({} in which it \
                     could reach the registry); {} at {} did not have it",
                    since.at,
                    text(self.within),
                    miss.how,
                    miss.seen.at
                ),
                [presence.since.sequence, since.sequence, miss.seen.sequence],
            );
        }
    }

    /// A registration that was answered with success must have reached the backend.
    fn judge_unheld(
        &mut self,
        acknowledged: &Acknowledged<'_>,
        membership: &Membership<'_>,
        operations: &Operations<'_>,
    ) {
        let mut deregistered = BTreeSet::new();
        for run in operations.iter() {
            if let Operation::Deregister { nodes, .. } = run.operation {
                deregistered.extend(nodes.iter().map(String::as_str));
            }
        }
        for (id, returns) in acknowledged {
            let Some((asked, done)) = returns.first() else { continue };
            let deadline = done.at + self.within;
            if membership.get(id).is_some() || deregistered.contains(id) || deadline >= self.end {
                continue;
            }
            self.judged += 1;
            self.findings.add(
                u64::MAX,
                format!(
                    "registering node {id} was answered with success at {}, but the backend never held it",
                    done.at
                ),
                [asked.sequence, done.sequence],
            );
        }
    }
}

fn acknowledgements<'a>(operations: &Operations<'a>) -> Acknowledged<'a> {
    let mut acknowledged = Acknowledged::new();
    for run in operations.iter() {
        if let (Operation::Register { node, .. }, Some(returned)) = (run.operation, run.succeeded()) {
            acknowledged.entry(&node.id).or_default().push((run.invoked, returned));
        }
    }
    acknowledged
}

/// The return of the registration that made `presence`; where there is none (it was restored in the background), the moment at
/// which the backend had it.
fn first_acknowledged(returns: Option<&Vec<(Stamp, Stamp)>>, presence: &Presence) -> Stamp {
    let since = presence.since;
    let making = returns.into_iter().flatten().find(|(asked, done)| asked.at <= since.at && since.at <= done.at);
    making.map_or(since, |(_, done)| *done)
}

/// What each host saw when it looked, by service and host, in order.
fn looks<'a>(history: &'a History, operations: &Operations<'a>) -> BTreeMap<(&'a str, &'a str), Vec<Look<'a>>> {
    let mut looks = BTreeMap::<_, Vec<Look<'a>>>::new();
    for run in operations.iter() {
        let (Operation::GetService { service }, Some(seen)) = (run.operation, run.returned) else { continue };
        let nodes = match run.result {
            Some(Ok(Answer::Nodes(nodes))) => nodes.iter().map(|node| node.id.as_str()).collect(),
            Some(Err(failure)) if failure.kind == "NotFound" => BTreeSet::new(),
            _ => continue,
        };
        let look = Look { asked: run.invoked.at, seen, nodes, how: "its lookup" };
        looks.entry((service.as_str(), run.host)).or_default().push(look);
    }
    for event in &history.events {
        if let Edge::Point(Point::View { service, nodes }) = &*event.edge {
            let nodes = nodes.iter().map(String::as_str).collect();
            let look = Look { asked: event.at, seen: Stamp::of(event), nodes, how: "its view" };
            looks.entry((service.as_str(), &*event.host)).or_default().push(look);
        }
    }
    looks.values_mut().for_each(|looks| looks.sort_by_key(|look| (look.asked, look.seen.sequence)));
    looks
}
