//! Which leaves a point may be in, by a few reads: the faces of a cube round the Earth, cut into smaller and smaller
//! cells where the leaves are dense.
//!
//! A cell lists the leaves that meet it, each with a box in 128ths of the cell. A point that is asked about lies in one
//! cell of one face, so nothing is found twice, and the lists may overlap as they like.

use super::{
    faces::{FACE_BITS, Patch, Spot},
    patches::{Outline, Patched, Patches},
};

/// Bits of a box's sides within its cell.
const BOX_BITS: u32 = 7;
const BOX_LAST: u32 = (1 << BOX_BITS) - 1;
/// The highest bit of each of the four bytes of a box.
const HIGH: u32 = 0x8080_8080;

/// Each node cuts a cell in four by four.
const NODE_BITS: u32 = 2;
/// Set in what leads to a node; otherwise it leads to a list.
const IS_NODE: u32 = 1 << 31;
/// Cells aren't cut any smaller than this: 1.6 m.
const CUTS_MAX: u32 = FACE_BITS - BOX_BITS;

/// Lists that are as short as this aren't shortened.
const LIST_SHORT: usize = 16;
/// A cell is cut in four only if the lists of the four together are no longer than so many halves of its own.
const LONGER_HALVES: usize = 5;
/// So many entries a leaf at most in all lists, so that memory and time to build stay linear whatever the shapes.
const ENTRIES_PER_LEAF: usize = 6;
/// So many entries are always allowed.
const ENTRIES_FREE: usize = 1_024;

/// The same in the making of lists.
#[derive(Debug, Clone, Copy)]
struct Item<'a> {
    leaf: u32,
    patch: Patch,
    outline: &'a Outline,
}

/// A square of a face: `cuts` times halved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Square {
    pub(super) from: [u32; 2],
    cuts: u32,
}

/// A leaf in a cell's list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    leaf: u32,
    /// Four bytes of seven bits: where the box begins across the cell, both ways, and how far before the cell's last
    /// 128th it ends.
    sides: u32,
}

/// The cells of all faces.
#[derive(Debug)]
pub(super) struct Cells {
    /// How often a face is halved before the first nodes.
    top_cuts: u32,
    tops: Vec<u32>,
    nodes: Vec<[u32; 1 << (2 * NODE_BITS)]>,
    /// List after list; each begins with an entry that tells its length and the cuts of its cell.
    lists: Vec<Entry>,
}

/// The leaves of one cell, and where the point lies in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a> {
    entries: &'a [Entry],
    at: u32,
}

impl Square {
    /// Bits of a coordinate within the square.
    fn bits(self) -> u32 {
        FACE_BITS - self.cuts
    }

    pub(super) fn last(self) -> [u32; 2] {
        self.from.map(|from| from + ((1 << self.bits()) - 1))
    }

    /// Whether the patch has a part in the square.
    fn meets(self, patch: Patch) -> bool {
        let last = self.last();
        (0..2).all(|side| patch.from[side] <= last[side] && self.from[side] <= patch.to[side])
    }

    /// The four quarters, the first coordinate's halves side by side.
    fn quarters(self) -> [Self; 4] {
        let half = 1 << (self.bits() - 1);
        [[0, 0], [half, 0], [0, half], [half, half]].map(|[a, b]| Self {
            from: [self.from[0] + a, self.from[1] + b],
            cuts: self.cuts + 1,
        })
    }

    /// The item in the list of this square; `None` when none of its balls meets it.
    fn entry(self, item: &Item<'_>) -> Option<Entry> {
        let patch = item.outline.within(item.patch, self)?;
        let step = self.bits() - BOX_BITS;
        let last = self.last();
        let mut sides = 0;
        for (side, last) in last.into_iter().enumerate() {
            let steps = |value: u32| (value.clamp(self.from[side], last) - self.from[side]) >> step;
            let (from, to) = (steps(patch.from[side]), steps(patch.to[side]));
            sides |= (from | (BOX_LAST - to) << 16) << (8 * side);
        }
        Some(Entry { leaf: item.leaf, sides })
    }
}

