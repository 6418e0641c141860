//! The law of printing, over scenarios that use every field.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::duration::Signed;
use super::model::{
    AnswersMatch, BackendRestart, BackendShape, Between, Calls, Choice, Churn, ChurnAction, Clients, CommandLine,
    Crash, DeliveryExpectation, Expect, FailStop, Fairness, Fault, HowDown, ImageRun, LatencyBound, LeaderLost,
    LeaseExpiry, Link, LinkChange, LinkLatency, LinkLoss, Live, Load, LossGranularity, Needs, Network, OnBackend,
    OnHost, OptionValue, Partition, Phases, Publish, Ready, RegisteredBy, Runs, Scenario, Service, Skew, Stack, Stop,
    Subscribe, SuccessRate, ToxicBandwidth, ToxicDirection, ToxicDown, ToxicFault, ToxicLatency, ToxicLimit,
    ToxicSlicer, ToxicSlowClose, ToxicTimeout, Watch, WatchOrder, Within,
};
use super::{check, parse, print};
use crate::engine::engines;
use crate::plan::Plan;
use crate::world::Distribution;

/// On the heap, as larger parts are: the stack of a test has no room for all of them where nothing is optimised.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z][a-z0-9]{0,6}",
        1 => Just("user".to_owned()),
        1 => "\\PC{0,12}",
        1 => prop_oneof![Just("true"), Just("null"), Just("1.10"), Just("~"), Just("- x"), Just("a: b"), Just("a\nb")]
            .prop_map(str::to_owned),
    ]
    .boxed()
}

fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0u64..100_000).prop_map(Duration::from_millis),
        (0u64..1_000_000_000_000_000_000).prop_map(Duration::from_nanos),
    ]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..1.0f64, 1.0..100.0f64, Just(1e-6), Just(0.0), Just(1e300), -10.0..0.0f64]
}

fn choice() -> impl Strategy<Value = Choice> {
    let value = prop_oneof![
        any::<bool>().prop_map(OptionValue::Bool),
        any::<i64>().prop_map(OptionValue::Integer),
        number().prop_map(OptionValue::Number),
        time().prop_map(OptionValue::Duration),
        // Texts that read as durations are durations.
        word().prop_filter("no duration", |text| super::duration::parse(text).is_err()).prop_map(OptionValue::Text),
    ];
    (word(), btree_map(word(), value, 0..3)).prop_map(|(plugin, options)| Choice { plugin, options })
}

fn stack() -> impl Strategy<Value = Stack> {
    let half = (of(choice()), of(choice()), of(choice()), of(choice()));
    (half, (of(choice()), of(choice()), of(choice()), of(choice()))).prop_map(|(one, two)| Stack {
        transport: one.0,
        codec: one.1,
        registry: one.2,
        selector: one.3,
        broker: two.0,
        client: two.1,
        server: two.2,
        service: two.3,
    })
}

fn service() -> impl Strategy<Value = Service> {
    (0u32..5, word(), labels(), time(), time(), time(), of(runs().boxed())).prop_map(
        |(replicas, version, metadata, ttl, interval, work, runs)| Service {
            replicas,
            version,
            metadata,
            register_ttl: ttl,
            register_interval: interval,
            work,
            runs,
        },
    )
}

fn runs() -> impl Strategy<Value = Runs> {
    let ready = || (of(word()), time()).prop_map(|(path, within)| Ready { path, within });
    let stop = || time().prop_map(|within| Stop { within });
    let command = (vec(word(), 0..3), labels(), of(word()), ready(), stop());
    let command =
        command.prop_map(|(line, env, directory, ready, stop)| CommandLine { line, env, directory, ready, stop });
    let image = (word(), vec(word(), 0..3), labels(), ready(), stop());
    let image = image.prop_map(|(name, line, env, ready, stop)| ImageRun { name, line, env, ready, stop });
    let who = prop_oneof![Just(RegisteredBy::Itself), Just(RegisteredBy::Shaketable)];
    (of(command), of(image), of(word()), of(who), of(time()))
        .prop_map(|(command, image, url, registered_by, ttl)| Runs { command, image, url, registered_by, ttl })
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(word(), word(), 0..3)
}

