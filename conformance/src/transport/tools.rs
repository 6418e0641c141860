//! What checks of transports have in common: two ends of a connection, messages that pass between them, and what a
//! plugin has promised of both.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use shaketable_stack::ErrorKind;
use shaketable_stack::Result as StackResult;
use shaketable_stack::metadata::{Metadata, get_ignoring_case};
use shaketable_stack::plugin::{Delivery, Order, Promises};
use shaketable_stack::transport::{DialOptions, ListenOptions, Listener, Message, Socket, Transport, TransportOptions};

use crate::site::SLACK;
use crate::sizes::MODEST_BYTES;
use crate::tolerance::ByWorld;
use crate::{Finding, Host, Need, Outcome, Site, expect};

/// A few large messages may take this long on a bad network.
pub(super) const LARGE_WITHIN: Duration = Duration::from_secs(90);

/// How soon the other end must have learnt that a connection is over.
pub(super) const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// How long after the one before a message is waited for that need not come.
pub(super) const STRAGGLES_FOR: ByWorld = SLACK.times(5);

/// Held up is who waits for longer than any packet needs.
pub(super) const HELD_UP_FOR: ByWorld = SLACK.times(6);

/// How many messages a task has sent, for another one that wants to know whether it is held up.
#[derive(Default)]
pub(super) struct Sent {
    count: AtomicU64,
    ended: AtomicBool,
}

impl Sent {
    pub(super) fn one_more(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// None when there are no more to come.
    pub(super) fn so_far(&self) -> Option<u64> {
        (!self.ended.load(Ordering::SeqCst)).then(|| self.count.load(Ordering::SeqCst))
    }
}

/// It promises to lose nothing while nothing is broken.
pub(super) const KEEPS_ALL: Need = Need::Promises("no message is lost", |promises| {
    matches!(promises.delivery, Some(Delivery::AtLeastOnce | Delivery::ExactlyOnce))
});

/// It promises to deliver nothing twice.
pub(super) const NOTHING_TWICE: Need = Need::Promises("no message comes twice", |promises| {
    matches!(promises.delivery, Some(Delivery::AtMostOnce | Delivery::ExactlyOnce))
});

/// It promises an order.
pub(super) const ORDERED: Need = Need::Promises("messages arrive in order", |promises| {
    matches!(promises.order, Some(Order::PerPublisher | Order::Total))
});

/// It promises a size.
pub(super) const LIMITED: Need =
    Need::Promises("a largest message", |promises: &Promises| promises.message_bytes_max.is_some());

/// The check sets options of the transport.
pub(super) const OPTIONS: Need = Need::InProcess("options by init");

/// The check drops what it does not close. Behind an adapter the harness's side closes it then, because only Rust drops.
pub(super) const DROPPING: Need = Need::InProcess("that a value is dropped");

/// One end of a connection.
pub(super) type End = Arc<dyn Socket>;

/// What the end on this host has done to be there. The other end is on another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Dialling,
    Accepting,
}

impl Role {
    pub(super) const BOTH: [Self; 2] = [Self::Dialling, Self::Accepting];
}

/// The transport on two hosts.
pub(super) struct Ends {
    pub(super) home: Arc<dyn Transport>,
    pub(super) second: Arc<dyn Transport>,
}

/// An open connection: `own` is the end on this host.
pub(super) struct Pair {
    pub(super) listener: Arc<dyn Listener>,
    pub(super) own: End,
    pub(super) peer: End,
}

impl Pair {
    /// Both ways: who sends, and who receives.
    pub(super) fn ways(&self) -> [(&End, &End); 2] {
        [(&self.own, &self.peer), (&self.peer, &self.own)]
    }
}

impl Ends {
    pub(super) async fn new(site: &Site) -> Result<Self, Finding> {
        Ok(Self { home: site.transport().await?, second: site.transport_on(Host::Second).await? })
    }

    /// A new listener and a connection to it.
    pub(super) async fn connect(&self, site: &Site, role: Role) -> Result<Pair, Finding> {
        self.connect_with(site, role, free()).await
    }

