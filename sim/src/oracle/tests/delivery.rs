//! `delivery` before hand-written histories; the bound is 1 s.

use shaketable_stack::plugin::{Delivery as Promise, Order, Promises, SlowConsumer};

use crate::history::{Operation, Point};
use crate::oracle::delivery::Delivery;
use crate::oracle::testing::{Story, ms};
use crate::scenario::model::{DeliveryExpectation, Expect, LossGranularity};
use crate::world::Fault;

/// A broker without a backend that promises `delivery`, and order per publisher.
fn story(delivery: Promise, calm: Option<u64>) -> Story {
    let delivery_expectation = Some(DeliveryExpectation { within: ms(1_000), calm: calm.map(ms) });
    let mut story = Story::new(Expect { delivery: delivery_expectation, ..Expect::default() });
    story.facts.broker = Promises { delivery: Some(delivery), order: Some(Order::PerPublisher), ..Promises::default() };
    story
}

fn churn(story: &mut Story, at: u64) {
    story.point(at, "world", Point::Churn { host: "users-1".to_owned(), action: "leave".to_owned() });
}

#[test]
fn a_message_that_one_subscriber_misses_is_found() {
    let mut story = story(Promise::ExactlyOnce, None);
    let first = story.subscribe(1_000, 1_010, "users-1", None);
    story.subscribe(1_000, 1_010, "users-2", None);
    let message = story.publish(5_000, 5_010, "callers-1");
    story.deliver(5_005, "users-1", first, message);
    let parts = ["users-2, subscribed since 1.010s", "published on callers-1 at 5.000s", "by 6.010s", "never arrived"];
    assert_eq!(story.trips(&Delivery, &parts).judged, 2);
}

#[test]
fn a_delivery_exactly_at_the_bound_is_in_time() {
    for (delivered_at, findings) in [(6_010, 0), (6_011, 1)] {
        let mut story = story(Promise::ExactlyOnce, None);
        let subscription = story.subscribe(1_000, 1_010, "users-1", None);
        let message = story.publish(5_000, 5_010, "callers-1");
        story.deliver(delivered_at, "users-1", subscription, message);
        assert_eq!(story.judge(&Delivery).findings.len(), findings, "delivered at {delivered_at}");
    }
}

#[test]
fn a_message_that_arrives_twice_is_found_unless_the_broker_says_that_it_may() {
    for (promise, findings) in [(Promise::AtMostOnce, 1), (Promise::ExactlyOnce, 1), (Promise::AtLeastOnce, 0)] {
        let mut story = story(promise, None);
        let subscription = story.subscribe(1_000, 1_010, "users-1", None);
        let message = story.publish(5_000, 5_010, "callers-1");
        story.deliver(5_005, "users-1", subscription, message);
        story.deliver(5_900, "users-1", subscription, message);
        let judgement = story.judge(&Delivery);
        assert_eq!(judgement.findings.len(), findings, "{promise:?}");
        assert!(judgement.findings.iter().all(|finding| finding.sentence.contains("it got it 2 times")));
    }
}

#[test]
fn a_queue_shares_each_message() {
    let mut story = story(Promise::ExactlyOnce, None);
    let one = story.subscribe(1_000, 1_010, "users-1", Some("workers"));
    let two = story.subscribe(1_000, 1_010, "users-2", Some("workers"));
    for (at, (host, member)) in [(5_000, ("users-1", one)), (6_000, ("users-2", two)), (7_000, ("users-2", two))] {
        let message = story.publish(at, at + 5, "callers-1");
        story.deliver(at + 3, host, member, message);
    }
    story.passes(&Delivery, 3);
    let message = story.publish(8_000, 8_010, "callers-1");
    story.deliver(8_005, "users-1", one, message);
    story.deliver(8_006, "users-2", two, message);
    story.trips(&Delivery, &["one member of queue workers", "they got it 2 times"]);
}