impl Cells {
    /// Cells for so many leaves.
    pub(super) fn build(patches: &Patches, leaves: usize) -> Self {
        let Patches { patched, outlines, .. } = patches;
        let entries_max = ENTRIES_PER_LEAF * leaves + ENTRIES_FREE;
        let top_cuts = top_cuts(patched, leaves, entries_max / 2);
        let mut cells = Self {
            top_cuts,
            tops: Vec::with_capacity(6 << (2 * top_cuts)),
            nodes: Vec::new(),
            lists: Vec::with_capacity(entries_max / 2),
        };
        // The empty list, which is common.
        cells.lists.push(Entry { leaf: 0, sides: 0 });
        let mut starts = vec![0_usize; (6 << (2 * top_cuts)) + 1];
        for item in patched {
            tops_of(item, top_cuts, |top| starts[top + 1] += 1);
        }
        for top in 1..starts.len() {
            starts[top] += starts[top - 1];
        }
        let mut next = starts.clone();
        let mut sorted = vec![0_u32; starts[starts.len() - 1]];
        for (number, item) in (0..).zip(patched) {
            tops_of(item, top_cuts, |top| {
                sorted[next[top]] = number;
                next[top] += 1;
            });
        }
        // What there is room for is shared by how many are listed.
        let share = |items: usize| (entries_max - sorted.len()) * items / sorted.len();
        let mut items = Vec::new();
        for top in 0..6 << (2 * top_cuts) {
            items.clear();
            items.extend(sorted[starts[top]..starts[top + 1]].iter().map(|number| Item {
                leaf: patched[*number as usize].leaf,
                patch: patched[*number as usize].patch,
                outline: &outlines[*number as usize],
            }));
            let place = top as u32 & ((1 << (2 * top_cuts)) - 1);
            let shift = FACE_BITS - top_cuts;
            let (row, column) = (place >> top_cuts, place & ((1 << top_cuts) - 1));
            let square = Square {
                from: [column << shift, row << shift],
                cuts: top_cuts,
            };
            let child = cells.child(&items, square, if items.is_empty() { 0 } else { share(items.len()) });
            cells.tops.push(child);
        }
        cells.nodes.shrink_to_fit();
        cells.lists.shrink_to_fit();
        cells
    }

    /// Makes the cell of that square, which all the items meet, and tells what leads to it.
    fn child(&mut self, items: &[Item<'_>], square: Square, room: usize) -> u32 {
        let Some(quarters) = quartered(items, square, room) else {
            return self.list(items, square);
        };
        let number = self.nodes.len();
        self.nodes.push([0; 1 << (2 * NODE_BITS)]);
        for (quarter, part) in quarters.into_iter().enumerate() {
            let children = match quartered(&part.items, part.square, part.room) {
                None => [self.list(&part.items, part.square); 4],
                Some(sixteenths) => sixteenths.map(|part| self.child(&part.items, part.square, part.room)),
            };
            for (sixteenth, child) in children.into_iter().enumerate() {
                let column = (quarter & 1) << 1 | sixteenth & 1;
                let row = quarter & 2 | sixteenth >> 1;
                self.nodes[number][row << NODE_BITS | column] = child;
            }
        }
        IS_NODE | number as u32
    }

    fn list(&mut self, items: &[Item<'_>], square: Square) -> u32 {
        let start = self.lists.len();
        self.lists.push(Entry {
            leaf: 0,
            sides: square.bits() - BOX_BITS,
        });
        self.lists.extend(items.iter().filter_map(|item| square.entry(item)));
        let count = self.lists.len() - start - 1;
        if count == 0 {
            self.lists.truncate(start);
            return 0;
        }
        self.lists[start].leaf = count as u32;
        start as u32
    }

    /// What leads to the cell of the spot's top square.
    #[inline(always)]
    pub(super) fn top(&self, spot: Spot) -> u32 {
        let [column, row] = spot.across.map(|across| across >> (FACE_BITS - self.top_cuts));
        self.tops[(((spot.face << self.top_cuts | row) << self.top_cuts) | column) as usize]
    }

    /// One step on from what leads to a node, `depth` steps below the top; `None` when it led to a list.
    #[inline(always)]
    pub(super) fn step(&self, child: u32, spot: Spot, depth: u32) -> Option<u32> {
        if child & IS_NODE == 0 {
            return None;
        }
        let shift = FACE_BITS - self.top_cuts - NODE_BITS * (depth + 1);
        let [column, row] = spot.across.map(|across| across >> shift & ((1 << NODE_BITS) - 1));
        Some(self.nodes[(child & !IS_NODE) as usize][(row << NODE_BITS | column) as usize])
    }

    /// [`Cells::step`] for many at once, without a branch; false when there was none left to make.
    #[inline(always)]
    pub(super) fn step_all(&self, children: &mut [u32], spots: &[Spot], depth: u32) -> bool {
        let any = children.iter().fold(0, |all, child| all | child);
        if any & IS_NODE == 0 {
            return false;
        }
        let shift = FACE_BITS - self.top_cuts - NODE_BITS * (depth + 1);
        for (child, spot) in children.iter_mut().zip(spots) {
            let [column, row] = spot.across.map(|across| across >> shift & ((1 << NODE_BITS) - 1));
            let is_node = *child & IS_NODE != 0;
            let node = if is_node { *child & !IS_NODE } else { 0 };
            let next = self.nodes[node as usize][(row << NODE_BITS | column) as usize];
            *child = if is_node { next } else { *child };
        }
        true
    }

    /// Reads the beginning of a list.
    #[inline(always)]
    pub(super) fn touch(&self, child: u32) -> u32 {
        self.lists[child as usize].leaf
    }

    /// The list of the spot's cell, to which `child` leads.
    #[inline(always)]
    pub(super) fn list_at(&self, child: u32, spot: Spot) -> List<'_> {
        let start = child as usize;
        let head = self.lists[start];
        let [a, b] = spot.across.map(|across| across >> head.sides & BOX_LAST);
        List {
            entries: &self.lists[start + 1..start + 1 + head.leaf as usize],
            at: (a | b << 8 | (BOX_LAST - a) << 16 | (BOX_LAST - b) << 24) | HIGH,
        }
    }

    /// The list of the spot's cell.
    #[inline(always)]
    pub(super) fn find(&self, spot: Spot) -> List<'_> {
        let mut child = self.top(spot);
        let mut depth = 0;
        while let Some(next) = self.step(child, spot, depth) {
            child = next;
            depth += 1;
        }
        self.list_at(child, spot)
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        self.tops.capacity() * size_of::<u32>()
            + self.nodes.capacity() * size_of::<[u32; 1 << (2 * NODE_BITS)]>()
            + self.lists.capacity() * size_of::<Entry>()
    }
}

