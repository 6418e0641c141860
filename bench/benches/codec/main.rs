//! What encoding and decoding cost: this stack's codecs behind their interface beside prost, buffa, quick-protobuf,
//! rust-protobuf, serde_json, sonic-rs and rmp-serde, of a small message, of a service record with one node and with a hundred,
//! and of 64 KiB of bytes; copying the bytes is the limit. `read` is decoding and reading every field, which is what tells
//! values that own what they say from views that borrow it. Throughput is in bytes of the message in protobuf, whatever a codec
//! makes of it, so that codecs compare; how many bytes each of them makes is told first.
//!
//! Every codec has encoded and decoded the same message before it is measured, and has found the same sum over all fields.
//! Records have a map in each node; peers have their default maps, which are hashed, and this stack ordered ones. The group
//! `stored` is what this stack's etcd registry does: a value for each node, with all endpoints, and the service that a lookup
//! makes of them; beside it stand codecs that merely decode as many values, or one value for the whole service. The group
//! `frame` is what gRPC and go-micro's `proto-rpc` put around the message of a request, beside the bare message.

mod contender;
mod derived;
mod fixture;
mod messages;
mod ours;
mod with_buffa;
mod with_quick_protobuf;
mod with_rust_protobuf;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use shaketable_bench_room::{Amount, Contest, Role};

use contender::Contender;
use derived::{Derived, protobuf_records, read_json_records, read_protobuf_records};
use fixture::{size_of_record, size_of_user};
use ours::Stored;

/// As the program `shaketable` allocates, and the same for every contender.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is encoded.
#[derive(Clone, Copy, Debug)]
enum Message {
    User,
    Service { nodes: usize },
    Blob,
}

const MESSAGES: [(&str, Message); 4] = [
    ("user", Message::User),
    ("service-1", Message::Service { nodes: 1 }),
    ("service-100", Message::Service { nodes: 100 }),
    ("bytes-64KiB", Message::Blob),
];

/// What makes contenders.
#[derive(Clone, Copy, Debug)]
enum Codec {
    Protobuf,
    Json,
    Derived(Derived),
    Buffa,
    BuffaView,
    QuickProtobuf,
    RustProtobuf,
}

const CODECS: [(&str, Role, Codec); 10] = [
    ("protobuf", Role::Ours, Codec::Protobuf),
    ("json", Role::Ours, Codec::Json),
    ("prost", Role::Peer, Codec::Derived(Derived::Prost)),
    ("buffa", Role::Peer, Codec::Buffa),
    ("buffa view", Role::Peer, Codec::BuffaView),
    ("quick-protobuf", Role::Peer, Codec::QuickProtobuf),
    ("rust-protobuf", Role::Peer, Codec::RustProtobuf),
    ("serde_json", Role::Peer, Codec::Derived(Derived::SerdeJson)),
    ("sonic-rs", Role::Peer, Codec::Derived(Derived::SonicRs)),
    ("rmp-serde", Role::Peer, Codec::Derived(Derived::RmpSerde)),
];

impl Codec {
    /// The codec with `message`, after it has shown that it says the same as all others.
    fn with(self, message: Message) -> Contender {
        let contender = match (self, message) {
            (Self::Protobuf, Message::User) => ours::user(&ours::protobuf()),
            (Self::Protobuf, Message::Service { nodes }) => ours::service(&ours::protobuf(), nodes),
            (Self::Protobuf, Message::Blob) => ours::blob(&ours::protobuf()),
            (Self::Json, Message::User) => ours::user(&ours::json()),
            (Self::Json, Message::Service { nodes }) => ours::service(&ours::json(), nodes),
            (Self::Json, Message::Blob) => ours::blob(&ours::json()),
            (Self::Derived(codec), Message::User) => codec.user(),
            (Self::Derived(codec), Message::Service { nodes }) => codec.service(nodes),
            (Self::Derived(codec), Message::Blob) => codec.blob(),
            (Self::Buffa, Message::User) => with_buffa::user(),
            (Self::Buffa, Message::Service { nodes }) => with_buffa::service(nodes),
            (Self::Buffa, Message::Blob) => with_buffa::blob(),
            (Self::BuffaView, Message::User) => with_buffa::user_view(),
            (Self::BuffaView, Message::Service { nodes }) => with_buffa::service_view(nodes),
            (Self::BuffaView, Message::Blob) => with_buffa::blob_view(),
            (Self::QuickProtobuf, Message::User) => with_quick_protobuf::user(),
            (Self::QuickProtobuf, Message::Service { nodes }) => with_quick_protobuf::service(nodes),
            (Self::QuickProtobuf, Message::Blob) => with_quick_protobuf::blob(),
            (Self::RustProtobuf, Message::User) => with_rust_protobuf::user(),
            (Self::RustProtobuf, Message::Service { nodes }) => with_rust_protobuf::service(nodes),
            (Self::RustProtobuf, Message::Blob) => with_rust_protobuf::blob(),
        };
        contender.of_size(message.size())
    }
}

impl Message {
    /// The sum over all fields.
    fn size(self) -> usize {
        match self {
            Self::User => size_of_user!(fixture::user()),
            Self::Service { nodes } => size_of_record(&fixture::service(nodes)),
            Self::Blob => fixture::blob().len(),
        }
    }
}

