//! A watch: one task that follows etcd's history from the revision after the call's own, opens the stream again where it
//! broke, and compares where history was compacted away.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use etcd_client::{EventType, GetOptions, GetResponse, WatchOptions as EtcdWatchOptions, WatchResponse};

use super::super::mailbox::Mailbox;
use super::channel::{Link, Links};
use super::encoding;
use super::renewal::Pauses;
use super::view::View;
use crate::Result;
use crate::env::{Env, Task};
use crate::registry::{Event, Watcher};

/// Delivers changes that etcd reports.
#[derive(Debug)]
pub(super) struct EtcdWatcher {
    mailbox: Arc<Mailbox>,
    task: Mutex<Option<Task>>,
}

/// How a stream ended.
enum Ended {
    /// Nobody wants more.
    Unwanted,
    /// It broke; what follows the last event can still be had.
    Broken,
    /// etcd has forgotten what would have to follow.
    Compacted,
}

struct Following {
    env: Env,
    links: Arc<Links>,
    mailbox: Arc<Mailbox>,
    prefix: String,
    view: View,
    /// The first revision that was not seen yet.
    next_revision: i64,
}

impl EtcdWatcher {
    /// Watches `service`, or all. What happens after this returns is seen.
    pub(super) async fn open(env: &Env, links: Arc<Links>, service: Option<String>) -> Result<Self> {
        let prefix = encoding::prefix(service.as_deref());
        let content = range(&links, "watch", &prefix).await?;
        let mailbox = Arc::new(Mailbox::default());
        let mut following = Following {
            env: env.clone(),
            links,
            mailbox: mailbox.clone(),
            prefix,
            view: View::new(service),
            next_revision: 0,
        };
        following.take(&content);
        let task = Mutex::new(Some(env.spawn("etcd-watch", following.run())));
        Ok(Self { mailbox, task })
    }
}

#[async_trait]
impl Watcher for EtcdWatcher {
    async fn next(&self) -> Result<Event> {
        self.mailbox.next().await
    }

    fn stop(&self) {
        self.mailbox.stop();
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Everything under `prefix`.
pub(super) async fn range(links: &Links, operation: &'static str, prefix: &str) -> Result<GetResponse> {
    links
        .call(operation, |client| {
            let mut keys = client.kv_client().max_decoding_message_size(super::config::ANSWER_BYTES_MAX);
            async move { keys.get(prefix, Some(GetOptions::new().with_prefix())).await }
        })
        .await
}

impl Following {
    async fn run(mut self) {
        let mut pauses = Pauses::new(&self.env, "etcd-watch");
        loop {
            match self.stream(&mut pauses).await {
                Ended::Unwanted => return,
                Ended::Compacted => {
                    if let Ok(content) = range(&self.links, "watch", &self.prefix).await {
                        for event in self.take(&content) {
                            // Whether more are wanted is asked again with the first event that follows.
                            self.mailbox.deliver(event);
                        }
                        continue;
                    }
                }
                Ended::Broken => {}
            }
            pauses.wait(&self.env).await;
        }
    }

    /// Follows one stream to its end.
    async fn stream(&mut self, pauses: &mut Pauses) -> Ended {
        let Ok(link) = self.links.current("watch").await else { return Ended::Broken };
        let links = self.links.clone();
        let ended = tokio::select! {
            biased;
            ended = self.follow(&link, pauses) => ended,
            () = links.given_up(link.number) => return Ended::Broken,
        };
        if matches!(ended, Ended::Broken) {
            links.give_up(link.number);
        }
        ended
    }

    async fn follow(&mut self, link: &Link, pauses: &mut Pauses) -> Ended {
        let Ok(insisting) = link.insisting().await else { return Ended::Broken };
        let mut watches = insisting.watch_client().max_decoding_message_size(super::config::ANSWER_BYTES_MAX);
        let options = EtcdWatchOptions::new().with_prefix().with_prev_key().with_start_revision(self.next_revision);
        let opening = watches.watch(self.prefix.as_str(), Some(options));
        let Ok(Ok(mut stream)) = self.env.timeout_at(self.links.deadline(), opening).await else {
            return Ended::Broken;
        };
        // etcd confirms a watch at once; from then on silence is no failure, and pings find a dead connection.
        let mut confirmed = false;
        loop {
            let message = if confirmed {
                stream.message().await
            } else {
                match self.env.timeout_at(self.links.deadline(), stream.message()).await {
                    Ok(message) => message,
                    Err(_) => return Ended::Broken,
                }
            };
            let Ok(Some(answer)) = message else { return Ended::Broken };
            confirmed = true;
            if answer.compact_revision() > 0 {
                return Ended::Compacted;
            }
            if answer.canceled() {
                return Ended::Broken;
            }
            pauses.reset();
            if !self.deliver(&answer) {
                return Ended::Unwanted;
            }
        }
    }

    /// Passes events on. Answers whether more are wanted.
    fn deliver(&mut self, answer: &WatchResponse) -> bool {
        for event in answer.events() {
            let Some(found) = event.kv() else { continue };
            self.next_revision = self.next_revision.max(found.mod_revision() + 1);
            let change = match event.event_type() {
                EventType::Put => {
                    self.view.put(found.key(), found.value(), found.create_revision() == found.mod_revision())
                }
                EventType::Delete => self.view.delete(found.key(), event.prev_kv().map(etcd_client::KeyValue::value)),
            };
            if change.is_some_and(|change| !self.mailbox.deliver(change)) {
                return false;
            }
        }
        true
    }

    /// Takes over the whole content; answers what changed.
    fn take(&mut self, content: &GetResponse) -> Vec<Event> {
        let found: Vec<_> = content.kvs().iter().map(|found| (found.key(), found.value())).collect();
        self.next_revision = content.header().map_or(0, etcd_client::ResponseHeader::revision) + 1;
        self.view.replace(&found)
    }
}
