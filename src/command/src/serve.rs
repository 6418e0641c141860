//! `serve`: a simulated backend on real sockets and in real time, a double for tests in any language. It ends when it is told
//! to.

mod actions;
mod admin;
mod state;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::{Args, ValueEnum};
use shaketable_sim::backend::etcd::server::serve_at;
use shaketable_sim::backend::etcd::{Etcd, EtcdConfig, EtcdHandle};
use shaketable_stack::Env;
use shaketable_stack::env::{Listener, Namespace, os};

use actions::Double;

use crate::ended::ended;
use crate::{Output, Stop};

const EXAMPLES: &str = "\
Examples:
  shaketable serve etcd                                    at 127.0.0.1:2379, as etcdctl expects
  shaketable serve etcd --listen 127.0.0.1:0 --admin 127.0.0.1:0
  shaketable serve etcd --quota 2000000                    refuses what would make the database larger

As soon as it listens it prints one line, which tells the ports that were chosen where 0 was asked for:
  listening etcd=127.0.0.1:41873 admin=127.0.0.1:34511

With --admin a test does to it what is hard to do to a real one; `curl http://ADDR/` says what, such as:
  curl -X POST 'http://ADDR/clock?times=60'                leases end 60 times sooner
  curl -X POST http://ADDR/leases/694d7a5c0c0b1f02/expire  this one now
  curl -X POST 'http://ADDR/throttle?requests=3'           the next 3 changes are refused

It keeps nothing: each start begins empty, and the same requests have the same answers. Ctrl-C or SIGTERM ends it.

Exit codes: 0 when it was ended, 2 when the input is wrong, 3 when it cannot listen.";

/// Serve a simulated backend on real sockets, for tests in any language.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What is served
    #[arg(value_name = "BACKEND")]
    backend: Served,
    /// Where clients reach it; port 0 lets the system choose one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2379", value_parser = address)]
    listen: SocketAddr,
    /// Where it takes orders over HTTP: ends leases, compacts, throttles, and shows its state
    #[arg(long, value_name = "ADDR", value_parser = address)]
    admin: Option<SocketAddr>,
    /// Decides the ids of the leases that it begins
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// How large its database may grow
    #[arg(long, value_name = "BYTES", default_value = "2147483648", value_parser = clap::value_parser!(u64).range(1..))]
    quota: u64,
    /// Listen at addresses that other machines can reach, too. Nobody is asked who they are
    #[arg(long)]
    allow_remote: bool,
}

/// What can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Served {
    /// etcd 3.4, one member, without authentication
    Etcd,
}

pub(crate) fn run(arguments: &Arguments, output: &Output) -> Result<u8, Stop> {
    for (option, address) in [("--listen", Some(arguments.listen)), ("--admin", arguments.admin)] {
        if let Some(address) = address
            && !address.ip().is_loopback()
            && !arguments.allow_remote
        {
            return Err(Stop::BadInput(format!(
                "{option} {address} is not on loopback, so that others could change what tests rely on; choose 127.0.0.1, or say \
                 --allow-remote"
            )));
        }
    }
    let failed = |error| Stop::Harness(format!("no runtime could be made: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    match arguments.backend {
        Served::Etcd => runtime.block_on(serve_etcd(arguments, output)),
    }
}

async fn serve_etcd(arguments: &Arguments, output: &Output) -> Result<u8, Stop> {
    let env = os::env(Namespace::new("serve"));
    // Whoever ends it may do so from the moment on at which it says that it listens.
    let ended = ended()?;
    let etcd = listen(&env, "--listen", arguments.listen).await?;
    let admin = match arguments.admin {
        Some(address) => Some(listen(&env, "--admin", address).await?),
        None => None,
    };
    let address = etcd.local_address();
    let config = EtcdConfig {
        lease_id_seed: arguments.seed,
        client_urls: vec![format!("http://{address}")],
        quota_bytes: Some(arguments.quota),
        ..EtcdConfig::default()
    };
    let handle = EtcdHandle::new(Etcd::new(config, env.now().since_origin()));
    let admin_address = admin.as_ref().map(|admin| format!(" admin={}", admin.local_address()));
    output.print(&format!("listening etcd={address}{}\n", admin_address.unwrap_or_default()));
    let double = Double { env: env.clone(), handle: handle.clone(), address };
    let administering = async {
        match admin {
            Some(listener) => admin::serve(&env, listener, double).await,
            None => std::future::pending().await,
        }
    };
    let failed = |what: &str, result: std::io::Result<()>| {
        let why = result.err().map_or_else(|| "the listener has ended".to_owned(), |error| error.to_string());
        Err(Stop::Harness(format!("{what} can accept no more connections: {why}")))
    };
    tokio::select! {
        biased;
        () = ended => Ok(0),
        result = serve_at(env.clone(), etcd, handle) => failed("etcd", result),
        result = administering => failed("admin", result),
    }
}

async fn listen(env: &Env, option: &str, address: SocketAddr) -> Result<Box<dyn Listener>, Stop> {
    env.network().listen(&address.to_string()).await.map_err(|error| {
        let mend = match error.kind() {
            ErrorKind::AddrInUse => "; something else listens there: end it, or let the system choose with port 0",
            ErrorKind::PermissionDenied => "; ports below 1024 are for the system: choose another",
            ErrorKind::AddrNotAvailable => "; this machine has no such address",
            _ => "",
        };
        Stop::Harness(format!("cannot listen at {option} {address}: {error}{mend}"))
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("'{text}' is no address with a port, such as 127.0.0.1:2379, localhost:0 or [::1]:2379");
    match text.strip_prefix("localhost:") {
        Some(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().map_err(|_| wrong())?)),
        None => text.parse().map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_is_a_number_or_this_machine() {
        for (text, meant) in [
            ("127.0.0.1:2379", "127.0.0.1:2379"),
            ("localhost:0", "127.0.0.1:0"),
            ("[::1]:1", "[::1]:1"),
            ("0.0.0.0:2379", "0.0.0.0:2379"),
        ] {
            assert_eq!(address(text).map(|address| address.to_string()).as_deref(), Ok(meant));
        }
        for wrong in
            ["", "2379", ":2379", "127.0.0.1", "127.0.0.1:x", "localhost:66000", "example.org:2379", "http://[::1]:1"]
        {
            assert!(address(wrong).is_err_and(|message| message.contains("127.0.0.1:2379")), "{wrong}");
        }
    }
}