#[test]
fn a_message_that_no_member_of_a_queue_gets_is_found() {
    let mut story = story(Promise::ExactlyOnce, None);
    story.subscribe(1_000, 1_010, "users-1", Some("workers"));
    story.subscribe(1_000, 1_010, "users-2", Some("workers"));
    story.publish(5_000, 5_010, "callers-1");
    story.trips(&Delivery, &["one of the 2 members of queue workers", "never arrived"]);
}

#[test]
fn a_queue_whose_members_change_owes_nothing_meanwhile() {
    let mut story = story(Promise::ExactlyOnce, None);
    story.subscribe(1_000, 1_010, "users-1", Some("workers"));
    let leaving = story.subscribe(1_000, 1_010, "users-2", Some("workers"));
    story.publish(5_000, 5_010, "callers-1");
    story.done(5_500, 5_600, "users-2", Operation::Unsubscribe { subscription: leaving });
    story.passes(&Delivery, 0);
}

#[test]
fn nothing_arrives_after_unsubscribing() {
    let mut story = story(Promise::AtMostOnce, None);
    let subscription = story.subscribe(1_000, 1_010, "users-1", None);
    let before = story.publish(4_980, 4_990, "callers-1");
    story.done(5_000, 5_010, "users-1", Operation::Unsubscribe { subscription });
    story.deliver(5_005, "users-1", subscription, before);
    story.passes(&Delivery, 1);
    let after = story.publish(5_020, 5_025, "callers-1");
    story.deliver(5_030, "users-1", subscription, after);
    story.trips(
        &Delivery,
        &["users-1 should have got nothing of news after unsubscribing returned at 5.010s", "at 5.030s"],
    );
}

#[test]
fn messages_of_one_publisher_arrive_in_its_order() {
    let mut story = story(Promise::AtMostOnce, None);
    let subscription = story.subscribe(1_000, 1_010, "users-1", None);
    let first = story.publish(5_000, 5_010, "callers-1");
    let second = story.publish(5_011, 5_020, "callers-1");
    story.deliver(5_030, "users-1", subscription, second);
    story.deliver(5_031, "users-1", subscription, first);
    story.trips(&Delivery, &["in the order of publishing", "published at 5.000s only at 5.031s"]);
    story.facts.broker.order = Some(Order::Unordered);
    story.passes(&Delivery, 2);
}

#[test]
fn messages_published_at_the_same_time_or_by_different_hosts_have_no_order() {
    let mut story = story(Promise::AtMostOnce, None);
    let subscription = story.subscribe(1_000, 1_010, "users-1", None);
    let first = story.publish(5_000, 5_010, "callers-1");
    let meanwhile = story.publish(5_009, 5_020, "callers-1");
    let elsewhere = story.publish(5_100, 5_110, "callers-2");
    for (at, message) in [(5_200, elsewhere), (5_201, meanwhile), (5_202, first)] {
        story.deliver(at, "users-1", subscription, message);
    }
    story.passes(&Delivery, 3);
}

#[test]
fn a_total_order_is_the_same_for_everyone() {
    let mut story = story(Promise::AtMostOnce, None);
    story.facts.broker.order = Some(Order::Total);
    let one = story.subscribe(1_000, 1_010, "users-1", None);
    let two = story.subscribe(1_000, 1_010, "users-2", None);
    let (a, b) = (story.publish(5_000, 5_010, "callers-1"), story.publish(5_000, 5_010, "callers-2"));
    for (at, message) in [(5_020, b), (5_021, a)] {
        story.deliver(at, "users-1", one, message);
        story.deliver(at + 5, "users-2", two, message);
    }
    story.passes(&Delivery, 4);
    let (c, d) = (story.publish(6_000, 6_010, "callers-1"), story.publish(6_000, 6_010, "callers-2"));
    for (at, first, second) in [(6_020, c, d), (6_030, d, c)] {
        story.deliver(at, "users-1", one, first);
        story.deliver(at, "users-2", two, second);
    }
    story.trips(&Delivery, &["all subscribers of news should have got messages in one order"]);
}

