//! Records dials and listens; what passes through sockets is in the trace.

use std::sync::Arc;

use async_trait::async_trait;
use shaketable_stack::Result;
use shaketable_stack::transport::{DialOptions, ListenOptions, Listener, Socket, Transport, TransportOptions};

use super::{Scribe, done};
use crate::history::{Answer, Operation};

/// A transport whose operations are recorded.
#[derive(Debug)]
pub struct RecordedTransport {
    inner: Arc<dyn Transport>,
    scribe: Scribe,
}

impl RecordedTransport {
    /// Records what `inner` is asked.
    pub fn new(inner: Arc<dyn Transport>, scribe: Scribe) -> Self {
        Self { inner, scribe }
    }
}

#[async_trait]
impl Transport for RecordedTransport {
    fn init(&self, options: TransportOptions) -> Result<()> {
        self.inner.init(options)
    }

    fn options(&self) -> TransportOptions {
        self.inner.options()
    }

    async fn dial(&self, address: &str, options: DialOptions) -> Result<Arc<dyn Socket>> {
        let operation = Operation::Dial { address: address.to_owned() };
        self.scribe.around(operation, done, self.inner.dial(address, options)).await
    }

    async fn listen(&self, address: &str, options: ListenOptions) -> Result<Arc<dyn Listener>> {
        let operation = Operation::Listen { address: address.to_owned() };
        let answer = |listener: &Arc<dyn Listener>| Answer::Address(listener.address());
        self.scribe.around(operation, answer, self.inner.listen(address, options)).await
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}
