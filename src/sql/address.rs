//! What is said of an address that is none of a database here: it may hold a password.

/// The parameters of libpq with which a text in its own form begins.
const OF_LIBPQ: [&str; 9] =
    ["host", "hostaddr", "port", "dbname", "user", "password", "passfile", "service", "sslmode"];

/// An address without password and parameters.
pub(crate) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "the address".to_owned() };
    let (place, _) = rest.split_once('?').unwrap_or((rest, ""));
    match place.rsplit_once('@') {
        Some((user, host)) => format!("{scheme}://{}@{host}", user.split(':').next().unwrap_or_default()),
        // A password with a question mark.
        None if rest.contains('@') => format!("{scheme}://…"),
        None => format!("{scheme}://{place}"),
    }
}

/// Whether it is in the form of libpq, `host=db password=…`, and not the path of a file.
pub(crate) fn is_of_libpq(text: &str) -> bool {
    let text = text.trim_start();
    let name = text.split(|c: char| c == '=' || c.is_whitespace()).next().unwrap_or_default();
    OF_LIBPQ.contains(&name) && text[name.len()..].trim_start().starts_with('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_libpq_is_told_from_a_path() {
        for text in ["host=db password=s3cret", "  password = s3cret host=db", "dbname=rosey", "user='a b'"] {
            assert!(is_of_libpq(text), "{text}");
        }
        for path in ["rosey.db", "host", "./host=db", "hosts=1.db", "/srv/host=db/rosey.db", ""] {
            assert!(!is_of_libpq(path), "{path}");
        }
    }
}
