//! `delivery`: subscribers get what the broker promises: each message once, one member of each queue group, in each
//! publisher's order, nothing after unsubscribing. What a broker does not promise is not judged, and a loss only where
//! nothing stood between publisher and subscriber.

use std::collections::BTreeMap;
use std::time::Duration;

use shaketable_stack::plugin::{Delivery as Promise, Order, SlowConsumer};

use crate::history::{History, Moment, Operation, OperationId};

use super::findings::{Findings, clarity, text};
use super::operations::{Operations, Run, Stamp};
use super::reach::{Reach, disturbances};
use super::spans::Spans;
use super::subscriptions::{Delivery as Delivered, Subscription, deliveries, subscriptions};
use super::{Facts, HostKind, Judgement, Oracle};

/// The oracle. Where losses are judged, it judges every message and subscription, or queue group, that nothing excuses;
/// elsewhere every delivery.
#[derive(Debug)]
pub(super) struct Delivery;

impl Oracle for Delivery {
    fn name(&self) -> &'static str {
        "delivery"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        let expected = facts.scenario.expect.delivery?;
        let operations = Operations::of(history);
        let delivered = deliveries(history, &operations);
        let mut got = BTreeMap::<_, Vec<Stamp>>::new();
        for delivery in &delivered {
            if let Some(publication) = delivery.publication {
                got.entry((publication, delivery.subscription)).or_default().push(delivery.stamp);
            }
        }
        let mut court = Court {
            facts,
            within: expected.within,
            calm: expected.calm,
            promise: facts.broker.delivery,
            disturbed: disturbances(history, facts),
            reach: Reach::of(history, facts, expected.within),
            paths: BTreeMap::new(),
            subscriptions: subscriptions(&operations),
            got,
            findings: Findings::default(),
            judged: 0,
        };
        court.judge_ended(&delivered);
        if matches!(facts.broker.order, Some(Order::PerPublisher | Order::Total)) {
            court.judge_order(&delivered, &operations);
        }
        if facts.broker.order == Some(Order::Total) {
            court.judge_total_order(&delivered);
        }
        if !court.judge_messages(&operations) {
            court.judged = delivered.len() as u64;
        }
        Some(court.findings.judgement(self.name(), court.judged))
    }
}

struct Court<'a> {
    facts: &'a Facts,
    within: Duration,
    calm: Option<Duration>,
    promise: Option<Promise>,
    disturbed: Spans,
    reach: Reach<'a>,
    /// When messages could get from one host to another.
    paths: BTreeMap<(&'a str, &'a str), Spans>,
    subscriptions: BTreeMap<OperationId, Subscription<'a>>,
    got: BTreeMap<(OperationId, OperationId), Vec<Stamp>>,
    findings: Findings,
    judged: u64,
}

/// A message and the time in which everything about it must have stood still for it to be owed.
#[derive(Clone, Copy)]
struct Owed<'a> {
    run: Run<'a>,
    topic: &'a str,
    from: Moment,
    due: Moment,
    loss_judged: bool,
}

