//! `watch_order`: a watcher delivers each change of what it watches once, in the backend's order, and invents none.
//! Writes that changed neither version nor metadata need not be told. After the backend compacted its history, or when a
//! watch is opened in place of one that ended, one resync is right, and then the watcher must agree with the truth again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shaketable_stack::plugin::SlowConsumer;

use crate::history::{Change, Edge, History, Moment, NodeRecord, Point, Truth};

use super::findings::{Findings, clarity, text};
use super::membership::{Member, MemberChange, MemberChangeKind, Membership};
use super::operations::{Operations, Stamp};
use super::reach::Reach;
use super::spans::Spans;
use super::watchers::{Report, Watching, watchers};
use super::{Facts, Judgement, Oracle};

/// The oracle. It judges every creation, removal and change of version or metadata that a watcher must tell of.
#[derive(Debug)]
pub(super) struct WatchOrder;

impl Oracle for WatchOrder {
    fn name(&self) -> &'static str {
        "watch_order"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        let expected = facts.scenario.expect.watch_order?;
        // Without a bound, what happened before the heal must have been told by the end.
        let settle = facts.phase("settle").map_or(facts.end.since_start(), |phase| phase.end.since(phase.start));
        let within = expected.within.unwrap_or(settle);
        let (operations, membership) = (Operations::of(history), Membership::of(history));
        let (reach, compactions) = (Reach::of(history, facts, within), compactions(history));
        let (mut findings, mut judged) = (Findings::default(), 0);
        let mut ended = BTreeSet::<(&str, Option<&str>)>::new();
        for watching in watchers(history, &operations).iter().filter(|_| membership.told) {
            let registry = reach.registry(watching.host);
            let open = compactions.iter().filter(|at| **at > watching.opened.at && watching.open_at(**at));
            let trial = Trial {
                within,
                tick: facts.scenario.network.tick,
                open: watching.opened.at + facts.early,
                drops: matches!(facts.registry.slow_consumer, Some(SlowConsumer::Drops { .. })),
                watching,
                compactions: open.map(|at| (*at, registry.first_full(*at, within).unwrap_or(facts.end))).collect(),
                registry,
                successor: ended.contains(&(watching.host, watching.service)),
                newest: None,
                findings: &mut findings,
                judged: &mut judged,
            };
            trial.run(&membership);
            if watching.closed.is_some() {
                ended.insert((watching.host, watching.service));
            }
        }
        Some(findings.judgement(self.name(), judged))
    }
}

fn compactions(history: &History) -> Vec<Moment> {
    let compacted = |edge: &Edge| matches!(edge, Edge::Point(Point::Truth(Truth::Compacted { .. })));
    history.events.iter().filter(|event| compacted(&event.edge)).map(|event| event.at).collect()
}

/// One watcher before the court.
struct Trial<'a, 'b> {
    within: Duration,
    /// Hosts and backend are asked once per step: what happened in the same one may be recorded in either order.
    tick: Duration,
    /// What is dated later happened while it was open.
    open: Moment,
    drops: bool,
    watching: &'b Watching<'a>,
    /// When its host could use the registry.
    registry: Spans,
    /// Compactions while it was open, each with the moment by which it must have caught up.
    compactions: Vec<(Moment, Moment)>,
    /// It was opened in place of one that ended.
    successor: bool,
    /// The newest change that was told.
    newest: Option<Stamp>,
    findings: &'b mut Findings,
    judged: &'b mut u64,
}

/// What a watcher must, may and did tell of one node.
struct Track<'b> {
    id: &'b str,
    member: &'b Member<'b>,
    /// From just before the watch was asked for.
    changes: &'b [MemberChange],
    /// The first that has not been told or passed over.
    next: usize,
    last: Option<(Stamp, Change, &'b NodeRecord)>,
    resyncs: usize,
    /// Something was not told, or told otherwise, and that was right; what it agrees on in the end counts.
    forgiven: bool,
}

impl Trial<'_, '_> {
    fn run(mut self, membership: &Membership<'_>) {
        let from = Moment(self.watching.invoked.at.0.saturating_sub(Moment::after(self.tick).0));
        let mut tracks = BTreeMap::new();
        for (id, member) in membership.iter().filter(|(_, member)| self.watching.watches(member.service)) {
            let changes = &member.changes[member.changes.partition_point(|change| change.stamp.at < from)..];
            tracks.insert(id, Track { id, member, changes, next: 0, last: None, resyncs: 0, forgiven: false });
        }
        let watching = self.watching;
        for report in &watching.reports {
            for node in report.nodes {
                match tracks.get_mut(node.id.as_str()) {
                    Some(track) => self.hear(report, node, track),
                    None => self.accuse_of_invention(report, &node.id, "no such node was ever registered", None),
                }
            }
        }
        for track in tracks.values_mut() {
            self.conclude(track);
        }
    }

