//! The paths of the workspace and its target directory.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The two directories that all other paths derive from. Both are absolute.
#[derive(Debug)]
pub(crate) struct Paths {
    root: PathBuf,
    target: PathBuf,
}

impl Paths {
    /// Reads Cargo's environment, or else searches upwards from the current directory.
    pub(crate) fn find() -> Result<Self, Failure> {
        let here = std::env::current_dir().map_err(|e| Failure::io("read the current directory", &e))?;
        let start = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| here.clone(), PathBuf::from);
        let root = start
            .ancestors()
            .find(|dir| dir.join("xtask").is_dir() && dir.join("Cargo.toml").is_file())
            .ok_or_else(|| Failure::new("this is not inside the workspace; change into it and try again"))?
            .to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) if !dir.is_empty() => here.join(dir),
            _ => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The directory of the workspace.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target directory.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The directory of fetched tools.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}
