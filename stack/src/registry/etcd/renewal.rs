//! The two tasks behind registrations: one renews all leases over one stream, the other looks after keys. They decide when;
//! what is done is the keeper's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use shaketable_proto::etcd::v3::rpc::LeaseKeepAliveRequest;
use shaketable_proto::etcd::v3::rpc::lease_client::LeaseClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::channel::refused_status;
use super::config;
use super::keeper::Keeper;
use crate::env::{Elapsed, Env, Instant, Random};

/// Renews every lease before its time is over.
pub(super) async fn renew(keeper: Arc<Keeper>) {
    let mut pauses = Pauses::new(&keeper.env, "etcd-renewal");
    loop {
        // A stream is opened when there is something to say.
        let changed = keeper.leases_changed.notified();
        tokio::select! {
            biased;
            () = until(&keeper.env, keeper.next_renewal()) => {}
            () = changed => continue,
        }
        let Err(reason) = stream(&keeper, &mut pauses).await;
        keeper.stream_ended(reason);
        pauses.wait(&keeper.env).await;
    }
}

/// One stream from its beginning to its end; answers why it ended. etcd-client opens a stream for each lease, so the
/// generated client is used, on the same connection.
async fn stream(keeper: &Keeper, pauses: &mut Pauses) -> Result<Infallible, String> {
    let link = keeper.links.current("renew").await.map_err(|error| error.to_string())?;
    // No more wait in it than there are leases: each is asked about once until it is answered.
    let (requests, receiver) = mpsc::unbounded_channel();
    send(&requests, keeper.take_due())?;
    let give_up = |reason: String| {
        keeper.links.give_up(link.number);
        reason
    };
    let by = keeper.next_renewal().unwrap_or_else(|| keeper.links.deadline());
    let mut client = LeaseClient::new(link.channel.clone());
    // etcd answers the call itself only with the first renewal.
    let opened = keeper.env.timeout_at(by, client.lease_keep_alive(UnboundedReceiverStream::new(receiver))).await;
    let mut answers = match opened {
        Ok(Ok(answers)) => answers.into_inner(),
        Ok(Err(status)) => return Err(give_up(refused_status("renew", &status).to_string())),
        Err(Elapsed) => return Err(give_up(keeper.links.no_answer("renew").to_string())),
    };
    loop {
        let changed = keeper.leases_changed.notified();
        let next = keeper.next_renewal();
        tokio::select! {
            biased;
            answer = answers.message() => match answer {
                Ok(Some(answer)) => {
                    pauses.reset();
                    keeper.answered(answer.id, answer.ttl);
                }
                Ok(None) => return Err(give_up("etcd ended the keep-alive stream".to_owned())),
                Err(status) => return Err(give_up(refused_status("renew", &status).to_string())),
            },
            () = keeper.links.given_up(link.number) => return Err("the connection was given up".to_owned()),
            () = changed => {}
            () = until(&keeper.env, next) => {}
        }
        if keeper.is_overdue() {
            return Err(give_up("etcd did not answer a keep-alive in time".to_owned()));
        }
        send(&requests, keeper.take_due())?;
    }
}

impl Keeper {
    fn take_due(&self) -> Vec<i64> {
        self.leases.take_due(self.env.now())
    }

    fn next_renewal(&self) -> Option<Instant> {
        self.leases.next_renewal(self.links.options().timeout)
    }

    fn is_overdue(&self) -> bool {
        self.leases.is_overdue(self.env.now(), self.links.options().timeout)
    }
}

fn send(requests: &mpsc::UnboundedSender<LeaseKeepAliveRequest>, leases: Vec<i64>) -> Result<(), String> {
    for id in leases {
        let request = LeaseKeepAliveRequest { id };
        requests.send(request).map_err(|_| "the keep-alive stream takes no more requests".to_owned())?;
    }
    Ok(())
}

/// Looks after keys: restores what was lost, as soon as that is known and etcd can be reached.
pub(super) async fn restore(keeper: Arc<Keeper>) {
    let mut pauses = Pauses::new(&keeper.env, "etcd-restore");
    loop {
        let lost = keeper.lost.notified();
        tokio::select! {
            biased;
            () = until(&keeper.env, keeper.next_look()) => {}
            () = lost => continue,
        }
        if keeper.look_after_all().await {
            pauses.reset();
        }
        // What failed is due again at once.
        pauses.wait(&keeper.env).await;
    }
}

/// Waits until `deadline`, or for ever.
async fn until(env: &Env, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => env.clock().sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The pauses before what failed is tried again.
pub(super) struct Pauses {
    random: Random,
    next: Duration,
}

impl Pauses {
    /// `name` is that of their random stream.
    pub(super) fn new(env: &Env, name: &'static str) -> Self {
        Self { random: env.random(name), next: config::PAUSE_MIN }
    }

    /// What failed before does not matter any more.
    pub(super) fn reset(&mut self) {
        self.next = config::PAUSE_MIN;
    }

    /// Waits, up to half as long again as the pause is, so that processes that failed together do not return together.
    pub(super) async fn wait(&mut self, env: &Env) {
        env.sleep(self.next.mul_f64(self.random.random_range(1.0..1.5))).await;
        self.next = (self.next * 2).min(config::PAUSE_MAX);
    }
}