impl<'a> Court<'a> {
    /// Judges what became of each message. Answers whether losses could be judged at all.
    fn judge_messages(&mut self, operations: &Operations<'a>) -> bool {
        let losses = match self.promise {
            None => false,
            Some(Promise::AtMostOnce) => self.calm.is_some(),
            Some(Promise::AtLeastOnce | Promise::ExactlyOnce) => true,
        };
        let mut by_topic = BTreeMap::<&str, Vec<OperationId>>::new();
        let mut groups = BTreeMap::<(&str, &str), Vec<OperationId>>::new();
        for (id, subscription) in &self.subscriptions {
            match subscription.queue {
                None => by_topic.entry(subscription.topic).or_default().push(*id),
                Some(queue) => groups.entry((subscription.topic, queue)).or_default().push(*id),
            }
        }
        let mut published = BTreeMap::<&str, Vec<Moment>>::new();
        for run in operations.iter() {
            if let Operation::Publish { topic, .. } = run.operation {
                published.entry(topic).or_default().push(run.invoked.at);
            }
        }
        for run in operations.iter() {
            let Operation::Publish { topic, .. } = run.operation else { continue };
            let returned = run.succeeded();
            let due = returned.map_or(run.invoked.at, |returned| returned.at) + self.within;
            let from = Moment(run.invoked.at.0.saturating_sub(self.calm.map_or(0, |calm| Moment::after(calm).0)));
            let loss_judged = losses
                && returned.is_some()
                && due < self.facts.end
                && self.is_calm(from, &run, due)
                && self.has_room(published.get(topic.as_str()).map_or(&[][..], Vec::as_slice), run.invoked.at, due);
            let owed = Owed { run, topic, from, due, loss_judged };
            for id in by_topic.get(topic.as_str()).into_iter().flatten() {
                self.judge_subscription(owed, *id);
            }
            for ((_, queue), members) in groups.range((topic.as_str(), "")..).take_while(|((of, _), _)| of == topic) {
                self.judge_group(owed, queue, members);
            }
        }
        losses
    }

    /// Whether the promise holds for a message at all: nothing was broken, and nothing changed on purpose, near it.
    fn is_calm(&self, from: Moment, run: &Run<'_>, due: Moment) -> bool {
        match (self.calm, self.promise) {
            (Some(calm), _) => !self.disturbed.touches(from, run.invoked.at + calm),
            (None, Some(Promise::ExactlyOnce)) => !self.disturbed.touches(from, due),
            (None, _) => true,
        }
    }

    /// Whether a broker that drops what a slow consumer does not take had room for all messages of the topic.
    fn has_room(&self, published: &[Moment], at: Moment, due: Moment) -> bool {
        let (SlowConsumer::Drops { buffered } | SlowConsumer::Disconnects { buffered }) =
            self.facts.broker.slow_consumer.unwrap_or(SlowConsumer::Blocks)
        else {
            return true;
        };
        let early = Moment(at.0.saturating_sub(Moment::after(self.within).0));
        let first = published.partition_point(|published| *published < early);
        published.partition_point(|published| *published <= due) - first <= buffered
    }

    fn path_covers(&mut self, from_host: &'a str, to_host: &'a str, from: Moment, until: Moment) -> bool {
        if !self.paths.contains_key(&(from_host, to_host)) {
            let spans = self.path(from_host, to_host);
            self.paths.insert((from_host, to_host), spans);
        }
        self.paths[&(from_host, to_host)].covers(from, until)
    }

    fn path(&self, from: &str, to: &str) -> Spans {
        let (reach, promises) = (&self.reach, &self.facts.broker);
        if promises.shared_state {
            return reach.alive(from).and(&reach.alive(to));
        }
        if let Some(kind) = promises.backend {
            let backends = self.facts.hosts.iter().filter(|host| host.kind == HostKind::Backend && host.group == kind);
            let through = |backend: &str| reach.between(from, backend).and(&reach.between(backend, to));
            return backends
                .map(|backend| through(&backend.name))
                .reduce(|all, spans| all.and(&spans))
                .unwrap_or_default();
        }
        // Without a backend, subscribers are found through the registry.
        reach.between(from, to).and(&reach.registry(from)).and(&reach.registry(to))
    }

    /// Whether a second delivery breaks a promise.
    fn once_promised(&self, owed: &Owed<'_>, until: Moment) -> bool {
        match self.promise {
            Some(Promise::AtMostOnce) => true,
            Some(Promise::ExactlyOnce) => !self.disturbed.touches(owed.run.invoked.at, until),
            Some(Promise::AtLeastOnce) | None => false,
        }
    }