    async fn connect_with(&self, site: &Site, role: Role, options: DialOptions) -> Result<Pair, Finding> {
        let (dialling, listening) = match role {
            Role::Dialling => (&self.home, &self.second),
            Role::Accepting => (&self.second, &self.home),
        };
        let listener = listen(site, listening).await?;
        let (near, far) = open_with(site, dialling, &listener, options).await?;
        let (own, peer) = match role {
            Role::Dialling => (near, far),
            Role::Accepting => (far, near),
        };
        Ok(Pair { listener, own, peer })
    }
}

/// A connection between two hosts.
pub(super) async fn pair(site: &Site, role: Role) -> Result<Pair, Finding> {
    Ends::new(site).await?.connect(site, role).await
}

/// A connection for requests and their answers, which this host dials: it is not asked to carry a stream.
pub(super) async fn pair_for_requests(site: &Site) -> Result<Pair, Finding> {
    Ends::new(site).await?.connect_with(site, Role::Dialling, DialOptions::default()).await
}

/// Listens at a free port.
pub(super) async fn listen(site: &Site, transport: &Arc<dyn Transport>) -> Result<Arc<dyn Listener>, Finding> {
    site.ask("listen at ':0'", transport.listen(":0", ListenOptions::default())).await
}

/// For a connection on which both ends say what they like.
pub(super) fn free() -> DialOptions {
    DialOptions { stream: true, ..DialOptions::default() }
}

/// Opens a connection to `listener`. The end that dials speaks first and both sides work at once, because some
/// transports have a connection only when something has been sent, or hand messages over without keeping them.
pub(super) async fn open(
    site: &Site,
    dialling: &Arc<dyn Transport>,
    listener: &Arc<dyn Listener>,
) -> Result<(End, End), Finding> {
    open_with(site, dialling, listener, free()).await
}

async fn open_with(
    site: &Site,
    dialling: &Arc<dyn Transport>,
    listener: &Arc<dyn Listener>,
    options: DialOptions,
) -> Result<(End, End), Finding> {
    let address = listener.address();
    let hello = message(b"hello");
    let near = async {
        let near = site.ask(&format!("dial {address}"), dialling.dial(&address, options)).await?;
        site.ask("send the first message", near.send(&hello)).await?;
        Ok::<_, Finding>(near)
    };
    let far = async {
        let far = site.ask("accept", listener.accept()).await?;
        let received = site.ask("receive the first message", far.recv()).await?;
        same("the first message", &received, &hello)?;
        Ok::<_, Finding>(far)
    };
    tokio::try_join!(near, far)
}

/// Sends `message` on one end and receives it at the other, at the same time.
pub(super) async fn pass(site: &Site, from: &End, to: &End, what: &str, message: &Message) -> Outcome {
    let send = async { site.given(&format!("send {what}"), from.send(message)).await };
    let receive = async { site.given(&format!("receive {what}"), to.recv()).await };
    let ((), received) = tokio::try_join!(send, receive)?;
    same(what, &received, message)
}

/// Sends `messages` one after the other, and receives as many at the other end at the same time.
pub(super) async fn carry(site: &Site, from: &End, to: &End, messages: &[Message]) -> Result<Vec<Message>, Finding> {
    let count = messages.len();
    let send = async {
        for (index, message) in messages.iter().enumerate() {
            site.given(&format!("send message {} of {count}", index + 1), from.send(message)).await?;
        }
        Ok::<_, Finding>(())
    };
    let receive = async {
        let mut received = Vec::with_capacity(count);
        while received.len() < count {
            let what = format!("receive message {} of {count}", received.len() + 1);
            received.push(site.given(&what, to.recv()).await?);
        }
        Ok::<_, Finding>(received)
    };
    let ((), received) = tokio::try_join!(send, receive)?;
    Ok(received)
}

