//! Pages of lists that run by an id.

use super::{
    Db, count, failed,
    seam::{Reads, Stmt, sql},
};
use crate::{
    domain::page::{Page, PageRequest},
    store::{Result, StoreError},
};

/// The texts of a list by id.
pub struct ListById {
    /// `SELECT` and the columns.
    pub columns: &'static str,
    /// What lies beyond an id: ` AND <id> > `.
    pub after: &'static str,
    /// The order and, behind it, the limit: ` ORDER BY <id> LIMIT `.
    pub order: &'static str,
}

/// A page of the rows that `matching` names, from `FROM` to conditions that more can be added to.
pub async fn page_by_id<DB, R, T, C>(
    connection: &mut DB::Connection,
    texts: &ListById,
    matching: impl Fn(Stmt<DB>) -> Stmt<DB>,
    request: &PageRequest<C>,
    position: impl Fn(&T) -> C,
) -> Result<Page<T, C>>
where
    DB: Db + Reads<R>,
    T: TryFrom<R, Error = StoreError>,
    C: Copy + Into<i64>,
{
    let (rows, total) = rows_by_id::<DB, R, C>(connection, texts, matching, request).await?;
    let items = rows.into_iter().map(T::try_from).collect::<Result<_>>()?;
    Ok(Page::cut(items, request.size, total, position))
}

/// The rows of such a page and one more, if there is one, and how many there are in all, if that is asked.
pub async fn rows_by_id<DB, R, C>(
    connection: &mut DB::Connection,
    texts: &ListById,
    matching: impl Fn(Stmt<DB>) -> Stmt<DB>,
    request: &PageRequest<C>,
) -> Result<(Vec<R>, Option<i64>)>
where
    DB: Db + Reads<R>,
    C: Copy + Into<i64>,
{
    let mut stmt = matching(sql::<DB>(texts.columns));
    if let Some(after) = request.after {
        stmt = stmt.push_bind::<i64>(texts.after, after.into());
    }
    let stmt = stmt
        .push_bind(texts.order, request.size + 1)
        .push_bind(" OFFSET ", request.skip);
    let rows = stmt.all::<R>(&mut *connection).await.map_err(failed::<DB>)?;
    let total = if request.want_total {
        Some(count::<DB>(connection, matching).await?)
    } else {
        None
    };
    Ok((rows, total))
}