    fn judge_subscription(&mut self, owed: Owed<'_>, id: OperationId) {
        let subscription = self.subscriptions[&id];
        let got = self.got.get(&(owed.run.id, id)).cloned().unwrap_or_default();
        if let [first, second, ..] = got[..]
            && self.once_promised(&owed, second.at)
        {
            let sentence = format!(
                "{} should have got message {} of {} once; it got it {} times, at {} and {}",
                subscription.host,
                owed.run.id,
                owed.topic,
                got.len(),
                first.at,
                second.at
            );
            let events = [owed.run.invoked.sequence, first.sequence, second.sequence];
            self.findings.add(u64::MAX / 2 + got.len() as u64, sentence, events);
        }
        let open = owed.loss_judged && subscription.open_throughout(owed.from, owed.due);
        if !open || !self.owes(owed, &subscription) {
            return;
        }
        self.judged += 1;
        if got.first().is_some_and(|first| first.at <= owed.due) {
            return;
        }
        let whom = format!("{}, subscribed since {},", subscription.host, text_of(subscription.opened));
        self.accuse_of_loss(owed, &whom, got.first().copied(), subscription.opened);
    }

    fn judge_group(&mut self, owed: Owed<'_>, queue: &str, members: &[OperationId]) {
        let mut got: Vec<Stamp> = Vec::new();
        for id in members {
            got.extend(self.got.get(&(owed.run.id, *id)).into_iter().flatten());
        }
        got.sort_by_key(|stamp| stamp.sequence);
        let until = got.get(1).map_or(owed.due, |second| second.at.max(owed.due));
        let current = |member: &&Subscription<'_>| !member.changes_between(owed.from, until);
        let all: Vec<Subscription<'_>> = members.iter().map(|id| self.subscriptions[id]).collect();
        if !all.iter().all(|member| current(&member)) {
            return;
        }
        if let [first, second, ..] = got[..]
            && self.once_promised(&owed, second.at)
        {
            let sentence = format!(
                "one member of queue {queue} should have got message {} of {} once; they got it {} times, at {} and {}",
                owed.run.id,
                owed.topic,
                got.len(),
                first.at,
                second.at
            );
            let events = [owed.run.invoked.sequence, first.sequence, second.sequence];
            self.findings.add(u64::MAX / 2 + got.len() as u64, sentence, events);
        }
        let open: Vec<&Subscription<'_>> =
            all.iter().filter(|member| member.open_throughout(owed.from, owed.due)).collect();
        // The broker may choose any member, so each must be in reach.
        if !owed.loss_judged || open.is_empty() || !open.iter().all(|member| self.owes(owed, member)) {
            return;
        }
        self.judged += 1;
        if got.first().is_some_and(|first| first.at <= owed.due) {
            return;
        }
        let whom = format!("one of the {} members of queue {queue}", open.len());
        self.accuse_of_loss(owed, &whom, got.first().copied(), open[0].opened);
    }

    fn owes(&mut self, owed: Owed<'_>, subscription: &Subscription<'_>) -> bool {
        let Some((publisher, subscriber)) = self.known(owed.run.host).zip(self.known(subscription.host)) else {
            return false;
        };
        self.path_covers(publisher, subscriber, owed.from, owed.due)
    }

