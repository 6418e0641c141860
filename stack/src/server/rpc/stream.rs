//! The server's end of a stream over mucp: a queue of what has arrived, and a connection to send on. go-micro:
//! `server/rpc_stream.go`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use super::connection::Connection;
use crate::client::Context;
use crate::codec::{Frame, Marshaler, Payload};
use crate::error::Status;
use crate::metadata::Metadata;
use crate::opaque::opaque;
use crate::server::ServerStream;
use crate::server::shared::encode_by;
use crate::transport::Message;
use crate::{Error, ErrorKind, Result};

/// What the client has sent.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A message.
    Body(Bytes),
    /// Nothing more will come.
    End,
    /// The client gave up.
    Failed(Status),
}

/// The server's end of one stream.
pub(super) struct RpcServerStream {
    connection: Arc<Connection>,
    context: Context,
    codec: Arc<dyn Marshaler>,
    /// Of every message.
    header: Metadata,
    incoming: Mutex<(mpsc::Receiver<Incoming>, Option<End>)>,
}

/// How the client's direction ended; every later `recv` says the same.
#[derive(Clone, Debug)]
enum End {
    InOrder,
    Failed(Status),
    Broken,
}

impl RpcServerStream {
    pub(super) fn new(
        connection: Arc<Connection>,
        context: Context,
        codec: Arc<dyn Marshaler>,
        header: Metadata,
        incoming: mpsc::Receiver<Incoming>,
    ) -> Self {
        Self { connection, context, codec, header, incoming: Mutex::new((incoming, None)) }
    }

    async fn bounded<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        match self.context.deadline {
            Some(deadline) => self
                .connection
                .serving
                .env
                .timeout_at(deadline, work)
                .await
                .map_err(|_| Error::new(ErrorKind::Timeout, "stream").detail("the stream's deadline has passed")),
            None => Ok(work.await),
        }
    }
}

#[async_trait]
impl ServerStream for RpcServerStream {
    fn context(&self) -> &Context {
        &self.context
    }

    async fn recv(&self, message: &mut dyn Payload) -> Result<()> {
        let mut incoming = self.incoming.lock().await;
        let (receiver, ended) = &mut *incoming;
        if ended.is_none() {
            match self.bounded(receiver.recv()).await? {
                Some(Incoming::Body(bytes)) => {
                    if let Some(frame) = message.as_any_mut().downcast_mut::<Frame>() {
                        frame.0 = bytes;
                        return Ok(());
                    }
                    return self.codec.unmarshal(&bytes, message);
                }
                Some(Incoming::End) => *ended = Some(End::InOrder),
                Some(Incoming::Failed(status)) => *ended = Some(End::Failed(status)),
                None => *ended = Some(End::Broken),
            }
        }
        Err(match ended {
            Some(End::InOrder) => Error::new(ErrorKind::EndOfStream, "receive"),
            Some(End::Failed(status)) => Error::remote("receive", status.clone()),
            Some(End::Broken) | None => Error::new(ErrorKind::Disconnected, "receive"),
        })
    }

    async fn send(&self, message: &dyn Payload) -> Result<()> {
        let body = encode_by(&*self.codec, message)?;
        self.bounded(self.connection.send(&Message { header: self.header.clone(), body })).await?
    }
}

opaque!(RpcServerStream { connection });
