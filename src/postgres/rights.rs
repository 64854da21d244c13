//! What a role needs: the statement that grants it, where the server says that something is missing.

use super::fault::Fault;
use super::options::PostgresOptions;
use crate::hints::hints;

impl PostgresOptions {
    /// What an error of the server means; one of rights, with what grants them.
    pub(super) fn fault(&self, error: sqlx::Error) -> Fault {
        let code = error.as_database_error().and_then(|said| said.code());
        if code.as_deref() != Some("42501") {
            return Fault::Server(error);
        }
        let grant = self.grant(error.as_database_error().map_or("", |said| said.message()));
        Fault::Forbidden(error, grant)
    }

    /// The same for what has been made without these options.
    pub(super) fn granting(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Server(error) => self.fault(error),
            fault => fault,
        }
    }

    /// The statements that give the role what it lacks, as the server has said it: in English, otherwise all of them.
    pub(super) fn grant(&self, said: &str) -> String {
        let (schema, role) = (quoted(self.in_schema()), quoted(self.servers().role()));
        let is_about = |what: &str| said.starts_with("permission denied for ") && said.contains(what);
        if said.starts_with("must be owner") {
            return format!(
                "ALTER … OWNER TO {role}; or let the owner open it once with this version of the program ({})",
                hints().verify
            );
        }
        if is_about("for database") {
            let database = self.servers().database().map_or_else(|| "…".to_owned(), quoted);
            return format!("GRANT CREATE ON DATABASE {database} TO {role}");
        }
        let usage = format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}");
        if is_about("for schema") {
            return usage;
        }
        let tables = format!(
            "GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}; GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {role}; \
             GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role}"
        );
        if said.starts_with("permission denied for ") { tables } else { format!("{usage}; {tables}") }
    }
}

/// A name as it stands in a statement.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    match name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}
