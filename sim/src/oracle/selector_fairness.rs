//! `selector_fairness`: while a host's view of a service does not change, `round_robin` picks each node equally often,
//! within one, and `random` picks are counted by the node's rank, for the sweep to test. Other strategies promise no
//! fairness.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Answer, Edge, Event, History, Operation, OperationId, Point};
use crate::scenario::model::{Fairness, Scenario};
use crate::world::Fault;

use super::findings::Findings;
use super::membership::{Member, Membership};
use super::operations::{Operations, Stamp};
use super::{Facts, Judgement, Oracle, Picks};

/// The oracle. It judges every window between two changes of a host's view that has two nodes or more, and enough
/// picks.
#[derive(Debug)]
pub(super) struct SelectorFairness;

impl Oracle for SelectorFairness {
    fn name(&self) -> &'static str {
        "selector_fairness"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        let expected = facts.scenario.expect.selector_fairness?;
        let (operations, membership) = (Operations::of(history), Membership::of(history));
        let mut members = BTreeMap::<&str, Vec<(&str, &Member<'_>)>>::new();
        for (id, member) in membership.iter() {
            members.entry(member.service).or_default().push((id, member));
        }
        // Ranks are those of the selector's own order.
        members.values_mut().for_each(|members| members.sort_by_key(|(id, member)| (member.version, *id)));
        let mut court = Court {
            expected,
            members,
            mixed: services_with_mixed_filters(&facts.scenario),
            lines: BTreeMap::new(),
            findings: Findings::default(),
            picks: BTreeMap::new(),
            judged: 0,
        };
        for event in &history.events {
            court.hear(event, &operations);
        }
        let lines = std::mem::take(&mut court.lines);
        for ((host, service), line) in lines {
            court.judge_line(host, service, line.windows);
        }
        let judgement = court.findings.judgement(self.name(), court.judged);
        Some(Judgement { picks: court.picks, ..judgement })
    }
}

/// A selector's picks for one service.
#[derive(Default)]
struct Line<'a> {
    /// How often the view has changed.
    generation: u64,
    /// What the last lookup found.
    looked_up: Option<BTreeSet<&'a str>>,
    /// Among how many nodes the last selection was made.
    selected_among: Option<u64>,
    /// The generation in which a call's selection was made.
    selected_in: BTreeMap<OperationId, u64>,
    /// Picks since the view changed, by strategy.
    windows: BTreeMap<&'a str, Window<'a>>,
}

/// Picks of one strategy while nothing changed.
struct Window<'a> {
    among: Option<u64>,
    first: Stamp,
    last: Stamp,
    /// How often each node was picked, and where last.
    picks: BTreeMap<&'a str, (u64, u64)>,
}

struct Court<'a, 'b> {
    expected: Fairness,
    members: BTreeMap<&'a str, Vec<(&'a str, &'b Member<'a>)>>,
    mixed: BTreeSet<&'a str>,
    lines: BTreeMap<(&'a str, &'a str), Line<'a>>,
    findings: Findings,
    picks: BTreeMap<String, Picks>,
    judged: u64,
}

