//! The two tasks behind registrations: one renews all leases over one stream, the other restores what was lost. They decide
//! when; what is done is the keeper's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use shaketable_proto::etcd::v3::rpc::LeaseKeepAliveRequest;
use shaketable_proto::etcd::v3::rpc::lease_client::LeaseClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::losses::in_seconds;
use super::channel::refused_status;
use super::config;
use super::lease::Keeper;
use crate::env::{Elapsed, Env, Instant, Random};

/// Up to this much is added to a pause, so that processes that failed together do not return together.
const JITTER_MAX: Duration = Duration::from_millis(50);

/// Requests that may be under way beside those that the stream begins with.
const REQUESTS: usize = 1024;

/// Renews every lease before its time is over.
pub(super) async fn renew(keeper: Arc<Keeper>) {
    let mut random = keeper.env.random("etcd-renewal");
    let mut failures = 0;
    loop {
        // A stream is opened when there is something to say.
        let changed = keeper.leases_changed.notified();
        let next = keeper.next_renewal();
        if next.is_none_or(|next| next > keeper.env.now()) {
            tokio::select! {
                biased;
                () = changed => {}
                () = until(&keeper.env, next) => {}
            }
            continue;
        }
        let Err(reason) = stream(&keeper, &mut failures).await;
        keeper.stream_ended(reason);
        failures += 1;
        pause(&keeper.env, failures, &mut random).await;
    }
}

/// One stream from its beginning to its end; answers why it ended. etcd-client opens a stream for each lease, so the
/// generated client is used, on the same connection.
async fn stream(keeper: &Keeper, failures: &mut u32) -> Result<Infallible, String> {
    let link = keeper.links.current("renew").await.map_err(|error| error.to_string())?;
    let due = keeper.take_due();
    let (requests, receiver) = mpsc::channel(due.len() + REQUESTS);
    send(&requests, due)?;
    let give_up = |reason: String| {
        keeper.links.give_up(link.number);
        reason
    };
    let by = keeper.next_renewal().unwrap_or_else(|| keeper.links.deadline());
    let mut client = LeaseClient::new(link.channel.clone());
    // etcd answers the call itself only with the first renewal.
    let opened = keeper.env.timeout_at(by, client.lease_keep_alive(ReceiverStream::new(receiver))).await;
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
                    *failures = 0;
                    keeper.answered(answer.id, answer.ttl);
                }
                Ok(None) => return Err(give_up("etcd ended the keep-alive stream".to_owned())),
                Err(status) => return Err(give_up(refused_status("renew", &status).to_string())),
            },
            () = keeper.links.given_up(link.number) => return Err("the connection was given up".to_owned()),
            () = changed => {}
            () = until(&keeper.env, next) => {}
        }
        if let Some(waited) = keeper.overdue() {
            return Err(give_up(format!("etcd did not answer a keep-alive for {}", in_seconds(waited))));
        }
        send(&requests, keeper.take_due())?;
    }
}

fn send(requests: &mpsc::Sender<LeaseKeepAliveRequest>, leases: Vec<i64>) -> Result<(), String> {
    for id in leases {
        let request = LeaseKeepAliveRequest { id };
        requests.try_send(request).map_err(|_| "the keep-alive stream takes no more requests".to_owned())?;
    }
    Ok(())
}

/// Restores what was lost, as soon as that is known and etcd can be reached.
pub(super) async fn restore(keeper: Arc<Keeper>) {
    let mut random = keeper.env.random("etcd-restore");
    let mut failures = 0;
    loop {
        let lost = keeper.lost.notified();
        let next = keeper.next_look();
        if next.is_none_or(|next| next > keeper.env.now()) {
            tokio::select! {
                biased;
                () = lost => {}
                () = until(&keeper.env, next) => {}
            }
            continue;
        }
        if keeper.look_after_all().await {
            failures = 0;
        } else {
            failures += 1;
            pause(&keeper.env, failures, &mut random).await;
        }
    }
}

/// Waits until `deadline`, or for ever.
async fn until(env: &Env, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => env.clock().sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The pause after so many failures in a row.
pub(super) async fn pause(env: &Env, failures: u32, random: &mut Random) {
    env.sleep(config::backoff(failures) + JITTER_MAX.mul_f64(random.random())).await;
}
