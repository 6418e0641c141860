//! The live world that `verify` is asked for: the backend, where it is, and who owns it.

use std::sync::Arc;

use shaketable_conformance::backend::Untouchable;
use shaketable_conformance::judge::{BackendSource, LiveWorld};
use shaketable_stack::env::split_host_port;
use shaketable_stack::plugin::Plugins;

use super::Arguments;
use crate::Stop;
use crate::backends::Backends;

/// The word for no backend at all.
pub(super) const NONE: &str = "none";

/// The kind of an adapter's backend: the adapter knows what it is, this program does not.
const GIVEN: &str = "given";

/// What `--backend` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// None: the plugin needs none.
    Nothing,
    /// One of this kind, of our own.
    Started(String),
    /// One of this kind, of our own, in a container.
    Contained(String),
    /// Somebody else's, at these addresses.
    At(Vec<String>),
}

/// The live world with the backend that was asked for.
pub(super) fn live(
    arguments: &Arguments,
    plugins: &Plugins,
    backends: &Backends,
    virtual_clock: bool,
) -> Result<LiveWorld, Stop> {
    let promises =
        arguments.interface.promises(plugins, arguments.plugin()).map_err(|error| Stop::BadInput(error.to_string()))?;
    let asked = asked(arguments.backend.as_deref(), promises.backend, backends).map_err(Stop::BadInput)?;
    let backend = match asked {
        Asked::Nothing => None,
        Asked::Started(kind) => {
            let maker = backends.get(&kind).ok_or_else(|| Stop::BadInput(unknown(&kind, backends)))?;
            Some(maker().map_err(Stop::Harness)?)
        }
        Asked::Contained(kind) => {
            let maker = backends.get_contained(&kind).ok_or_else(|| Stop::BadInput(not_contained(&kind, backends)))?;
            Some(maker().map_err(Stop::Harness)?)
        }
        // Nobody said that it may be shaken, wherever it is.
        Asked::At(addresses) => Some(Arc::new(Untouchable { addresses }) as _),
    };
    let at_once = arguments.side_by_side.get();
    Ok(LiveWorld { at_once, virtual_clock, ..LiveWorld::new(backend.map(BackendSource::running)) })
}

/// What `--backend text` asks for, for a plugin that needs a backend of the kind `needed`.
fn asked(text: Option<&str>, needed: Option<&str>, backends: &Backends) -> Result<Asked, String> {
    let Some(needed) = needed else {
        return match text {
            None | Some(NONE) => Ok(Asked::Nothing),
            Some(other) => Err(format!(
                "the plugin has no backend that could be '{other}'; leave --backend out for the simulator, or say --backend \
                 {NONE} for real sockets and real time"
            )),
        };
    };
    let text = match text {
        None | Some(NONE) => {
            let kind = if needed == GIVEN { "" } else { &format!(" ({needed})") };
            return Err(format!(
                "the plugin needs a backend{kind}: say where with --backend process or --backend HOST:PORT"
            ));
        }
        Some(text) => text,
    };
    let kind = match (text, needed) {
        ("container", _) => {
            let kind = if needed == GIVEN { "etcd" } else { needed };
            let is_known = backends.get_contained(kind).is_some();
            return is_known.then(|| Asked::Contained(kind.to_owned())).ok_or_else(|| not_contained(kind, backends));
        }
        ("process", GIVEN) => "etcd",
        ("process", needed) => needed,
        (name, _) if backends.get(name).is_some() => name,
        (address, _) => {
            let addresses = address.split(',').map(|address| plain(address, needed, backends));
            return addresses.collect::<Result<_, _>>().map(Asked::At);
        }
    };
    if backends.get(kind).is_none() {
        return Err(unknown(kind, backends));
    }
    fits(kind, needed).map(|()| Asked::Started(kind.to_owned()))
}

fn fits(kind: &str, needed: &str) -> Result<(), String> {
    if kind == needed || needed == GIVEN {
        return Ok(());
    }
    Err(format!("the plugin needs {needed}, not {kind}"))
}

fn unknown(kind: &str, backends: &Backends) -> String {
    let kinds: Vec<&str> = backends.kinds().collect();
    format!("no {kind} can be started here, only {}; give --backend its address, HOST:PORT", kinds.join(", "))
}

fn not_contained(kind: &str, backends: &Backends) -> String {
    let kinds: Vec<&str> = backends.contained_kinds().collect();
    format!(
        "no {kind} can be started in a container here, only {}; start the container yourself and say where it listens, such as \
         --backend 127.0.0.1:2379",
        kinds.join(", ")
    )
}

