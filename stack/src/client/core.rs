//! What every client of the stack does in the same way, whatever carries its requests: options, making requests and
//! events, publishing. It knows no connection.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;

use super::{
    CallOptions, ClientOptions, Context, Message, MessageOptions, PublishOptions, Request, RequestOptions, headers,
};
use crate::codec::{Codecs, Frame, Marshaler, Payload};
use crate::env::{Env, Random};
use crate::metadata::names;
use crate::registry::Node;
use crate::{Error, ErrorKind, Result, broker};

/// The part of a client that does not depend on its protocol.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) env: Env,
    options: RwLock<Arc<Settled>>,
    random: Mutex<Random>,
}

/// Options in force, and what follows from them for every call.
#[derive(Debug)]
pub(super) struct Settled {
    options: ClientOptions,
    /// Of the addresses that calls go to which bring none of their own.
    nodes: Vec<Arc<Node>>,
}

impl Settled {
    pub(super) fn new(options: ClientOptions) -> Self {
        Self { nodes: options.call.addresses.iter().map(|address| node(address)).collect(), options }
    }

    /// The node at address `index` of a call with `addresses`.
    pub(super) fn node(&self, addresses: &[String], index: usize) -> Arc<Node> {
        match self.nodes.get(index) {
            Some(node) if node.address == addresses[index] => node.clone(),
            _ => node(&addresses[index]),
        }
    }
}

impl Deref for Settled {
    type Target = ClientOptions;

    fn deref(&self) -> &ClientOptions {
        &self.options
    }
}

/// A node of which nothing is known but its address.
fn node(address: &str) -> Arc<Node> {
    Arc::new(Node { id: address.to_owned(), address: address.to_owned(), ..Node::default() })
}

impl Core {
    pub(super) fn new(env: Env, options: ClientOptions) -> Self {
        let random = Mutex::new(env.random("client"));
        Self { env, options: RwLock::new(Arc::new(Settled::new(options))), random }
    }

    pub(super) fn init(&self, options: ClientOptions) {
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Settled::new(options));
    }

    pub(super) fn options(&self) -> Arc<Settled> {
        self.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn new_message(&self, topic: &str, body: Arc<dyn Payload>, options: MessageOptions) -> Message {
        let content_type = options.content_type.unwrap_or_else(|| self.options().content_type.clone());
        Message { topic: topic.to_owned(), body, content_type }
    }

    pub(super) fn new_request(
        &self,
        service: &str,
        endpoint: &str,
        body: Arc<dyn Payload>,
        options: RequestOptions,
    ) -> Request {
        Request {
            service: service.to_owned(),
            endpoint: endpoint.to_owned(),
            body,
            content_type: options.content_type.unwrap_or_else(|| self.options().content_type.clone()),
            stream: options.stream,
            idempotent: options.idempotent,
        }
    }

    /// Publishes by the broker, which is connected when it turns out that it is not. go-micro: `rpcClient.Publish`.
    pub(super) async fn publish(&self, context: &Context, message: &Message, options: PublishOptions) -> Result<()> {
        let client = self.options();
        let body = encode(&client.parts.codecs, &message.content_type, &*message.body)?;
        let mut header = headers::forwarded(&context.metadata);
        header.insert(names::CONTENT_TYPE.to_owned(), message.content_type.clone());
        header.insert(names::TOPIC.to_owned(), message.topic.clone());
        let id = self.random.lock().unwrap_or_else(PoisonError::into_inner).uuid();
        header.insert(names::ID.to_owned(), id);
        let event = broker::Message { header, body };
        let topic = options.exchange.as_deref().unwrap_or(&message.topic);
        let broker = &client.parts.broker;
        let work = async {
            match broker.publish(topic, &event, broker::PublishOptions::default()).await {
                Err(error) if error.kind() == ErrorKind::NotConnected => {
                    broker.connect().await?;
                    broker.publish(topic, &event, broker::PublishOptions::default()).await
                }
                result => result,
            }
        };
        let limit = client.call.request_timeout.unwrap_or(CallOptions::REQUEST_TIMEOUT);
        let deadline = context.clone().with_timeout(&self.env, limit).deadline.unwrap_or_else(|| self.env.now());
        let given = deadline - self.env.now();
        self.env.timeout_at(deadline, work).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, "publish")
                .detail(format!("not done within {given:?}"))
                .with("topic", topic))
        })
    }
}

/// The codec of `content_type`.
pub(super) fn codec<'a>(codecs: &'a Codecs, content_type: &str) -> Result<&'a Arc<dyn Marshaler>> {
    codecs
        .marshaler_by_content_type(content_type)
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "choose codec").with("content_type", content_type))
}

/// The body as `content_type` has it; a [`Frame`] is one already and needs no codec.
pub(super) fn encode(codecs: &Codecs, content_type: &str, body: &dyn Payload) -> Result<Bytes> {
    if let Some(frame) = body.as_frame() {
        return Ok(frame.clone());
    }
    codec(codecs, content_type)?.marshal(body).map(Bytes::from)
}

/// Reads `bytes` into `body`; a [`Frame`] takes them as they are.
pub(super) fn decode(codecs: &Codecs, content_type: &str, bytes: Bytes, body: &mut dyn Payload) -> Result<()> {
    if let Some(frame) = body.as_any_mut().downcast_mut::<Frame>() {
        frame.0 = bytes;
        return Ok(());
    }
    codec(codecs, content_type)?.unmarshal(&bytes, body)
}
