//! Plugins on another host, used from this one: each call is done by a task over there. Dropping a call that waits does not
//! cancel it there; checks of cancellation work on their own host.

mod broker;
mod registry;
mod transport;

use std::future::Future;

use shaketable_stack::{Error, ErrorKind, Result};

use crate::{Host, Site};

pub(crate) use broker::RemoteBroker;
pub(crate) use registry::RemoteRegistry;
pub(crate) use transport::RemoteTransport;

/// A host to which work is sent.
#[derive(Clone, Debug)]
struct There {
    site: Site,
    host: Host,
}

impl There {
    async fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        match self.site.on(self.host, |_| work).await {
            Ok(result) => result,
            // The host died: nobody answers.
            Err(finding) => {
                Err(Error::new(ErrorKind::Disconnected, "work on another host").detail(finding.to_string()))
            }
        }
    }
}