#[test]
fn losses_of_a_broker_that_may_lose_are_judged_in_calm_alone() {
    let lossy = |calm| {
        let mut story = story(Promise::AtMostOnce, calm);
        story.subscribe(1_000, 1_010, "users-1", None);
        story.publish(15_000, 15_010, "callers-1");
        story
    };
    lossy(None).passes(&Delivery, 0);
    lossy(Some(3_000)).trips(&Delivery, &["users-1", "never arrived"]);
    for (churned_at, judged) in [(11_999, 1), (12_000, 0), (18_000, 0), (18_001, 1)] {
        let mut story = lossy(Some(3_000));
        churn(&mut story, churned_at);
        assert_eq!(story.judge(&Delivery).judged, judged, "churn at {churned_at}");
    }
}

#[test]
fn nobody_is_blamed_for_what_lies_between() {
    let between: [fn(&mut Story); 5] = [
        |story| story.cut(5_500, 5_600, "callers-1", "users-1"),
        |story| story.cut(5_500, 5_600, "users-1", "etcd"),
        |story| story.crash(5_500, "users-1"),
        |story| story.fault(5_500, Fault::BackendDown { host: "etcd".to_owned() }),
        |story| {
            let (a, b) = (vec!["users-1".to_owned()], vec!["callers-1".to_owned()]);
            story.fault(4_000, Fault::Loss { a, b, probability: 0.1, granularity: LossGranularity::Link });
        },
    ];
    for put_between in between {
        let mut story = story(Promise::AtLeastOnce, None);
        story.subscribe(1_000, 1_010, "users-1", None);
        story.publish(5_000, 5_010, "callers-1");
        assert_eq!(story.judge(&Delivery).findings.len(), 1);
        put_between(&mut story);
        story.passes(&Delivery, 0);
    }
}

#[test]
fn a_subscription_that_began_or_ended_around_the_message_may_miss_it() {
    let mut late = story(Promise::ExactlyOnce, None);
    late.subscribe(4_990, 5_001, "users-1", None);
    late.publish(5_000, 5_010, "callers-1");
    late.passes(&Delivery, 0);
    let mut leaving = story(Promise::ExactlyOnce, None);
    let subscription = leaving.subscribe(1_000, 1_010, "users-1", None);
    leaving.publish(5_000, 5_010, "callers-1");
    leaving.done(6_000, 6_020, "users-1", Operation::Unsubscribe { subscription });
    leaving.passes(&Delivery, 0);
    let mut disconnecting = story(Promise::ExactlyOnce, None);
    disconnecting.subscribe(1_000, 1_010, "users-1", None);
    disconnecting.publish(5_000, 5_010, "callers-1");
    disconnecting.done(5_500, 5_520, "users-1", Operation::Disconnect);
    disconnecting.passes(&Delivery, 0);
}

#[test]
fn a_message_that_could_not_be_published_is_owed_to_nobody() {
    let mut story = story(Promise::ExactlyOnce, None);
    story.subscribe(1_000, 1_010, "users-1", None);
    let failed = story.invoke(5_000, "callers-1", Operation::Publish { topic: "news".to_owned(), bytes: 1 });
    story.fail(5_010, "callers-1", failed, "Unreachable");
    story.passes(&Delivery, 0);
}

#[test]
fn a_broker_that_drops_beyond_its_buffer_owes_what_fits() {
    for (buffered, judged) in [(2, 0), (3, 3)] {
        let mut story = story(Promise::ExactlyOnce, None);
        story.facts.broker.slow_consumer = Some(SlowConsumer::Drops { buffered });
        story.subscribe(1_000, 1_010, "users-1", None);
        for at in 5_000..5_003 {
            story.publish(at, at, "callers-1");
        }
        assert_eq!(story.judge(&Delivery).judged, judged, "{buffered} buffered");
    }
}

#[test]
fn memory_shared_by_the_world_knows_no_network() {
    let mut story = story(Promise::ExactlyOnce, None);
    story.facts.broker.shared_state = true;
    story.cut(500, 1_900, "callers-1", "users-1");
    story.subscribe(1_000, 1_010, "users-1", None);
    story.publish(5_000, 5_010, "callers-1");
    story.trips(&Delivery, &["never arrived"]);
}
