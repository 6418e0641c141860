//! Compiles every .proto file of this crate with protox, a compiler in Rust, so that no protoc is needed. It reads nothing
//! outside this folder.

use std::error::Error;

/// Every file, as imports name it.
const FILES: [&str; 6] = [
    "etcd/v3/kv.proto",
    "etcd/v3/rpc.proto",
    "micro/transport/v1/transport.proto",
    "micro/errors/v1/errors.proto",
    "probe/v1/probe.proto",
    "subject/v1/subject.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let bytes = r#"#[serde(with = "crate::json::base64_bytes")]"#;
    tonic_prost_build::configure()
        // Channels are made by those who know how; and a method may be called `connect`.
        .build_transport(false)
        // `Bytes` lets a value pass from the wire to the store and back without a copy.
        .bytes(".")
        // Ordered, because an order that differs from run to run would reach the wire.
        .btree_map(".")
        .type_attribute(".probe.v1", "#[derive(serde::Serialize, serde::Deserialize)]")
        .type_attribute(".probe.v1", r#"#[serde(rename_all = "camelCase", default)]"#)
        .field_attribute(".probe.v1.ProbeRequest.payload", bytes)
        .field_attribute(".probe.v1.ProbeResponse.payload", bytes)
        .field_attribute(".probe.v1.ProbeEvent.payload", bytes)
        .field_attribute(".probe.v1.ProbeEvent.sequence", r#"#[serde(with = "crate::json::decimal_u64")]"#)
        .compile_fds(descriptors)?;
    Ok(())
}
