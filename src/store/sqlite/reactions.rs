//! What became of pushes on phones: facts whose cause names the delivery and what happened, so that each is there once.

use rusqlite::{Connection, params};

use crate::engine::ports::{REACTIONS_MAX, ReactionNoted};

/// Adds a fact unless there is one of that cause, or are too many from the first to the last possible cause.
pub(super) fn note(
    connection: &Connection,
    workspace: &str,
    subject: &str,
    (first, cause, last): (&str, &str, &str),
    fact: &str,
) -> rusqlite::Result<ReactionNoted> {
    let mut count = connection.prepare_cached(
        "SELECT count(*), coalesce(sum(cause = ?3), 0) FROM fact
         WHERE workspace = ?1 AND subject = ?2 AND cause >= ?4 AND cause < ?5",
    )?;
    let (all, same): (i64, i64) = count.query_row(params![workspace, subject, cause, first, last], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    if same > 0 {
        return Ok(ReactionNoted::Before);
    }
    if all >= REACTIONS_MAX as i64 {
        return Ok(ReactionNoted::TooMany);
    }
    connection
        .prepare_cached("INSERT INTO fact (workspace, subject, cause, body) VALUES (?, ?, ?, ?)")?
        .execute(params![workspace, subject, cause, fact])?;
    Ok(ReactionNoted::Now)
}
