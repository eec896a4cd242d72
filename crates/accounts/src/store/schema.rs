//! The tables. They are written once, for SQLite; what Postgres calls otherwise is put in its words here.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Every change of the tables, in order. A migration that has been released is never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "accounts", include_str!("../../migrations/0001_accounts.sql")),
    (2, "ledger", include_str!("../../migrations/0002_ledger.sql")),
    (3, "sessions", include_str!("../../migrations/0003_sessions.sql")),
    (
        4,
        "idempotency",
        include_str!("../../migrations/0004_idempotency.sql"),
    ),
    (
        5,
        "sealed answers",
        include_str!("../../migrations/0005_sealed_answers.sql"),
    ),
    (6, "slots", include_str!("../../migrations/0006_slots.sql")),
    (
        7,
        "artifacts",
        include_str!("../../migrations/0007_artifacts.sql"),
    ),
    (
        8,
        "identities",
        include_str!("../../migrations/0008_identities.sql"),
    ),
];

/// Tables whose every change moves the revision on: what a server keeps in memory is made of them.
const WATCHED: &[(i64, &[&str])] = &[
    (1, &["teams", "people", "memberships", "projects", "keys"]),
    (2, &["caps", "models", "prices"]),
];

pub(super) fn sqlite() -> Migrator {
    migrator(|_, sql| sql.to_owned())
}

pub(super) fn postgres() -> Migrator {
    migrator(|version, sql| {
        let mut translated = in_postgres_words(sql);
        if version == 1 {
            translated.push_str(
                "CREATE FUNCTION tokenmill_changed() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN UPDATE revision SET number = number + 1; RETURN NULL; END $$;\n",
            );
        }
        let watched = WATCHED.iter().filter(|(of, _)| *of == version);
        for table in watched.flat_map(|(_, tables)| *tables) {
            translated.push_str(&format!(
                "CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON {table}
                 FOR EACH STATEMENT EXECUTE FUNCTION tokenmill_changed();\n"
            ));
        }
        translated
    })
}

fn migrator(translate: impl Fn(i64, &str) -> String) -> Migrator {
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sqlx::AssertSqlSafe(translate(version, sql)).into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

fn in_postgres_words(sql: &str) -> String {
    let lines = sql.lines().filter(|line| !line.starts_with("CREATE TRIGGER"));
    let mut translated: String = lines.flat_map(|line| [line, "\n"]).collect();
    for (from, to) in [
        (" INTEGER", " BIGINT"),
        (" BLOB", " BYTEA"),
        (") STRICT, WITHOUT ROWID;", ");"),
        (") STRICT;", ");"),
    ] {
        translated = translated.replace(from, to);
    }
    translated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_triggers_of_both_databases_watch_the_same_tables() {
        for (version, _, sql) in MIGRATIONS {
            let watched = WATCHED.iter().filter(|(of, _)| of == version);
            let tables: Vec<_> = watched.flat_map(|(_, tables)| *tables).collect();
            for table in &tables {
                assert!(sql.contains(&format!("AFTER INSERT ON {table} ")), "{table}");
            }
            let n_inserted = sql.matches("_inserted AFTER INSERT").count();
            assert_eq!(n_inserted, tables.len(), "version {version}");
            let translated = in_postgres_words(sql);
            assert!(!translated.contains("STRICT") && !translated.contains("BLOB"));
        }
    }
}