fn calls() -> impl Strategy<Value = Calls> {
    let first = (word(), word(), of(number()), of(0u32..9), time(), time(), any::<bool>());
    let other = (of(word()), of(word()), of(word()), of(word()));
    let all = (first, of(word()), labels(), 0u32..900, of(0u32..9), other);
    all.prop_map(|(first, version, label, body_bytes, stream_messages, other)| {
        let (from, to, rate, workers, think, timeout, idempotent) = first;
        let (endpoint, http, content_type, body) = other;
        Calls {
            from,
            to,
            rate,
            workers,
            think,
            timeout,
            idempotent,
            version,
            label,
            body_bytes,
            stream_messages,
            endpoint,
            http,
            content_type,
            body,
        }
    })
}

fn load() -> impl Strategy<Value = Load> {
    let action = prop_oneof![
        Just(ChurnAction::Join),
        Just(ChurnAction::Leave),
        Just(ChurnAction::Flap),
        Just(ChurnAction::Move),
        Just(ChurnAction::Metadata),
        Just(ChurnAction::Version)
    ];
    let publish = (word(), word(), number(), 0u32..900).prop_map(|(from, topic, rate, body_bytes)| Publish {
        from,
        topic,
        rate,
        body_bytes,
    });
    let subscribe =
        (word(), word(), of(word()), time()).prop_map(|(on, topic, queue, work)| Subscribe { on, topic, queue, work });
    let watch = (word(), of(word())).prop_map(|(on, service)| Watch { on, service });
    let churn = (word(), time(), vec(action, 0..4), 0u32..4).prop_map(|(of, every, actions, keep)| Churn {
        of,
        every,
        actions,
        keep,
    });
    (of(calls().boxed()), of(publish), of(subscribe), of(watch), of(churn))
        .prop_map(|(calls, publish, subscribe, watch, churn)| Load { calls, publish, subscribe, watch, churn })
}

fn latency() -> impl Strategy<Value = Distribution> {
    prop_oneof![
        (time(), time()).prop_map(|(min, max)| Distribution::Uniform { min, max }),
        (time(), time()).prop_map(|(mean, deviation)| Distribution::Normal { mean, deviation }),
        (time(), time()).prop_map(|(median, p99)| Distribution::LongTail { median, p99 }),
    ]
}

fn link() -> impl Strategy<Value = LinkChange> {
    let packets = (of(latency()), number(), number(), number(), number());
    (word(), word(), any::<bool>(), packets, of(0u64..1_000_000), of(0u64..1_000_000)).prop_map(
        |(a, b, one_way, (latency, loss, duplicate, reorder, corrupt), bytes_per_second, queue_bytes)| LinkChange {
            a,
            b,
            one_way,
            latency,
            loss,
            duplicate,
            reorder,
            corrupt,
            bytes_per_second,
            queue_bytes,
        },
    )
}

