//! The options of the endpoints.

use clap::{ArgAction, Args};

use super::super::args::yes_or_no;
use super::super::exit::{Exit, Failure};
use super::address::{self, Address};

/// Where this process tells how it is.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Endpoints")]
pub(in crate::cli) struct ListenArgs {
    /// Tell over HTTP how this process is: /livez, /readyz (503 with the reasons), /metrics (for Prometheus), /status.json. An
    /// address of this machine, such as 127.0.0.1:7677, or unix:PATH, a socket of mode 0660 [default: off]
    #[arg(long, env = "ROSEY_LISTEN", value_name = "ADDR", value_parser = address::parse)]
    listen: Option<Address>,
    /// Let --listen name an address that other machines reach. Any client there can read names of files and servers, counts
    /// and failures; none can change anything
    #[arg(long, env = "ROSEY_LISTEN_PUBLIC", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    listen_public: bool,
}

impl ListenArgs {
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
