//! A site whose connections are counted, and an address where nobody listens.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::site::Connections;
use crate::{Finding, Site};

/// The same site with a network that counts.
pub(crate) fn counted(site: &Site) -> (Site, Arc<Connections>) {
    let connections = Arc::default();
    (site.counted_by(&connections), connections)
}

/// An address of this host where nobody listens.
pub(crate) async fn dead_address(site: &Site) -> Result<String, Finding> {
    let env = site.env();
    let listener = env.network().listen(":0").await.map_err(|error| Finding::Broke(error.to_string()))?;
    let port = listener.local_address().port();
    drop(listener);
    Ok(SocketAddr::new(env.host().address, port).to_string())
}
