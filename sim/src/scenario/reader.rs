//! Reads values out of a tree, in words: what serde finds wrong gets its place, its path and the mend. Knows serde, not the
//! fields of a scenario.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use shaketable_stack::plugin::nearest;

use super::problem::Place;
use super::tree::{Key, Node, Value};

/// What does not fit.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Where, as soon as a node has said it.
    pub(super) place: Option<Place>,
    /// Keys and indices from the inside to the outside.
    path: Vec<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A whole sentence.
    Sentence { message: String, mend: Option<String> },
    /// `PATH must be …, not …`.
    Mismatch { found: String, expected: String },
    /// `PATH lacks 'field'`.
    Missing(&'static str),
}

impl Wrong {
    fn new(kind: Kind) -> Self {
        Self { place: None, path: Vec::new(), kind }
    }

    fn at(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    fn beneath(mut self, step: String) -> Self {
        self.path.push(step);
        self
    }

    /// The sentence, and what to write instead.
    pub(super) fn words(self) -> (String, Option<String>) {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(step);
        }
        match self.kind {
            Kind::Sentence { message, mend } => (message, mend),
            Kind::Mismatch { found, expected } => {
                let subject = if path.is_empty() { "a scenario" } else { &path };
                (format!("{subject} must be {expected}, not {found}"), None)
            }
            Kind::Missing(field) => {
                let subject = if path.is_empty() { "the scenario" } else { &path };
                (format!("{subject} lacks '{field}'"), Some(format!("add '{field}:'")))
            }
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.kind)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        let (message, mend) = match message.split_once("; ") {
            Some((message, mend)) => (message.to_owned(), Some(mend.to_owned())),
            None => (message, None),
        };
        Self::new(Kind::Sentence { message, mend })
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Mismatch { found: in_words(found), expected: plainly(&expected.to_string()) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("there is no field '{field}' here");
        Self::new(Kind::Sentence { message, mend: Some(choices(field, expected)) })
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("'{variant}' cannot stand here");
        Self::new(Kind::Sentence { message, mend: Some(choices(variant, expected)) })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::Missing(field))
    }
}

fn choices(written: &str, expected: &[&str]) -> String {
    match nearest(written, expected.iter().copied()) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => format!("there are: {}", expected.join(", ")),
    }
}

fn in_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Str(value) => format!("the text '{value}'"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// serde's names of types as people say them.
fn plainly(expected: &str) -> String {
    match expected {
        "u32" => "a whole number, zero or more",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list",
        structure if structure.starts_with("struct ") => "a map",
        other => other,
    }
    .to_owned()
}

impl Node {
    fn unexpected(&self) -> Unexpected<'_> {
        match &self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Integer(value) => Unexpected::Signed(*value),
            Value::Large(value) => Unexpected::Unsigned(*value),
            Value::Number(value) => Unexpected::Float(*value),
            Value::Text(value) => Unexpected::Str(value),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }

    fn mismatch(&self, expected: &dyn Expected) -> Wrong {
        de::Error::invalid_type(self.unexpected(), expected)
    }

    fn visit<'de, V: Visitor<'de>>(&'de self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Large(value) => visitor.visit_u64(*value),
            Value::Number(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_str(value),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Value::Map(entries) => visitor.visit_map(Entries { entries: entries.iter(), value: None }),
        }
    }

    /// A text, or a scalar that reads as something else but stands where a text is wanted: `version: 1.10`.
    fn visit_text<'de, V: Visitor<'de>>(&'de self, visitor: V) -> Result<V::Value, Wrong> {
        match (&self.value, &self.raw) {
            (Value::Text(text), _) | (_, Some(text)) => visitor.visit_str(text),
            _ => Err(self.mismatch(&visitor)),
        }
    }
}

/// Forwards to one way of visiting, and says the place of what went wrong.
macro_rules! by {
    ($way:ident: $($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            self.$way(visitor).map_err(|wrong| wrong.at(&self.place))
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Wrong;

    by!(visit: deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_seq deserialize_map);
    by!(visit_text: deserialize_char deserialize_str deserialize_string deserialize_identifier);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        // serde would read a struct from a list too, in the order of its fields; in a file that is a slip.
        match &self.value {
            Value::Map(_) => self.deserialize_map(visitor),
            _ => Err(self.mismatch(&visitor).at(&self.place)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let name = match (&self.value, &self.raw) {
            (Value::Text(text), _) | (_, Some(text)) => text,
            _ => return Err(self.mismatch(&"one of its names").at(&self.place)),
        };
        visitor.visit_enum(Variant(name)).map_err(|wrong| wrong.at(&self.place))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }
}

struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Wrong;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        let Some((index, item)) = self.items.next() else { return Ok(None) };
        seed.deserialize(item).map(Some).map_err(|wrong| wrong.at(&item.place).beneath(format!("[{index}]")))
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, (Key, Node)>,
    value: Option<(&'de Key, &'de Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Wrong;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some((key, value));
        let name: StrDeserializer<'_, Wrong> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|wrong| wrong.at(&key.place))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        let (key, value) = self.value.take().ok_or_else(|| de::Error::custom("a value without a key"))?;
        seed.deserialize(value).map_err(|mut wrong| {
            // What a map lacks is shown at the key that holds the map.
            if matches!(wrong.kind, Kind::Missing(_)) && wrong.path.is_empty() {
                wrong.place = Some(key.place.clone());
            }
            wrong.at(&value.place).beneath(key.name.clone())
        })
    }
}

struct Variant<'de>(&'de str);

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Wrong;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Wrong> {
        let name: StrDeserializer<'_, Wrong> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _seed: S) -> Result<S::Value, Wrong> {
        Err(de::Error::custom(format!("'{}' stands alone", self.0)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, _visitor: V) -> Result<V::Value, Wrong> {
        Err(de::Error::custom(format!("'{}' stands alone", self.0)))
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], _visitor: V) -> Result<V::Value, Wrong> {
        Err(de::Error::custom(format!("'{}' stands alone", self.0)))
    }
}
