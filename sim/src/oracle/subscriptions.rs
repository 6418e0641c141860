//! Subscriptions, publications and deliveries as a history shows them. What a broker owes is the `delivery` oracle's business.

use std::collections::BTreeMap;

use crate::history::{Edge, History, Moment, Operation, OperationId};

use super::operations::{Operations, Stamp};

/// A subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription<'a> {
    pub(super) host: &'a str,
    pub(super) topic: &'a str,
    pub(super) queue: Option<&'a str>,
    pub(super) invoked: Stamp,
    /// None: subscribing failed or never returned; deliveries may come even so.
    pub(super) opened: Option<Stamp>,
    /// When it began to end: it was unsubscribed, the broker disconnected, the host died. None: open until the run ended.
    pub(super) closing: Option<Stamp>,
    /// When `unsubscribe` returned.
    pub(super) unsubscribed: Option<Stamp>,
    /// When it had ended for certain.
    pub(super) ended: Option<Stamp>,
}

/// One delivery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub(super) subscription: OperationId,
    pub(super) publication: Option<OperationId>,
    pub(super) stamp: Stamp,
}

impl Subscription<'_> {
    /// Whether it was open from `from` to `until`.
    pub(super) fn open_throughout(&self, from: Moment, until: Moment) -> bool {
        self.opened.is_some_and(|opened| opened.at <= from) && self.closing.is_none_or(|closing| until < closing.at)
    }

    /// Whether it was being opened or ended at some time from `from` to `until`.
    pub(super) fn changes_between(&self, from: Moment, until: Moment) -> bool {
        if self.ended.is_some_and(|ended| ended.at < from) {
            return false;
        }
        let opening = self.invoked.at <= until && self.opened.is_none_or(|opened| opened.at > from);
        opening || self.closing.is_some_and(|closing| closing.at <= until)
    }
}

/// All subscriptions by the operation that made them.
pub(super) fn subscriptions<'a>(operations: &Operations<'a>) -> BTreeMap<OperationId, Subscription<'a>> {
    let mut subscriptions = BTreeMap::new();
    let mut disconnects = BTreeMap::<&str, Vec<(Stamp, Option<Stamp>)>>::new();
    for run in operations.iter() {
        if let Operation::Disconnect = run.operation {
            disconnects.entry(run.host).or_default().push((run.invoked, run.succeeded()));
        }
    }
    for run in operations.iter() {
        let Operation::Subscribe { topic, queue } = run.operation else { continue };
        let after = run.invoked.sequence;
        let mut disconnected = disconnects.get(run.host).into_iter().flatten().copied();
        let disconnected = disconnected.find(|(began, _)| began.sequence > after);
        let crashed = operations.crash_after(run.host, after);
        let ends = [disconnected, crashed.map(|crash| (crash, Some(crash)))];
        let end = ends.into_iter().flatten().min_by_key(|(began, _)| began.sequence);
        let crashed_or = |ended: Option<Stamp>| ended.or(crashed);
        let (closing, ended) = (end.map(|(began, _)| began), end.and_then(|(_, ended)| crashed_or(ended)));
        let subscription = Subscription {
            host: run.host,
            topic,
            queue: queue.as_deref(),
            invoked: run.invoked,
            opened: run.succeeded(),
            closing,
            unsubscribed: None,
            ended,
        };
        // One that failed may have left something behind, but nobody owes it anything.
        if run.returned.is_none() || run.succeeded().is_some() {
            subscriptions.insert(run.id, subscription);
        }
    }
    for run in operations.iter() {
        let Operation::Unsubscribe { subscription } = run.operation else { continue };
        if let Some(subscription) = subscriptions.get_mut(subscription) {
            let done = run.succeeded();
            if subscription.closing.is_none_or(|closing| run.invoked.sequence < closing.sequence) {
                subscription.closing = Some(run.invoked);
                subscription.ended = done.or(subscription.ended);
            }
            subscription.unsubscribed = subscription.unsubscribed.or(done);
        }
    }
    subscriptions
}

/// All deliveries, in order.
pub(super) fn deliveries(history: &History, operations: &Operations<'_>) -> Vec<Delivery> {
    let invocations = history.events.iter().filter(|event| matches!(*event.edge, Edge::Invoke(_)));
    invocations
        .filter_map(|event| {
            let run = operations.get(event.operation?)?;
            let Operation::Deliver { subscription, .. } = run.operation else { return None };
            let publication = run.cause.filter(|cause| {
                operations.get(*cause).is_some_and(|cause| matches!(cause.operation, Operation::Publish { .. }))
            });
            Some(Delivery { subscription: *subscription, publication, stamp: run.invoked })
        })
        .collect()
}
