//! What a plugin promises, in words.

use shaketable_reports::duration_in_words;
use shaketable_stack::plugin::{Delivery, Order, Promises, Simulatable, SlowConsumer};

/// `promises` in one line; what is not promised is not there.
pub(crate) fn in_words(promises: &Promises) -> String {
    let mut words = Vec::new();
    words.extend(promises.delivery.map(|delivery| match delivery {
        Delivery::AtMostOnce => "delivers at most once".to_owned(),
        Delivery::AtLeastOnce => "delivers at least once".to_owned(),
        Delivery::ExactlyOnce => "delivers once while nothing is broken".to_owned(),
    }));
    words.extend(promises.order.map(|order| match order {
        Order::Unordered => "in no order".to_owned(),
        Order::PerPublisher => "in each publisher's order".to_owned(),
        Order::Total => "in the same order for everyone".to_owned(),
    }));
    words.extend(promises.slow_consumer.map(|slow| match slow {
        SlowConsumer::Blocks => "a slow consumer makes the sender wait".to_owned(),
        SlowConsumer::Drops { buffered } => format!("a slow consumer loses what exceeds {buffered} messages"),
        SlowConsumer::Disconnects { buffered } => format!("a slow consumer is cut off beyond {buffered} messages"),
    }));
    words.extend(promises.message_bytes_max.map(|bytes| format!("messages up to {bytes} bytes")));
    words.extend(promises.ttl_granularity.map(|unit| match unit.is_zero() {
        true => "TTL to the instant".to_owned(),
        false => format!("TTL in steps of {}", duration_in_words(unit)),
    }));
    words.extend(promises.expiry_slack.map(|slack| format!("expiry at most {} late", duration_in_words(slack))));
    words.extend(promises.backend.map(|backend| format!("needs {backend}")));
    words.extend(promises.lacks.iter().map(|ability| format!("without {}", ability.as_str())));
    if promises.shared_state {
        words.push("its state belongs to the world: no network fault touches it".to_owned());
    }
    if let Simulatable::No(reason) = promises.simulatable {
        words.push(format!("not in the simulator: {reason}"));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Delivery, Promises, Simulatable, in_words};

    #[test]
    fn only_what_is_promised_is_said() {
        assert_eq!(in_words(&Promises::default()), "");
        let promises = Promises {
            delivery: Some(Delivery::AtMostOnce),
            ttl_granularity: Some(Duration::from_secs(1)),
            simulatable: Simulatable::No("librdkafka has threads of its own"),
            ..Promises::default()
        };
        assert_eq!(
            in_words(&promises),
            "delivers at most once, TTL in steps of 1s, not in the simulator: librdkafka has threads of its own"
        );
    }
}
