//! One end of an HTTP/1.1 connection as a socket.

use std::net::SocketAddr;
use std::sync::OnceLock;

use async_trait::async_trait;
use bytes::{BufMut, BytesMut};
use tokio::sync::Mutex;

use super::super::config::check_size;
use super::super::connect::disconnected;
use super::super::gate::Gate;
use super::super::{Message, Socket, TransportOptions};
use super::decode::{Decoded, Decoder, Expect};
use super::encode;
use super::wire::Wire;
use crate::env::{Env, Stream};
use crate::error::Status;
use crate::metadata::Metadata;
use crate::opaque::opaque;
use crate::{Error, ErrorKind, Result};

/// Bodies up to this size travel in one write with their header section, in bytes.
const JOINED_BYTES_MAX: usize = 16 << 10;

/// Which end of the connection it is.
#[derive(Debug)]
pub(super) enum Side {
    /// Sends requests, receives responses.
    Dialling {
        /// The address that was dialled, for `Host`.
        host: String,
        connection_close: bool,
    },
    /// Receives requests, sends responses.
    Accepting {
        /// Headers of the first request; every response starts as their copy.
        first: OnceLock<Metadata>,
    },
}

impl Side {
    pub(super) fn accepting() -> Self {
        Self::Accepting { first: OnceLock::new() }
    }
}

/// A socket on one connection.
pub(super) struct HttpSocket {
    gate: Gate,
    side: Side,
    wire: Wire,
    reading: Mutex<Reading>,
    writing: Mutex<Writing>,
    message_bytes_max: usize,
    local: SocketAddr,
    remote: SocketAddr,
}

struct Reading {
    decoder: Decoder,
    /// Why nothing more will come.
    ended: Option<ErrorKind>,
}

#[derive(Default)]
struct Writing {
    /// A message was begun and not finished, so that nothing can follow it.
    broken: bool,
}

impl HttpSocket {
    pub(super) fn new(env: &Env, stream: Stream, side: Side, options: &TransportOptions) -> Self {
        let expect = match side {
            Side::Dialling { .. } => Expect::Responses,
            Side::Accepting { .. } => Expect::Requests,
        };
        Self {
            gate: Gate::new(env.clone(), options.timeout),
            side,
            local: stream.local_address(),
            remote: stream.peer_address(),
            wire: Wire::new(stream),
            reading: Mutex::new(Reading { decoder: Decoder::new(expect, options.message_bytes_max), ended: None }),
            writing: Mutex::default(),
            message_bytes_max: options.message_bytes_max,
        }
    }

    /// The next whole message. What has been read stays in the decoder when the future is dropped.
    async fn read(&self) -> Result<Decoded> {
        let Reading { decoder, ended } = &mut *self.reading.lock().await;
        if let Some(kind) = ended {
            return Err(Error::new(*kind, "receive"));
        }
        loop {
            match decoder.decode() {
                Ok(Some(decoded)) => return Ok(decoded),
                Ok(None) => {}
                Err(error) => {
                    *ended = Some(ErrorKind::Disconnected);
                    self.refuse(&error).await;
                    return Err(error);
                }
            }
            match self.wire.read(decoder.buffer()).await {
                Ok(0) => {
                    let last = decoder.finish();
                    let kind = if last.is_ok() { ErrorKind::EndOfStream } else { ErrorKind::Disconnected };
                    *ended = Some(kind);
                    return last?.ok_or_else(|| Error::new(kind, "receive"));
                }
                Ok(_) => {}
                Err(error) => {
                    *ended = Some(ErrorKind::Disconnected);
                    return Err(disconnected("receive", error));
                }
            }
        }
    }

    /// Hangs up after bytes that cannot be read, and says why where the peer waits for an answer.
    async fn refuse(&self, error: &Error) {
        // Whoever is writing just now leaves no place for an answer.
        if let Side::Accepting { .. } = self.side
            && let Ok(mut writing) = self.writing.try_lock()
            && !std::mem::replace(&mut writing.broken, true)
        {
            let _ = self.wire.write_all(encode::refusal(error).as_bytes()).await;
        }
        self.wire.close();
    }

    async fn write(&self, head: BytesMut, body: &[u8]) -> Result<()> {
        let mut writing = self.writing.lock().await;
        if writing.broken {
            return Err(Error::new(ErrorKind::Disconnected, "send"));
        }
        writing.broken = true;
        let written = if body.len() <= JOINED_BYTES_MAX {
            let mut whole = head;
            whole.put_slice(body);
            self.wire.write_all(&whole).await
        } else {
            match self.wire.write_all(&head).await {
                Ok(()) => self.wire.write_all(body).await,
                failed => failed,
            }
        };
        written.map_err(|error| disconnected("send", error))?;
        writing.broken = false;
        Ok(())
    }
}

#[async_trait]
impl Socket for HttpSocket {
    async fn recv(&self) -> Result<Message> {
        let Decoded { status, message } = self.gate.pass("receive", self.read()).await?;
        match status {
            None | Some((200, _)) => {}
            Some((code, reason)) => {
                let detail = format!("{code} {reason}: {}", String::from_utf8_lossy(&message.body));
                return Err(Error::remote("receive", Status { detail, ..Status::default() }));
            }
        }
        if let Side::Accepting { first } = &self.side {
            first.get_or_init(|| message.header.clone());
        }
        Ok(message)
    }

    async fn send(&self, message: &Message) -> Result<()> {
        self.gate
            .pass("send", async {
                check_size("send", message.body.len(), self.message_bytes_max)?;
                let head = match &self.side {
                    Side::Dialling { host, connection_close } => encode::request(host, *connection_close, message)?,
                    Side::Accepting { first } => encode::response(first.get().unwrap_or(&Metadata::new()), message)?,
                };
                self.write(head, &message.body).await
            })
            .await
    }

    async fn close(&self) -> Result<()> {
        self.gate.close();
        self.wire.close();
        Ok(())
    }

    fn local(&self) -> String {
        self.local.to_string()
    }

    fn remote(&self) -> String {
        self.remote.to_string()
    }
}

opaque!(HttpSocket { local, remote });