    fn known(&self, host: &str) -> Option<&'a str> {
        self.facts.hosts.iter().map(|known| known.name.as_str()).find(|known| *known == host)
    }

    fn accuse_of_loss(&mut self, owed: Owed<'_>, whom: &str, late: Option<Stamp>, opened: Option<Stamp>) {
        let got = late.map_or_else(|| "it never arrived".to_owned(), |late| format!("it arrived at {}", late.at));
        let sentence = format!(
            "{whom} should have got message {} of {}, published on {} at {}, by {} ({} after publishing returned); {got}",
            owed.run.id,
            owed.topic,
            owed.run.host,
            owed.run.invoked.at,
            owed.due,
            text(self.within)
        );
        let off_by = late.map_or(u64::MAX / 2, |late| clarity(late.at.since(owed.due)));
        let events = [owed.run.invoked.sequence].into_iter().chain(owed.run.returned.map(|returned| returned.sequence));
        self.findings.add(
            off_by,
            sentence,
            events.chain([opened, late].into_iter().flatten().map(|stamp| stamp.sequence)),
        );
    }

    fn judge_ended(&mut self, delivered: &[Delivered]) {
        for delivery in delivered {
            let Some(subscription) = self.subscriptions.get(&delivery.subscription) else { continue };
            let Some(ended) = subscription.unsubscribed.filter(|ended| delivery.stamp.sequence > ended.sequence) else {
                continue;
            };
            let sentence = format!(
                "{} should have got nothing of {} after unsubscribing returned at {}; it got a message at {}",
                subscription.host, subscription.topic, ended.at, delivery.stamp.at
            );
            self.findings.add(u64::MAX, sentence, [ended.sequence, delivery.stamp.sequence]);
        }
    }

    /// A message whose publishing returned before another one's began, on the same host, arrives before it.
    fn judge_order(&mut self, delivered: &[Delivered], operations: &Operations<'_>) {
        let mut newest = BTreeMap::<(&str, OperationId), (Stamp, Stamp)>::new();
        let mut seen = std::collections::BTreeSet::new();
        for delivery in delivered {
            let Some(run) = delivery.publication.and_then(|id| operations.get(id)) else { continue };
            if !seen.insert((run.id, delivery.subscription)) {
                continue;
            }
            let before = newest.entry((run.host, delivery.subscription)).or_insert((run.invoked, delivery.stamp));
            if before.0.sequence < run.invoked.sequence {
                *before = (run.invoked, delivery.stamp);
            }
            let (later_published, later_delivered) = *before;
            let Some(returned) = run.returned.filter(|returned| returned.sequence < later_published.sequence) else {
                continue;
            };
            let host =
                self.subscriptions.get(&delivery.subscription).map_or("a subscriber", |subscription| subscription.host);
            let sentence = format!(
                "{host} should have got the messages of {} in the order of publishing; it got the one published at {} only at {}, \
                 after the one published at {}",
                run.host, run.invoked.at, delivery.stamp.at, later_published.at
            );
            let events =
                [returned.sequence, later_published.sequence, later_delivered.sequence, delivery.stamp.sequence];
            self.findings.add(u64::MAX / 2, sentence, events);
        }
    }

    /// All subscriptions of a topic get what they get in the order in which the one that got most did.
    fn judge_total_order(&mut self, delivered: &[Delivered]) {
        let mut sequences = BTreeMap::<&str, BTreeMap<OperationId, Vec<(OperationId, Stamp)>>>::new();
        let mut seen = std::collections::BTreeSet::new();
        for delivery in delivered {
            let subscription = self.subscriptions.get(&delivery.subscription);
            let Some((publication, subscription)) = delivery.publication.zip(subscription) else { continue };
            if seen.insert((publication, delivery.subscription)) {
                let of_topic = sequences.entry(subscription.topic).or_default();
                of_topic.entry(delivery.subscription).or_default().push((publication, delivery.stamp));
            }
        }
        for (topic, by_subscription) in sequences {
            let Some(longest) = by_subscription.values().max_by_key(|messages| messages.len()) else { continue };
            let places: BTreeMap<OperationId, usize> =
                longest.iter().enumerate().map(|(place, (id, _))| (*id, place)).collect();
            for (id, messages) in &by_subscription {
                let common: Vec<_> =
                    messages.iter().filter_map(|(message, stamp)| Some((places.get(message)?, stamp))).collect();
                let Some(pair) = common.windows(2).find(|pair| pair[0].0 > pair[1].0) else { continue };
                let sentence = format!(
                    "all subscribers of {topic} should have got messages in one order; {} got two of them, at {} and {}, the \
                     other way round than another",
                    self.subscriptions[id].host, pair[0].1.at, pair[1].1.at
                );
                let there = [longest[*pair[0].0].1, longest[*pair[1].0].1].map(|stamp| stamp.sequence);
                self.findings.add(
                    u64::MAX / 4,
                    sentence,
                    [pair[0].1.sequence, pair[1].1.sequence].into_iter().chain(there),
                );
            }
        }
    }
}

fn text_of(stamp: Option<Stamp>) -> String {
    stamp.map_or_else(String::new, |stamp| stamp.at.to_string())
}
