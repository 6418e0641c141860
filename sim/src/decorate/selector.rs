//! Records selections, marks and resets.

use std::sync::Arc;

use async_trait::async_trait;
use shaketable_stack::Result;
use shaketable_stack::registry::Node;
use shaketable_stack::selector::{Outcome, SelectOptions, Selection, Selector, SelectorOptions};

use super::{Scribe, done};
use crate::history::{Answer, Operation, Point};

/// A selector whose operations are recorded.
#[derive(Debug)]
pub struct RecordedSelector {
    inner: Arc<dyn Selector>,
    scribe: Scribe,
}

impl RecordedSelector {
    /// Records what `inner` is asked.
    pub fn new(inner: Arc<dyn Selector>, scribe: Scribe) -> Self {
        Self { inner, scribe }
    }
}

#[async_trait]
impl Selector for RecordedSelector {
    fn init(&self, options: SelectorOptions) -> Result<()> {
        self.inner.init(options)
    }

    fn options(&self) -> SelectorOptions {
        self.inner.options()
    }

    fn select(&self, service: &str, options: &SelectOptions) -> Result<Selection> {
        let strategy = match &options.strategy {
            Some(strategy) => strategy.name().to_owned(),
            None => self.inner.options().strategy.name().to_owned(),
        };
        let id = self.scribe.begin(Operation::Select { service: service.to_owned(), strategy });
        let result = self.inner.select(service, options);
        let answer = |selection: &Selection| match selection {
            Selection::Ready(next) => Answer::Selected(next.set().map_or(0, |set| set.nodes.len() as u64)),
            Selection::Miss => Answer::Miss,
        };
        self.scribe.end(id, result.as_ref().map(answer));
        result
    }

    async fn load(&self, service: &str) -> Result<()> {
        let operation = Operation::Load { service: service.to_owned() };
        self.scribe.around(operation, done, self.inner.load(service)).await
    }

    fn mark(&self, service: &str, node: &Node, outcome: Outcome) {
        let failed = outcome == Outcome::Failed;
        let point = Point::Marked { service: service.to_owned(), node: node.id.clone(), failed };
        self.scribe.point(None, point);
        self.inner.mark(service, node, outcome);
    }

    fn reset(&self, service: &str) {
        self.scribe.point(None, Point::Reset { service: service.to_owned() });
        self.inner.reset(service);
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}
