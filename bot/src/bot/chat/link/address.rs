//! The parts of an address.

use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// Without the `%xx` of a URL.
pub(in crate::bot::chat) fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(std::borrow::Cow::into_owned).map_err(|_| "it is not UTF-8".to_owned())
}

/// `HOST:PORT`, `HOST`, `[IPv6]:PORT`.
pub(in crate::bot::chat) fn host_and_port(server: &str, usual: u16) -> Result<(String, u16), String> {
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("the server has no name".to_owned());
    }
    let port = port.map_or(Some(usual), |port| u16::from_str(port).ok().filter(|port| *port > 0));
    let port = port.ok_or("the port is a number from 1 to 65535")?;
    Ok((host.to_owned(), port))
}
