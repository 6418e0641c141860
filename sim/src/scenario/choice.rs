//! A plugin and its options as people write them: `etcd`, or `{ plugin: etcd, options: { timeout: 2s } }`. Written by hand
//! because serde's `untagged` gives messages without a place or a mend.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::duration;
use super::model::{Choice, OptionValue};

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChoiceVisitor)
    }
}

/// A type of its own, so that a slip is refused while its key is read and shown at its place.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Plugin,
    Options,
}

struct ChoiceVisitor;

impl<'de> Visitor<'de> for ChoiceVisitor {
    type Value = Choice;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a plugin, or { plugin: NAME, options: { … } }")
    }

    fn visit_str<E: Error>(self, plugin: &str) -> Result<Choice, E> {
        Ok(Choice { plugin: plugin.to_owned(), options: BTreeMap::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Choice, A::Error> {
        let (mut plugin, mut options) = (None, BTreeMap::new());
        while let Some(field) = map.next_key()? {
            match field {
                Field::Plugin => plugin = Some(map.next_value()?),
                Field::Options => options = map.next_value()?,
            }
        }
        Ok(Choice { plugin: plugin.ok_or_else(|| A::Error::missing_field("plugin"))?, options })
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.options.is_empty() {
            return serializer.serialize_str(&self.plugin);
        }
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("plugin", &self.plugin)?;
        map.serialize_entry("options", &self.options)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for OptionValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OptionVisitor)
    }
}

struct OptionVisitor;

impl Visitor<'_> for OptionVisitor {
    type Value = OptionValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("true, false, a number, a duration such as 30s, or a text")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<OptionValue, E> {
        Ok(OptionValue::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<OptionValue, E> {
        Ok(OptionValue::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<OptionValue, E> {
        i64::try_from(value).map(OptionValue::Integer).map_err(|_| E::custom(format!("{value} is too large")))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<OptionValue, E> {
        Ok(OptionValue::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<OptionValue, E> {
        Ok(match duration::parse(value) {
            Ok(duration) if value.starts_with(|first: char| first.is_ascii_digit()) => OptionValue::Duration(duration),
            _ => OptionValue::Text(value.to_owned()),
        })
    }
}

impl Serialize for OptionValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Duration(value) => duration::serialize(value, serializer),
        }
    }
}
