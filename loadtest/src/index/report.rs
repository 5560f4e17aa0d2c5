//! The one table.

/// What one side did in a row.
pub(super) struct Side {
    pub(super) one_ns: f64,
    pub(super) batch_ns: Option<f64>,
    /// Seconds to build the tree: the peer's on one thread, ours on as many as it takes.
    pub(super) build_s: f64,
    /// Seconds to make the shapes, the generator's own time included.
    pub(super) shapes_s: f64,
    pub(super) nearest_us: Option<[f64; 2]>,
    pub(super) found: Found,
}

/// What was found out besides times.
pub(super) struct Found {
    pub(super) hits_per_query: f64,
    /// Bytes a fence by the index's own account.
    pub(super) index_bytes: f64,
    /// Bytes by the allocator's account.
    pub(super) allocated_bytes: f64,
    pub(super) vertex_bytes: Option<f64>,
    pub(super) allocated_vertex_bytes: Option<f64>,
    pub(super) vertices: usize,
    pub(super) fences: usize,
}

/// A world, and what everybody did with it.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) ours: Side,
    pub(super) peer: Option<Side>,
    pub(super) indexed: Option<Side>,
}

/// What should be possible: nanoseconds for one query, millions a second in batches.
fn goal(row: &str) -> Option<(f64, f64)> {
    Some(match row {
        "10k-mix" => (90.0, 15.0),
        "100k-mix" => (150.0, 8.0),
        "1m-mix" => (400.0, 3.5),
        "1m-circles" => (180.0, 10.0),
        "10m-circles" => (500.0, 3.0),
        _ => return None,
    })
}

/// A column for each row of the benchmark, a line for each figure, in Markdown.
pub(super) fn table(rows: &[Row]) -> String {
    let mut lines = vec![line("", rows, |row| Some(row.name.clone()))];
    lines.push(line("---", rows, |_| Some("---".to_owned())));
    let mut add = |name: &str, value: &dyn Fn(&Row) -> Option<String>| lines.push(line(name, rows, value));
    let whole = |value: f64| format!("{value:.0}");
    let times = |value: f64| format!("{value:.1}x");
    let batch = |row: &Row| row.ours.batch_ns;
    add("rstar + `geo` Contains, ns", &|row| {
        Some(whole(row.peer.as_ref()?.one_ns))
    });
    add("rstar + `geo` IntervalTree, ns", &|row| {
        Some(whole(row.indexed.as_ref()?.one_ns))
    });
    add("**ours, one query, ns**", &|row| Some(whole(row.ours.one_ns)));
    add("**ours, batches of 64, ns**", &|row| Some(whole(batch(row)?)));
    add("Contains : ours, one", &|row| {
        Some(times(row.peer.as_ref()?.one_ns / row.ours.one_ns))
    });
    add("Contains : ours, batch", &|row| {
        Some(times(row.peer.as_ref()?.one_ns / batch(row)?))
    });
    add("IntervalTree : ours, one", &|row| {
        Some(times(row.indexed.as_ref()?.one_ns / row.ours.one_ns))
    });
    add("IntervalTree : ours, batch", &|row| {
        Some(times(row.indexed.as_ref()?.one_ns / batch(row)?))
    });
    add("ours in batches, million/s", &|row| {
        Some(format!("{:.1}", 1e3 / batch(row)?))
    });
    add("goal: one, ns / batch, million/s", &|row| {
        goal(&row.name).map(|(one, batch)| format!("{one:.0} / {batch:.1}"))
    });
    for (place, k) in [20, 100].into_iter().enumerate() {
        add(&format!("{k} nearest, p50, us: rstar (in degrees)"), &|row| {
            Some(format!("{:.1}", row.peer.as_ref()?.nearest_us?[place]))
        });
        add(&format!("{k} nearest, p50, us: **ours**"), &|row| {
            Some(format!("{:.1}", row.ours.nearest_us?[place]))
        });
    }
    add("build, ms: rstar bulk load", &|row| {
        Some(whole(row.peer.as_ref()?.build_s * 1e3))
    });
    add("build, ms: **ours**, on all cores", &|row| {
        Some(whole(row.ours.build_s * 1e3))
    });
    add("build: ours / rstar", &|row| {
        Some(format!("{:.2}", row.ours.build_s / row.peer.as_ref()?.build_s))
    });
    add("shapes made and checked, ms", &|row| {
        Some(whole(row.ours.shapes_s * 1e3))
    });
    add("bytes a fence, index: rstar", &|row| {
        Some(format!("{:.1}", row.peer.as_ref()?.found.index_bytes))
    });
    add("bytes a fence, index: **ours**", &|row| {
        Some(format!("{:.1}", row.ours.found.index_bytes))
    });
    add("... as the allocator counts", &|row| {
        let found = &row.ours.found;
        Some(format!("{:.1}", found.allocated_bytes / found.fences as f64))
    });
    add("bytes a polygon vertex: **ours**", &|row| {
        Some(format!("{:.1}", row.ours.found.vertex_bytes?))
    });
    add("... as the allocator counts", &|row| {
        Some(format!("{:.1}", row.ours.found.allocated_vertex_bytes?))
    });
    add("vertices, million", &|row| {
        Some(format!("{:.1}", row.ours.found.vertices as f64 / 1e6))
    });
    add("fences found a query: rstar / ours", &|row| {
        let peer = row.peer.as_ref().map_or(f64::NAN, |peer| peer.found.hits_per_query);
        Some(format!("{peer:.2} / {:.2}", row.ours.found.hits_per_query))
    });
    lines.join("\n")
}

fn line(name: &str, rows: &[Row], value: impl Fn(&Row) -> Option<String>) -> String {
    let cells: Vec<String> = rows.iter().map(|row| value(row).unwrap_or_default()).collect();
    format!("| {name} | {} |", cells.join(" | "))
}
