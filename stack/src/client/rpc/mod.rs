//! The `rpc` client: go-micro's mucp over any transport. It knows no transport in particular. One request is under way per
//! connection; connections are pooled, streams have one of their own. go-micro: `client/rpc_client.go`.

mod call;
mod headers;
mod pool;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::attempts::Attempts;
use super::core::Core;
use super::{
    CallOptions, Client, ClientOptions, ClientStream, Context, Message, MessageOptions, PublishOptions, Request,
    RequestOptions,
};
use crate::Result;
use crate::codec::Payload;
use crate::env::Env;
use pool::Pool;

/// Calls over a transport.
#[derive(Debug)]
pub struct RpcClient {
    core: Core,
    pool: Arc<Pool>,
    last_id: AtomicU64,
}

impl RpcClient {
    /// A client with `options` that reaches the outside through `env`.
    pub fn new(env: Env, options: ClientOptions) -> Self {
        let pool = Arc::new(Pool::new(env.clone()));
        Self { core: Core::new(env, options), pool, last_id: AtomicU64::new(0) }
    }

    /// Request ids are a decimal sequence per client, as go-micro's are.
    fn next_id(&self) -> String {
        (self.last_id.fetch_add(1, Ordering::Relaxed) + 1).to_string()
    }
}

#[async_trait]
impl Client for RpcClient {
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
        let body = super::core::encode(&client.parts.codecs, &request.content_type, &*request.body)?;
        let mut attempts = Attempts::new(&self.core.env, &client, &call, context, request);
        loop {
            let node = attempts.begin().await?;
            let exchange = self.exchange(&client, &attempts, context, request, body.clone(), &node.address);
            let result = match attempts.bounded(exchange).await {
                Ok(bytes) => super::core::decode(&client.parts.codecs, &request.content_type, bytes, response),
                Err(error) => Err(error),
            };
            if let Some(result) = attempts.end(&node, result) {
                return result;
            }
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
        self.pool.close().await;
        Ok(())
    }

    fn name(&self) -> &'static str {
        "rpc"
    }
}
