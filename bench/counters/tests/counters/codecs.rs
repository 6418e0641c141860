//! Encoding and decoding the messages of the benches: ours behind its interface, and bare prost on the same types.

use std::fmt::Debug;
use std::hint::black_box;

use prost::Message;
use shaketable_bench_counters::Meter;

use crate::contender::Contender;
use crate::fixture;
use crate::messages::ordered::{Blob, Service, User, size_of_blob, size_of_service, size_of_user};
use crate::ours::{self, Stored};

/// How often.
const TIMES: u64 = 20;

pub(crate) const MESSAGES: [&str; 4] = ["user", "service-1", "service-100", "bytes-64KiB"];

/// Counts `operation` by `codec` of `message`.
///
/// # Errors
/// When there is none of such a name.
pub(crate) fn count(operation: &str, message: &str, codec: &str, meter: &mut Meter) -> Result<(), String> {
    let contender = match (codec, message) {
        ("ours", "user") => ours::user(&ours::protobuf()),
        ("ours", "service-1") => ours::service(&ours::protobuf(), 1),
        ("ours", "service-100") => ours::service(&ours::protobuf(), 100),
        ("ours", "bytes-64KiB") => ours::blob(&ours::protobuf()),
        ("prost", "user") => bare(User::from(fixture::user()), size_of_user),
        ("prost", "service-1") => bare(Service::from(fixture::service(1)), size_of_service),
        ("prost", "service-100") => bare(Service::from(fixture::service(100)), size_of_service),
        ("prost", "bytes-64KiB") => bare(Blob { data: fixture::blob().into() }, size_of_blob),
        _ => return Err(format!("no message {message}, or no codec {codec}")),
    };
    let encode = |times| (0..times).for_each(|_| drop(black_box((contender.encode)())));
    let decode = |times| (0..times).for_each(|_| (contender.decode)(black_box(&contender.bytes)));
    match operation {
        "encode" => {
            encode(1);
            meter.count(TIMES, encode);
        }
        "decode" => {
            decode(1);
            meter.count(TIMES, decode);
        }
        _ => return Err(format!("no operation {operation}")),
    }
    meter.add("bytes", contender.bytes.len() as u64);
    Ok(())
}

fn bare<M: Message + Default + PartialEq + Debug + 'static>(
    message: M,
    size: impl Fn(&M) -> usize + 'static,
) -> Contender {
    let decode = |bytes: &[u8]| M::decode(bytes).expect("it can be decoded");
    Contender::owned(message, |message: &M| message.encode_to_vec(), decode, size)
}

/// Counts what the etcd registry does with the values that it stores for a service of a hundred nodes.
///
/// # Errors
/// When there is no operation of such a name.
pub(crate) fn count_stored(operation: &str, meter: &mut Meter) -> Result<(), String> {
    let stored = Stored::new(100);
    match operation {
        "write" => meter.count(1, |times| (0..times).for_each(|_| stored.write())),
        "read" => meter.count(1, |times| (0..times).map(|_| stored.read()).sum::<usize>()),
        _ => return Err(format!("no operation {operation}")),
    }
    meter.add("bytes", stored.bytes() as u64);
    Ok(())
}
