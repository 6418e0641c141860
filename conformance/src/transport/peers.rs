//! Peers over HTTP/2 that the harness plays: one that calls a listener of the plugin, and one that answers what the plugin
//! has dialled. They do what they are told, be it wrong.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response, header};
use prost::Message as _;
use shaketable_proto::micro::transport::v1 as wire;
use shaketable_stack::env::{self, Stream, Task};
use shaketable_stack::transport::{Listener, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tools::SEEN_WITHIN;
use super::wire::{broke, dial};
use crate::{Finding, Outcome, Site};

/// The method whose calls are sockets (go-micro `transport/grpc/proto/transport.proto`, v2 and later).
pub(super) const PATH: &str = "/go.micro.transport.grpc.Transport/Stream";

/// The content type of gRPC.
pub(super) const GRPC_TYPE: &str = "application/grpc";

/// The flag that says whether a message is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Header fields.
type Fields = &'static [(&'static str, &'static str)];

/// `message` as gRPC frames it.
pub(super) fn framed(message: &Message) -> Bytes {
    let message = wire::Message { header: message.header.clone(), body: message.body.clone() };
    let bytes = message.encode_to_vec();
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(bytes.len() as u32);
    framed.put_slice(&bytes);
    framed.freeze()
}

/// What HTTP/2 itself says, as a finding: the plugin's end does not speak it so far.
fn unspoken(what: &str, error: &h2::Error) -> Finding {
    Finding::violated(format!("{what} over HTTP/2"), error.to_string())
}

/// A connection of the harness to a listener.
pub(super) struct Caller {
    requests: SendRequest<Bytes>,
    _driver: Task,
}

/// A call that the harness has begun.
pub(super) struct Call {
    response: ResponseFuture,
    pub(super) sender: SendStream<Bytes>,
}

/// What came of such a call: how the response ended, and its body.
#[derive(Debug)]
pub(super) struct Heard {
    /// The HTTP status.
    pub(super) status: u16,
    /// The gRPC status.
    pub(super) code: Option<String>,
    bytes: BytesMut,
}

impl Caller {
    pub(super) async fn new(site: &Site, listener: &dyn Listener) -> Result<Self, Finding> {
        let stream = dial(site, listener).await?;
        let handshake = site.within("begin HTTP/2", SEEN_WITHIN, h2::client::handshake(stream)).await?;
        let (requests, connection) = handshake.map_err(|error| unspoken("a connection", &error))?;
        let driver = site.env().spawn("raw", async move {
            // What breaks it is seen by its calls.
            let _ = connection.await;
        });
        Ok(Self { requests, _driver: driver })
    }

    pub(super) async fn call(
        &self,
        site: &Site,
        method: Method,
        path: &str,
        content_type: &str,
    ) -> Result<Call, Finding> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://second{path}"))
            .header(header::TE, "trailers")
            .header(header::CONTENT_TYPE, content_type)
            .body(())
            .map_err(|error| Finding::Broke(error.to_string()))?;
        let ready = site.within("begin a call", SEEN_WITHIN, self.requests.clone().ready()).await?;
        let begun = ready.and_then(|mut requests| requests.send_request(request, false));
        let (response, sender) = begun.map_err(|error| unspoken("a call", &error))?;
        Ok(Call { response, sender })
    }
}

impl Call {
    /// Sends `bytes`, and, if they are the last, the end.
    pub(super) fn say(&mut self, bytes: Bytes, last: bool) -> Outcome {
        self.sender.send_data(bytes, last).map_err(|error| unspoken("bytes of a call", &error))
    }

    /// Waits for the end of the response; the error is what HTTP/2 says.
    pub(super) async fn heard(self, site: &Site, what: &str) -> Result<Result<Heard, h2::Error>, Finding> {
        site.within(&format!("the end of the response to {what}"), SEEN_WITHIN, hear(self.response)).await
    }
}

async fn hear(response: ResponseFuture) -> Result<Heard, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let code = |fields: &HeaderMap| {
        fields.get("grpc-status").map(|code| String::from_utf8_lossy(code.as_bytes()).into_owned())
    };
    let mut heard = Heard { status: head.status.as_u16(), code: code(&head.headers), bytes: BytesMut::new() };
    // With the status in the head, nothing follows but, to some, a reset.
    if heard.code.is_none() {
        while let Some(data) = body.data().await {
            let data = data?;
            // It fails when the call is over, where there is no room left to give back.
            let _ = body.flow_control().release_capacity(data.len());
            heard.bytes.extend_from_slice(&data);
        }
        heard.code = body.trailers().await?.as_ref().and_then(code);
    }
    Ok(heard)
}

