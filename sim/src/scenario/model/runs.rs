//! A service that is the user's own: a program, a container, or somewhere where somebody else runs it. What stands here are
//! values; who starts it is no business of this module.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scenario::duration;

/// How a service of the user's own comes to run, in the live world. Exactly one of `command`, `image` and `url` is given. In
/// texts, `{port}` is the port that it is to listen at on this machine, `{registry}` where it reaches the registry's server
/// (`host:port`), `{host}` the name of its host, such as `user-1`, and `{replica}` its number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runs {
    /// A program of this machine, started for the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandLine>,
    /// A container, started for the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRun>,
    /// Somebody else runs it, here: `http://host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Who registers it: what is started registers itself, unless the file says otherwise; what somebody else runs is
    /// registered for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_by: Option<RegisteredBy>,
    /// What it is to ask of the registry when it registers itself, so that `lease_expiry` can say when it asks for less; none:
    /// whatever it asks for is right.
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
}

/// Who registers a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegisteredBy {
    /// It does so itself.
    Itself,
    /// The harness does, as long as the service's host lives.
    Shaketable,
}

/// A program of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandLine {
    /// The program and its arguments. A name without a slash is looked for in the directories of `PATH`.
    pub line: Vec<String>,
    /// What its environment has beside ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it runs; the directory that shaketable was started in, unless the file says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// When it can be used.
    pub ready: Ready,
    /// How it is stopped.
    pub stop: Stop,
}

/// A container on this machine's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageRun {
    /// The image, `name:tag`.
    pub name: String,
    /// What runs in it, instead of the image's own command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub line: Vec<String>,
    /// What its environment has beside the image's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// When it can be used.
    pub ready: Ready,
    /// How it is stopped.
    pub stop: Stop,
}

/// When a service can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ready {
    /// A GET of this path is answered with 2xx; without one, its port takes a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How long it may take.
    #[serde(with = "duration")]
    pub within: Duration,
}

impl Default for Ready {
    fn default() -> Self {
        Self { path: None, within: Duration::from_secs(30) }
    }
}

/// How a service is stopped gracefully: it gets SIGTERM, and is killed when it has not ended in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stop {
    /// How long it may take to end.
    #[serde(with = "duration")]
    pub within: Duration,
}

impl Default for Stop {
    fn default() -> Self {
        Self { within: Duration::from_secs(10) }
    }
}

impl Runs {
    /// What texts may name in braces.
    pub const PLACEHOLDERS: [&str; 4] = ["port", "registry", "host", "replica"];

    /// The kinds that are given, as the file names them.
    pub fn kinds(&self) -> Vec<&'static str> {
        let given = [("command", self.command.is_some()), ("image", self.image.is_some()), ("url", self.url.is_some())];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }

    /// Whether it registers itself.
    pub fn registers_itself(&self) -> bool {
        let usual = if self.url.is_some() { RegisteredBy::Shaketable } else { RegisteredBy::Itself };
        self.registered_by.unwrap_or(usual) == RegisteredBy::Itself
    }

    /// How long it may take to end when it is asked to.
    pub fn stops_within(&self) -> Duration {
        let stop = self.command.as_ref().map(|command| &command.stop);
        stop.or_else(|| self.image.as_ref().map(|image| &image.stop)).cloned().unwrap_or_default().within
    }

    /// How long it may take to be ready.
    pub fn ready_within(&self) -> Duration {
        let ready = self.command.as_ref().map(|command| &command.ready);
        ready.or_else(|| self.image.as_ref().map(|image| &image.ready)).cloned().unwrap_or_default().within
    }

    /// Every text that placeholders may stand in, with its path in the file.
    pub fn texts(&self) -> Vec<(String, &str)> {
        let mut texts = Vec::new();
        if let Some(CommandLine { line, env, ready, .. }) = &self.command {
            texts.extend(texts_of("command", line, env, ready));
        }
        if let Some(ImageRun { line, env, ready, .. }) = &self.image {
            texts.extend(texts_of("image", line, env, ready));
        }
        texts.extend(self.url.as_deref().map(|url| ("url".to_owned(), url)));
        texts
    }

    /// The names that its texts have in braces.
    pub fn placeholders(&self) -> BTreeSet<String> {
        self.texts().into_iter().flat_map(|(_, text)| placeholders(text)).collect()
    }
}

fn texts_of<'a>(
    kind: &'a str,
    line: &'a [String],
    env: &'a BTreeMap<String, String>,
    ready: &'a Ready,
) -> impl Iterator<Item = (String, &'a str)> {
    let line = line.iter().enumerate().map(move |(index, text)| (format!("{kind}.line[{index}]"), text.as_str()));
    let env = env.iter().map(move |(name, text)| (format!("{kind}.env.{name}"), text.as_str()));
    let path = ready.path.iter().map(move |text| (format!("{kind}.ready.path"), text.as_str()));
    line.chain(env).chain(path)
}

/// The names that `text` has in braces: small letters alone, so that JSON and templates are left as they are.
pub fn placeholders(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        if let Some((name, _)) = after.split_once('}').filter(|(name, _)| is_name(name)) {
            names.push(name.to_owned());
        }
        rest = after;
    }
    names
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// `text` with what `values` has in the place of the names in braces; others stay.
pub fn fill(text: &str, values: &BTreeMap<&'static str, String>) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{fill, placeholders};

    #[test]
    fn names_in_braces_are_found_and_filled_and_json_is_left_alone() {
        let text = r#"--at=:{port} --peer={registry} {"a":{}} {{.Name}} {Port}"#;
        assert_eq!(placeholders(text), ["port", "registry"]);
        let values = BTreeMap::from([("port", "80".to_owned()), ("registry", "127.0.0.1:2379".to_owned())]);
        assert_eq!(fill(text, &values), r#"--at=:80 --peer=127.0.0.1:2379 {"a":{}} {{.Name}} {Port}"#);
    }
}