impl<'a> Court<'a, '_> {
    fn hear(&mut self, event: &'a Event, operations: &Operations<'a>) {
        let host = &*event.host;
        match &*event.edge {
            Edge::Point(Point::Attempt { service, node, address, attempt, strategy }) if node != address => {
                self.pick(event, service, node, *attempt, strategy);
            }
            Edge::Point(
                Point::Watched { service, .. } | Point::Reset { service } | Point::Marked { service, failed: true, .. },
            ) => self.view_changed(host, service),
            Edge::Point(Point::Fault(fault)) => {
                let (Fault::Crash { host, .. } | Fault::Restart { host }) = &**fault else { return };
                let host = host.as_str();
                let lines = self.lines.range((host, "")..).take_while(|((at, _), _)| *at == host);
                let services: Vec<&str> = lines.map(|((_, service), _)| *service).collect();
                services.into_iter().for_each(|service| self.view_changed(host, service));
            }
            Edge::Return(Ok(answer)) => {
                let Some(run) = event.operation.and_then(|id| operations.get(id)) else { return };
                match (run.operation, answer) {
                    (Operation::GetService { service }, Answer::Nodes(nodes)) => {
                        let nodes: BTreeSet<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
                        let line = self.lines.entry((host, service)).or_default();
                        if line.looked_up.as_ref() != Some(&nodes) {
                            line.looked_up = Some(nodes);
                            self.view_changed(host, service);
                        }
                    }
                    (Operation::Select { service, .. }, Answer::Selected(among)) => {
                        let line = self.lines.entry((host, service)).or_default();
                        if line.selected_among.replace(*among) != Some(*among) {
                            self.view_changed(host, service);
                        }
                        let line = self.lines.entry((host, service)).or_default();
                        if let Some(call) = run.cause {
                            line.selected_in.insert(call, line.generation);
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn pick(&mut self, event: &'a Event, service: &'a str, node: &'a str, attempt: u32, strategy: &'a str) {
        let line = self.lines.entry((&event.host, service)).or_default();
        let selected_in = event.operation.and_then(|call| line.selected_in.remove(&call));
        // A retry takes from the nodes that its call selected at first, perhaps before the view changed.
        if attempt > 0 || selected_in.is_some_and(|generation| generation != line.generation) {
            return self.view_changed(&event.host, service);
        }
        let (stamp, among) = (Stamp::of(event), line.selected_among);
        let window = line.windows.entry(strategy).or_insert_with(|| Window {
            among,
            first: stamp,
            last: stamp,
            picks: BTreeMap::new(),
        });
        window.last = stamp;
        let (count, last) = window.picks.entry(node).or_default();
        (*count, *last) = (*count + 1, stamp.sequence);
    }

    fn view_changed(&mut self, host: &'a str, service: &'a str) {
        let line = self.lines.entry((host, service)).or_default();
        line.generation += 1;
        let windows = std::mem::take(&mut line.windows);
        self.judge_line(host, service, windows);
    }

    fn judge_line(&mut self, host: &str, service: &str, windows: BTreeMap<&'a str, Window<'a>>) {
        for (strategy, window) in windows {
            let among = window.among.and_then(|among| usize::try_from(among).ok()).unwrap_or(window.picks.len());
            // More nodes than were selected among: the view did change, and this host did not tell.
            if among < 2 || window.picks.len() > among || self.mixed.contains(service) {
                continue;
            }
            match strategy {
                "round_robin" => self.judge_round(host, service, among, &window),
                "random" => self.count_ranks(service, among, &window),
                _ => {}
            }
        }
    }

    /// Whatever stretch of a cyclic order one looks at, no two counts in it differ by more than one.
    fn judge_round(&mut self, host: &str, service: &str, among: usize, window: &Window<'_>) {
        let total: u64 = window.picks.values().map(|(count, _)| count).sum();
        if total < among as u64 {
            return;
        }
        self.judged += 1;
        let most = window.picks.iter().max_by_key(|(_, (count, _))| *count);
        let least = window.picks.iter().min_by_key(|(_, (count, _))| *count);
        let (Some((favourite, (most, favoured))), Some((neglected, (least, neglected_last)))) = (most, least) else {
            return;
        };
        let unpicked = window.picks.len() < among;
        let least = if unpicked { 0 } else { *least };
        if most - least <= 1 {
            return;
        }
        let other = if unpicked { "another" } else { neglected };
        let sentence = format!(
            "round_robin on {host} should have picked each of the {among} nodes of {service} equally often, within one; of {total} \
             picks from {} to {} node {favourite} got {most} and {other} got {least}",
            window.first.at, window.last.at
        );
        self.findings.add(
            most - least,
            sentence,
            [window.first.sequence, *favoured, *neglected_last, window.last.sequence],
        );
    }

    fn count_ranks(&mut self, service: &str, among: usize, window: &Window<'_>) {
        let there = |(_, member): &&(&str, &Member<'_>)| member.present_throughout(window.first.at, window.last.at);
        let members = self.members.get(service).map_or(&[][..], Vec::as_slice);
        let mut ranked: Vec<&str> = members.iter().filter(there).map(|(id, _)| *id).collect();
        if ranked.len() != among || !window.picks.keys().all(|id| ranked.contains(id)) {
            // The truth is no help (the view lagged behind it, or a filter narrowed it); who was picked is, if all
            // were.
            ranked = window.picks.keys().copied().collect();
            if ranked.len() != among {
                return;
            }
        }
        self.judged += 1;
        let pooled = self.picks.entry(format!("random/{among} nodes")).or_insert_with(|| Picks {
            counts: vec![0; among],
            false_alarm: Some(self.expected.false_alarm),
            max_min_ratio: self.expected.max_min_ratio,
        });
        for (rank, id) in ranked.into_iter().enumerate() {
            pooled.counts[rank] += window.picks.get(id).map_or(0, |(count, _)| *count);
        }
    }
}

/// Services that are called with different filters: their selections share a position but not the nodes.
fn services_with_mixed_filters(scenario: &Scenario) -> BTreeSet<&str> {
    let mut filters = BTreeMap::<&str, BTreeSet<_>>::new();
    for calls in scenario.load.iter().filter_map(|load| load.calls.as_ref()) {
        filters.entry(&calls.to).or_default().insert((&calls.version, &calls.label));
    }
    filters.into_iter().filter(|(_, filters)| filters.len() > 1).map(|(service, _)| service).collect()
}
