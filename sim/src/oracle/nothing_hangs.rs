//! `nothing_hangs`: every operation ends in its own time and a little more, unless its host died.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::{History, Operation};

use super::findings::{Findings, clarity, text};
use super::operations::{Operations, Run};
use super::reach::Reach;
use super::spans::Spans;
use super::{Facts, Judgement, Oracle};

/// The oracle. It judges every operation that returned, or should have. Time in which the host was paused does not
/// count.
#[derive(Debug)]
pub(super) struct NothingHangs;

impl Oracle for NothingHangs {
    fn name(&self) -> &'static str {
        "nothing_hangs"
    }

    fn judge(&self, history: &History, facts: &Facts) -> Option<Judgement> {
        let within = facts.scenario.expect.nothing_hangs?.within;
        let operations = Operations::of(history);
        let reach = Reach::of(history, facts, within);
        let (mut findings, mut judged, mut alive) = (Findings::default(), 0, BTreeMap::<&str, Spans>::new());
        for run in operations.iter() {
            let limit = own_time(run.operation, facts) + within;
            let until = run.returned.map_or(facts.end, |returned| returned.at);
            let alive = alive.entry(run.host).or_insert_with(|| reach.alive(run.host));
            let took = alive.length_between(run.invoked.at, until);
            if run.returned.is_none() && (took <= limit || gave_up(&operations, &run)) {
                continue;
            }
            judged += 1;
            if took <= limit {
                continue;
            }
            let happened =
                if run.returned.is_some() { "it took" } else { "it was still under way when the run ended, after" };
            findings.add(
                clarity(took - limit),
                format!(
                    "{} on {}, begun at {}, should have ended within {}; {happened} {}",
                    describe(run.operation),
                    run.host,
                    run.invoked.at,
                    text(limit),
                    text(took)
                ),
                [run.invoked.sequence].into_iter().chain(run.returned.map(|returned| returned.sequence)),
            );
        }
        Some(findings.judgement(self.name(), judged))
    }
}

/// Whether nobody waits for `run` any more: its host died, or the operation on the same host that it was a part of has
/// returned, which drops its parts. Handlers are no parts of what led to them.
fn gave_up(operations: &Operations<'_>, run: &Run<'_>) -> bool {
    if operations.cut_off(run).is_some() {
        return true;
    }
    let handler = matches!(run.operation, Operation::Handle { .. } | Operation::Deliver { .. });
    let whole = run.cause.and_then(|cause| operations.get(cause));
    !handler && whole.is_some_and(|whole| whole.host == run.host && whole.id != run.id && whole.returned.is_some())
}

/// How long an operation may take by itself.
fn own_time(operation: &Operation, facts: &Facts) -> Duration {
    let scenario = &facts.scenario;
    let handling = || scenario.services.values().map(|service| service.work).max().unwrap_or_default();
    let delivering =
        || scenario.load.iter().filter_map(|load| Some(load.subscribe.as_ref()?.work)).max().unwrap_or_default();
    let calling =
        || scenario.load.iter().filter_map(|load| Some(load.calls.as_ref()?.timeout)).max().unwrap_or_default();
    match operation {
        Operation::Call { timeout, .. } => *timeout,
        Operation::Stream { .. } => calling(),
        Operation::Handle { .. } => handling(),
        // A publish may deliver before it returns, and a graceful stop waits for what is being handled.
        Operation::Deliver { .. } | Operation::Publish { .. } | Operation::ClientPublish { .. } => delivering(),
        Operation::Stop { .. }
        | Operation::StopService { .. }
        | Operation::Unsubscribe { .. }
        | Operation::Disconnect => handling().max(delivering()),
        _ => Duration::ZERO,
    }
}

fn describe(operation: &Operation) -> String {
    match operation {
        Operation::Register { service, node, .. } => format!("registering node {} of {service}", node.id),
        Operation::Deregister { service, .. } => format!("deregistering from {service}"),
        Operation::GetService { service } => format!("looking up {service}"),
        Operation::ListServices => "listing services".to_owned(),
        Operation::Watch { .. } => "opening a watch".to_owned(),
        Operation::Select { service, .. } => format!("selecting a node of {service}"),
        Operation::Load { service } => format!("loading {service}"),
        Operation::Call { service, endpoint, .. } => format!("the call of {endpoint} of {service}"),
        Operation::Stream { service, endpoint } => format!("opening a stream to {endpoint} of {service}"),
        Operation::ClientPublish { topic } => format!("the client's publishing to {topic}"),
        Operation::Handle { endpoint, node } => format!("the handler of {endpoint} at node {node}"),
        Operation::Connect => "connecting the broker".to_owned(),
        Operation::Disconnect => "disconnecting the broker".to_owned(),
        Operation::Publish { topic, .. } => format!("publishing to {topic}"),
        Operation::Subscribe { topic, .. } => format!("subscribing to {topic}"),
        Operation::Unsubscribe { subscription } => format!("ending subscription {subscription}"),
        Operation::Deliver { topic, .. } => format!("the handler of {topic}"),
        Operation::Dial { address } => format!("dialling {address}"),
        Operation::Listen { address } => format!("listening at {address}"),
        Operation::Start { service } | Operation::StartService { service } => format!("starting {service}"),
        Operation::Stop { service } | Operation::StopService { service } => format!("stopping {service}"),
    }
}
