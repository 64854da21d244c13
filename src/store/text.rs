//! The text of one SQL statement: where its words are, as far as that is needed to put row sources in front of it.

/// One statement, without `;`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'a> {
    /// What it begins with if that is `WITH`: that it is `RECURSIVE`.
    with: Option<bool>,
    /// What follows that `WITH`; else all of it.
    rest: &'a str,
}

/// A word, a parameter or a `;`, and where it ends.
enum Token<'a> {
    Word(&'a str),
    /// A name or a string, without its quotes.
    Quoted(&'a str),
    Parameter(&'a str),
    Semicolon,
    Other,
}

impl<'a> Statement<'a> {
    /// Reads a statement.
    ///
    /// # Errors
    /// What it may not have, as the end of a sentence that begins with its name.
    pub(crate) fn read(sql: &'a str) -> Result<Self, String> {
        let mut words = 0;
        let (mut with, mut rest) = (None, sql);
        let mut at = 0;
        while let Some((token, end)) = next(sql, at)? {
            at = end;
            match token {
                Token::Parameter(name) => {
                    return Err(format!(
                        "binds the parameter {name}: what it works on are the rows that it is given under a name"
                    ));
                }
                Token::Semicolon => return Err("has a `;`: each entry of a list is one statement".to_owned()),
                Token::Word(word) if words == 0 && word.eq_ignore_ascii_case("WITH") => {
                    (with, rest) = (Some(false), &sql[at..]);
                }
                Token::Word(word)
                    if words == 1 && with.is_some() && word.eq_ignore_ascii_case("RECURSIVE") =>
                {
                    (with, rest) = (Some(true), &sql[at..]);
                }
                Token::Word(_) | Token::Quoted(_) | Token::Other => {}
            }
            words += 1;
        }
        if words == 0 { Err("is empty".to_owned()) } else { Ok(Self { with, rest }) }
    }

    /// The statement with these row sources (`name (columns) AS (…)`) in front of its own, if it has any.
    pub(crate) fn over(&self, sources: &str) -> String {
        let Self { with, rest } = self;
        match with {
            None => format!("WITH {sources}\n{rest}\n"),
            Some(recursive) => {
                let recursive = if *recursive { "RECURSIVE " } else { "" };
                format!("WITH {recursive}{sources},\n{rest}\n")
            }
        }
    }
}

/// One `INSERT … SELECT …`, which can have row sources behind its first part too: where no statement begins with `WITH`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inserting<'a> {
    into: &'a str,
    select: &'a str,
}

impl<'a> Inserting<'a> {
    /// Reads a statement; none if it is something else, or has one of these words in it.
    pub(crate) fn read(sql: &'a str, without: &[&str]) -> Option<Self> {
        Statement::read(sql).ok()?;
        let (mut at, mut words, mut select) = (0, 0, None);
        while let Ok(Some((token, end))) = next(sql, at) {
            let is = |other: &str| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(other));
            if words == 0 && !is("INSERT") {
                return None;
            }
            if let Token::Word(word) = token {
                if without.iter().any(|other| is(other)) {
                    return None;
                }
                if select.is_none() && is("SELECT") {
                    select = Some(end - word.len());
                } else if select.is_none() && (is("VALUES") || is("WITH")) {
                    return None;
                }
            }
            (at, words) = (end, words + 1);
        }
        select.map(|select| Self { into: &sql[..select], select: &sql[select..] })
    }

    /// The statement with these row sources.
    pub(crate) fn over(&self, sources: &str) -> String {
        format!("{}WITH {sources}\n{}\n", self.into, self.select)
    }
}

