//! `proxy`: a fault proxy between any client and any server, with toxiproxy's toxics and its HTTP interface. It ends when it is
//! told to.

use std::net::TcpListener;
use std::sync::Arc;

use clap::Args;
use shaketable_fixtures::proxy::{KINDS, Proxies, Proxy, ProxyError, ProxyErrorKind, Reach, Toxic, admin};

use crate::ended::ended;
use crate::{Output, Stop};

const EXAMPLES: &str = "\
Examples:
  shaketable proxy --to 127.0.0.1:6379 --toxic latency:latency=100ms,jitter=20ms
  shaketable proxy --listen 127.0.0.1:26379 --to 127.0.0.1:6379 --toxic bandwidth:rate=10
  shaketable proxy --to localhost:2379 --toxic timeout:upstream,0.1 --seed 7
  shaketable proxy --to localhost:2379 --admin 127.0.0.1:8474
  shaketable proxy --admin 127.0.0.1:8474              for clients of toxiproxy, which add proxies

As soon as it listens it prints one line, which tells the ports that were chosen where 0 was
asked for:
  listening proxy=127.0.0.1:26379 upstream=127.0.0.1:6379 admin=127.0.0.1:8474

A toxic is KIND:PART,…, and a part is ATTRIBUTE=NUMBER; or upstream, for what the client says, or
downstream, for what the server says, which is meant unless it is said; or the share of
connections that it acts on, from 0 to 1; or name=NAME, where two are of one kind. There are:
";

const EXIT_CODES: &str = "
Which connections are hit, and what is drawn for them, is decided by the seed, the names of proxy
and toxic, and the number of the connection. Ctrl-C or SIGTERM ends it.

Exit codes: 0 when it was ended, 2 when the input is wrong, 3 when it cannot listen.";

/// What toxics there are, generated from their table.
fn help() -> String {
    let row = |kind: &shaketable_fixtures::proxy::Kind| {
        let attributes: Vec<_> = kind
            .attributes
            .iter()
            .map(|attribute| format!("{} ({})", attribute.name, attribute.unit.symbol()))
            .collect();
        format!("  {:<12}{}\n  {:<12}{}\n", kind.name, kind.summary, "", attributes.join(", "))
    };
    EXAMPLES.to_owned() + &KINDS.map(row).concat() + EXIT_CODES
}

/// Relay connections and shake them on the way: late, narrow, sliced, lost, closed, reset.
#[derive(Args, Debug)]
#[command(after_help = help())]
pub(crate) struct Arguments {
    /// Where clients reach it; port 0 lets the system choose one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", requires = "to")]
    listen: String,
    /// Where the server is
    #[arg(long, value_name = "ADDR", required_unless_present = "admin")]
    to: Option<String>,
    /// What the proxy is called at the admin's address
    #[arg(long, value_name = "NAME", default_value = "proxy", requires = "to")]
    name: String,
    /// What is done to connections, such as latency:latency=100ms,jitter=20ms,upstream,0.5; may be given more than once
    #[arg(long, value_name = "TOXIC", requires = "to")]
    toxic: Vec<Toxic>,
    /// Where it takes orders over HTTP, as toxiproxy's server does at port 8474: adds, changes and removes proxies and toxics
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Decides which connections toxics act on, and what they draw
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Listen at addresses that other machines can reach, and lead to other machines, too. Nobody is asked who they are
    #[arg(long)]
    allow_remote: bool,
}

