//! A whole call of somebody who knows only a name: the service is looked up in etcd, a node of it is picked in turns, and
//! asked; the message is written and read by one of the stack's codecs. Directly, which is the handler without a network, over
//! gRPC, or over the transport `http`. Beside it the same by hand: `etcd-client` and bare tonic, or bare hyper, which has no
//! message to encode and is the limit.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shaketable_stack::client::{CallOptions, Context, RequestOptions};
use shaketable_stack::codec::json::Json;
use shaketable_stack::codec::protobuf::Protobuf;
use shaketable_stack::codec::{CodecFactory, Marshaler, Payload};
use shaketable_stack::env::{Namespace, os};
use shaketable_stack::registry::{GetOptions, Node, Service};
use shaketable_stack::server::{EndpointKind, Handler, UnaryFunction};

use crate::bare::Bare;
use crate::echo::{Lane, Wire};
use crate::ours::Ours;
use crate::stack::Stack;
use crate::{Ground, fixture};

/// As long as a small user record in protobuf.
const TEXT: &str = "7340912 Ada Lovelace <ada.lovelace@example.org> +44 20 7946 0958, United Kingdom, active, 36";

/// The codecs of the stack, by name.
pub(crate) const CODECS: [&str; 2] = ["json", "protobuf"];

/// What is asked, and answered as it is. In protobuf it is the message of the bare peers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Note {
    #[prost(string, tag = "1")]
    text: String,
}

fn note() -> Note {
    Note { text: TEXT.to_owned() }
}

fn handler() -> Handler {
    Handler::new("Echo").unary("Unary", |_, note: Note| async move { Ok(note) })
}

/// A record with eight endpoints and so many nodes, all of them at `address`.
fn record(name: &str, nodes: usize, address: &str) -> Service {
    let mut service = Service { name: name.to_owned(), ..fixture::service(nodes) };
    service.nodes.iter_mut().for_each(|node| node.address = address.to_owned());
    service
}

/// Takes one node after the other.
#[derive(Default)]
struct Turns(usize);

impl Turns {
    fn next<'a>(&mut self, services: &'a [Service]) -> &'a Node {
        let nodes = &services[0].nodes;
        self.0 += 1;
        &nodes[self.0 % nodes.len()]
    }
}

/// The handler without a network: only what the codec and the handler do is done.
pub(crate) fn direct(ground: &Ground, name: &str, codec: &str, nodes: usize) -> impl FnMut(u64) + use<> {
    let codec: Arc<dyn Marshaler> = match codec {
        "json" => Json.marshaler(),
        _ => Protobuf.marshaler(),
    };
    let answer = match handler().endpoint("Unary").map(|endpoint| endpoint.kind.clone()) {
        Some(EndpointKind::Unary(answer)) => answer,
        other => unreachable!("it is unary: {}", other.is_some()),
    };
    let address = "127.0.0.1:9";
    let (ours, mut turns) = (Ours::new(ground, name), Turns::default());
    ours.block_on(ours.register(&record(name, nodes, address)));
    move |times| {
        ours.block_on(async {
            for _ in 0..times {
                let found = ours.registry.get_service(&ours.name, GetOptions::default()).await.expect("it is found");
                assert_eq!(turns.next(&found).address, address);
                assert_eq!(answered(&codec, &answer).await.text, TEXT);
            }
        });
    }
}

async fn answered(codec: &Arc<dyn Marshaler>, answer: &UnaryFunction) -> Note {
    let (reader, bytes) = (codec.clone(), codec.marshal(&note()).expect("it can be encoded"));
    let decode = Box::new(move |request: &mut dyn Payload| reader.unmarshal(&bytes, request));
    let answer = answer(Context::new(), decode).await.expect("an answer");
    let (bytes, mut note) = (codec.marshal(&*answer).expect("it can be encoded"), Note::default());
    codec.unmarshal(&bytes, &mut note).expect("it can be decoded");
    note
}

/// By the stack's client and server called `protocol` over the transport called `transport`.
pub(crate) fn by_stack(
    ground: &Ground,
    name: &str,
    codec: &str,
    nodes: usize,
    [protocol, transport]: [&str; 2],
) -> impl FnMut(u64) + use<> {
    let (ours, mut turns) = (Ours::new(ground, name), Turns::default());
    let stack = ours.block_on(async {
        let stack = Stack::serving(os::env(Namespace::new("bench")), protocol, transport, handler()).await;
        ours.register(&record(name, nodes, &stack.address())).await;
        stack
    });
    let content_type = Some(format!("application/{codec}"));
    move |times| {
        // All of it is captured, its server too, and not the client alone.
        let stack = &stack;
        ours.block_on(async {
            for _ in 0..times {
                let found = ours.registry.get_service(&ours.name, GetOptions::default()).await.expect("it is found");
                let addresses = vec![turns.next(&found).address.clone()];
                let options = RequestOptions { content_type: content_type.clone(), ..RequestOptions::default() };
                let request = stack.client.new_request(&ours.name, "Echo.Unary", Arc::new(note()), options);
                let (mut answer, options) = (Note::default(), CallOptions { addresses, ..CallOptions::default() });
                let context = Context::new();
                stack.client.call(&context, &request, &mut answer, options).await.expect("an answer");
                assert_eq!(answer.text, TEXT);
            }
        });
    }
}

/// By hand, and a connection that is there, which `connect` makes.
pub(crate) fn by_hand<L: Lane, Connect: AsyncFnOnce(usize) -> Wire<L>>(
    ground: &Ground,
    name: &str,
    nodes: usize,
    connect: Connect,
) -> impl FnMut(u64) + use<L, Connect> {
    let address = "127.0.0.1:9";
    let (registrar, bare, mut turns) = (Ours::new(ground, name), Bare::new(ground, name), Turns::default());
    registrar.block_on(registrar.register(&record(name, nodes, address)));
    let mut wire = bare.block_on(connect(1));
    let payload = Bytes::from_static(TEXT.as_bytes());
    move |times| {
        // It is renewed by nobody and outlives the contest; its registry is dropped with this.
        let _registrar = &registrar;
        let wire = &mut wire;
        bare.block_on(async {
            for _ in 0..times {
                let found: Vec<Service> = bare.find().await.into_values().collect();
                assert_eq!(turns.next(&found).address, address);
                wire.lanes[0].exchange(&payload, |answer| assert_eq!(answer, TEXT.as_bytes())).await;
            }
        });
    }
}
