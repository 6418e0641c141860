//! Where a backend is: whether that is this machine, and whether anybody accepts a connection there. It knows no kind of
//! backend.

use std::net::IpAddr;
use std::time::Duration;

use shaketable_stack::env::{Env, split_host_port};

/// How long a backend may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Whether all `addresses` are on this machine's loopback. Where none is named, nobody knows.
pub fn on_loopback(addresses: &[String]) -> bool {
    !addresses.is_empty() && addresses.iter().all(|address| is_loopback(address))
}

fn is_loopback(address: &str) -> bool {
    if address.starts_with('/') || address.starts_with("unix:") {
        return true;
    }
    let Ok((host, _)) = split_host_port(authority(address)) else { return false };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// What stands where `host:port` does, in a URL too.
fn authority(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Whether somebody accepts a connection at one of `addresses`. Of an address without a host and a port nothing is known, and
/// nothing is said.
///
/// # Errors
/// One sentence that names the addresses, when nobody does.
pub async fn connects(env: &Env, addresses: &[String]) -> Result<(), String> {
    let mut silent = Vec::new();
    for address in addresses {
        let target = authority(address);
        if split_host_port(target).is_err() {
            return Ok(());
        }
        match env.timeout(CONNECT_WITHIN, env.network().connect(target)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => silent.push(format!("{address} ({error})")),
            Err(_) => silent.push(format!("{address} (no answer within {CONNECT_WITHIN:?})")),
        }
    }
    if silent.is_empty() {
        return Ok(());
    }
    Err(format!("no backend answers at {}: start it, or give the address where it listens", silent.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::on_loopback;

    #[test]
    fn loopback_is_told_from_anywhere_else() {
        let all = |addresses: &[&str]| on_loopback(&addresses.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        for here in [
            "127.0.0.1:2379",
            "127.8.8.8:1",
            "[::1]:2379",
            "[::ffff:127.0.0.1]:1",
            "localhost:2379",
            "http://LOCALHOST:2379/",
            "amqp://guest:guest@127.0.0.1:5672/%2f",
            "/run/redis.sock",
        ] {
            assert!(all(&[here]), "{here}");
        }
        for elsewhere in [
            "10.0.0.1:2379",
            "[fe80::1]:2379",
            "0.0.0.0:2379",
            "localhost.example.org:2379",
            "http://127.0.0.1@10.0.0.1:2379",
            "127.0.0.1:1,10.0.0.1:1",
            "127.0.0.1",
            "",
        ] {
            assert!(!all(&[elsewhere]), "{elsewhere}");
        }
        assert!(!all(&["127.0.0.1:1", "10.0.0.1:1"]) && !all(&[]));
    }
}
