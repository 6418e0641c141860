//! Durations as people write them: `90s`, `1m30s`, `250ms`.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&print(*duration))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(D::Error::custom)
}

/// Prints a duration as [`parse`] reads it: `1m30s`.
pub fn print(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// Reads a duration.
///
/// # Errors
/// A sentence with the mend.
pub fn parse(text: &str) -> Result<Duration, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() && text != "0" {
        return Err(format!("'{text}' is no duration: it has no unit; write '{text}s' or '{text}ms'"));
    }
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|_| format!("'{text}' is no duration; write it as 500ms, 30s or 1m30s"))
}

pub(super) mod optional {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

/// A span of time with a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// How long.
    pub span: Duration,
    /// Back in time.
    pub back: bool,
}

impl Signed {
    /// In nanoseconds; what is further away than 292 years is at 292 years.
    pub fn nanoseconds(self) -> i64 {
        let span = i64::try_from(self.span.as_nanos()).unwrap_or(i64::MAX);
        if self.back { -span } else { span }
    }
}

pub(super) mod signed {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Signed;

    pub(in super::super) fn serialize<S: Serializer>(signed: &Signed, serializer: S) -> Result<S::Ok, S::Error> {
        let sign = if signed.back { "-" } else { "" };
        serializer.collect_str(&format_args!("{sign}{}", super::print(signed.span)))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Signed, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (back, span) = match text.strip_prefix('-') {
            Some(span) => (true, span),
            None => (false, text.strip_prefix('+').unwrap_or(&text)),
        };
        super::parse(span).map(|span| Signed { span, back: back && !span.is_zero() }).map_err(D::Error::custom)
    }
}
