//! What the cache answers, as callers read it: without a lock, from what their thread has been answered before, as long as that
//! is the newest, and else from tables that are replaced whole. It does not know what the answers are made of, and is told of
//! changes by one writer at a time.

use std::sync::Arc;

use crate::recent::{self, Owner, Recent};
use crate::registry::{Followed, Freshness, Services};
use crate::table::ByName;

thread_local! {
    /// Each with a count of its own, so that callers on other threads are not kept waiting for it.
    static ANSWERS: Recent<Answer> = const { Recent::new() };
}

/// The answers by service.
#[derive(Debug, Default)]
pub(super) struct Answers {
    table: ByName<Answer>,
    owner: Owner,
}

#[derive(Debug)]
struct Answer {
    services: Services,
    version: u64,
    freshness: Arc<Freshness>,
}

impl Answers {
    /// The answer for `name`, which is in use then.
    pub(super) fn get(&self, name: &str) -> Option<Services> {
        let own = recent::find(&ANSWERS, &self.owner, name, |answer| answer.is_newest().then(|| answer.take()));
        own.or_else(|| {
            let answer = self.table.get(name)?;
            recent::keep(&ANSWERS, &self.owner, name, Answer::is_newest, || answer.apart());
            Some(answer.take())
        })
    }

    /// The same, with what tells of changes.
    pub(super) fn follow(&self, name: &str) -> Option<Followed> {
        let answer = self.table.get(name)?;
        answer.freshness.use_it();
        let Answer { services, version, freshness } = &*answer;
        Some(Followed { services: services.clone(), version: *version, freshness: freshness.clone() })
    }

    /// Answers `services` for `name` from now on. For one writer at a time, as everything below.
    pub(super) fn insert(&self, name: &str, services: Services) -> Arc<Freshness> {
        let freshness = Arc::new(Freshness::new());
        let answer = Answer { services, version: 0, freshness: freshness.clone() };
        if let Some(before) = self.table.set(name, answer) {
            before.freshness.change();
        }
        freshness
    }

    /// Answers `services` instead of what was inserted with `freshness`.
    pub(super) fn replace(&self, name: &str, services: Services, freshness: &Arc<Freshness>) {
        let answer = Answer { services, version: freshness.next_version(), freshness: freshness.clone() };
        self.table.set(name, answer);
        freshness.change();
    }

    /// Knows nothing of `name` any more.
    pub(super) fn remove(&self, name: &str) {
        if let Some(answer) = self.table.remove(name) {
            answer.freshness.change();
        }
    }

    /// Knows nothing any more.
    pub(super) fn clear(&self) {
        self.table.take().iter().for_each(|answer| answer.freshness.change());
        recent::forget(&ANSWERS, &self.owner);
    }
}

impl Answer {
    #[inline]
    fn is_newest(&self) -> bool {
        self.freshness.is_of(self.version)
    }

    #[inline]
    fn take(&self) -> Services {
        self.freshness.use_it();
        self.services.clone()
    }

    fn apart(&self) -> Self {
        Self { services: self.services.apart(), version: self.version, freshness: self.freshness.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::Answers;
    use crate::registry::testing::service;

    #[test]
    fn whoever_follows_an_answer_hears_of_every_change_and_of_its_end() {
        let answers = Answers::default();
        let one = answers.insert("user", vec![service("user", "1", &["a"])].into());
        let followed = answers.follow("user").unwrap();
        assert!(followed.freshness.is_of(followed.version));
        answers.insert("order", vec![service("order", "1", &["b"])].into());
        assert!(followed.freshness.is_of(followed.version), "another service is none of its business");
        answers.replace("user", vec![service("user", "1", &["a", "c"])].into(), &one);
        assert!(!followed.freshness.is_of(followed.version));
        let followed = answers.follow("user").unwrap();
        assert!(followed.freshness.is_of(followed.version));
        assert_eq!(followed.services[0].nodes.len(), 2);
        answers.remove("user");
        assert!(!followed.freshness.is_of(followed.version) && answers.get("user").is_none());
        let followed = answers.follow("order").unwrap();
        answers.clear();
        assert!(!followed.freshness.is_of(followed.version) && answers.follow("order").is_none());
    }

    #[test]
    fn an_answer_that_is_brought_anew_ends_the_one_before() {
        let answers = Answers::default();
        answers.insert("user", vec![service("user", "1", &["a"])].into());
        let followed = answers.follow("user").unwrap();
        answers.insert("user", vec![service("user", "1", &["b"])].into());
        assert!(!followed.freshness.is_of(followed.version));
    }

    #[test]
    fn asking_and_following_are_uses_and_so_is_what_a_follower_says() {
        let answers = Answers::default();
        let answer = answers.insert("user", vec![service("user", "1", &["a"])].into());
        assert!(answer.take_use(), "it was asked for");
        assert!(!answer.take_use());
        answers.get("user").unwrap();
        assert!(answer.take_use());
        let followed = answers.follow("user").unwrap();
        assert!(answer.take_use());
        followed.freshness.use_it();
        assert!(answer.take_use() && !answer.take_use());
    }
}
