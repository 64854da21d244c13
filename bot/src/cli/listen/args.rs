//! The options of the endpoints.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::super::args::yes_or_no;
use super::super::exit::{Exit, Failure};
use super::act::access;
use super::address::{self, Address};

/// Where this process tells how it is.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Endpoints")]
pub(in crate::cli) struct ListenArgs {
    /// Tell over HTTP how this process is: a page, /livez, /readyz (503 with the reasons), /metrics (for Prometheus), /status.json. An
    /// address of this machine, such as 127.0.0.1:7677, or unix:PATH, a socket of mode 0660 [default: off]
    #[arg(long, env = "ROSEY_LISTEN", value_name = "ADDR", value_parser = address::parse)]
    listen: Option<Address>,
    /// Let --listen name an address that other machines reach. Any client there can read names of files and servers, counts
    /// and failures; only who knows the token of --listen-token-file can change anything
    #[arg(long, env = "ROSEY_LISTEN_PUBLIC", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    listen_public: bool,
    /// Who sends the token in this file may act on the page: dead letters, outbox, circuits. Only its owner may read the
    /// file. At a socket no token is asked for: who reaches that may act [default: nobody may act over TCP]
    #[arg(long, env = "ROSEY_LISTEN_TOKEN_FILE", value_name = "FILE")]
    listen_token_file: Option<PathBuf>,
}

impl ListenArgs {
    /// The file with the token, if there is one.
    ///
    /// # Errors
    /// There is none in it, or others can read it.
    pub(super) fn token(&self) -> Result<Option<PathBuf>, Failure> {
        let Some(file) = &self.listen_token_file else { return Ok(None) };
        match access::read(file) {
            Ok(_) => Ok(Some(file.clone())),
            Err(why) => Err(Failure::new(Exit::Usage, format!("--listen-token-file: {why}"))),
        }
    }

    /// Where to listen, if anywhere.
    ///
    /// # Errors
    /// Other machines reach it, and nothing says that they may.
    pub(super) fn address(&self) -> Result<Option<&Address>, Failure> {
        match &self.listen {
            Some(address) if address.is_public() && !self.listen_public => Err(Failure::new(
                Exit::Usage,
                format!(
                    "--listen {address}: other machines may reach this address, and would read there how this process is. \
                     Name one of this machine, such as 127.0.0.1:{} or unix:PATH, or allow it with --listen-public",
                    address.port()
                ),
            )),
            address => Ok(address.as_ref()),
        }
    }
}
