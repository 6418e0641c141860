//! Loads: one kind each, done by hosts that there are, on services that there are, and not more than a run can carry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Checker;
use crate::plan::churn::CHANGES_MAX;
use crate::scenario::model::{Calls, Churn, ChurnAction, Load};

/// Calls, or events, that a world plans per simulated second, at most; bodies and streams likewise.
const PER_SECOND_MAX: f64 = 10_000.0;
const WORKERS_MAX: u32 = 1_000;
const BODY_BYTES_MAX: u32 = 4 * 1024 * 1024;
const STREAM_MESSAGES_MAX: u32 = 10_000;

impl Checker<'_> {
    pub(super) fn loads(&mut self) {
        let scenario = self.scenario;
        let mut per_second = 0.0;
        let mut churned = BTreeSet::new();
        for (index, load) in scenario.load.iter().enumerate() {
            let path = format!("load[{index}]");
            self.one_kind(&path, load);
            if let Some(calls) = &load.calls {
                per_second += self.calls(&format!("{path}.calls"), calls);
            }
            if let Some(publish) = &load.publish {
                let path = format!("{path}.publish");
                let hosts = self.members(&format!("{path}.from"), &publish.from, false);
                self.topic(&format!("{path}.topic"), &publish.topic);
                self.body(&path, publish.body_bytes);
                per_second += self.rate(&format!("{path}.rate"), publish.rate) * hosts as f64;
            }
            if let Some(subscribe) = &load.subscribe {
                self.members(&format!("{path}.subscribe.on"), &subscribe.on, false);
                self.topic(&format!("{path}.subscribe.topic"), &subscribe.topic);
                if subscribe.queue.as_deref() == Some("") {
                    let mend = "leave it out for a subscription of its own".to_owned();
                    self.error(&format!("{path}.subscribe.queue"), "a queue group without a name", mend);
                }
            }
            if let Some(watch) = &load.watch {
                self.members(&format!("{path}.watch.on"), &watch.on, false);
                if let Some(service) = &watch.service {
                    self.service(&format!("{path}.watch.service"), service);
                }
            }
            if let Some(churn) = &load.churn {
                self.churn(&format!("{path}.churn"), churn);
                if !churned.insert(&churn.of) {
                    let message = format!("the membership of '{}' is changed by two loads", churn.of);
                    self.error(&format!("{path}.churn.of"), message, "put their actions into one".to_owned());
                }
            }
        }
        if per_second > PER_SECOND_MAX {
            let message = format!("some {per_second:.0} operations a second; a world plans at most {PER_SECOND_MAX}");
            self.error("load", message, "lower the rates, or add 'think'".to_owned());
        }
        self.topics();
    }

    fn one_kind(&mut self, path: &str, load: &Load) {
        let kinds = [
            load.calls.is_some(),
            load.publish.is_some(),
            load.subscribe.is_some(),
            load.watch.is_some(),
            load.churn.is_some(),
        ];
        match kinds.into_iter().filter(|kind| *kind).count() {
            1 => {}
            0 => {
                let mend = "write one of calls, publish, subscribe, watch, churn".to_owned();
                self.error(path, "a load without a kind", mend);
            }
            _ => {
                self.error(path, "a load of more than one kind", "make each an entry of its own, with a '-'".to_owned())
            }
        }
    }

    /// How many a second it makes, roughly.
    fn calls(&mut self, path: &str, calls: &Calls) -> f64 {
        let hosts = self.members(&format!("{path}.from"), &calls.from, false) as f64;
        self.service(&format!("{path}.to"), &calls.to);
        self.some_time(&format!("{path}.timeout"), calls.timeout);
        self.body(path, calls.body_bytes);
        if let Some(messages) = calls.stream_messages.filter(|messages| !(1..=STREAM_MESSAGES_MAX).contains(messages)) {
            let message = format!("a stream of {messages} messages");
            self.error(&format!("{path}.stream_messages"), message, format!("write 1 to {STREAM_MESSAGES_MAX}"));
        }
        match (calls.rate, calls.workers) {
            (Some(rate), None) => {
                if !calls.think.is_zero() {
                    let mend = "leave it out, or write 'workers' instead of 'rate'".to_owned();
                    self.error(&format!("{path}.think"), "calls at a rate do not think", mend);
                }
                self.rate(&format!("{path}.rate"), rate) * hosts
            }
            (None, Some(workers)) => {
                if !(1..=WORKERS_MAX).contains(&workers) {
                    let message = format!("{workers} workers on each host");
                    self.error(&format!("{path}.workers"), message, format!("write 1 to {WORKERS_MAX}"));
                }
                let network = &self.scenario.network;
                let round = (network.latency.least().saturating_mul(2)).max(network.tick).max(Duration::from_micros(1));
                f64::from(workers) * hosts / round.saturating_add(calls.think).as_secs_f64()
            }
            (None, None) => {
                let mend = "write 'rate' for calls per second, or 'workers' for callers that wait".to_owned();
                self.error(path, "calls need a rate or workers", mend);
                0.0
            }
            (Some(_), Some(_)) => {
                self.error(
                    &format!("{path}.workers"),
                    "calls have either a rate or workers",
                    "leave one out".to_owned(),
                );
                0.0
            }
        }
    }

    /// The rate, or zero for one that makes no sense.
    fn rate(&mut self, path: &str, rate: f64) -> f64 {
        if rate > 0.0 && rate <= PER_SECOND_MAX {
            return rate;
        }
        self.error(path, format!("{rate} a second"), format!("write more than 0 and at most {PER_SECOND_MAX}"));
        0.0
    }

    fn topic(&mut self, path: &str, topic: &str) {
        if topic.trim().is_empty() {
            self.error(path, "a topic without a name", None);
        }
    }

    fn body(&mut self, path: &str, bytes: u32) {
        if bytes > BODY_BYTES_MAX {
            let message = format!("a body of {bytes} bytes");
            self.error(&format!("{path}.body_bytes"), message, format!("at most {BODY_BYTES_MAX}"));
        }
    }

    fn churn(&mut self, path: &str, churn: &Churn) {
        self.service(&format!("{path}.of"), &churn.of);
        self.some_time(&format!("{path}.every"), churn.every);
        let changes = self.scenario.phases.shake.as_nanos() / (churn.every.as_nanos() / 2).max(1);
        if changes > CHANGES_MAX as u128 && !churn.every.is_zero() {
            self.error(
                &format!("{path}.every"),
                "the membership changes too often",
                format!("at most {CHANGES_MAX} times"),
            );
        }
        if churn.actions.is_empty() {
            self.error(
                &format!("{path}.actions"),
                "churn without actions",
                "write some of join, leave, flap, move, metadata, version".to_owned(),
            );
        }
        let has = |action| churn.actions.contains(&action);
        let Some(replicas) = self.scenario.services.get(&churn.of).map(|service| service.replicas) else { return };
        if has(ChurnAction::Join) && !has(ChurnAction::Leave) {
            self.warning(
                &format!("{path}.actions"),
                "nobody ever joins: only who has left can",
                "add 'leave'".to_owned(),
            );
        }
        if has(ChurnAction::Leave) && churn.keep >= replicas {
            let message = format!("nobody ever leaves: {} of {replicas} replicas stay", churn.keep);
            self.warning(&format!("{path}.keep"), message, "lower 'keep', or add replicas".to_owned());
        }
    }

    /// Warns of topics with one side only.
    fn topics(&mut self) {
        let mut sides: BTreeMap<&str, (Option<usize>, Option<usize>)> = BTreeMap::new();
        for (index, load) in self.scenario.load.iter().enumerate() {
            if let Some(publish) = &load.publish {
                sides.entry(&publish.topic).or_default().0.get_or_insert(index);
            }
            if let Some(subscribe) = &load.subscribe {
                sides.entry(&subscribe.topic).or_default().1.get_or_insert(index);
            }
        }
        for (topic, side) in sides {
            match side {
                (Some(index), None) => {
                    self.warning(
                        &format!("load[{index}].publish.topic"),
                        format!("nobody subscribes to '{topic}'"),
                        None,
                    );
                }
                (None, Some(index)) => {
                    self.warning(
                        &format!("load[{index}].subscribe.topic"),
                        format!("nobody publishes to '{topic}'"),
                        None,
                    );
                }
                _ => {}
            }
        }
    }
}
