//! The codecs of the reference stack, by name.

use std::sync::Arc;

use super::CodecFactory;
use super::json::Json;
use super::proto_rpc::ProtoRpc;
use super::protobuf::Protobuf;
use crate::plugin::{CodecMaker, Promises, Settings, Table};

/// The table of codecs: `json`, `protobuf` and `proto-rpc`.
pub fn reference() -> Table<CodecMaker> {
    let mut table = Table::new("codec");
    add(&mut table, "json", "one JSON value a message", Arc::new(Json));
    add(&mut table, "protobuf", "bare protobuf bytes", Arc::new(Protobuf));
    add(
        &mut table,
        "proto-rpc",
        "go-micro's: a header and a body in protobuf, each after its length",
        Arc::new(ProtoRpc),
    );
    table
}

fn add(table: &mut Table<CodecMaker>, name: &str, summary: &str, codec: Arc<dyn CodecFactory>) {
    let make = move |_env, settings: Settings| -> crate::plugin::Made<Arc<dyn CodecFactory>> {
        let codec = codec.clone();
        Box::pin(async move { settings.finish().map(|()| codec) })
    };
    table.add(name, summary, Promises::default(), Arc::new(make));
}
