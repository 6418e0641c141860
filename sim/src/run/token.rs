//! The token that replays a run: everything that decides it. What does not match is refused, never run as something else.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use xxhash_rust::xxh3::xxh3_64;

use super::result::Job;

/// What decides a run: `st1:<scenario>:<seed>:<engine>:<overrides>:<build>:<checksum>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Digest of the scenario's text.
    pub scenario: u64,
    /// The seed.
    pub seed: u64,
    /// The engine.
    pub engine: String,
    /// What is set differently, as in `registry=etcd`; empty for nothing.
    pub overrides: String,
    /// Digest of the program.
    pub build: u64,
}

impl Token {
    /// The token of `job` with this build.
    pub fn of(job: &Job) -> Self {
        Self {
            scenario: xxh3_64(job.text.as_bytes()),
            seed: job.seed,
            engine: job.engine.clone(),
            overrides: job.overrides.clone(),
            build: build(),
        }
    }

    /// Refuses what would be another run.
    ///
    /// # Errors
    /// A sentence that says what differs, with the mend.
    pub fn check(&self, file: &str, text: &str) -> Result<(), String> {
        if xxh3_64(text.as_bytes()) != self.scenario {
            return Err(format!(
                "{file} is not the scenario that the token was made from: its text has changed; check out the version that \
                 failed, or run the seed on the present one: run {file} --seed {}",
                self.seed
            ));
        }
        if self.build != build() {
            return Err(format!(
                "the token was made by another build of this program ({:016x}, this is {:016x}); use the build that \
                 failed, or run the seed on this one: run {file} --seed {}{}",
                self.build,
                build(),
                self.seed,
                if self.overrides.is_empty() { String::new() } else { format!(" --set {}", self.overrides) }
            ));
        }
        Ok(())
    }

    /// The job that the token stands for.
    pub fn job(&self, file: &str, text: &str) -> Job {
        Job {
            file: file.to_owned(),
            text: text.to_owned(),
            overrides: self.overrides.clone(),
            seed: self.seed,
            engine: self.engine.clone(),
            keep: false,
        }
    }
}

/// Tells a token that was changed from the one that was printed.
fn checksum(text: &str) -> String {
    format!("{:08x}", xxh3_64(text.as_bytes()) >> 32)
}

/// Digest of the program that is running; 0 when it cannot be read.
fn build() -> u64 {
    static BUILD: OnceLock<u64> = OnceLock::new();
    *BUILD.get_or_init(|| {
        let program = std::env::current_exe().and_then(std::fs::read);
        program.map_or(0, |bytes| xxh3_64(&bytes))
    })
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, seed, engine, overrides, build } = self;
        let text = format!("st1:{scenario:016x}:{seed}:{engine}:{overrides}:{build:016x}");
        write!(formatter, "{text}:{}", checksum(&text))
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.trim().split(':').collect();
        let [version, scenario, seed, engine, overrides, build, sum] = fields[..] else {
            return Err(format!(
                "'{text}' is no token: it has {} fields, a token has 7 \
                 (st1:scenario:seed:engine:overrides:build:checksum); copy the whole line that the failing run printed",
                fields.len()
            ));
        };
        if version != "st1" {
            return Err(format!("'{text}' is a token of version '{version}'; this program reads st1"));
        }
        if checksum(&fields[..6].join(":")) != sum {
            return Err(format!(
                "'{text}' is no token: its checksum does not match, so it was changed or cut off; copy the whole line that \
                 the failing run printed, or run the seed: run FILE --seed {seed}"
            ));
        }
        let digest = |name: &str, text: &str| {
            u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16).ok_or_else(|| {
                format!("the token's {name} '{text}' is no digest of 16 hexadecimal digits; it may have been cut off")
            })
        };
        Ok(Self {
            scenario: digest("scenario", scenario)?,
            seed: seed.parse().map_err(|_| format!("the token's seed '{seed}' is no number"))?,
            engine: engine.to_owned(),
            overrides: overrides.to_owned(),
            build: digest("build", build)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Token;
    use crate::run::Job;

    fn job() -> Job {
        Job {
            file: "a.yaml".to_owned(),
            text: "name: a".to_owned(),
            overrides: "broker=http,registry=etcd".to_owned(),
            seed: 7,
            engine: "turmoil".to_owned(),
            keep: false,
        }
    }

    #[test]
    fn a_token_survives_its_text_and_finds_the_same_job() {
        let token = Token::of(&job());
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        token.check("a.yaml", "name: a").unwrap();
        assert_eq!(token.job("a.yaml", "name: a"), job());
    }

    #[test]
    fn what_does_not_match_is_refused() {
        let token = Token::of(&job());
        assert!(token.check("a.yaml", "name: b").unwrap_err().contains("its text has changed"));
        let other = Token { build: token.build ^ 1, ..token.clone() };
        assert!(other.check("a.yaml", "name: a").unwrap_err().contains("another build"));
        let another_seed = token.to_string().replacen(":7:", ":8:", 1);
        for wrong in [
            another_seed.as_str(),
            "",
            "st1",
            "st2:0:0:0:0:0",
            "st1:zz:1:turmoil::0000000000000000",
            &token.to_string()[..40],
        ] {
            assert!(wrong.parse::<Token>().is_err(), "{wrong}");
        }
    }
}
