//! A page of the documents that is followed: what it tells to write and to type, and what to see then. The standard library alone,
//! because `xtask` includes it as well.

mod session;

use std::path::Path;

pub(crate) use session::Session;

/// A command, how it ends, and the lines to look for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) command: String,
    pub(crate) code: i32,
    pub(crate) expected: Vec<String>,
}

/// A document of the repository.
pub(crate) fn read(name: &str) -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(name);
    std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
}

/// The steps of all blocks ```` ```console ````: `$ ` begins a command, `> ` goes on with it, `# exit N` at its end is how it ends if
/// not in success, another comment is one; what follows is what it says.
pub(crate) fn steps(document: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    for line in blocks(document, "console").into_iter().flat_map(str::lines) {
        if let Some(command) = line.strip_prefix("$ ") {
            let (command, code) = command.rsplit_once("# exit ").unwrap_or((command, "0"));
            let code = code.trim().parse().map_err(|_| format!("no exit code: {line}"))?;
            steps.push(Step { command: command.trim_end().to_owned(), code, expected: Vec::new() });
            continue;
        }
        let step = steps.last_mut().ok_or_else(|| format!("no command stands before {line}"))?;
        match line.strip_prefix("> ") {
            Some(more) => step.command = format!("{}\n{more}", step.command),
            None => step.expected.push(line.to_owned()),
        }
    }
    Ok(steps)
}

/// What stands in the blocks of this kind.
pub(crate) fn blocks<'a>(document: &'a str, kind: &str) -> Vec<&'a str> {
    let begin = format!("```{kind}\n");
    document.split(&begin).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// Does what a page says, and compares. `put`: what is typed instead of what stands there, such as another port.
pub(crate) fn follow(
    steps: &[Step],
    session: &mut Session,
    put: impl Fn(&str) -> String,
) -> Result<(), String> {
    for Step { command, code, expected } in steps {
        let (ended, output) = session.run(&put(command))?;
        eprintln!("$ {command}\n{}", output.trim_end());
        if ended != *code {
            return Err(format!("`{command}` ends with {ended}, and not with {code}:\n{output}"));
        }
        if let Some(missing) = expected.iter().find(|line| !is_said(&put(line), &output)) {
            return Err(format!("{missing:?} is not in what `{command}` says:\n{output}"));
        }
    }
    Ok(())
}

/// Whether a line of the output has all parts of the expected one in their order; `…` stands between them.
fn is_said(expected: &str, output: &str) -> bool {
    output.lines().any(|line| {
        let mut rest = line;
        expected.split('…').map(str::trim).all(|part| match rest.find(part) {
            Some(place) => {
                rest = &rest[place + part.len()..];
                true
            }
            None => false,
        })
    })
}

#[test]
fn a_page_is_read_as_a_person_reads_it() {
    let page = "text\n```console\n$ one 'a' # exit 3\nsaid … twice\n$ two <<END\n> more\n> END\n```\n```sh\nthree\n```\n";
    let step = |command: &str, code, expected: &[&str]| Step {
        command: command.to_owned(),
        code,
        expected: expected.iter().map(|line| (*line).to_owned()).collect(),
    };
    let expected = [step("one 'a'", 3, &["said … twice"]), step("two <<END\nmore\nEND", 0, &[])];
    assert_eq!(steps(page), Ok(expected.into()));
    assert!(steps("```console\nsaid\n```").is_err() && steps("```console\n$ a # exit soon\n```").is_err());
    assert!(is_said("said … twice", "first\nit is said again, twice so\n"));
    assert!(!is_said("said … twice", "twice is said\n") && !is_said("said", ""));
}
