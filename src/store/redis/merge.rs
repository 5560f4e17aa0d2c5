//! One ordered list out of what the partitions have of it.

/// A partition's next items in order, and whether it may have more.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) has_more: bool,
}

/// The first items of all partitions together. What may come after items that were not read is left out; each page that
/// has more gives at least its items up to its last one, so that there is always progress.
pub(super) fn merge<T, K: Ord>(pages: Vec<Page<T>>, order: impl Fn(&T) -> K) -> Page<T> {
    let has_more = pages.iter().any(|page| page.has_more);
    let certain_until = pages
        .iter()
        .filter(|page| page.has_more)
        .filter_map(|page| page.items.last().map(&order))
        .min();
    let mut items: Vec<T> = pages.into_iter().flat_map(|page| page.items).collect();
    items.sort_by_key(&order);
    if let Some(limit) = certain_until {
        items.truncate(items.partition_point(|item| order(item) <= limit));
    }
    Page { items, has_more }
}

/// How many to ask of each partition when `limit` are wanted of all: twice the even share.
pub(super) fn share(limit: usize, partitions: usize) -> usize {
    (limit.div_ceil(partitions) * 2).clamp(4, limit.max(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_is_never_jumped_over() {
        let page = |items: &[u32], has_more| Page {
            items: items.to_vec(),
            has_more,
        };
        let merged = merge(
            vec![page(&[1, 4, 9], true), page(&[2, 3], false), page(&[5, 7], true)],
            |item| *item,
        );
        assert_eq!((merged.items, merged.has_more), (vec![1, 2, 3, 4, 5, 7], true));
        let merged = merge(vec![page(&[2], false), page(&[1], false)], |item| *item);
        assert_eq!((merged.items, merged.has_more), (vec![1, 2], false));
    }
}
