//! The line that an adapter says when it is ready.

use std::time::Duration;

use serde::Deserialize;
use shaketable_stack::plugin::{Ability, Delivery, Order, Promises, Simulatable, SlowConsumer};

use super::MESSAGE_BYTES_MAX;

/// The version of the protocol that this harness speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// What an adapter says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// Version of the protocol.
    pub shaketable_subject: u32,
    /// Where it listens, on loopback.
    pub address: String,
    /// The largest message of the protocol, in bytes.
    pub message_bytes_max: usize,
    /// The interfaces that it serves.
    pub interfaces: Vec<String>,
    /// What the plugin promises.
    #[serde(default)]
    pub promises: SubjectPromises,
    /// Whose time the plugin lives in.
    #[serde(default)]
    pub clock: SubjectClock,
}

/// Whose time a plugin behind an adapter lives in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectClock {
    /// Everybody's.
    #[default]
    Real,
    /// The harness's: it passes when the harness lets it.
    Virtual,
}

/// What an adapter's plugin promises; what is absent is not promised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubjectPromises {
    /// `at_most_once`, `at_least_once` or `exactly_once`.
    pub delivery: Option<String>,
    /// `unordered`, `per_publisher` or `total`.
    pub order: Option<String>,
    /// `blocks`, `drops` or `disconnects`.
    pub slow_consumer: Option<String>,
    /// Messages that are kept for a slow consumer before that happens.
    pub slow_consumer_buffered: Option<usize>,
    /// Largest message, in bytes.
    pub message_bytes_max: Option<usize>,
    /// The unit to which a TTL is rounded up, in milliseconds.
    pub ttl_granularity_ms: Option<u64>,
    /// How late an expired registration may still be seen, in milliseconds.
    pub expiry_slack_ms: Option<u64>,
    /// The kind of backend that it needs; the harness is given its address.
    pub backend: Option<String>,
    /// Content types of a codec.
    pub content_types: Vec<String>,
    /// What it is without: `ttl`, `watch`, `watch_all`, `list`, `queue_groups`, `streams`, `events`.
    pub lacks: Vec<String>,
}

impl Handshake {
    /// Reads the line.
    ///
    /// # Errors
    /// One sentence, with the mend.
    pub fn read(line: &str) -> Result<Self, String> {
        let shown: String = line.chars().take(120).collect();
        // The version first: what else a line of another version says is not known.
        let value: serde_json::Value = serde_json::from_str(line)
            .map_err(|error| format!("its first line is no handshake ({error}): {shown:?}; {MEND}"))?;
        match value.get("shaketable_subject").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(PROTOCOL_VERSION) => {}
            Some(version) => {
                return Err(format!(
                    "it speaks version {version} of the protocol, this program version {PROTOCOL_VERSION}; use an adapter \
                     for that version"
                ));
            }
            None => return Err(format!("its first line is no handshake: {shown:?}; {MEND}")),
        }
        let handshake: Self =
            serde_json::from_value(value).map_err(|error| format!("its handshake is wrong: {error}; {MEND}"))?;
        let host = handshake.address.rsplit_once(':').map(|(host, _)| host.trim_matches(['[', ']']));
        let is_loopback =
            host.and_then(|host| host.parse::<std::net::IpAddr>().ok()).is_some_and(|ip| ip.is_loopback());
        if !is_loopback {
            return Err(format!(
                "it listens at '{}'; an adapter listens on loopback, 127.0.0.1:PORT",
                handshake.address
            ));
        }
        if handshake.message_bytes_max != MESSAGE_BYTES_MAX {
            return Err(format!(
                "its message_bytes_max is {}; it must be {MESSAGE_BYTES_MAX}, and both limits of its gRPC server, too",
                handshake.message_bytes_max
            ));
        }
        Ok(handshake)
    }

    /// What the plugin promises.
    ///
    /// # Errors
    /// A word that is not known, with those that are.
    pub fn promises(&self) -> Result<Promises, String> {
        let said = &self.promises;
        let buffered = said.slow_consumer_buffered.unwrap_or(1);
        Ok(Promises {
            delivery: word(
                "delivery",
                said.delivery.as_deref(),
                &[
                    ("at_most_once", Delivery::AtMostOnce),
                    ("at_least_once", Delivery::AtLeastOnce),
                    ("exactly_once", Delivery::ExactlyOnce),
                ],
            )?,
            order: word(
                "order",
                said.order.as_deref(),
                &[("unordered", Order::Unordered), ("per_publisher", Order::PerPublisher), ("total", Order::Total)],
            )?,
            slow_consumer: word(
                "slow_consumer",
                said.slow_consumer.as_deref(),
                &[
                    ("blocks", SlowConsumer::Blocks),
                    ("drops", SlowConsumer::Drops { buffered }),
                    ("disconnects", SlowConsumer::Disconnects { buffered }),
                ],
            )?,
            message_bytes_max: said.message_bytes_max,
            ttl_granularity: said.ttl_granularity_ms.map(Duration::from_millis),
            expiry_slack: said.expiry_slack_ms.map(Duration::from_millis),
            simulatable: Simulatable::No(crate::judge::BEHIND_AN_ADAPTER),
            shared_state: false,
            backend: said.backend.as_ref().map(|_| super::GIVEN),
            lacks: lacks(&said.lacks)?,
        })
    }

    /// Content types of a codec; the first is sent.
    pub(super) fn content_types(&self) -> &'static [&'static str] {
        let texts: Vec<&'static str> =
            self.promises.content_types.iter().map(|text| &*Box::leak(text.clone().into_boxed_str())).collect();
        Box::leak(texts.into_boxed_slice())
    }
}

