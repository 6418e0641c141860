//! A temporary directory that is removed also when this process is killed or interrupted.

use std::env;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::guard::{Guard, Post};
use crate::left::PREFIX;
use crate::mark::Mark;

/// A directory in that for temporary files, with all that is in it. It ends with this value.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    _guard: Guard,
}

impl Directory {
    /// An empty one. `what` is a part of its name.
    ///
    /// # Errors
    /// What the operating system says about the directory or its guard.
    pub fn new(what: &str) -> io::Result<Self> {
        // A mark is nobody else's.
        let mark = Mark::new().to_string();
        let path = env::temp_dir().join(format!("{PREFIX}{what}-{}", mark.trim_matches(['[', ']'])));
        let guard = Guard::new(Post { directory: Some(&path), ..Post::default() })?;
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, _guard: guard })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::Directory;

    #[test]
    fn a_directory_ends_with_all_that_is_in_it() {
        let (one, other) = (Directory::new("test").unwrap(), Directory::new("test").unwrap());
        std::fs::create_dir(one.path().join("a")).unwrap();
        std::fs::write(one.path().join("a/b"), "c").unwrap();
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists() && other.path().is_dir());
    }
}