impl Heard {
    /// The message that the body is.
    pub(super) fn message(&self) -> Option<wire::Message> {
        wire::Message::decode(self.bytes.get(PREFIX_BYTES..)?).ok()
    }
}

/// What a server of the harness answers to a call.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    content_type: &'static str,
    last: Last,
}

/// How it ends the call.
#[derive(Debug)]
pub(super) enum Last {
    /// With the head, which has these fields besides.
    Head(Fields),
    /// With these bytes, and the trailers, where there are any.
    Body(Bytes, Fields),
    /// Without a response.
    Reset(Reason),
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &'static str, last: Last) -> Self {
        Self { status, content_type, last }
    }

    fn write(&self, respond: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
        let head = |fields: Fields| {
            let mut head = Response::new(());
            *head.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or_default();
            head.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(self.content_type));
            head.headers_mut().extend(headers(fields));
            head
        };
        match &self.last {
            Last::Head(fields) => respond.send_response(head(*fields), true).map(drop),
            Last::Body(bytes, trailers) => {
                let mut sender = respond.send_response(head(&[]), false)?;
                sender.send_data(bytes.clone(), trailers.is_empty())?;
                if trailers.is_empty() { Ok(()) } else { sender.send_trailers(headers(trailers)) }
            }
            Last::Reset(reason) => {
                respond.send_reset(*reason);
                Ok(())
            }
        }
    }
}

fn headers(fields: Fields) -> HeaderMap {
    let fields = fields
        .iter()
        .map(|(name, value)| (header::HeaderName::from_static(name), header::HeaderValue::from_static(value)));
    fields.collect()
}

/// What holds a call open that was answered.
pub(super) struct Given {
    _request: Request<RecvStream>,
    _respond: SendResponse<Bytes>,
    _driver: Task,
}

/// Accepts a connection and answers its first call; further ones are refused.
pub(super) async fn give(site: &Site, listener: &mut dyn env::Listener, answer: &Answer) -> Result<Given, Finding> {
    let stream = site.within("a connection", SEEN_WITHIN, listener.accept()).await?.map_err(broke)?;
    let handshake = site.within("the beginning of HTTP/2", SEEN_WITHIN, h2::server::handshake(stream)).await?;
    let mut connection = handshake.map_err(|error| unspoken("a connection", &error))?;
    let call = site.within("a call", SEEN_WITHIN, connection.accept()).await?;
    let call = call.ok_or_else(|| Finding::violated("a call on the connection", "its end"))?;
    let (request, mut respond) = call.map_err(|error| unspoken("a call", &error))?;
    // It fails when the call has ended meanwhile, which the other end tells.
    let _ = answer.write(&mut respond);
    let driver = site.env().spawn("raw", async move {
        while let Some(call) = connection.accept().await {
            if let Ok((_, mut respond)) = call {
                respond.send_reset(Reason::REFUSED_STREAM);
            }
        }
    });
    Ok(Given { _request: request, _respond: respond, _driver: driver })
}

/// Accepts a connection, and answers its first call with the news that none was taken. Who tries again finds nobody.
pub(super) async fn go_away(site: &Site, mut listener: Box<dyn env::Listener>) -> Result<Stream, Finding> {
    /// Frames of HTTP/2 (RFC 9113, sections 4.1, 6.5 and 6.8): no settings; the last call was number 0, no error.
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    const GO_AWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const HEADERS: u8 = 1;
    let talk = async {
        let mut stream = listener.accept().await?;
        stream.write_all(SETTINGS).await?;
        stream.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await?;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            let [high, middle, low, kind, ..] = head;
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            stream.read_exact(&mut vec![0; length]).await?;
            if kind == HEADERS {
                break;
            }
        }
        drop(listener);
        stream.write_all(GO_AWAY).await?;
        Ok::<_, io::Error>(stream)
    };
    site.within("a call", SEEN_WITHIN, talk).await?.map_err(broke)
}
