//! Generates the code of the peers that have a generator, each by its own: buffa, quick-protobuf, rust-protobuf. It runs when a
//! bench is built, and never for `cargo test`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use protox::prost::Message;

const FOLDER: &str = "proto";
const FILE: &str = "proto/record.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={FILE}");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?);
    let folder = |name: &str| {
        let folder = out.join(name);
        fs::create_dir_all(&folder).map(|()| folder)
    };

    // protox compiles without a protoc.
    let descriptors = out.join("record.binpb");
    fs::write(&descriptors, protox::compile([FILE], [FOLDER])?.encode_to_vec())?;
    buffa_build::Config::new()
        .descriptor_set(&descriptors)
        .files(&["record.proto"])
        .out_dir(folder("buffa")?)
        .file_per_package(true)
        .generate_views(true)
        .compile()?;

    let quick = folder("quick")?;
    let config = pb_rs::ConfigBuilder::new(&[PathBuf::from(FILE)], None, Some(&quick), &[PathBuf::from(FOLDER)])?;
    pb_rs::types::FileDescriptor::run(&config.headers(false).build())?;

    protobuf_codegen::Codegen::new().pure().include(FOLDER).input(FILE).out_dir(folder("rust_protobuf")?).run()?;
    Ok(())
}
