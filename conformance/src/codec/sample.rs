//! Bodies that the messages of the project do not cover: every shape of protobuf that a codec may trip over, a newer
//! version of a message, one that gives a field another type, and one that uses the marshaler again while it is
//! marshalled.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shaketable_proto::probe::v1::ProbeEvent;
use shaketable_stack::Result as StackResult;
use shaketable_stack::codec::{Marshaler, Payload};

/// Numbers with a sign, fractions, lists, maps, and messages within messages.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Sample {
    #[prost(int64, tag = "1")]
    #[serde(with = "decimal_i64")]
    pub(super) large: i64,
    #[prost(int32, tag = "2")]
    pub(super) small: i32,
    #[prost(double, tag = "3")]
    pub(super) fraction: f64,
    #[prost(bool, tag = "4")]
    pub(super) yes: bool,
    #[prost(string, repeated, tag = "5")]
    pub(super) list: Vec<String>,
    #[prost(btree_map = "string, string", tag = "6")]
    pub(super) map: BTreeMap<String, String>,
    #[prost(message, optional, boxed, tag = "7")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inner: Option<Box<Sample>>,
}

/// A `ProbeEvent` of a version to come.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NewerEvent {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint64, tag = "2")]
    #[serde(with = "shaketable_proto::json::decimal_u64")]
    pub(super) sequence: u64,
    #[prost(string, tag = "3")]
    pub(super) publisher: String,
    #[prost(bytes = "bytes", tag = "4")]
    #[serde(with = "shaketable_proto::json::base64_bytes")]
    pub(super) payload: Bytes,
    #[prost(string, tag = "15")]
    pub(super) comment: String,
    #[prost(double, tag = "16")]
    pub(super) weight: f64,
    #[prost(message, optional, tag = "200")]
    pub(super) more: Option<Sample>,
}

/// A `ProbeEvent` whose number is something else.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OtherEvent {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) sequence: Option<Sample>,
}

/// 64-bit numbers with a sign, as protobuf's JSON form has them: decimal text.
mod decimal_i64 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom("text that is no signed 64-bit number"))
    }
}

/// An event that asks the marshaler for another one's bytes while its own are written, as a body does that holds a
/// body.
#[derive(Debug)]
pub(super) struct Nested {
    pub(super) marshaler: Arc<dyn Marshaler>,
    pub(super) outer: ProbeEvent,
    pub(super) inner: ProbeEvent,
}

impl Payload for Nested {
    fn to_protobuf(&self) -> Vec<u8> {
        // What comes of it is not needed: that it was asked is.
        drop(self.marshaler.marshal(&self.inner));
        self.outer.to_protobuf()
    }

    fn read_protobuf(&mut self, bytes: &[u8]) -> StackResult<()> {
        self.outer.read_protobuf(bytes)
    }

    fn to_json(&self) -> StackResult<Vec<u8>> {
        drop(self.marshaler.marshal(&self.inner));
        self.outer.to_json()
    }

    fn read_json(&mut self, bytes: &[u8]) -> StackResult<()> {
        self.outer.read_json(bytes)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