/// Does something with a codec, once.
type Once = Box<dyn FnMut()>;

/// A contest in which every codec does `what`, with copying as the limit.
fn contest(operation: &str, name: &str, message: Message, what: fn(Contender) -> Once) -> Contest<'static> {
    let protobuf = Codec::Protobuf.with(message).bytes;
    let mut contest = Contest::new("codec", format!("{operation}/{name}"), Amount::Bytes(protobuf.len()));
    for (codec, role, make) in CODECS {
        // Views are encoded like what they are views of.
        if !(operation == "encode" && codec == "buffa view") {
            contest = contest.enter(codec, role, move || what(make.with(message)));
        }
    }
    contest.enter("memcpy", Role::Limit, move || copy(protobuf))
}

fn copy(bytes: Vec<u8>) -> impl FnMut() {
    let mut copy = vec![0; bytes.len()];
    move || {
        black_box(&mut copy).copy_from_slice(black_box(&bytes));
        black_box(&copy);
    }
}

fn encode(contender: Contender) -> Once {
    Box::new(move || {
        black_box((contender.encode)());
    })
}

fn decode(contender: Contender) -> Once {
    Box::new(move || (contender.decode)(black_box(&contender.bytes)))
}

fn read(contender: Contender) -> Once {
    Box::new(move || {
        black_box((contender.read)(black_box(&contender.bytes)));
    })
}

fn every_message(criterion: &mut Criterion) {
    for (name, message) in MESSAGES {
        let lengths = CODECS.map(|(codec, _, make)| format!("{codec} {}", make.with(message).bytes.len()));
        println!("codec/{name}, bytes: {}", lengths.join(", "));
        contest("encode", name, message, encode).hold(criterion);
        contest("decode", name, message, decode).hold(criterion);
        contest("read", name, message, read).hold(criterion);
    }
}

/// What is put around a message, beside the bare message.
fn frame(criterion: &mut Criterion) {
    for (name, message) in &MESSAGES[..3] {
        let framed = || match *message {
            Message::User => ours::framed_user(),
            Message::Service { nodes } => ours::framed_service(nodes),
            Message::Blob => unreachable!("it is not among them"),
        };
        let request = || match *message {
            Message::User => ours::request_of_user(),
            Message::Service { nodes } => ours::request_of_service(nodes),
            Message::Blob => unreachable!("it is not among them"),
        };
        let size = message.size();
        for (operation, what) in [("encode", encode as fn(Contender) -> Once), ("read", read)] {
            let bytes = Codec::Protobuf.with(*message).bytes;
            let mut contest = Contest::new("codec", format!("frame-{operation}/{name}"), Amount::Bytes(bytes.len()));
            contest = contest.enter("grpc frame", Role::Ours, || what(framed().of_size(size)));
            contest = contest.enter("proto-rpc request", Role::Ours, || what(request().of_size(size)));
            contest = contest.enter("bare protobuf", Role::Peer, || what(Codec::Protobuf.with(*message)));
            contest.enter("memcpy", Role::Limit, || copy(bytes)).hold(criterion);
        }
    }
}

/// From the values that the etcd registry stores for a service to what a lookup returns, and back.
fn stored(criterion: &mut Criterion) {
    for nodes in [1, 100] {
        let (name, message) = (format!("service-{nodes}"), Message::Service { nodes });
        let records = Stored::new(nodes);
        println!("codec/stored/{name}, bytes in etcd: {}", records.bytes());
        let amount = Amount::Bytes(Codec::Protobuf.with(message).bytes.len());
        Contest::new("codec", format!("stored-read/{name}"), amount)
            .enter("etcd registry", Role::Ours, || {
                assert_eq!(records.read(), message.size(), "all fields are there");
                || {
                    black_box(records.read());
                }
            })
            .enter("serde_json of each value", Role::Peer, || {
                let values = records.values();
                move || {
                    black_box(read_json_records(black_box(&values)));
                }
            })
            .enter("prost of each value", Role::Peer, || {
                let values = protobuf_records(&fixture::service(nodes));
                assert_eq!(read_protobuf_records(&values), read_json_records(&records.values()), "both say the same");
                move || {
                    black_box(read_protobuf_records(black_box(&values)));
                }
            })
            .enter("serde_json of the whole", Role::Peer, || read(Codec::Derived(Derived::SerdeJson).with(message)))
            .enter("prost of the whole", Role::Peer, || read(Codec::Derived(Derived::Prost).with(message)))
            .enter("buffa view of the whole", Role::Limit, || read(Codec::BuffaView.with(message)))
            .hold(criterion);
        Contest::new("codec", format!("stored-write/{name}"), amount)
            .enter("etcd registry", Role::Ours, || || records.write())
            .enter("serde_json of the whole", Role::Peer, || encode(Codec::Derived(Derived::SerdeJson).with(message)))
            .enter("prost of the whole", Role::Limit, || encode(Codec::Derived(Derived::Prost).with(message)))
            .hold(criterion);
    }
}

criterion_group!(benches, every_message, frame, stored);
criterion_main!(benches);
