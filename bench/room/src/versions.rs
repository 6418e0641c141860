//! What is measured, and what it is built with: the versions that were locked when this was compiled. Which crates matter is
//! what the benches depend on, so that no list has to be kept.

use std::collections::BTreeMap;

use shaketable_reports::bench::Versions;

/// The lock file of this build.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// The package whose dependencies are the peers.
const BENCHES: &str = "shaketable-bench";

/// Of this build.
pub(crate) fn versions() -> Versions {
    Versions {
        shaketable: env!("CARGO_PKG_VERSION").to_owned(),
        rustc: env!("SHAKETABLE_BENCH_RUSTC").to_owned(),
        crates: dependencies(LOCK, BENCHES),
    }
}

/// The packages from elsewhere on which `package` depends, with their versions, by the text of a lock file. Where several
/// versions of one are locked, the dependency names its own.
fn dependencies(lock: &str, package: &str) -> BTreeMap<String, String> {
    let packages: Vec<Package<'_>> = lock.split("[[package]]").skip(1).map(Package::of).collect();
    let wanted = packages.iter().find(|one| one.name == package).map_or(&[][..], |one| &one.dependencies);
    let found = wanted.iter().filter_map(|dependency| {
        let (name, version) = dependency.split_once(' ').map_or((*dependency, None), |(name, rest)| (name, Some(rest)));
        let version = version.and_then(|version| version.split(' ').next());
        let is_it = |one: &&Package<'_>| one.name == name && version.is_none_or(|version| version == one.version);
        let found = packages.iter().find(is_it).filter(|one| one.is_from_elsewhere)?;
        Some((name.to_owned(), found.version.to_owned()))
    });
    found.collect()
}

/// What a lock file says of a package.
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    is_from_elsewhere: bool,
    dependencies: Vec<&'a str>,
}

impl<'a> Package<'a> {
    fn of(text: &'a str) -> Self {
        let field = |name: &str| {
            let quoted = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            quoted.map_or("", |quoted| quoted.trim_matches('"'))
        };
        let list =
            text.split_once("dependencies = [").and_then(|(_, rest)| rest.split_once(']')).map_or("", |(list, _)| list);
        let dependencies =
            list.lines().map(|line| line.trim().trim_matches([',', '"'])).filter(|name| !name.is_empty());
        Self {
            name: field("name"),
            version: field("version"),
            is_from_elsewhere: !field("source").is_empty(),
            dependencies: dependencies.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{dependencies, versions};

    #[test]
    fn versions_are_those_that_are_locked() {
        let lock = "version = 4\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\ndependencies = [\n \"hyper 1.2.0\",\n \
                    \"own\",\n \"tonic\",\n]\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\n\
                    [[package]]\nname = \"hyper\"\nversion = \"0.14.0\"\nsource = \"registry\"\n\n\
                    [[package]]\nname = \"hyper\"\nversion = \"1.2.0\"\nsource = \"registry\"\n\n\
                    [[package]]\nname = \"tonic\"\nversion = \"0.14.9\"\nsource = \"registry\"\ndependencies = [\n \"hyper 0.14.0\",\n]\n";
        let wanted =
            [("hyper", "1.2.0"), ("tonic", "0.14.9")].map(|(name, version)| (name.to_owned(), version.to_owned()));
        assert_eq!(dependencies(lock, "ours"), wanted.into());
        assert!(dependencies(lock, "nobody").is_empty());
    }

    #[test]
    fn peers_of_the_benches_are_among_them() {
        let versions = versions();
        for peer in ["prost", "tonic", "tower", "tokio"] {
            assert!(versions.crates.contains_key(peer), "{peer} is in {:?}", versions.crates);
        }
        assert!(!versions.crates.contains_key("shaketable-stack"));
    }
}