/// Sends `messages` one after the other and receives at the other end until nothing more comes: what is lost is
/// missing, and what comes twice is there twice.
pub(super) async fn gather(site: &Site, from: &End, to: &End, messages: &[Message]) -> Result<Vec<Message>, Finding> {
    let send = async {
        for (index, message) in messages.iter().enumerate() {
            site.given(&format!("send message {} of {}", index + 1, messages.len()), from.send(message)).await?;
        }
        Ok::<_, Finding>(())
    };
    let receive = async {
        let mut received = Vec::new();
        // Longer than a lost packet takes to be sent again.
        while let Ok(message) = site.env().timeout(site.by_world(STRAGGLES_FOR), to.recv()).await {
            received.push(message.map_err(|error| Finding::violated("'receive' to succeed", error.to_string()))?);
        }
        Ok(received)
    };
    let ((), received) = tokio::try_join!(send, receive)?;
    Ok(received)
}

impl Site {
    /// As [`ask`](Self::ask), with the patience that large messages need on a bad network.
    async fn given<T>(&self, what: &str, work: impl Future<Output = StackResult<T>>) -> Result<T, Finding> {
        self.within(what, LARGE_WITHIN, work)
            .await?
            .map_err(|error| Finding::violated(format!("'{what}' to succeed"), format!("the error `{error}`")))
    }
}

/// Waits for the end of what `socket` receives, and says how it ended; what was under way is dropped.
///
/// # Errors
/// A violation when nothing has ended after [`SEEN_WITHIN`].
pub(super) async fn ending(site: &Site, socket: &End) -> Result<ErrorKind, Finding> {
    let end = async {
        loop {
            if let Err(error) = socket.recv().await {
                return error.kind();
            }
        }
    };
    site.within("see that the connection is over", SEEN_WITHIN, end).await
}

/// A message with that body and one header.
pub(super) fn message(body: &[u8]) -> Message {
    Message { header: header(&[("Micro-Id", "1")]), body: Bytes::copy_from_slice(body) }
}

/// A message that bears a number in its first bytes and is filled up to `length`.
pub(super) fn numbered(number: u32, length: usize) -> Message {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend(body(length.saturating_sub(bytes.len())));
    Message { header: header(&[("Micro-Id", &number.to_string())]), body: bytes.into() }
}

/// The number that such a message bears.
pub(super) fn number_of(message: &Message) -> Option<u32> {
    message.body.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

pub(super) fn header(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A body in which every byte occurs and no two neighbourhoods look alike.
pub(super) fn body(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 + (index >> 8) * 7 + (index >> 16) * 13) as u8).collect()
}

/// What was received is what was sent: the same body, and each header, whatever has become of the case of its name.
pub(super) fn same(what: &str, received: &Message, sent: &Message) -> Outcome {
    let wanted = format!("{what} with a body of {} bytes as they were sent", sent.body.len());
    expect(received.body == sent.body, wanted, || difference(&received.body, &sent.body))?;
    for (name, value) in &sent.header {
        let got = get_ignoring_case(&received.header, name);
        expect(got == Some(value.as_str()), format!("{what} with the header {name}: {value:?}"), || {
            format!("{got:?}")
        })?;
    }
    Ok(())
}

fn difference(received: &[u8], sent: &[u8]) -> String {
    let first = received.iter().zip(sent).position(|(got, wanted)| got != wanted);
    match first {
        Some(index) => format!("{} bytes that differ from byte {index} on", received.len()),
        None => format!("{} bytes, as far as they go the same", received.len()),
    }
}

/// The largest body that may be presumed: what is promised, or a size that everything carries.
pub(super) fn largest(site: &Site) -> usize {
    site.promises().message_bytes_max.unwrap_or(MODEST_BYTES)
}

/// The options of `transport` with a change.
pub(super) fn changed(
    transport: &Arc<dyn Transport>,
    change: impl FnOnce(&mut TransportOptions),
) -> Result<(), Finding> {
    let mut options = transport.options();
    change(&mut options);
    transport
        .init(options)
        .map_err(|error| Finding::violated("'init' to take its own options changed", format!("the error `{error}`")))
}

/// A violation unless `kind` is one of `kinds`.
pub(super) fn expect_kind(what: &str, kind: ErrorKind, kinds: &[ErrorKind]) -> Outcome {
    let wanted = kinds.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(" or ");
    expect(kinds.contains(&kind), format!("{what} to end with {wanted}"), || shown(kind))
}

fn shown(kind: impl Debug) -> String {
    format!("{kind:?}")
}
