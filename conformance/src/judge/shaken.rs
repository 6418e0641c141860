//! The backend of one live check, which remembers what was done to it: a check that ends early leaves the next one a backend
//! that works. Nothing is done to one that is not on loopback.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use shaketable_stack::Env;

use crate::backend::{Act, Backend, Verb, on_loopback};
use crate::{Finding, Outcome};

/// See above.
#[derive(Debug)]
pub(super) struct Shaken {
    inner: Arc<dyn Backend>,
    /// What ends what was begun, in the order of the beginnings.
    undone: Mutex<Vec<Act>>,
}

impl Shaken {
    pub(super) fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, undone: Mutex::default() }
    }

    fn undone(&self) -> MutexGuard<'_, Vec<Act>> {
        self.undone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what the check has begun and not ended.
    pub(super) async fn undo(&self) -> Outcome {
        let undone = std::mem::take(&mut *self.undone());
        for act in undone.into_iter().rev() {
            self.inner.act(&act).await.map_err(Finding::Broke)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for Shaken {
    fn addresses(&self) -> Vec<String> {
        self.inner.addresses()
    }

    fn verbs(&self) -> BTreeSet<Verb> {
        self.inner.verbs()
    }

    async fn act(&self, act: &Act) -> Result<(), String> {
        let addresses = self.addresses();
        if !on_loopback(&addresses) {
            return Err(format!("{act:?} is not done to the backend at {addresses:?}: it is not on loopback"));
        }
        self.inner.act(act).await?;
        match act {
            Act::Stop | Act::Terminate => self.undone().push(Act::Start),
            Act::Pause => self.undone().push(Act::Resume),
            Act::Cut => self.undone().push(Act::Heal),
            Act::Fill => self.undone().push(Act::Empty),
            Act::Delay(_) => self.undone().push(Act::Prompt),
            ended => self.undone().retain(|due| due != ended),
        }
        Ok(())
    }

    async fn requests(&self) -> Result<u64, String> {
        self.inner.requests().await
    }

    async fn held(&self) -> Result<u64, String> {
        self.inner.held().await
    }

    async fn held_in(&self, namespace: &str) -> Result<Option<u64>, String> {
        self.inner.held_in(namespace).await
    }

    async fn ready(&self, env: &Env) -> Result<(), String> {
        self.inner.ready(env).await
    }
}
