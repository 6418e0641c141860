//! The `grpc` client: real gRPC on HTTP/2 over the network of its `Env`. Paths, headers and errors are go-micro's
//! (`client/grpc`), so that go-micro's gRPC servers and any other gRPC server can be called.

mod call;
mod connection;
mod stream;

use std::sync::Arc;

use async_trait::async_trait;

use super::attempts::Attempts;
use super::core::Core;
use super::{
    CallOptions, Client, ClientOptions, ClientStream, Context, Message, MessageOptions, PublishOptions, Request,
    RequestOptions,
};
use crate::codec::Payload;
use crate::env::Env;
use crate::{ErrorKind, Result};
use call::Call;
use connection::Connections;

/// Calls over gRPC. `pool_size` limits the connections that are kept, one per address, `pool_ttl` their idle time.
#[derive(Debug)]
pub struct GrpcClient {
    core: Core,
    connections: Connections,
}

impl GrpcClient {
    /// A client with `options` that reaches the outside through `env`.
    pub fn new(env: Env, options: ClientOptions) -> Self {
        Self { connections: Connections::new(env.clone()), core: Core::new(env, options) }
    }
}

#[async_trait]
impl Client for GrpcClient {
    fn init(&self, options: ClientOptions) -> Result<()> {
        self.core.init(options);
        Ok(())
    }

    fn options(&self) -> ClientOptions {
        ClientOptions::clone(&self.core.options())
    }

    fn new_message(&self, topic: &str, body: Arc<dyn Payload>, options: MessageOptions) -> Message {
        self.core.new_message(topic, body, options)
    }

    fn new_request(&self, service: &str, endpoint: &str, body: Arc<dyn Payload>, options: RequestOptions) -> Request {
        self.core.new_request(service, endpoint, body, options)
    }

    async fn call(
        &self,
        context: &Context,
        request: &Request,
        response: &mut dyn Payload,
        options: CallOptions,
    ) -> Result<()> {
        let client = self.core.options();
        let call = options.over(&client.call);
        let content = call::content(&client, request)?;
        let mut frame = content.write(&*request.body)?;
        let mut attempts = Attempts::new(&self.core.env, &client, &call, context, request);
        loop {
            let node = attempts.begin().await?;
            let call = Call { client: &client, context, request, content: &content, address: &node.address };
            let exchanged = attempts.bounded(self.exchange(&attempts, &call, frame)).await;
            let result = exchanged.and_then(|body| content.read(body, response));
            if let Err(error) = &result
                && error.kind() == ErrorKind::Timeout
                && error.status().is_none()
            {
                self.connections.probe(&node.address);
            }
            if let Some(result) = attempts.end(&node, result) {
                return result;
            }
            // Most calls have one attempt: the next one's frame is made when there is one.
            frame = content.write(&*request.body)?;
        }
    }

    async fn stream(
        &self,
        context: &Context,
        request: &Request,
        options: CallOptions,
    ) -> Result<Box<dyn ClientStream>> {
        let client = self.core.options();
        let call = options.over(&client.call);
        let mut attempts = Attempts::new(&self.core.env, &client, &call, context, request);
        loop {
            let node = attempts.begin().await?;
            let opened = attempts.bounded(self.open(&client, &call, &attempts, context, request, &node)).await;
            if let Some(result) = attempts.end(&node, opened) {
                return result.map(|stream| Box::new(stream) as Box<dyn ClientStream>);
            }
        }
    }

    async fn publish(&self, context: &Context, message: &Message, options: PublishOptions) -> Result<()> {
        self.core.publish(context, message, options).await
    }

    async fn close(&self) -> Result<()> {
        self.connections.close();
        Ok(())
    }

    fn name(&self) -> &'static str {
        "grpc"
    }
}