impl<'a> List<'a> {
    /// The same list in parts of at most so many leaves.
    #[inline(always)]
    pub(super) fn parts(self, most: usize) -> impl Iterator<Item = List<'a>> {
        self.entries.chunks(most).map(move |entries| List { entries, ..self })
    }

    /// Puts the leaves whose boxes hold the point at the beginning of `open`, and tells how many. At most as many as
    /// `open` has room for are looked at.
    #[inline(always)]
    pub(super) fn holding(self, open: &mut [u32]) -> usize {
        let mut count = 0;
        for entry in &self.entries[..self.entries.len().min(open.len())] {
            // No byte borrows from the next: the point's have their highest bit set.
            let holds = (self.at - entry.sides) & HIGH == HIGH;
            open[count] = entry.leaf;
            count += usize::from(holds);
        }
        count
    }
}

/// How often to halve the faces before the first nodes: about a square for each leaf, unless the leaves are so large that
/// this would list them too often.
fn top_cuts(patched: &[Patched], leaves: usize, entries_max: usize) -> u32 {
    let wanted = (0..12).rev().find(|cuts| 6 << (2 * cuts) <= leaves).unwrap_or(0);
    (0..=wanted)
        .rev()
        .find(|cuts| {
            let shift = FACE_BITS - cuts;
            let squares = |item: &Patched| {
                let side =
                    |side: usize| ((item.patch.to[side] >> shift) - (item.patch.from[side] >> shift) + 1) as usize;
                side(0) * side(1)
            };
            patched.iter().map(squares).sum::<usize>() <= entries_max
        })
        .unwrap_or(0)
}

/// Calls `meets` with the number of each top square that the item meets.
fn tops_of(item: &Patched, top_cuts: u32, mut meets: impl FnMut(usize)) {
    let shift = FACE_BITS - top_cuts;
    let [columns, rows] = [0, 1].map(|side| item.patch.from[side] >> shift..=item.patch.to[side] >> shift);
    for row in rows {
        for column in columns.clone() {
            meets((((item.face << top_cuts | row) << top_cuts) | column) as usize);
        }
    }
}

/// A part of a cell that is cut.
struct Part<'a> {
    square: Square,
    items: Vec<Item<'a>>,
    /// How many entries more than these its lists may have.
    room: usize,
}

/// The items by the square's quarters, if cutting it is worth it.
fn quartered<'a>(items: &[Item<'a>], square: Square, room: usize) -> Option<[Part<'a>; 4]> {
    if items.len() <= LIST_SHORT || square.cuts >= CUTS_MAX {
        return None;
    }
    let quarters = square.quarters();
    let counts = quarters.map(|quarter| items.iter().filter(|item| quarter.meets(item.patch)).count());
    let count: usize = counts.iter().sum();
    let more = count.saturating_sub(items.len());
    if 2 * count > LONGER_HALVES * items.len() || more > room {
        return None;
    }
    Some(quarters.map(|square| {
        let items: Vec<Item<'a>> = items.iter().filter(|item| square.meets(item.patch)).copied().collect();
        let room = (room - more) * items.len() / count;
        Part { square, items, room }
    }))
}
