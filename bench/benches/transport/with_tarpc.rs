//! tarpc with bincode over TCP: one connection for all lanes.

use bytes::Bytes;
use futures_util::StreamExt;
use tarpc::serde_transport::Transport;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::{client, context};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::echo::{Lane, Wire, held};
use crate::pair::pair;

/// Answers with what it is asked.
#[tarpc::service]
trait Echo {
    /// Answers with `payload`.
    async fn echo(payload: Bytes) -> Bytes;
}

#[derive(Clone)]
struct Answer;

impl Echo for Answer {
    async fn echo(self, _: context::Context, payload: Bytes) -> Bytes {
        payload
    }
}

pub(crate) struct Unary(EchoClient);

pub(crate) async fn unary(lanes: usize) -> Wire<Unary> {
    let [near, far] = pair().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let requests = BaseChannel::with_defaults(Transport::from((far, Bincode::default()))).execute(Answer.serve());
        // A task for each request, as its documentation has it; they end with the runtime.
        requests.for_each(async |request| drop(Handle::current().spawn(request))).await;
    });
    let client = EchoClient::new(client::Config::default(), Transport::from((near, Bincode::default())));
    tasks.spawn(async move { client.dispatch.await.expect("the connection holds") });
    Wire { lanes: (0..lanes).map(|_| Unary(client.client.clone())).collect(), _held: held(tasks) }
}

impl Lane for Unary {
    async fn exchange(&mut self, payload: &Bytes, read: impl Fn(&[u8])) {
        read(&self.0.echo(context::current(), payload.clone()).await.expect("an answer"));
    }
}
