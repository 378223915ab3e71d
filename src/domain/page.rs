//! Pages of lists: how much is wanted, and where the next page starts.

/// The page size when none is named.
pub const PAGE_SIZE_DEFAULT: i64 = 20;
/// The largest page; more is cut to it (AIP-158).
pub const PAGE_SIZE_MAX: i64 = 100;
/// Totals are counted up to here; beyond, none is told (contract 3.5).
pub const TOTAL_MAX: i64 = 10_000;

/// Which way a list runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Smallest first.
    #[default]
    Ascending,
    /// Greatest first.
    Descending,
}

/// Which part of a list is wanted. `C` is the position of a row in the list's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<C> {
    /// How many rows, 1 to [`PAGE_SIZE_MAX`].
    pub size: i64,
    /// How many rows to leave out first, counted from `after`.
    pub skip: i64,
    /// The last row of the previous page.
    pub after: Option<C>,
    /// Whether to count.
    pub want_total: bool,
}

impl<C> Default for PageRequest<C> {
    fn default() -> Self {
        Self {
            size: PAGE_SIZE_DEFAULT,
            skip: 0,
            after: None,
            want_total: false,
        }
    }
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The rows.
    pub items: Vec<T>,
    /// The position of the last row, if more rows follow.
    pub next: Option<C>,
    /// How many rows match, if that was wanted and is no more than [`TOTAL_MAX`].
    pub total: Option<i64>,
}

impl<T, C> Page<T, C> {
    /// Makes a page of `size` rows out of up to `size + 1`: the one row too many tells that more follow.
    pub fn cut(mut items: Vec<T>, size: i64, total: Option<i64>, position: impl Fn(&T) -> C) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let next = if more { items.last().map(position) } else { None };
        Self {
            items,
            next,
            total: total.filter(|&count| count <= TOTAL_MAX),
        }
    }
}