/// Whether each statement of this text reads or changes rows, and does nothing else.
///
/// # Errors
/// What it is otherwise, as the end of a sentence that begins with its name.
pub(crate) fn is_of_rows(sql: &str) -> Result<(), String> {
    const OF_ROWS: [&str; 7] = ["SELECT", "VALUES", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE"];
    let (mut at, mut first) = (0, true);
    while let Some((token, end)) = next(sql, at)? {
        at = end;
        match token {
            Token::Semicolon => first = true,
            Token::Word(word) if OF_ROWS.iter().any(|other| word.eq_ignore_ascii_case(other)) => {
                first = false
            }
            _ if first => return Err("is not SELECT, INSERT, UPDATE or DELETE".to_owned()),
            // SQLite reads `$a(…)` as one name, whatever is between the brackets, and `$a::b(…)` as well.
            Token::Parameter(name)
                if sql[at..]
                    .trim_start_matches(|c: char| c == ':' || c == '_' || c == '$' || c.is_alphanumeric())
                    .starts_with('(') =>
            {
                return Err(format!("has a bracket behind the parameter {name}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a table of this name may be meant somewhere in the text; also where the text has no end.
pub(crate) fn names(sql: &str, table: &str) -> bool {
    let mut at = 0;
    loop {
        match next(sql, at) {
            Ok(Some((Token::Word(word) | Token::Quoted(word), _))) if word.eq_ignore_ascii_case(table) => {
                return true;
            }
            Ok(Some((_, end))) => at = end,
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// The next token from `at` on, and its end.
fn next(sql: &str, mut at: usize) -> Result<Option<(Token<'_>, usize)>, String> {
    let bytes = sql.as_bytes();
    let find = |from: usize, what: &str| sql[from..].find(what).map(|place| from + place);
    loop {
        let Some(byte) = bytes.get(at).copied() else { return Ok(None) };
        let rest = &sql[at..];
        if byte.is_ascii_whitespace() {
            at += 1;
        } else if rest.starts_with("--") {
            at = find(at, "\n").unwrap_or(sql.len());
        } else if rest.starts_with("/*") {
            at = find(at + 2, "*/").ok_or("has a comment without an end")? + 2;
        } else {
            break;
        }
    }
    let byte = bytes[at];
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80;
    let word_end =
        |from: usize| bytes[from..].iter().position(|b| !is_word(*b)).map_or(sql.len(), |n| from + n);
    Ok(Some(match byte {
        0 => return Err("has a NUL in it".to_owned()),
        b'\'' | b'"' | b'`' => {
            // Doubled, it stands for itself: the same as two, one behind the other.
            let quote = &sql[at..=at];
            let end = find(at + 1, quote).ok_or_else(|| format!("has a {quote} that is not closed"))?;
            (Token::Quoted(&sql[at + 1..end]), end + 1)
        }
        b'[' => {
            let end = find(at, "]").ok_or("has a [ that is not closed")?;
            (Token::Quoted(&sql[at + 1..end]), end + 1)
        }
        b'?' | b'$' | b':' | b'@' | b'#' => {
            // A cast of PostgreSQL's.
            if sql[at..].starts_with("::") {
                return Ok(Some((Token::Other, at + 2)));
            }
            let end = word_end(at + 1);
            (Token::Parameter(&sql[at..end]), end)
        }
        b';' => (Token::Semicolon, at + 1),
        byte if is_word(byte) => {
            let end = word_end(at);
            (Token::Word(&sql[at..end]), end)
        }
        _ => (Token::Other, at + 1),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(sql: &str) -> String {
        Statement::read(sql).expect(sql).over("new AS (x)").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sources_stand_before_what_a_statement_has_of_its_own() {
        assert_eq!(over("SELECT 1"), "WITH new AS (x) SELECT 1");
        assert_eq!(over("with a AS (y) SELECT 1"), "WITH new AS (x), a AS (y) SELECT 1");
        assert_eq!(over("/* WITH */ WITH -- not\n recursive a AS (y) SELECT 1"), {
            "WITH RECURSIVE new AS (x), a AS (y) SELECT 1"
        });
        assert_eq!(over("INSERT INTO t SELECT 'WITH'"), "WITH new AS (x) INSERT INTO t SELECT 'WITH'");
    }

    #[test]
    fn an_insert_of_a_selection_has_its_sources_behind_its_first_part() {
        let over = |sql| Inserting::read(sql, &["changes"]).map(|read| read.over("new AS (x)"));
        let told = |sql| over(sql).map(|sql| sql.split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!(
            told("INSERT INTO t (a, \"SELECT\") -- SELECT\n SELECT 1 FROM new UNION SELECT 2").as_deref(),
            Some("INSERT INTO t (a, \"SELECT\") -- SELECT WITH new AS (x) SELECT 1 FROM new UNION SELECT 2")
        );
        for sql in [
            "UPDATE t SET a = 1",
            "WITH a AS (y) INSERT INTO t SELECT 1",
            "INSERT INTO t WITH a AS (y) SELECT 1",
            "INSERT INTO t VALUES ((SELECT 1))",
            "INSERT INTO t SELECT 1 WHERE Changes() > 0",
            "INSERT INTO t SELECT 1; DELETE FROM t",
            "(INSERT INTO t SELECT 1",
        ] {
            assert_eq!(over(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_function_can_only_read_and_change_rows() {
        for sql in [
            "SELECT 1",
            " /* a */ with a AS (SELECT $1) DELETE FROM t",
            "SELECT ';COMMIT'; UPDATE t SET a = $1;",
        ] {
            assert_eq!(is_of_rows(sql), Ok(()), "{sql:?}");
        }
        for sql in [
            "COMMIT",
            "SELECT 1; COMMIT",
            ";END",
            "SELECT 1;/**/ROLLBACK",
            "SELECT 1;-- no\nSAVEPOINT a",
            "SELECT $a('); COMMIT; SELECT $a(')",
            "SELECT $a::('); COMMIT; SELECT $a::(')",
            "SELECT $a::b('); COMMIT; SELECT $a::b(')",
            "SELECT 'a",
            "SELECT 1\0; COMMIT",
            "\u{feff}COMMIT",
            "PRAGMA writable_schema = 1",
            "EXPLAIN COMMIT",
            "\"SELECT\"",
        ] {
            assert!(is_of_rows(sql).is_err(), "{sql:?}");
        }
    }

    #[test]
    fn a_table_is_named_however_it_is_quoted() {
        for sql in [
            "DROP TABLE ledger",
            "x main.Ledger",
            "\"LEDGER\"",
            "[ledger]",
            "`ledger`",
            "'ledger'",
            "x 'open",
        ] {
            assert!(names(sql, "ledger"), "{sql:?}");
        }
        for sql in ["CREATE TABLE ledgers (a)", "-- ledger\nSELECT 'the ledger'"] {
            assert!(!names(sql, "ledger"), "{sql:?}");
        }
    }

    #[test]
    fn what_is_not_one_statement_without_parameters_is_refused() {
        for sql in [
            "",
            " -- nothing",
            "/* nothing */",
            "SELECT 1;",
            "SELECT 1; DELETE FROM t",
            "SELECT $1",
            "SELECT ?",
            "SELECT ?2",
            "SELECT :id",
            "SELECT @id",
            "SELECT $id",
            "SELECT 'a",
            "SELECT \"a",
            "SELECT [a",
            "SELECT 1 /* open",
            "SELECT 1\0",
        ] {
            assert!(Statement::read(sql).is_err(), "{sql:?}");
        }
        for sql in
            ["SELECT '$1; ?', \"a;b\", [c;d], `?` -- $1 ;", "SELECT op ->> '$.a', 'it''s; ok'", "SELECT a$1"]
        {
            assert!(Statement::read(sql).is_ok(), "{sql:?}");
        }
    }
}
