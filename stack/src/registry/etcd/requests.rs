//! What etcd is asked for when a process registers: each request once, by a deadline. It remembers nothing.

use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, GetOptions, GetResponse, KeyValue, LeaseTimeToLiveOptions, LeaseTimeToLiveResponse,
    PutOptions, Txn, TxnOp, TxnOpResponse,
};

use super::channel::Links;
use super::lease::Lease;
use crate::Result;
use crate::env::{Env, Instant};

impl Links {
    /// A new lease for so many seconds or more.
    pub(super) async fn grant(&self, env: &Env, seconds: i64, deadline: Instant) -> Result<Lease> {
        let asked_at = env.now();
        let granted = self
            .call_by(deadline, "grant lease", |client| {
                let mut leases = client.lease_client();
                async move { leases.grant(seconds, None).await }
            })
            .await?;
        let ttl = Duration::from_secs(u64::try_from(granted.ttl()).unwrap_or_default());
        Ok(Lease::new(granted.id(), ttl, asked_at))
    }

    /// Puts a value under a lease, or under none with 0.
    pub(super) async fn put(&self, key: &str, value: &[u8], lease: i64, deadline: Instant) -> Result<()> {
        let put = |client: &Client| {
            let mut keys = client.kv_client();
            async move { keys.put(key, value, Some(PutOptions::new().with_lease(lease))).await }
        };
        self.call_by(deadline, "register", put).await.map(drop)
    }

    /// Deletes a key, whoever wrote it.
    pub(super) async fn delete(&self, key: &str, deadline: Instant) -> Result<()> {
        let delete = |client: &Client| {
            let mut keys = client.kv_client();
            async move { keys.delete(key, None).await }
        };
        self.call_by(deadline, "deregister", delete).await.map(drop)
    }

    /// Deletes a key if it hangs on `lease`: what somebody else has written meanwhile stays.
    pub(super) async fn delete_under(&self, key: &str, lease: i64, deadline: Instant) -> Result<()> {
        let delete = |client: &Client| {
            let mut keys = client.kv_client();
            let hangs = Compare::lease(key, CompareOp::Equal, lease);
            async move { keys.txn(Txn::new().when([hangs]).and_then([TxnOp::delete(key, None)])).await }
        };
        self.call_by(deadline, "delete what was deregistered", delete).await.map(drop)
    }

    /// Which lease each of `keys` hangs on, 0 being none; `None` for one that is not there. One request, so no more keys than
    /// [`OPERATIONS_MAX`](super::config::OPERATIONS_MAX).
    pub(super) async fn leases_of(&self, keys: &[&str], deadline: Instant) -> Result<Vec<Option<i64>>> {
        let lease = |found: &GetResponse| found.kvs().first().map(KeyValue::lease);
        let keys_only = || Some(GetOptions::new().with_keys_only());
        let operation = "look at registrations";
        if let [key] = *keys {
            let get = |client: &Client| {
                let mut keys = client.kv_client();
                async move { keys.get(key, keys_only()).await }
            };
            return Ok(vec![lease(&self.call_by(deadline, operation, get).await?)]);
        }
        let get_all = |client: &Client| {
            let mut client = client.kv_client();
            let gets: Vec<TxnOp> = keys.iter().map(|key| TxnOp::get(*key, keys_only())).collect();
            async move { client.txn(Txn::new().and_then(gets)).await }
        };
        let answers = self.call_by(deadline, operation, get_all).await?.op_responses();
        let lease_of = |answer: &TxnOpResponse| match answer {
            TxnOpResponse::Get(found) => lease(found),
            _ => None,
        };
        Ok(answers.iter().map(lease_of).collect())
    }

    /// The keys that hang on `lease`, in no order; none where it is gone. The member that leads answers from what it has,
    /// without asking the others: one that leads no more, and does not know it yet, may tell a key that is gone for as long
    /// as it does not (`LeaseTimeToLive` in etcd's `server/etcdserver/v3_server.go`).
    pub(super) async fn keys_on(&self, lease: i64, deadline: Instant) -> Result<LeaseTimeToLiveResponse> {
        let look = |client: &Client| {
            let mut leases = client.lease_client();
            let options = LeaseTimeToLiveOptions::new().with_keys();
            async move { leases.time_to_live(lease, Some(options)).await }
        };
        self.call_by(deadline, "look at lease", look).await
    }

    /// Revokes a lease, unless keys of somebody else hang on it.
    pub(super) async fn revoke_if_empty(&self, lease: i64, deadline: Instant) -> Result<()> {
        // One that is gone has no keys either, and revoking it does nothing.
        if self.keys_on(lease, deadline).await?.keys().is_empty() {
            let revoke = |client: &Client| {
                let mut leases = client.lease_client();
                async move { leases.revoke(lease).await }
            };
            self.call_by(deadline, "revoke lease", revoke).await?;
        }
        Ok(())
    }
}
