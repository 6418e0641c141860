//! Options of a plugin as a scenario file or a flag gives them: names and values, checked by the plugin that reads them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::nearest;
use crate::{Error, ErrorKind, Result};

/// One option's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A text; durations are texts such as `30s`.
    Text(String),
    /// A time span.
    Duration(Duration),
}

/// Options of a plugin. The plugin takes those that it knows; [`finish`](Self::finish) refuses what is left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Addresses of the backend.
    pub addresses: Vec<String>,
    values: BTreeMap<String, Setting>,
    known: Vec<&'static str>,
}

impl Settings {
    /// The options in `values`.
    pub fn new(addresses: Vec<String>, values: BTreeMap<String, Setting>) -> Self {
        Self { addresses, values, known: Vec::new() }
    }

    /// Takes the time span `name`.
    pub fn duration(&mut self, name: &'static str) -> Result<Option<Duration>> {
        self.take(name, "a duration such as 30s", |value| match value {
            Setting::Duration(duration) => Some(duration),
            _ => None,
        })
    }

    /// Takes the whole number `name`, zero or more.
    pub fn count(&mut self, name: &'static str) -> Result<Option<usize>> {
        self.take(name, "a whole number, zero or more", |value| match value {
            Setting::Integer(number) => usize::try_from(number).ok(),
            _ => None,
        })
    }

    /// Takes the truth value `name`.
    pub fn boolean(&mut self, name: &'static str) -> Result<Option<bool>> {
        self.take(name, "true or false", |value| match value {
            Setting::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// Takes the text `name`.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>> {
        self.take(name, "a text", |value| match value {
            Setting::Text(text) => Some(text),
            _ => None,
        })
    }

    /// Refuses options that nobody has taken.
    ///
    /// # Errors
    /// `InvalidInput` that names the option and those that exist.
    pub fn finish(self) -> Result<()> {
        let Some(name) = self.values.keys().next() else { return Ok(()) };
        let mend = match nearest(name, self.known.iter().copied()) {
            Some(nearest) => format!("; did you mean '{nearest}'?"),
            None if self.known.is_empty() => "; there are no options".to_owned(),
            None => format!("; there are: {}", self.known.join(", ")),
        };
        Err(Error::new(ErrorKind::InvalidInput, "read options").detail(format!("no option '{name}'{mend}")))
    }

    fn take<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(Setting) -> Option<T>,
    ) -> Result<Option<T>> {
        self.known.push(name);
        let Some(value) = self.values.remove(name) else { return Ok(None) };
        let shown = format!("{value:?}");
        read(value).map(Some).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "read options")
                .detail(format!("option '{name}' must be {expected}, not {shown}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Setting, Settings};

    #[test]
    fn an_option_that_nobody_takes_is_refused_with_the_mend() {
        let mut settings = Settings::new(Vec::new(), [("tll".to_owned(), Setting::Integer(3))].into());
        assert_eq!(settings.duration("ttl").unwrap(), None);
        assert!(settings.finish().unwrap_err().to_string().contains("did you mean 'ttl'?"));
    }
}
