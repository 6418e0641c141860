//! Distributions of latency as people write them: `5ms`, `{ min: 1ms, max: 10ms }`, `{ mean: 5ms, deviation: 1ms }`,
//! `{ median: 2ms, p99: 80ms }`. Written by hand because serde's `untagged` gives messages without a place or a mend.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serializer};

use super::duration;
use crate::world::Distribution;

const FORMS: &str =
    "a latency such as 5ms, { min: 1ms, max: 10ms }, { mean: 5ms, deviation: 1ms } or { median: 2ms, p99: 80ms }";

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Distribution, D::Error> {
    deserializer.deserialize_any(DistributionVisitor)
}

pub(super) fn serialize<S: Serializer>(latency: &Distribution, serializer: S) -> Result<S::Ok, S::Error> {
    let entries = match *latency {
        Distribution::Uniform { min, max } if min == max => return duration::serialize(&min, serializer),
        Distribution::Uniform { min, max } => [("min", min), ("max", max)],
        Distribution::Normal { mean, deviation } => [("mean", mean), ("deviation", deviation)],
        Distribution::LongTail { median, p99 } => [("median", median), ("p99", p99)],
    };
    let mut map = serializer.serialize_map(Some(entries.len()))?;
    for (name, span) in entries {
        map.serialize_entry(name, &duration::print(span))?;
    }
    map.end()
}

pub(super) mod optional {
    use serde::{Deserializer, Serializer};

    use crate::world::Distribution;

    pub(in super::super) fn serialize<S: Serializer>(
        latency: &Option<Distribution>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match latency {
            Some(latency) => super::serialize(latency, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Distribution>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

/// A type of its own, so that a slip is refused while its key is read and shown at its place.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Min,
    Max,
    Mean,
    Deviation,
    Median,
    P99,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Span(#[serde(with = "duration")] Duration);

struct DistributionVisitor;

impl<'de> Visitor<'de> for DistributionVisitor {
    type Value = Distribution;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(FORMS)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Distribution, E> {
        duration::parse(text).map(Distribution::constant).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Distribution, E> {
        duration::parse(&number.to_string()).map(Distribution::constant).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Distribution, E> {
        duration::parse(&number.to_string()).map(Distribution::constant).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Distribution, A::Error> {
        let (mut min, mut max, mut mean, mut deviation, mut median, mut p99) = (None, None, None, None, None, None);
        while let Some(field) = map.next_key()? {
            let place = match field {
                Field::Min => &mut min,
                Field::Max => &mut max,
                Field::Mean => &mut mean,
                Field::Deviation => &mut deviation,
                Field::Median => &mut median,
                Field::P99 => &mut p99,
            };
            *place = Some(map.next_value::<Span>()?.0);
        }
        match (min, max, mean, deviation, median, p99) {
            (Some(min), Some(max), None, None, None, None) => Ok(Distribution::Uniform { min, max }),
            (None, None, Some(mean), Some(deviation), None, None) => Ok(Distribution::Normal { mean, deviation }),
            (None, None, None, None, Some(median), Some(p99)) => Ok(Distribution::LongTail { median, p99 }),
            _ => Err(A::Error::custom(format!("these do not belong together; write {FORMS}"))),
        }
    }
}
