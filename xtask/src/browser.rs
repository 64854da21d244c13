//! Finds a browser and its driver for the tests of the page, or fetches them: Debian's, unpacked with what they need and not
//! installed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::failure::Failure;
use crate::paths::Paths;
use crate::run::{become_program, cargo};
use crate::server::{self, fetch, in_path};

/// A program: the variable that names it, its names in `PATH`, and where Debian's package has it.
struct Program {
    variable: &'static str,
    names: &'static [&'static str],
    packed: &'static str,
}

const PROGRAMS: [Program; 2] = [
    Program {
        variable: "CHROMIUM_BIN",
        names: &["chromium-headless-shell", "chromium", "google-chrome"],
        packed: "usr/lib/chromium/chromium-headless-shell",
    },
    Program { variable: "CHROMEDRIVER_BIN", names: &["chromedriver"], packed: "usr/bin/chromedriver" },
];

/// The packages with all that they need, and those of which a part is enough.
const WHOLE: [&str; 2] = ["chromium-headless-shell", "fonts-dejavu-core"];
const ALONE: [&str; 1] = ["chromium-driver"];

/// `cargo xtask browser`: prints the paths.
pub(crate) fn print(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let found = match args {
        [] => find_or_fetch(paths),
        [word] if word == "--fetch" => fetched(paths),
        [.., arg] => {
            return Err(Failure::usage(format!("`browser` takes --fetch and nothing else, not {arg}")));
        }
    };
    found.map_err(Failure::new)?.iter().for_each(|path| println!("{}", path.display()));
    Ok(ExitCode::SUCCESS)
}

/// The variables for the tests. Without a browser its tests are skipped, and say so.
pub(crate) fn for_tests(paths: &Paths) -> Vec<(&'static str, PathBuf)> {
    match find_or_fetch(paths) {
        Ok(found) => PROGRAMS.iter().map(|program| program.variable).zip(found).collect(),
        Err(reason) => {
            eprintln!("xtask: {reason}");
            Vec::new()
        }
    }
}

/// `cargo xtask screenshots`: makes the pictures of the page.
pub(crate) fn screenshots(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::usage(format!("`screenshots` takes no arguments, not even {arg}")));
    }
    let place = paths.root().join("docs/screenshots");
    fs::create_dir_all(&place).map_err(|e| Failure::io("create docs/screenshots", &e))?;
    let mut command = cargo(paths);
    command.args(["test", "--package", "rosey-bot", "--test", "it"]);
    command.args(["--", "--ignored", "--nocapture", "page::pictures::"]);
    command.env("ROSEY_SCREENSHOTS", place).env(server::VARIABLE, server::find_or_fetch(paths)?);
    let browser = find_or_fetch(paths).map_err(Failure::new)?;
    command.envs(PROGRAMS.iter().map(|program| program.variable).zip(browser));
    become_program(command, "is Rust installed as rustup.rs says?")
}

/// Those that the variables name, else those in `PATH`, else those in the target directory, which are fetched once.
fn find_or_fetch(paths: &Paths) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for program in &PROGRAMS {
        match program.found()? {
            Some(path) => found.push(path),
            // A driver drives a browser of its own version.
            None => return fetched(paths),
        }
    }
    Ok(found)
}

impl Program {
    fn found(&self) -> Result<Option<PathBuf>, String> {
        if let Some(named) = std::env::var_os(self.variable).filter(|name| !name.is_empty()) {
            let named = PathBuf::from(named);
            let advice = "which is not a file; set it to the program's path, or unset it";
            return match named.is_file() {
                true => Ok(Some(named)),
                false => Err(format!("{} names {}, {advice}", self.variable, named.display())),
            };
        }
        let search = std::env::var_os("PATH").unwrap_or_default();
        Ok(self.names.iter().find_map(|name| in_path(&search, OsStr::new(name)).into_iter().next()))
    }
}

/// Scripts in the target directory that start the unpacked programs with the unpacked libraries.
fn fetched(paths: &Paths) -> Result<Vec<PathBuf>, String> {
    let place = paths.tools().join("browser");
    let scripts: Vec<PathBuf> = PROGRAMS.iter().map(|program| place.join(program.names[0])).collect();
    if scripts.iter().all(|script| script.is_file()) {
        return Ok(scripts);
    }
    eprintln!("xtask: fetching Debian's chromium and its driver (once)");
    let advice = "install chromium and chromedriver, or set CHROMIUM_BIN and CHROMEDRIVER_BIN, and try again";
    let root = fetch::unpacked_with_needs(&place, &WHOLE, &ALONE)
        .map_err(|reason| format!("there is no browser, and none could be fetched: {reason}; {advice}"))?;
    let libraries = libraries(&root.join("usr/lib"));
    let fonts = place.join("fonts.conf");
    let config = format!(
        "<?xml version=\"1.0\"?>\n<fontconfig><dir>{}</dir><cachedir>{}</cachedir></fontconfig>\n",
        root.join("usr/share/fonts").display(),
        place.join("fontcache").display()
    );
    let written = |path: &Path, text: &str| {
        fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
    };
    written(&fonts, &config)?;
    for (program, script) in PROGRAMS.iter().zip(&scripts) {
        let packed = root.join(program.packed);
        if !packed.is_file() {
            return Err(format!("Debian's packages hold no {}; {advice}", program.packed));
        }
        let text = format!(
            "#!/bin/sh\nLD_LIBRARY_PATH='{libraries}' FONTCONFIG_FILE='{}' exec '{}' \"$@\"\n",
            fonts.display(),
            packed.display()
        );
        written(script, &text)?;
        let executable = fs::set_permissions(script, fs::Permissions::from_mode(0o755));
        executable.map_err(|e| format!("cannot set the mode of {}: {e}", script.display()))?;
    }
    Ok(scripts)
}

/// The folders below this one that hold libraries, as the loader takes them.
fn libraries(top: &Path) -> String {
    let (mut found, mut left) = (Vec::new(), vec![top.to_owned()]);
    while let Some(dir) = left.pop() {
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        let (dirs, files): (Vec<_>, Vec<_>) =
            entries.map(|entry| entry.path()).partition(|path| path.is_dir() && !path.is_symlink());
        if files.iter().any(|file| file.to_string_lossy().contains(".so")) {
            found.push(dir.display().to_string());
        }
        left.extend(dirs);
    }
    found.join(":")
}
