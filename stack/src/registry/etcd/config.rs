//! Numbers and names of the etcd registry. Nothing here speaks to etcd.

use std::time::Duration;

use crate::registry::RegistryOptions;

/// Where every key begins; go-micro's `registry/etcd/etcd.go`.
pub(super) const PREFIX: &str = "/micro/registry/";

/// Where etcd listens when nobody says otherwise.
const DEFAULT_ADDRESS: &str = "127.0.0.1:2379";

/// A ping on a connection this long, also an idle one. etcd closes connections that ping more than every 5 s
/// (`--grpc-keepalive-min-time`).
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(6);

/// A connection whose ping is not answered within this is dead.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Largest answer that is taken, in bytes; a list of all services may be long.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// So many operations one transaction may have, where nobody has told etcd otherwise (`--max-txn-ops`).
pub(super) const OPERATIONS_MAX: usize = 128;

/// So many times a key is put under a lease that turns out to be gone: one that was lost, and one that is lost at once.
pub(super) const WRITES_MAX: usize = 3;

/// How often a registration without lease is looked after.
pub(super) const LEASELESS_CHECK: Duration = Duration::from_secs(30);

/// The pause before what failed is tried again; it doubles with each failure after it.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause.
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(1_600);

/// How long one address may take to answer before the next one is tried.
const DIAL_WITHIN: Duration = Duration::from_secs(2);

/// The same where there is no next one: TCP asks for a connection at once, after a second and after three (RFC 6298, section
/// 2, and Linux), and a network that loses packets may lose two of these.
const DIAL_ALONE_WITHIN: Duration = Duration::from_secs(4);

/// How long one of `addresses` may take to answer a dial.
pub(super) fn dial_within(addresses: &[String]) -> Duration {
    if addresses.len() > 1 { DIAL_WITHIN } else { DIAL_ALONE_WITHIN }
}

/// The addresses in force.
pub(super) fn addresses(options: &RegistryOptions) -> Vec<String> {
    if options.addresses.is_empty() { vec![DEFAULT_ADDRESS.to_owned()] } else { options.addresses.clone() }
}

/// A TTL in etcd's whole seconds, rounded up.
pub(super) fn whole_seconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_nanos().div_ceil(1_000_000_000)).unwrap_or(i64::MAX)
}

/// When a lease is renewed after the last renewal.
pub(super) fn renewal_interval(ttl: Duration) -> Duration {
    ttl / 3
}

/// So many keys of a lease are asked for at once: they fit into 4 MiB, more than which no answer about leases may have.
const KEYS_MAX: usize = 16_384;

/// Whether to ask for every key of a lease on which `hanging` keys hang, rather than for the `wanted` ones among them: etcd
/// tells a hundred keys that hang on a lease in the time that a look at one key takes, but somebody has to read them.
pub(super) fn asks_for_all(wanted: usize, hanging: usize) -> bool {
    hanging <= wanted.saturating_mul(4).min(KEYS_MAX)
}

/// How long a renewal may stay unanswered: two more attempts must fit into what is left of the lease.
pub(super) fn renewal_limit(ttl: Duration, timeout: Duration) -> Duration {
    (ttl / 6).min(timeout)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{addresses, asks_for_all, whole_seconds};
    use crate::registry::RegistryOptions;

    #[test]
    fn a_ttl_is_rounded_up_to_whole_seconds() {
        for (milliseconds, seconds) in [(1, 1), (999, 1), (1_000, 1), (1_001, 2), (90_000, 90)] {
            assert_eq!(whole_seconds(Duration::from_millis(milliseconds)), seconds, "{milliseconds} ms");
        }
    }

    #[test]
    fn all_keys_of_a_lease_are_asked_for_where_most_of_them_are_wanted() {
        let many = super::KEYS_MAX;
        for (wanted, hanging, all) in
            [(1, 1, true), (100, 100, true), (2, 8, true), (2, 9, false), (many, many, true), (many, many + 1, false)]
        {
            assert_eq!(asks_for_all(wanted, hanging), all, "{wanted} of {hanging}");
        }
    }

    #[test]
    fn without_an_address_etcd_is_on_this_machine() {
        assert_eq!(addresses(&RegistryOptions::default()), ["127.0.0.1:2379"]);
    }
}