pub(crate) fn run(arguments: &Arguments, output: &Output) -> Result<u8, Stop> {
    let failed = |error| Stop::Harness(format!("no runtime could be made: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let result = runtime.block_on(relay(arguments, output));
    // A name may still be looked up, which nobody waits for any more.
    runtime.shutdown_background();
    result
}

async fn relay(arguments: &Arguments, output: &Output) -> Result<u8, Stop> {
    let reach = if arguments.allow_remote { Reach::Anywhere } else { Reach::Loopback };
    // Whoever ends it may do so from the moment on at which it says that it listens.
    let ended = ended()?;
    let proxies = Arc::new(Proxies::new(&tokio::runtime::Handle::current(), arguments.seed, reach));
    let proxy = match &arguments.to {
        Some(to) => Some(arguments.open(&proxies, reach, to).await?),
        None => None,
    };
    let admin = arguments.admin.as_ref().map(|address| listen(address, reach)).transpose()?;
    let mut told = String::from("listening");
    if let Some(proxy) = &proxy {
        told += &format!(" proxy={} upstream={}", proxy.address(), proxy.upstream());
    }
    if let Some(address) = admin.as_ref().and_then(|admin| admin.local_addr().ok()) {
        told += &format!(" admin={address}");
    }
    output.print(&format!("{told}\n"));
    let administering = async {
        match admin {
            Some(listener) => admin::serve(listener, proxies.clone()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = ended => Ok(0),
        Err(error) = administering => Err(Stop::Harness(format!("--admin can accept no connections: {error}"))),
    }
}

impl Arguments {
    async fn open(&self, proxies: &Proxies, reach: Reach, to: &str) -> Result<Arc<Proxy>, Stop> {
        reach.listens(&self.listen).map_err(|error| refused("--listen", &self.listen, &error))?;
        reach.leads_to(to).map_err(|error| refused("--to", to, &error))?;
        let proxy = proxies.add(&self.name, &self.listen, to).await;
        let proxy = proxy.map_err(|error| refused("--listen", &self.listen, &error))?;
        for toxic in &self.toxic {
            proxy.add(toxic.clone()).map_err(|error| {
                let text = toxic.to_string();
                match error.kind() {
                    ProxyErrorKind::ToxicAlreadyExists => Stop::BadInput(format!(
                        "--toxic {text}: there is one called '{}' already; call one of them otherwise, with name=NAME",
                        toxic.name()
                    )),
                    _ => refused("--toxic", &text, &error),
                }
            })?;
        }
        Ok(proxy)
    }
}

fn listen(address: &str, reach: Reach) -> Result<TcpListener, Stop> {
    let refused = |error: &ProxyError| refused("--admin", address, error);
    let resolved = reach.listens(address).map_err(|error| refused(&error))?;
    TcpListener::bind(resolved)
        .map_err(|error| Stop::Harness(format!("--admin {address}: failed to listen there: {error}")))
}

fn refused(option: &str, value: &str, error: &ProxyError) -> Stop {
    match error.kind() {
        ProxyErrorKind::NotLoopback => Stop::BadInput(format!(
            "{option} {value} is not on loopback, so that others could be reached or shaken; choose 127.0.0.1, or say --allow-remote"
        )),
        ProxyErrorKind::System => Stop::Harness(format!("{option} {value}: {error}")),
        _ => Stop::BadInput(format!("{option} {value}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use crate::arguments::Arguments;

    #[test]
    fn what_the_guide_says_on_the_command_line_is_understood() {
        let guide = include_str!("../../../docs/fault-proxy.md");
        let lines: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
        let lines = lines.into_iter().chain(super::EXAMPLES.lines().filter_map(|line| line.strip_prefix("  ")));
        let lines: Vec<&str> = lines.filter(|line| line.starts_with("shaketable proxy ")).collect();
        assert!(lines.len() >= 10, "{lines:?}");
        for line in lines {
            let words = line.split("   ").next().unwrap_or_default().split(' ').map(Into::into).collect::<Vec<_>>();
            assert!(Arguments::read(&words).is_ok(), "{line}");
        }
    }

    #[test]
    fn the_help_names_every_kind_of_toxic() {
        let help = Arguments::read(&["shaketable", "proxy", "--help"].map(Into::into)).unwrap_err().to_string();
        for kind in shaketable_fixtures::proxy::KINDS {
            assert!(help.contains(kind.name) && help.contains(kind.attributes[0].name), "{help}");
        }
    }
}
