//! The command `rosey`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rosey::cli::main()
}
