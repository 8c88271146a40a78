//! The order inside the layers, so that few edges cross: sweeps by the mean place of neighbours, and exchanges of
//! what stands side by side.

use super::layers::Layers;

/// Number of sweeps without an improvement after which the search ends.
const MAX_IDLE_SWEEPS: usize = 4;
/// Maximum sweeps.
const SWEEPS: usize = 24;

/// Sets the order of the rows.
pub fn untangle(layers: &mut Layers) {
    let mut best = layers.rows.clone();
    let mut fewest = crossings(layers);
    let mut idle = 0;
    for sweep in 0..SWEEPS {
        if fewest == 0 || idle == MAX_IDLE_SWEEPS {
            break;
        }
        // Down, up, and each again with what is even the other way round.
        sort_rows(layers, sweep % 2 == 0, sweep % 4 >= 2);
        exchange(layers);
        let now = crossings(layers);
        idle += 1;
        if now < fewest {
            (fewest, idle) = (now, 0);
            best.clone_from(&layers.rows);
        }
    }
    layers.rows = best;
}

/// By item, its place in its row.
fn places(layers: &Layers) -> Vec<usize> {
    let mut place = vec![0; layers.layer.len()];
    for row in &layers.rows {
        row.iter().enumerate().for_each(|(at, item)| place[*item] = at);
    }
    place
}

/// Sorts each row by the mean place of the neighbours in the row before it, or behind it.
fn sort_rows(layers: &mut Layers, down: bool, reverse: bool) {
    let mut place = places(layers);
    let count = layers.rows.len();
    for step in 1..count {
        let at = if down { step } else { count - 1 - step };
        let mut row = std::mem::take(&mut layers.rows[at]);
        let neighbours = if down { &layers.above } else { &layers.below };
        let mean = |item: usize| {
            let near = &neighbours[item];
            match near.len() {
                // Stays about where it is.
                0 => place[item] as f64,
                n => near.iter().map(|other| place[*other]).sum::<usize>() as f64 / n as f64,
            }
        };
        if reverse {
            row.reverse();
        }
        row.sort_by_cached_key(|item| (mean(*item) * 1024.0) as u64);
        row.iter().enumerate().for_each(|(at, item)| place[*item] = at);
        layers.rows[at] = row;
    }
}

/// Exchanges items that stand side by side as long as that makes crossings fewer.
fn exchange(layers: &mut Layers) {
    let mut place = places(layers);
    let mut rows = std::mem::take(&mut layers.rows);
    for _ in 0..MAX_IDLE_SWEEPS {
        let mut better = false;
        for row in &mut rows {
            for at in 1..row.len() {
                let (left, right) = (row[at - 1], row[at]);
                let mut gain = 0;
                for neighbours in [&layers.above, &layers.below] {
                    let (before, after) = compare(&neighbours[left], &neighbours[right], &place);
                    gain += before as i64 - after as i64;
                }
                if gain > 0 {
                    row.swap(at - 1, at);
                    place.swap(left, right);
                    better = true;
                }
            }
        }
        if !better {
            break;
        }
    }
    layers.rows = rows;
}

/// How often the edges of two items cross that stand side by side, as they are and the other way round.
fn compare(left: &[usize], right: &[usize], place: &[usize]) -> (usize, usize) {
    let sorted = |items: &[usize]| {
        let mut places: Vec<_> = items.iter().map(|item| place[*item]).collect();
        places.sort_unstable();
        places
    };
    let (left, right) = (sorted(left), sorted(right));
    let before = left.iter().map(|l| right.partition_point(|r| r < l)).sum();
    let after = right.iter().map(|r| left.partition_point(|l| l < r)).sum();
    (before, after)
}

/// How many edges cross.
pub fn crossings(layers: &Layers) -> usize {
    let place = places(layers);
    layers.rows.iter().skip(1).map(|row| row_crossings(layers, row, &place)).sum()
}

/// Between a row and the one before it: pairs that are in one order above and in the other below.
fn row_crossings(layers: &Layers, row: &[usize], place: &[usize]) -> usize {
    let mut ends = Vec::new();
    for item in row {
        let first = ends.len();
        ends.extend(layers.above[*item].iter().map(|other| place[*other]));
        ends[first..].sort_unstable();
    }
    // A tree of counts over the places above: how many of the ends so far are behind each.
    let size = ends.iter().max().map_or(0, |last| last + 1);
    let mut tree = vec![0usize; size + 1];
    let mut crossed = 0;
    for (so_far, end) in ends.iter().enumerate() {
        let (mut at, mut up_to) = (end + 1, 0);
        while at > 0 {
            up_to += tree[at];
            at &= at - 1;
        }
        crossed += so_far - up_to;
        let mut at = end + 1;
        while at <= size {
            tree[at] += 1;
            at += at & at.wrapping_neg();
        }
    }
    crossed
}

#[cfg(test)]
mod tests {
    use super::super::layers::Link;
    use super::*;

    fn layers(nodes: usize, edges: &[(usize, usize)]) -> Layers {
        let links: Vec<_> = edges.iter().map(|(from, to)| Link { from: *from, to: *to, kind: 0 }).collect();
        Layers::of(nodes, &links)
    }

    #[test]
    fn crossings_are_counted_and_undone() {
        let mut tangled = layers(6, &[(0, 3), (1, 4), (2, 5)]);
        tangled.rows = vec![vec![0, 1, 2], vec![5, 4, 3]];
        assert_eq!(crossings(&tangled), 3);
        untangle(&mut tangled);
        assert_eq!(crossings(&tangled), 0);
        let mut full = layers(4, &[(0, 2), (0, 3), (1, 2), (1, 3)]);
        untangle(&mut full);
        assert_eq!(crossings(&full), 1);
    }
}
