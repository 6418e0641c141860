//! One attempt of a unary call: a connection, the request, the response with the same id.

use std::sync::Arc;

use bytes::Bytes;

use super::pool::Connection;
use super::{RpcClient, headers};
use crate::client::attempts::{Attempts, broken, not_reached};
use crate::client::{ClientOptions, Context, Request};
use crate::error::Status;
use crate::metadata::{get_ignoring_case, names};
use crate::transport::{DialOptions, Message, Socket};
use crate::{Error, ErrorKind, Result};

impl RpcClient {
    /// Sends the request to `address` and waits for its response. The connection goes back to the pool only after a whole
    /// exchange; when this future is dropped, or fails, it is closed.
    pub(super) async fn exchange(
        &self,
        client: &ClientOptions,
        attempts: &Attempts<'_>,
        context: &Context,
        request: &Request,
        body: Bytes,
        address: &str,
    ) -> Result<Bytes> {
        let mut connection = match self.pool.take(address, client.pool_ttl).await {
            Some(connection) => connection,
            None => Connection::new(self.dial(client, attempts, address, false).await?),
        };
        let id = self.next_id();
        let remaining = attempts.deadline() - self.core.env.now();
        let header = headers::request(client, context, request, &id, Some(remaining));
        let exchanged = connection.exchange(&Message { header, body }).await;
        let response = match exchanged.and_then(|response| same_id(response, &id)) {
            Ok(response) => response,
            Err(error) => {
                connection.close().await;
                return Err(broken(error, address));
            }
        };
        self.pool.put(address, connection, client.pool_size, client.pool_ttl).await;
        match get_ignoring_case(&response.header, names::ERROR) {
            Some(text) if !text.is_empty() => Err(Error::remote("call", Status::parse(text))),
            _ => Ok(response.body),
        }
    }

    pub(super) async fn dial(
        &self,
        client: &ClientOptions,
        attempts: &Attempts<'_>,
        address: &str,
        stream: bool,
    ) -> Result<Arc<dyn Socket>> {
        let timeout = attempts.dial_timeout();
        let options = DialOptions { stream, timeout, ..DialOptions::default() };
        let dialled = self.core.env.timeout(timeout, client.parts.transport.dial(address, options)).await;
        dialled
            .unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Unreachable, "dial")
                    .detail(format!("no connection within {timeout:?}"))
                    .with("address", address))
            })
            .map_err(|error| not_reached(error, address))
    }
}

fn same_id(response: Message, id: &str) -> Result<Message> {
    match get_ignoring_case(&response.header, names::ID) {
        Some(answered) if answered == id => Ok(response),
        answered => Err(Error::new(ErrorKind::InvalidMessage, "call")
            .detail("the response belongs to another request")
            .with("id", id)
            .with("answered", answered.unwrap_or("none"))),
    }
}
