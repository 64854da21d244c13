//! The packages as a registry would have them, and a program that is built from nothing else, offline.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::Failure;
use crate::first_operation;
use crate::paths::Paths;
use crate::run::{Steps, cargo, step};

/// What a packed package must hold beside its code.
const FILES: [&str; 4] = ["Cargo.toml", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Where no file of a package lies: what needs servers, or is of use in the repository alone.
const LEFT_OUT: [&str; 5] = ["tests/", "benches/", ".ci/", "deploy/", "loom/"];

/// The most bytes of a packed package, as registries have it; ours stay far below.
const LARGEST: u64 = 2 << 20;

/// A package that is published.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// What the registry shows, as `cargo metadata` tells it.
    pub(crate) described: Value,
    pub(crate) folder: PathBuf,
}

/// All of them, as they depend on each other.
pub(crate) fn all(paths: &Paths) -> Result<Vec<Package>, Failure> {
    let mut command = cargo(paths);
    command.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let output = command.output().map_err(|e| Failure::io("run `cargo metadata`", &e))?;
    let told: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| Failure::new(String::from_utf8_lossy(&output.stderr).into_owned()))?;
    let published = |package: &&Value| package["publish"].as_array().is_none_or(|to| !to.is_empty());
    let package = |package: &Value| {
        let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
        let folder = Path::new(&text("manifest_path")).parent().unwrap_or(Path::new("")).to_owned();
        Package { name: text("name"), version: text("version"), described: package.clone(), folder }
    };
    let mut all: Vec<_> =
        told["packages"].as_array().into_iter().flatten().filter(published).map(package).collect();
    let names: Vec<String> = all.iter().map(|package| package.name.clone()).collect();
    all.sort_by_key(|package| (package.depth(&names, &told), package.name.clone()));
    Ok(all)
}

impl Package {
    /// How many packages of ours must be published before it.
    fn depth(&self, names: &[String], told: &Value) -> usize {
        fn of(name: &str, names: &[String], told: &Value) -> usize {
            let packages = told["packages"].as_array().into_iter().flatten();
            let Some(package) = packages.into_iter().find(|package| package["name"] == name) else {
                return 0;
            };
            let dependencies = package["dependencies"].as_array().into_iter().flatten();
            let ours = dependencies.filter(|dependency| dependency["kind"].is_null());
            let ours = ours.filter_map(|dependency| dependency["name"].as_str());
            let ours = ours.filter(|name| names.iter().any(|known| known == name));
            ours.map(|name| 1 + of(name, names, told)).max().unwrap_or(0)
        }
        of(&self.name, names, told)
    }

    fn packed(&self, paths: &Paths) -> PathBuf {
        paths.target().join("package").join(format!("{}-{}.crate", self.name, self.version))
    }

    /// What is wrong with the packed package.
    fn faults(&self, paths: &Paths) -> Vec<String> {
        let packed = self.packed(paths);
        let mut list = Command::new("tar");
        list.arg("-tzf").arg(&packed);
        let listed = list.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let listed = listed.unwrap_or_default();
        let top = format!("{}-{}/", self.name, self.version);
        let files: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix(top.as_str())).collect();
        let missing = FILES.iter().filter(|file| !files.contains(file));
        let mut faults: Vec<String> =
            missing.map(|file| format!("{}: {file} is missing", self.name)).collect();
        let misplaced = files.iter().filter(|file| LEFT_OUT.iter().any(|folder| file.starts_with(folder)));
        faults.extend(misplaced.map(|file| format!("{}: {file} is of no use to anybody", self.name)));
        let bytes = std::fs::metadata(&packed).map_or(0, |file| file.len());
        println!("{}: {} files, {} KiB packed", self.name, files.len(), bytes >> 10);
        if bytes > LARGEST || bytes == 0 {
            faults.push(format!("{}: {bytes} bytes, of {LARGEST} at most", self.name));
        }
        faults
    }
}

/// Packs them, without building them from that: see [`add`].
pub(crate) fn pack(paths: &Paths, dirty: bool) -> Result<Vec<Package>, Failure> {
    let all = all(paths)?;
    let mut command = cargo(paths);
    command.args(["package", "--offline", "--no-verify", "--quiet"]);
    if dirty {
        command.arg("--allow-dirty");
    }
    for package in &all {
        command.args(["--package", &package.name]);
    }
    step(command, "what is missing in a package is named above")?;
    let faults: Vec<String> = all.iter().flat_map(|package| package.faults(paths)).collect();
    if faults.is_empty() { Ok(all) } else { Err(Failure::new(faults.join("; "))) }
}

/// Packs, and builds a program that knows the packed files alone.
pub(crate) fn add(paths: &Paths, steps: &mut Steps) -> Result<(), Failure> {
    let packages = pack(paths, true)?;
    let consumer = paths.target().join("consumer");
    let failed = |e: std::io::Error| Failure::io(format!("make {}", consumer.display()), &e);
    let _ = std::fs::remove_dir_all(&consumer);
    std::fs::create_dir_all(consumer.join("src")).map_err(failed)?;
    let mut patches = String::new();
    for package in &packages {
        let mut unpack = Command::new("tar");
        // With times of now: what was built of older files is out of date.
        unpack.arg("-xzmf").arg(package.packed(paths)).arg("-C").arg(&consumer);
        step(unpack, "a packed package cannot be unpacked")?;
        let Package { name, version, .. } = package;
        let place = consumer.join(format!("{name}-{version}"));
        patches.push_str(&format!("{name} = {{ path = {place:?} }}\n"));
    }
    std::fs::write(consumer.join("Cargo.toml"), format!("{CONSUMER}{patches}")).map_err(failed)?;
    std::fs::write(consumer.join("src/main.rs"), PROGRAM).map_err(failed)?;
    // What it depends on is what has been fetched for this workspace.
    std::fs::copy(paths.root().join("Cargo.lock"), consumer.join("Cargo.lock")).map_err(failed)?;
    let mut build = cargo(paths);
    build.current_dir(&consumer).args(["check", "--offline"]).env("CARGO_TARGET_DIR", paths.target());
    steps.run(
        "consumer of the packages",
        build,
        "a package lacks a file, or a feature, that the workspace has",
    );
    steps.does("the first hour of an engineer", || first_operation::followed(paths, &patches));
    Ok(())
}

const CONSUMER: &str = "\
[package]
name = \"consumer\"
version = \"0.0.0\"
edition = \"2024\"

[workspace]

[dependencies]
eitherway = { version = \"0.1.0\", features = [\"axum\", \"postgres\"] }
eitherway-layers = \"0.1.0\"
eitherway-testkit = \"0.1.0\"
rosey-bot = \"0.1.0\"
tokio = { version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }

[patch.crates-io]
";

const PROGRAM: &str = "\
//! Uses a part of each package.

use std::time::Duration;

use eitherway::Runtime;
use eitherway_layers::TimeoutLayer;
use rosey::op::{Op, RoseyClient};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _server = eitherway_testkit::NatsServer::down();
    let _layer = TimeoutLayer::new(Duration::from_secs(1));
    let runtime = Runtime::<Op>::builder().store(\"sqlite://rosey.db\").build().await?;
    runtime.client().user_joined(\"alice\").await?;
    runtime.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
";
