//! Where the backend of a live session comes from. What can be done to it is said beforehand, because what applies is known
//! when tests are listed; it is made when the first check is due.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::backend::{Backend, Verb, on_loopback};

/// Makes the backend of a live world, once for each session. It may take its time, and is not called within a runtime.
pub type BackendMaker = Arc<dyn Fn() -> Result<Arc<dyn Backend>, String> + Send + Sync>;

/// A backend that is there, or will be when it is needed.
#[derive(Clone)]
pub struct BackendSource {
    verbs: BTreeSet<Verb>,
    maker: BackendMaker,
    made: Arc<OnceLock<Result<Arc<dyn Backend>, String>>>,
}

impl BackendSource {
    /// What `maker` makes, to which at most `verbs` can be done.
    pub fn new(verbs: &[Verb], maker: BackendMaker) -> Self {
        Self { verbs: verbs.iter().copied().collect(), maker, made: Arc::default() }
    }

    /// A backend that is there already.
    pub fn running(backend: Arc<dyn Backend>) -> Self {
        let verbs = backend.verbs();
        let made = Arc::new(OnceLock::from(Ok(backend.clone())));
        Self { verbs, maker: Arc::new(move || Ok(backend.clone())), made }
    }

    /// The backend; the first to ask makes it, and it ends with the last clone of this value.
    ///
    /// # Errors
    /// One sentence, when it cannot be made.
    pub fn made(&self) -> Result<Arc<dyn Backend>, String> {
        self.made.get_or_init(|| (self.maker)()).clone()
    }

    /// Why nobody does `verb` to it, if nobody does.
    pub(super) fn refusal(&self, verb: Verb) -> Option<String> {
        let made = self.made.get().and_then(|made| made.as_ref().ok());
        if !self.verbs.contains(&verb) || made.is_some_and(|backend| !backend.verbs().contains(&verb)) {
            return Some(format!("nobody can {verb}: the backend was given without that"));
        }
        let addresses = made?.addresses();
        let far = verb.shakes() && !on_loopback(&addresses);
        far.then(|| format!("nobody may {verb}: the backend at {} is not on loopback", addresses.join(", ")))
    }
}

impl fmt::Debug for BackendSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BackendSource").field("verbs", &self.verbs).finish_non_exhaustive()
    }
}
