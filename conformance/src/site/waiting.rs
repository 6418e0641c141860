//! Waiting with a deadline: for an answer, for something to hold, for nothing to happen. What does not come in time is a
//! violation that says what was waited for. What waits for a fixed time is here alone, and each kind of it has its reason.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use shaketable_stack::env::{Elapsed, Env};
use shaketable_stack::{Error, ErrorKind, Result as StackResult};

use super::Site;
use crate::tolerance::{ByWorld, InWords};
use crate::{Finding, Outcome};

/// How long a plugin may take to answer while nothing is broken; beyond it, it hangs.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How much later than it should a thing may happen: what messages take, and on real machines what schedulers add.
pub(crate) const SLACK: ByWorld = ByWorld { simulated: Duration::from_millis(500), live: Duration::from_secs(1) };

/// Between two looks: short enough to see what happens, long enough to let others work.
const PAUSE: ByWorld = ByWorld { simulated: Duration::from_millis(10), live: Duration::from_millis(25) };

/// How long a message between two processes of one machine may take.
const ARRIVES_WITHIN: Duration = Duration::from_millis(100);

/// What every check allows for.
pub(crate) fn tolerances() -> Vec<String> {
    vec![
        format!(
            "Every call, and the making of a plugin, ends within {}, well or not, also where its requirement says nothing of \
             time.",
            ANSWER_WITHIN.in_words()
        ),
        format!("What is allowed *the slack* may be late by {}.", SLACK.in_words()),
        format!(
            "What must come to hold within a time is looked at every {} until then, and what must not come is waited for as \
             long as the slack, or as the requirement says.",
            PAUSE.in_words()
        ),
    ]
}

/// What a handler, a peer or a network that a check has made takes its time for.
pub(crate) async fn takes(env: &Env, duration: Duration) {
    env.sleep(duration).await;
}

impl Site {
    /// Waits for `work`, which the plugin must end within [`ANSWER_WITHIN`], well or not.
    ///
    /// # Errors
    /// A violation when it does not.
    pub async fn ends<T>(&self, what: &str, work: impl Future<Output = T>) -> Result<T, Finding> {
        self.within(what, ANSWER_WITHIN, work).await
    }

    /// Waits for `work`, which must end within `limit`.
    ///
    /// # Errors
    /// A violation when it does not.
    pub async fn within<T>(&self, what: &str, limit: Duration, work: impl Future<Output = T>) -> Result<T, Finding> {
        self.step(what);
        self.env.timeout(limit, work).await.map_err(|_| {
            self.step(format!("{what}: no answer after {limit:?}"));
            Finding::violated(format!("an answer to '{what}' within {limit:?}"), "none; it hangs")
        })
    }

    /// Waits for `work`, which must succeed.
    ///
    /// # Errors
    /// A violation when it fails or hangs.
    pub async fn ask<T>(&self, what: &str, work: impl Future<Output = StackResult<T>>) -> Result<T, Finding> {
        self.ends(what, work).await?.map_err(|error| {
            self.step(format!("{what}: {error}"));
            Finding::violated(format!("'{what}' to succeed"), format!("the error `{error}`"))
        })
    }

    /// Waits for `work`, which must fail with one of `kinds`.
    ///
    /// # Errors
    /// A violation when it succeeds, fails otherwise or hangs.
    pub async fn refused<T: Debug>(
        &self,
        what: &str,
        kinds: &[ErrorKind],
        work: impl Future<Output = StackResult<T>>,
    ) -> Result<Error, Finding> {
        let wanted = kinds.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(" or ");
        let expected = format!("'{what}' to fail with {wanted}");
        match self.ends(what, work).await? {
            Ok(value) => {
                let mut shown = format!("{value:?}");
                if shown.len() > 200 {
                    shown = shown.chars().take(200).chain("…".chars()).collect();
                }
                Err(Finding::violated(expected, format!("it succeeded: {shown}")))
            }
            Err(error) if kinds.contains(&error.kind()) => Ok(error),
            Err(error) => Err(Finding::violated(expected, format!("{:?}: `{error}`", error.kind()))),
        }
    }

