//! What a statement does to tables, and what one of an operation may do, whatever the database.

/// What may not be written to.
pub(crate) const OURS: [&str; 4] = ["ledger", "meta", "dead_letters", "_sqlx_migrations"];

/// What a statement does.
#[derive(Default)]
pub(crate) struct Uses {
    pub(crate) reads: Vec<String>,
    pub(crate) writes: Vec<String>,
    /// It reads the rows of the batch.
    pub(crate) batch: bool,
    /// Of these rows it reads the id or the time, by which each differs from all others.
    pub(crate) request: bool,
    /// Each run of it has chance values of its own.
    pub(crate) chance: bool,
    pub(crate) rows: bool,
    /// Of how many columns, where that is known.
    pub(crate) columns: i64,
}

impl Uses {
    /// Nothing of what is the framework's is changed.
    pub(crate) fn spares(&self) -> Result<(), String> {
        match self.writes.iter().find(|table| OURS.contains(&table.as_str())) {
            Some(table) => Err(format!("changes the table {table}, which is the framework's")),
            None => Ok(()),
        }
    }

    fn reads_no_ledger(&self) -> Result<(), String> {
        let ledger = self.reads.iter().any(|table| table == "ledger");
        if ledger { Err("reads the ledger, which is the framework's".to_owned()) } else { Ok(()) }
    }

    /// As an effect.
    pub(crate) fn changes(&self, source: &str) -> Result<(), String> {
        self.spares()?;
        self.reads_no_ledger()?;
        if self.writes.is_empty() {
            return Err("changes nothing: a statement is one INSERT, UPDATE or DELETE".to_owned());
        }
        if self.rows {
            return Err("returns rows: what is answered is said by ANSWER".to_owned());
        }
        if !self.batch {
            return Err(format!(
                "does not read `{source}`: it would do the same however many requests there are"
            ));
        }
        Ok(())
    }

    /// As an answer; `source` is what it must read, if each request has one of its own.
    pub(crate) fn answers(&self, source: Option<&str>) -> Result<(), String> {
        self.reads_no_ledger()?;
        if let Some(table) = self.writes.first() {
            return Err(format!("changes the table {table}: it must be one SELECT"));
        }
        if let Some(source) = source.filter(|_| !self.batch) {
            return Err(format!("does not read `{source}`: it would say the same of all requests"));
        }
        Ok(())
    }
}
