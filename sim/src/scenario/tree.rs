//! A YAML document as a tree in which every node knows its place. Knows YAML and its limits, not what the words mean:
//! parsing reads scenarios out of it, checking finds places in it.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Error, Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::problem::{Place, Problems};

/// A longer file is no scenario.
const FILE_BYTES_MAX: usize = 256 * 1024;

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The value itself; of a list or map its first entry.
    pub(super) place: Place,
    /// The scalar as it stands in the file, when it is not quoted.
    pub(super) raw: Option<String>,
    /// What it is.
    pub(super) value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A whole number beyond `i64`.
    Large(u64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// The key.
    pub(super) name: String,
    /// Where it stands.
    pub(super) place: Place,
}

/// Reads `text`.
///
/// # Errors
/// What is no YAML, or beyond what a scenario file may hold.
pub(super) fn read(file: &str, text: &str) -> Result<Node, Problems> {
    let mut problems = Problems::none(file, text);
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes; a scenario has at most {FILE_BYTES_MAX}", text.len());
        problems.error(&Place { line: 1, column: 1, ..Place::default() }, message, None);
        return Err(problems);
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 24,
            flow_nesting_limit: 64,
            max_nodes: 20_000,
            max_events: 60_000,
            max_aliases: 200,
            max_anchors: 200,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(node(raw, text)),
        Err(error) => {
            let error = error.without_snippet();
            let place = error.location().map_or_else(Place::default, |location| located(&location, text));
            let (message, mend) = words(error);
            problems.error(&place, message, mend);
            Err(problems)
        }
    }
}

impl Node {
    /// The node at `path`, such as `faults[2].crash.host`, or the last one on the way to it that there is.
    pub(super) fn nearest(&self, path: &str) -> (Option<&Key>, &Self) {
        let mut found = (None, self);
        for step in path.split(['.', '[']) {
            let next = match &found.1.value {
                Value::Map(entries) => {
                    entries.iter().find(|(key, _)| key.name == step).map(|(key, node)| (Some(key), node))
                }
                Value::List(items) => step
                    .strip_suffix(']')
                    .and_then(|index| index.parse::<usize>().ok())
                    .and_then(|index| items.get(index))
                    .map(|node| (None, node)),
                _ => None,
            };
            match next {
                Some(next) => found = next,
                None => break,
            }
        }
        found
    }

    /// Whether it is a list or a map.
    pub(super) fn is_collection(&self) -> bool {
        matches!(self.value, Value::List(_) | Value::Map(_))
    }
}

/// What the parser found wrong, in our words where its own speak of its settings.
fn words(error: &Error) -> (String, Option<String>) {
    let mend = |mend: &str| Some(mend.to_owned());
    match error {
        Error::AliasError { error, .. } => words(error),
        Error::Budget { breach: BudgetBreach::Documents { .. }, .. } | Error::MultipleDocuments { .. } => {
            ("the file holds more than one document".to_owned(), mend("write one scenario a file"))
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            ("the file is nested too deeply for a scenario".to_owned(), None)
        }
        // The parser's own limit for brackets within brackets, which it has no kind for.
        Error::ExternalMessage { msg, .. } if msg == "recursion limit exceeded" => {
            ("the file is nested too deeply for a scenario".to_owned(), None)
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => {
            ("the file is too large for a scenario, its aliases written out".to_owned(), None)
        }
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("'{key}' stands here twice"), mend("keep one of them"))
        }
        Error::MergeKeyNotAllowed { .. } => ("merge keys are not read here".to_owned(), mend("write the fields out")),
        other => (UserMessageFormatter.format_message(other).into_owned(), None),
    }
}

/// As [`place`]; where the parser says no bytes, they are found by line and column.
fn located(location: &Location, text: &str) -> Place {
    let mut place = place(location);
    if location.span().byte_offset().is_none() {
        let line_start: usize = text.split_inclusive('\n').take(place.line.saturating_sub(1)).map(str::len).sum();
        let line = text.get(line_start..).unwrap_or("");
        let before: usize = line.chars().take(place.column.saturating_sub(1)).map(char::len_utf8).sum();
        (place.start, place.end) = (line_start + before, line_start + before);
    }
    place
}

fn place(location: &Location) -> Place {
    let span = location.span();
    let start = usize::try_from(span.byte_offset().unwrap_or(0)).unwrap_or(usize::MAX);
    let length = usize::try_from(span.byte_len().unwrap_or(0)).unwrap_or(usize::MAX);
    Place {
        line: usize::try_from(location.line()).unwrap_or(usize::MAX),
        column: usize::try_from(location.column()).unwrap_or(usize::MAX),
        start,
        end: start.saturating_add(length),
    }
}

/// The tree as `serde-saphyr` hands it out; [`Node`] adds what stands in the file.
enum Raw {
    Null,
    Bool(bool),
    Integer(i64),
    Large(u64),
    Number(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn node(spanned: Spanned<Raw>, text: &str) -> Node {
    let defined = place(&spanned.defined);
    let mut place = place(&spanned.referenced);
    let value = match spanned.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value),
        Raw::Integer(value) => Value::Integer(value),
        Raw::Large(value) => Value::Large(value),
        Raw::Number(value) => Value::Number(value),
        Raw::Text(value) => Value::Text(value),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(item, text)).collect()),
        Raw::Map(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (self::key(key), node(value, text))).collect())
        }
    };
    // A collection as a whole is shown at its first key: a caret beneath twenty lines says nothing.
    if let Value::Map(entries) = &value
        && let Some((key, _)) = entries.first()
    {
        place = key.place.clone();
    }
    let raw = match &value {
        Value::Bool(_) | Value::Integer(_) | Value::Large(_) | Value::Number(_) => {
            text.get(defined.start..defined.end).map(|raw| raw.trim_end().to_owned())
        }
        _ => None,
    };
    Node { place, raw, value }
}

fn key(spanned: Spanned<String>) -> Key {
    Key { place: place(&spanned.referenced), name: spanned.value }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text, a number, true, false, a list or a map")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(i64::try_from(value).map_or(Raw::Large(value), Raw::Integer))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}