fn network() -> impl Strategy<Value = Network> {
    let packets = (number(), number(), number(), number());
    (latency(), time(), packets, of(0u64..1_000_000), of(0u64..1_000_000)).prop_map(
        |(latency, tick, (loss, duplicate, reorder, corrupt), bytes_per_second, queue_bytes)| Network {
            latency,
            tick,
            loss,
            duplicate,
            reorder,
            corrupt,
            bytes_per_second,
            queue_bytes,
        },
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    let between = (time(), time()).prop_map(|(from, to)| Between { from, to });
    let on_host = || of(word().prop_map(|host| OnHost { host }));
    let crash = (word(), any::<bool>()).prop_map(|(host, fin)| Crash { host, fin });
    let partition = (vec(word(), 0..4), any::<bool>()).prop_map(|(groups, one_way)| Partition { groups, one_way });
    let between_two = || of((word(), word()).prop_map(|(a, b)| Link { a, b }));
    let latency = (word(), word(), time()).prop_map(|(a, b, latency)| LinkLatency { a, b, latency });
    let granularity = prop_oneof![Just(LossGranularity::Link), Just(LossGranularity::Packet)];
    let loss = (word(), word(), number(), granularity).prop_map(|(a, b, probability, granularity)| LinkLoss {
        a,
        b,
        probability,
        granularity,
    });
    let how = prop_oneof![Just(HowDown::Kill), Just(HowDown::Term)];
    let backend = (word(), how).prop_map(|(backend, how)| BackendRestart { backend, how });
    let on_backend = || of(word().prop_map(|backend| OnBackend { backend }));
    let on_backends = (on_backend(), on_backend()).boxed();
    let lost = word().prop_map(|backend| LeaderLost { backend });
    let times = (of(time()), of(time()), of(between), of(time()));
    let by = (time(), any::<bool>()).prop_map(|(span, back)| Signed { span, back: back && !span.is_zero() });
    let skew = (word(), by).prop_map(|(host, by)| Skew { host, by });
    let hosts = (of(crash), on_host(), on_host(), on_host(), of(backend), of(skew), of(lost), on_backends);
    // Boxed: all of it at once is more than the stack of a test.
    let (times, hosts, loss) = (times.boxed(), hosts.boxed(), of(loss).boxed());
    let (partition, hold, latency, reset) =
        (of(partition).boxed(), between_two().boxed(), of(latency).boxed(), between_two().boxed());
    (times, hosts, partition, hold, latency, loss, reset, of(link()).boxed(), of(toxic()).boxed()).prop_map(
        |(times, hosts, partition, hold, latency, loss, reset, link, toxic)| Fault {
            at: times.0,
            every: times.1,
            between: times.2,
            lasting: times.3,
            crash: hosts.0,
            restart: hosts.1,
            lease_lost: hosts.2,
            pause: hosts.3,
            backend_restart: hosts.4,
            skew: hosts.5,
            leader_lost: hosts.6,
            backend_pause: hosts.7.0,
            compaction: hosts.7.1,
            link,
            toxic,
            partition,
            hold,
            latency,
            loss,
            reset,
        },
    )
}

fn toxic() -> impl Strategy<Value = ToxicFault> {
    let direction =
        prop_oneof![Just(ToxicDirection::Upstream), Just(ToxicDirection::Downstream), Just(ToxicDirection::Both)];
    let timeout = || of(time().prop_map(|timeout| ToxicTimeout { timeout }));
    let latency = (time(), time()).prop_map(|(latency, jitter)| ToxicLatency { latency, jitter });
    let slicer = (any::<u64>(), any::<u64>(), time()).prop_map(|(average_size, size_variation, delay)| ToxicSlicer {
        average_size,
        size_variation,
        delay,
    });
    let bandwidth = any::<u64>().prop_map(|rate| ToxicBandwidth { rate });
    let limit = any::<u64>().prop_map(|bytes| ToxicLimit { bytes });
    let close = time().prop_map(|delay| ToxicSlowClose { delay });
    let shape = (word(), word(), of(direction), of(number())).boxed();
    let kinds = (of(latency), of(bandwidth), of(close), timeout(), timeout(), of(slicer), of(limit)).boxed();
    (shape, kinds, of(Just(ToxicDown {}))).prop_map(|(shape, kinds, down)| ToxicFault {
        a: shape.0,
        b: shape.1,
        direction: shape.2,
        toxicity: shape.3,
        latency: kinds.0,
        bandwidth: kinds.1,
        slow_close: kinds.2,
        timeout: kinds.3,
        reset_peer: kinds.4,
        slicer: kinds.5,
        limit_data: kinds.6,
        down,
    })
}

fn expect() -> impl Strategy<Value = Expect> {
    let within = || of(time().prop_map(|within| Within { within }));
    let lease = (time(), 0u32..9).prop_map(|(late, at_least)| LeaseExpiry { late, at_least });
    let order = of(time()).prop_map(|within| WatchOrder { within });
    let fairness =
        (number(), of(number())).prop_map(|(false_alarm, max_min_ratio)| Fairness { false_alarm, max_min_ratio });
    let delivery = (time(), of(time())).prop_map(|(within, calm)| DeliveryExpectation { within, calm });
    let success = (word(), number()).prop_map(|(phase, at_least)| SuccessRate { phase, at_least });
    let latency =
        (word(), number(), time()).prop_map(|(phase, quantile, at_most)| LatencyBound { phase, quantile, at_most });
    let bounds = (within(), within(), within(), within(), of(Just(FailStop {})));
    let answers = of(Just(AnswersMatch {}));
    let once = (of(lease), of(order), of(fairness), answers, of(delivery));
    (bounds, once, vec(success, 0..3), vec(latency, 0..3)).prop_map(
        |(bounds, (lease_expiry, watch_order, selector_fairness, answers_match, delivery), success_rate, latency)| {
            Expect {
                registration_visible: bounds.0,
                no_stale_calls: bounds.1,
                views_converge: bounds.2,
                nothing_hangs: bounds.3,
                fail_stop: bounds.4,
                lease_expiry,
                watch_order,
                selector_fairness,
                answers_match,
                delivery,
                success_rate,
                latency,
            }
        },
    )
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let needs = of((word(), word()).prop_map(|(engine, because)| Needs { engine, because }));
    let phases = (time(), time(), time()).prop_map(|(warmup, shake, settle)| Phases { warmup, shake, settle });
    let clients = (0u32..4).prop_map(|count| Clients { count });
    let hosts = (btree_map(word(), service().boxed(), 0..3), btree_map(word(), clients, 0..3));
    let matrix = btree_map(word(), vec(word(), 0..3), 0..3);
    let live = (time(), btree_map(word(), word(), 0..3), of(word()));
    let live = live.prop_map(|(slack, leave_out, never_because)| Live { slack, leave_out, never_because });
    let backends = btree_map(word(), (0u32..7).prop_map(|members| BackendShape { members }), 0..2);
    let named = (word(), needs, live, backends);
    let (loads, faults) = (vec(load().boxed(), 0..3), vec(fault().boxed(), 0..3));
    let (named, stack, expect) = (named.boxed(), stack().boxed(), expect().boxed());
    let (matrix, hosts, network) = (matrix.boxed(), hosts.boxed(), network().boxed());
    (named, stack, matrix, hosts, network, phases, loads, faults, 0u32..50, expect).prop_map(
        |((name, needs, live, backends), stack, matrix, hosts, network, phases, load, faults, seeds, expect)| {
            Scenario {
                name,
                needs,
                stack,
                matrix,
                services: hosts.0,
                clients: hosts.1,
                backends,
                network,
                phases,
                load,
                faults,
                seeds,
                live,
                expect,
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same(scenario in scenario()) {
        let text = print(&scenario).unwrap();
        match parse("printed.yaml", &text) {
            Ok(parsed) => prop_assert_eq!(parsed, scenario, "{}", text),
            Err(problems) => prop_assert!(false, "{problems}\n{text}"),
        }
    }

    #[test]
    fn checking_takes_any_scenario(scenario in scenario()) {
        let text = print(&scenario).unwrap();
        let (plugins, engines) = (check::tests::plugins(), engines());
        let problems = check("printed.yaml", &text, &scenario, &plugins, &engines[0], &engines);
        prop_assert!(!problems.render(true).is_empty() || problems.is_empty());
    }

    #[test]
    fn what_checks_without_error_can_be_planned(
        mut fault in fault(),
        seconds in (0u64..50, 0u64..50, 0u64..50),
        seed in any::<u64>(),
    ) {
        let mut scenario =
            parse("crash.yaml", include_str!("../../../scenarios/lease-expiry-crash.yaml")).unwrap();
        // Times near the shake phase of 50 s and one kind that is right: what is left to chance is how they are combined.
        let seconds = (Duration::from_secs(seconds.0), Duration::from_secs(seconds.1), Duration::from_secs(seconds.2));
        fault.at = fault.at.map(|_| seconds.0);
        fault.every = fault.every.map(|_| seconds.1);
        fault.between = fault.between.map(|_| Between { from: seconds.0, to: seconds.2 });
        let Fault { at, every, between, lasting, .. } = fault;
        let crash = scenario.faults[0].crash.clone();
        scenario.faults.push(Fault { at, every, between, lasting, crash, ..Fault::default() });
        let text = print(&scenario).unwrap();
        let (plugins, engines) = (check::tests::plugins(), engines());
        let problems = check("printed.yaml", &text, &scenario, &plugins, &engines[0], &engines);
        let plan = Plan::draw(&scenario, seed, &["etcd".to_owned()]);
        prop_assert!(problems.has_errors() || plan.is_ok(), "{:?}", plan);
        if let (false, Ok(plan)) = (problems.has_errors(), plan) {
            prop_assert!(plan.faults.iter().any(|fault| fault.entry == 1), "{text}");
        }
    }
}

#[test]
fn a_printed_file_reads_well() {
    let text = include_str!("../../../scenarios/lease-expiry-renewal.yaml");
    insta::assert_snapshot!(print(&parse("renewal.yaml", text).unwrap()).unwrap());
}