    fn hear<'b>(&mut self, report: &Report<'b>, node: &'b NodeRecord, track: &mut Track<'b>) {
        if let Some(index) = self.matching(report, node, track) {
            for passed in track.next..index {
                self.pass_over(track, passed, report.stamp);
            }
            track.next = index + 1;
            self.judge_match(report, track, track.changes[index]);
        } else if self.resync(report, node, track) {
            track.forgiven = true;
        } else {
            let again = track.last.is_some_and(|(_, change, told)| {
                change == report.change && told.version == node.version && told.metadata == node.metadata
            });
            let why =
                if again { "it had told so before, and once is right" } else { "nothing of the kind had happened" };
            self.accuse_of_invention(report, track.id, why, track.last.map(|(last, ..)| last));
        }
        track.last = Some((report.stamp, report.change, node));
    }

    /// The change that `report` tells of: the next of its kind that had happened by then.
    fn matching(&self, report: &Report<'_>, node: &NodeRecord, track: &Track<'_>) -> Option<usize> {
        let by = report.stamp.at + self.tick;
        let happened = track.changes.iter().enumerate().skip(track.next);
        let mut happened = happened.take_while(|(_, change)| change.stamp.at <= by);
        if report.change != Change::Update {
            return happened.find(|(_, change)| told_as(change.kind) == report.change).map(|(index, _)| index);
        }
        let mut writes = Vec::new();
        for (index, change) in happened {
            let fits = told_as(change.kind) == Change::Update && track.member.may_be(change, node);
            if fits && change.kind == MemberChangeKind::Altered {
                return Some(index);
            } else if fits {
                writes.push(index);
            } else if !writes.is_empty() && !self.is_optional(track, change) {
                break;
            }
        }
        // Writes need not be told, so of several the first is taken that keeps the order across nodes.
        let newest = self.newest.map_or(0, |newest| newest.sequence);
        let in_order = writes.iter().find(|index| track.changes[**index].stamp.sequence >= newest);
        in_order.or(writes.last()).copied()
    }

    /// Whether `change` need not be told: a write that altered nothing; what happened while the watch was being opened;
    /// what a resync covers.
    fn is_optional(&self, track: &Track<'_>, change: &MemberChange) -> bool {
        change.kind == MemberChangeKind::Written
            || change.stamp.at <= self.open
            || track.member.service.is_empty()
            || self.is_covered_by_resync(change.stamp.at)
    }

    /// Whether a change of that time was not due when the backend forgot its history, so that a resync may stand for
    /// it.
    fn is_covered_by_resync(&self, at: Moment) -> bool {
        let due = self.registry.first_full(at, self.within);
        self.compactions.iter().any(|(compacted, caught_up)| at <= *caught_up && due.is_none_or(|due| due > *compacted))
    }

    fn pass_over(&mut self, track: &mut Track<'_>, index: usize, told_later: Stamp) {
        let change = track.changes[index];
        if change.kind == MemberChangeKind::Written || change.stamp.at <= self.open {
            return;
        }
        if self.is_covered_by_resync(change.stamp.at) {
            track.forgiven = true;
            return;
        }
        if self.drops {
            return;
        }
        *self.judged += 1;
        let sentence = format!(
            "the watcher of {} should have told that node {} {} at {}; it told of a later change at {} and never of this one",
            self.watching.host,
            track.id,
            happened(change.kind),
            change.stamp.at,
            told_later.at
        );
        self.findings.add(u64::MAX / 2, sentence, [change.stamp.sequence, told_later.sequence]);
    }

    fn judge_match(&mut self, report: &Report<'_>, track: &Track<'_>, told: MemberChange) {
        *self.judged += u64::from(told.kind != MemberChangeKind::Written);
        let covered = self.is_covered_by_resync(told.stamp.at);
        if let Some(newest) = self.newest.filter(|newest| newest.sequence > told.stamp.sequence && !covered) {
            let sentence = format!(
                "the watcher of {} should have told changes in the backend's order; at {} it told that node {} {} at {}, after \
                 a change of {}",
                self.watching.host,
                report.stamp.at,
                track.id,
                happened(told.kind),
                told.stamp.at,
                newest.at
            );
            self.findings.add(u64::MAX / 2, sentence, [told.stamp.sequence, newest.sequence, report.stamp.sequence]);
        } else {
            self.newest =
                Some(self.newest.filter(|newest| newest.sequence > told.stamp.sequence).unwrap_or(told.stamp));
        }
        let due = self.due(told).filter(|due| report.stamp.at > *due && !self.is_optional(track, &told));
        if let Some(due) = due {
            self.accuse_of_delay(track, told, due, Some(report.stamp));
        }
    }

    /// When a change must have been told.
    fn due(&self, change: MemberChange) -> Option<Moment> {
        self.registry.first_full(change.stamp.at, self.within).filter(|due| self.watching.open_at(*due))
    }

    /// Takes a report that matches no change as part of a resync, if one is right and the report is true.
    fn resync(&self, report: &Report<'_>, node: &NodeRecord, track: &mut Track<'_>) -> bool {
        let at = report.stamp.at;
        let catching_up = self.compactions.iter().any(|(compacted, caught_up)| *compacted <= at && at <= *caught_up);
        let past = self.compactions.iter().filter(|(compacted, _)| *compacted <= at).count();
        if !catching_up && track.resyncs >= past + usize::from(self.successor) {
            return false;
        }
        let early = Moment(at.0.saturating_sub(Moment::after(self.within).0));
        let (early, late) = (early.max(self.watching.invoked.at), at + self.tick);
        let gone = report.change == Change::Delete;
        let wrong = if gone {
            track.member.present_throughout(early, late)
        } else {
            track.member.absent_throughout(early, late)
        };
        if wrong {
            return false;
        }
        track.resyncs += 1;
        // What the resync stands for is told with it, up to the state that it tells of.
        let by = track.changes.partition_point(|change| change.stamp.at <= late);
        let is = |change: &MemberChange| {
            (told_as(change.kind) == Change::Delete) == gone && (gone || track.member.may_be(change, node))
        };
        let state = track.changes[..by].iter().rposition(is);
        let covered =
            |index: &usize| track.changes[track.next..=*index].iter().all(|change| self.is_optional(track, change));
        if let Some(index) = state.filter(|index| *index >= track.next).filter(covered) {
            track.next = index + 1;
        }
        true
    }

    fn conclude(&mut self, track: &mut Track<'_>) {
        for change in &track.changes[track.next.min(track.changes.len())..] {
            if self.is_optional(track, change) {
                track.forgiven |= change.kind != MemberChangeKind::Written;
            } else if let Some(due) = self.due(*change).filter(|_| !self.drops) {
                *self.judged += 1;
                self.accuse_of_delay(track, *change, due, None);
                return;
            }
        }
        // What was told as itself, or by a resync that was true, is settled.
        let unsettled = track.forgiven && track.next < track.changes.len();
        let Some(last) = track.changes.last().filter(|_| unsettled) else { return };
        let Some(due) = self.due(*last) else { return };
        let Some((told, change, node)) = track.last else { return };
        *self.judged += 1;
        let gone = told_as(last.kind) == Change::Delete;
        if gone != (change == Change::Delete) || !gone && !track.member.may_be(last, node) {
            let sentence = format!(
                "after its resync the watcher of {} should have agreed with the backend by {due}: node {} {} at {}; the last \
                 that it told, at {}, is {change:?} with version {}",
                self.watching.host,
                track.id,
                happened(last.kind),
                last.stamp.at,
                told.at,
                node.version
            );
            self.findings.add(u64::MAX / 2, sentence, [last.stamp.sequence, told.sequence]);
        }
    }

    fn accuse_of_delay(&mut self, track: &Track<'_>, change: MemberChange, due: Moment, told: Option<Stamp>) {
        let said = told.map_or_else(|| "it never did".to_owned(), |told| format!("it did at {}", told.at));
        let sentence = format!(
            "the watcher of {} should have told by {due} that node {} {} at {}, as it could reach the registry for {}; {said}",
            self.watching.host,
            track.id,
            happened(change.kind),
            change.stamp.at,
            text(self.within)
        );
        let off_by = told.map_or(u64::MAX / 2, |told| clarity(told.at.since(due)));
        let events = [self.watching.opened.sequence, change.stamp.sequence];
        self.findings.add(off_by, sentence, events.into_iter().chain(told.map(|told| told.sequence)));
    }

    fn accuse_of_invention(&mut self, report: &Report<'_>, id: &str, why: &str, before: Option<Stamp>) {
        *self.judged += 1;
        let sentence = format!(
            "the watcher of {} should not have told {:?} of node {id} at {}: {why}",
            self.watching.host, report.change, report.stamp.at
        );
        let events = [self.watching.opened.sequence, report.stamp.sequence];
        self.findings.add(u64::MAX / 2 + 1, sentence, events.into_iter().chain(before.map(|before| before.sequence)));
    }
}

/// How a watcher tells of it.
fn told_as(kind: MemberChangeKind) -> Change {
    match kind {
        MemberChangeKind::Created => Change::Create,
        MemberChangeKind::Altered | MemberChangeKind::Written => Change::Update,
        MemberChangeKind::Gone(_) => Change::Delete,
    }
}

fn happened(kind: MemberChangeKind) -> &'static str {
    match kind {
        MemberChangeKind::Created => "was registered",
        MemberChangeKind::Altered => "changed its version or metadata",
        MemberChangeKind::Written => "was written again",
        MemberChangeKind::Gone(departure) => departure.text(),
    }
}