const MEND: &str = "an adapter prints one line of JSON when it is ready, such as {\"shaketable_subject\":1,\"address\":\
                    \"127.0.0.1:41234\",\"message_bytes_max\":67108864,\"interfaces\":[\"registry\"]}, and everything else \
                    on its standard error stream";

fn word<T: Copy>(name: &str, said: Option<&str>, known: &[(&str, T)]) -> Result<Option<T>, String> {
    let Some(said) = said else { return Ok(None) };
    if let Some((_, value)) = known.iter().find(|(word, _)| *word == said) {
        return Ok(Some(*value));
    }
    let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
    Err(format!("its handshake says {name} '{said}'; there are: {}", words.join(", ")))
}

/// What a plugin lacks lives as long as the program, as that of a plugin in Rust does.
fn lacks(said: &[String]) -> Result<&'static [Ability], String> {
    let all = [
        Ability::Ttl,
        Ability::Watch,
        Ability::WatchAll,
        Ability::List,
        Ability::QueueGroups,
        Ability::Streams,
        Ability::Events,
    ];
    let known: Vec<(&str, Ability)> = all.into_iter().map(|ability| (ability.as_str(), ability)).collect();
    let mut lacks = Vec::new();
    for said in said {
        lacks.extend(word("lacks", Some(said), &known)?);
    }
    Ok(Box::leak(lacks.into_boxed_slice()))
}

#[cfg(test)]
mod tests {
    use super::Handshake;

    const LINE: &str = r#"{"shaketable_subject":1,"address":"127.0.0.1:4000","message_bytes_max":67108864,
        "interfaces":["registry"],"promises":{"ttl_granularity_ms":1000,"lacks":["watch","watch_all"],"order":"total"}}"#;

    #[test]
    fn a_handshake_is_read_with_its_promises() {
        let handshake = Handshake::read(LINE).unwrap();
        let promises = handshake.promises().unwrap();
        assert_eq!(promises.ttl_granularity.unwrap().as_secs(), 1);
        assert_eq!(promises.lacks.len(), 2);
        assert_eq!(handshake.interfaces, ["registry"]);
    }

    #[test]
    fn what_is_no_handshake_is_told_with_the_mend() {
        for (wrong, told) in [
            ("listening on 4000".to_owned(), "an adapter prints one line of JSON"),
            ("{}".to_owned(), "no handshake"),
            (LINE.replace("subject\":1", "subject\":2"), "speaks version 2"),
            (LINE.replace("127.0.0.1", "0.0.0.0"), "on loopback"),
            (LINE.replace("67108864", "4194304"), "it must be 67108864"),
            (LINE.replace("address", "adress"), "adress"),
        ] {
            let text = Handshake::read(&wrong).unwrap_err();
            assert!(text.contains(told), "{text}");
        }
        let wrong = Handshake::read(&LINE.replace("total", "any")).unwrap().promises().unwrap_err();
        assert!(wrong.contains("order 'any'; there are: unordered, per_publisher, total"), "{wrong}");
    }
}