    /// Asks `probe` again and again until it gives something, at most for `limit`.
    ///
    /// # Errors
    /// A violation when it has given nothing by then; what the last probe said is what was observed.
    pub async fn eventually<T, P>(
        &self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut() -> P,
    ) -> Result<T, Finding>
    where
        P: Future<Output = Result<T, String>>,
    {
        self.step(format!("wait for {what}"));
        let deadline = self.env.now() + limit;
        loop {
            let last = match self.env.timeout_at(deadline + ANSWER_WITHIN, probe()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(last)) => last,
                Err(_) => "no answer; it hangs".to_owned(),
            };
            if self.env.now() >= deadline {
                self.step(format!("{what}: {last}"));
                return Err(Finding::violated(format!("{what} within {limit:?}"), last));
            }
            self.sleep(self.pause()).await;
        }
    }

    /// Asks `probe` again and again for `duration`; it must never complain.
    ///
    /// # Errors
    /// A violation with what it complains of.
    pub async fn throughout<P>(&self, what: &str, duration: Duration, mut probe: impl FnMut() -> P) -> Outcome
    where
        P: Future<Output = Result<(), String>>,
    {
        self.step(format!("{what}, for {duration:?}"));
        let deadline = self.env.now() + duration;
        while self.env.now() < deadline {
            let said = self.env.timeout(ANSWER_WITHIN, probe()).await;
            let said = said.unwrap_or_else(|_| Err("no answer; it hangs".to_owned()));
            if let Err(complaint) = said {
                self.step(format!("{what}: {complaint}"));
                return Err(Finding::violated(format!("{what}, for {duration:?}"), complaint));
            }
            self.sleep(self.pause()).await;
        }
        Ok(())
    }

    /// Waits for `work` and finds that it is still waiting after `duration`.
    ///
    /// # Errors
    /// A violation when it ends sooner.
    pub async fn nothing<T: Debug>(&self, what: &str, duration: Duration, work: impl Future<Output = T>) -> Outcome {
        self.step(format!("{what}, for {duration:?}"));
        let waited = match &self.shared.leaping {
            None => self.env.timeout(duration, work).await,
            Some(_) => {
                let leap = async {
                    self.sleep(duration).await;
                    // What it set off gets the time to arrive.
                    self.env.sleep(ARRIVES_WITHIN).await;
                };
                let (work, leap) = (std::pin::pin!(work), std::pin::pin!(leap));
                match futures_util::future::select(work, leap).await {
                    futures_util::future::Either::Left((came, _)) => Ok(came),
                    futures_util::future::Either::Right(_) => Err(Elapsed),
                }
            }
        };
        match waited {
            Err(_) => Ok(()),
            Ok(came) => Err(Finding::violated(format!("{what}, for {duration:?}"), format!("{came:?}"))),
        }
    }

    /// Lets time pass that is itself part of what is checked: a TTL, an interval, the length of a fault, the pace of a load.
    pub async fn let_pass(&self, duration: Duration) {
        self.sleep(duration).await;
    }

    /// Gives what must not come the time to come. Whoever calls this looks next whether it has.
    pub async fn quiet_for(&self, duration: Duration) {
        self.sleep(duration).await;
    }

    /// Gives what was begun the time to take effect where nothing shows that it has: that a task waits in a call, that who was
    /// told to end has ended, that nobody takes a message. What can be seen is waited for with
    /// [`eventually`](Self::eventually).
    pub async fn take_effect(&self, duration: Duration) {
        self.sleep(duration).await;
    }

    /// Between two looks of a check that looks again and again by itself.
    pub async fn look_again(&self, after: Duration) {
        self.sleep(after).await;
    }

    /// Waits until `count` has not changed for `duration` or what counts has ended, and no longer than `limit`.
    pub async fn stands_still(&self, duration: Duration, limit: Duration, count: impl Fn() -> Option<u64>) {
        let begun = self.env.now();
        let (mut last, mut since) = (count(), begun);
        while last.is_some() && self.env.now() - since < duration && self.env.now() - begun < limit {
            self.look_again(duration / 20).await;
            let now = count();
            if now != last {
                (last, since) = (now, self.env.now());
            }
        }
    }

    /// What `time` is in this world.
    pub(crate) fn by_world(&self, time: ByWorld) -> Duration {
        if self.is_simulated() { time.simulated } else { time.live }
    }

    /// How much later than it should a thing may happen: what messages take, and on real machines what schedulers add.
    pub fn slack(&self) -> Duration {
        self.by_world(SLACK)
    }

    /// Where time passes only when a check lets it, nobody waits.
    async fn sleep(&self, duration: Duration) {
        let Some(clock) = &self.shared.leaping else { return self.env.sleep(duration).await };
        // An adapter that breaks here says so to whatever is asked of it next.
        #[cfg(feature = "subject")]
        let _ = crate::subject::advance(&self.env, duration).await;
        clock.leap(duration);
        tokio::task::yield_now().await;
    }

    fn pause(&self) -> Duration {
        self.by_world(PAUSE)
    }
}
