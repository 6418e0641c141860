//! Expectations: bounds that make sense, and something in the scenario that can prove or break each.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Checker, mend};
use crate::scenario::model::{Expect, Load};

const PHASES: [&str; 3] = ["warmup", "shake", "settle"];

impl Checker<'_> {
    pub(super) fn expectations(&mut self) {
        let expect = &self.scenario.expect;
        if *expect == Expect::default() {
            let mend = "write at least one, as in 'nothing_hangs: { within: 10s }'".to_owned();
            self.error("expect", "nothing is expected, so nothing can break", mend);
        }
        let scenario = self.scenario;
        let any = |has: fn(&Load) -> bool| scenario.load.iter().any(has);
        let calls = any(|load| load.calls.is_some());
        let watched = any(|load| load.watch.is_some());
        let views = "calls or a watch, to see registrations";
        let faults = &scenario.faults;
        let stops = faults.iter().any(|fault| {
            let of_backend = fault.backend_restart.is_some() || fault.backend_pause.is_some();
            let restarts = of_backend || fault.leader_lost.is_some();
            fault.crash.is_some() || fault.pause.is_some() || restarts
        });
        self.evidence("fail_stop", expect.fail_stop.is_some(), stops, "a fault that stops a host: a crash or a pause");
        self.evidence("registration_visible", expect.registration_visible.is_some(), calls || watched, views);
        self.evidence("no_stale_calls", expect.no_stale_calls.is_some(), calls, "calls");
        self.evidence("watch_order", expect.watch_order.is_some(), watched || calls, views);
        self.evidence("selector_fairness", expect.selector_fairness.is_some(), calls, "calls");
        self.evidence("answers_match", expect.answers_match.is_some(), calls, "calls");
        self.evidence("success_rate", !expect.success_rate.is_empty(), calls, "calls");
        self.evidence("latency", !expect.latency.is_empty(), calls, "calls");
        self.evidence("nothing_hangs", expect.nothing_hangs.is_some(), !scenario.load.is_empty(), "a load");
        let published: BTreeSet<_> =
            scenario.load.iter().filter_map(|load| Some(&load.publish.as_ref()?.topic)).collect();
        let mut subscribed = scenario.load.iter().filter_map(|load| Some(&load.subscribe.as_ref()?.topic));
        let delivered = subscribed.any(|topic| published.contains(topic));
        self.evidence("delivery", expect.delivery.is_some(), delivered, "publish and subscribe on one topic");
        let stops_renewal = scenario.faults.iter().any(|fault| {
            fault.crash.is_some()
                || fault.pause.is_some()
                || fault.partition.is_some()
                || fault.hold.is_some()
                || fault.loss.is_some()
                || fault.link.is_some()
                || fault.toxic.is_some()
                || fault.backend_pause.is_some()
        });
        let needs = "a fault that stops renewals, such as a crash or a partition from the registry";
        self.evidence("lease_expiry", expect.lease_expiry.is_some(), stops_renewal, needs);
        self.bounds();
        self.phases_named();
    }

    fn evidence(&mut self, name: &str, expected: bool, given: bool, needs: &str) {
        if expected && !given {
            let place = self.key(&format!("expect.{name}"));
            let message = format!("nothing in this scenario can give evidence for {name}");
            self.problems.error(&place, message, format!("it needs {needs}"));
        }
    }

    fn bounds(&mut self) {
        let expect = &self.scenario.expect;
        let within: [(&str, Option<Duration>); 6] = [
            ("registration_visible", expect.registration_visible.map(|bound| bound.within)),
            ("no_stale_calls", expect.no_stale_calls.map(|bound| bound.within)),
            ("watch_order", expect.watch_order.and_then(|bound| bound.within)),
            ("views_converge", expect.views_converge.map(|bound| bound.within)),
            ("delivery", expect.delivery.map(|bound| bound.within)),
            ("nothing_hangs", expect.nothing_hangs.map(|bound| bound.within)),
        ];
        for (name, within) in within {
            if let Some(within) = within {
                self.some_time(&format!("expect.{name}.within"), within);
            }
        }
        if let Some(converge) = expect.views_converge.filter(|bound| bound.within >= self.scenario.phases.settle) {
            let (within, settle) = (super::shown(converge.within), super::shown(self.scenario.phases.settle));
            let message = format!("the run ends {settle} after the heal; convergence within {within} is never judged");
            self.error("expect.views_converge.within", message, "make phases.settle longer".to_owned());
        }
        if let Some(fairness) = expect.selector_fairness {
            if !(fairness.false_alarm > 0.0 && fairness.false_alarm < 1.0) {
                let message = format!("{} is no probability of a false alarm", fairness.false_alarm);
                self.error(
                    "expect.selector_fairness.false_alarm",
                    message,
                    "write one above 0, such as 1e-6".to_owned(),
                );
            }
            if fairness.max_min_ratio.is_some_and(|ratio| ratio.is_nan() || ratio < 1.0) {
                let mend = "1 asks for equal counts; write more".to_owned();
                self.error("expect.selector_fairness.max_min_ratio", "the most used node is used most", mend);
            }
        }
    }

    fn phases_named(&mut self) {
        let expect = &self.scenario.expect;
        for (index, bound) in expect.success_rate.iter().enumerate() {
            let path = format!("expect.success_rate[{index}]");
            self.phase(&format!("{path}.phase"), &bound.phase);
            self.share(&format!("{path}.at_least"), bound.at_least);
        }
        for (index, bound) in expect.latency.iter().enumerate() {
            let path = format!("expect.latency[{index}]");
            self.phase(&format!("{path}.phase"), &bound.phase);
            self.share(&format!("{path}.quantile"), bound.quantile);
            self.some_time(&format!("{path}.at_most"), bound.at_most);
        }
    }

    fn phase(&mut self, path: &str, name: &str) {
        if !PHASES.contains(&name) {
            self.error(path, format!("no phase is called '{name}'"), mend(name, PHASES.into_iter()));
        } else if name == "shake" && self.scenario.phases.shake.is_zero() {
            self.error(path, "the shake phase takes no time", None);
        }
    }
}