/// `text` as `HOST:PORT`, which may be written as a URL that says no more than that.
fn plain(text: &str, needed: &str, backends: &Backends) -> Result<String, String> {
    let plain = match text.split_once("://") {
        None => text,
        Some(("http" | "tcp", rest)) => rest.strip_suffix('/').unwrap_or(rest),
        Some((scheme, rest)) if scheme == needed || backends.get(scheme).is_some() => {
            fits(scheme, needed)?;
            rest.strip_suffix('/').unwrap_or(rest)
        }
        Some(("https", _)) => {
            return Err(format!(
                "--backend {text}: no TLS is spoken here; give the address of a port without it, as HOST:PORT"
            ));
        }
        Some((scheme, _)) => {
            return Err(format!(
                "--backend {text}: nothing is known of '{scheme}://'; write the address as HOST:PORT, such as 127.0.0.1:2379"
            ));
        }
    };
    let words = || {
        let kinds: Vec<&str> = ["sim", "process", "container", NONE].into_iter().chain(backends.kinds()).collect();
        format!("it is none of {} and no HOST:PORT, such as 127.0.0.1:2379", kinds.join(", "))
    };
    let odd = |character: char| character.is_whitespace() || "/@?#".contains(character);
    match split_host_port(plain) {
        Ok((host, _)) if !host.is_empty() && !host.contains(odd) => Ok(plain.to_owned()),
        Ok(_) => Err(format!("--backend {text}: {}", words())),
        Err(error) => Err(format!("--backend {text}: {}: {error}", words())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Backends, GIVEN, Untouchable, asked};

    fn ask(text: &str, needed: Option<&str>) -> Result<Asked, String> {
        asked(Some(text), needed, &Backends::reference())
    }

    #[test]
    fn a_backend_is_a_kind_that_can_be_started_or_an_address() {
        let (started, at) = (
            |kind: &str| Ok(Asked::Started(kind.to_owned())),
            |address: &str| Ok(Asked::At(address.split(',').map(str::to_owned).collect())),
        );
        for (text, needed, wanted) in [
            ("process", "etcd", started("etcd")),
            ("process", GIVEN, started("etcd")),
            ("container", "etcd", Ok(Asked::Contained("etcd".to_owned()))),
            ("container", GIVEN, Ok(Asked::Contained("etcd".to_owned()))),
            ("etcd", "etcd", started("etcd")),
            ("zookeeper", GIVEN, started("zookeeper")),
            ("127.0.0.1:2379", "etcd", at("127.0.0.1:2379")),
            ("[::1]:2379", "etcd", at("[::1]:2379")),
            ("http://127.0.0.1:2379", "etcd", at("127.0.0.1:2379")),
            ("http://127.0.0.1:2379/", "etcd", at("127.0.0.1:2379")),
            ("etcd://etcd-1:2379,etcd-2:2379", "etcd", at("etcd-1:2379,etcd-2:2379")),
            ("zookeeper://127.0.0.1:2181", GIVEN, at("127.0.0.1:2181")),
            ("redis://127.0.0.1:6379", "redis", at("127.0.0.1:6379")),
        ] {
            assert_eq!(ask(text, Some(needed)), wanted, "{text}");
        }
        assert_eq!(ask("none", None), Ok(Asked::Nothing));
        assert_eq!(asked(None, None, &Backends::reference()), Ok(Asked::Nothing));
    }

    #[test]
    fn a_kind_that_an_author_has_added_is_started_as_ours_are() {
        let mut backends = Backends::reference();
        backends.add("redis", || Err::<Untouchable, _>("no server is started by a question".to_owned()));
        for text in ["process", "redis"] {
            assert_eq!(asked(Some(text), Some("redis"), &backends), Ok(Asked::Started("redis".to_owned())));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_mend() {
        for (text, needed, told) in [
            ("container", Some("redis"), "no redis can be started in a container here, only etcd; start the container"),
            ("container", None, "the plugin has no backend that could be 'container'"),
            ("nonsense", Some("etcd"), "none of sim, process, container, none, etcd, zookeeper and no HOST:PORT"),
            ("127.0.0.1", Some("etcd"), "has no port"),
            (":2379", Some("etcd"), "no HOST:PORT"),
            ("127.0.0.1:2379/v3", Some("etcd"), "HOST:PORT"),
            ("http://127.0.0.1:2379/v3", Some("etcd"), "HOST:PORT"),
            ("https://127.0.0.1:2379", Some("etcd"), "no TLS"),
            ("ftp://127.0.0.1:21", Some("etcd"), "nothing is known of 'ftp://'"),
            ("zookeeper", Some("etcd"), "the plugin needs etcd, not zookeeper"),
            ("zookeeper://127.0.0.1:2181", Some("etcd"), "the plugin needs etcd, not zookeeper"),
            ("process", Some("redis"), "no redis can be started here, only etcd, zookeeper"),
            ("none", Some("etcd"), "the plugin needs a backend (etcd)"),
            ("nonsense", None, "the plugin has no backend that could be 'nonsense'"),
            ("127.0.0.1:2379", None, "say --backend none for real sockets"),
            ("process", None, "leave --backend out for the simulator"),
        ] {
            let refused = ask(text, needed).unwrap_err();
            assert!(refused.contains(told), "{text}: {refused}");
        }
        let unsaid = asked(None, Some("etcd"), &Backends::reference()).unwrap_err();
        assert!(unsaid.contains("--backend process or --backend HOST:PORT"), "{unsaid}");
    }
}
