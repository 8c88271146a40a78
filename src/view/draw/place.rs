//! The place of each item inside its layer: as if edges were springs, and nothing overlaps.
//!
//! One layer after the other takes the places that are best for it while the others stand still, down and up again.
//! Each step is exact, so the drawing only ever gets better, and a hundred of them are done in milliseconds.

use super::layers::Layers;

/// Number of passes over all layers.
const ROUNDS: usize = 150;
/// How much more than others the parts of long lines want to be straight.
const STRAIGHT: f64 = 8.0;

/// The middle of each item; `widths` is the room that each takes with the gap around it.
pub fn place(layers: &Layers, widths: &[f64]) -> Vec<f64> {
    let mut x = middles(layers, widths);
    let pull = |above: usize, below: usize| match layers.goes_on[above] == Some(below) {
        true => STRAIGHT,
        false => 1.0,
    };
    for round in 0..ROUNDS {
        for step in 0..layers.rows.len() {
            let at = if round % 2 == 0 { step } else { layers.rows.len() - 1 - step };
            let row = &layers.rows[at];
            let wish = |item: usize| {
                let above = layers.above[item].iter().map(|other| (x[*other], pull(*other, item)));
                let below = layers.below[item].iter().map(|other| (x[*other], pull(item, *other)));
                let all = above.chain(below);
                let (sum, weight) =
                    all.fold((0.0, 0.0), |(sum, all), (x, pull)| (sum + x * pull, all + pull));
                if weight > 0.0 { (sum / weight, weight) } else { (x[item], 1.0) }
            };
            let wishes: Vec<(f64, f64)> = row.iter().map(|item| wish(*item)).collect();
            let widths: Vec<f64> = row.iter().map(|item| widths[*item]).collect();
            for (item, to) in row.iter().zip(nearest(&wishes, &widths)) {
                x[*item] = to;
            }
        }
    }
    x
}

/// The narrowest drawing there is, to begin with: the middles of all layers above each other.
fn middles(layers: &Layers, widths: &[f64]) -> Vec<f64> {
    let mut x = vec![0.0; widths.len()];
    for row in &layers.rows {
        let room: f64 = row.iter().map(|item| widths[*item]).sum();
        let mut left = -room / 2.0;
        for item in row {
            x[*item] = left + widths[*item] / 2.0;
            left += widths[*item];
        }
    }
    x
}

/// The places in a row that are nearest to what is wished (place and weight), by the sum of the squares, without
/// an overlap: neighbours that would overlap stand together where they wish to be on average.
fn nearest(wishes: &[(f64, f64)], widths: &[f64]) -> Vec<f64> {
    // As if all had no width: place less the room that is needed on the left.
    let mut room = 0.0;
    let mut rooms = Vec::with_capacity(widths.len());
    for width in widths {
        rooms.push(room + width / 2.0);
        room += width;
    }
    // Groups that stand together: place, weight, size.
    let mut groups: Vec<(f64, f64, usize)> = Vec::new();
    for ((wish, weight), room) in wishes.iter().zip(&rooms) {
        let mut group = (wish - room, *weight, 1);
        while let Some(last) = groups.last().copied().filter(|last| last.0 > group.0) {
            groups.pop();
            let weight = last.1 + group.1;
            group = ((last.0 * last.1 + group.0 * group.1) / weight, weight, last.2 + group.2);
        }
        groups.push(group);
    }
    let places = groups.iter().flat_map(|(place, _, size)| std::iter::repeat_n(*place, *size));
    places.zip(rooms).map(|(place, room)| place + room).collect()
}

/// From the left side of the first to the right side of the last.
pub fn bounds(x: &[f64], widths: &[f64]) -> (f64, f64) {
    let sides = x.iter().zip(widths).map(|(x, width)| (x - width / 2.0, x + width / 2.0));
    sides.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_as_near_as_can_be_to_what_it_wishes() {
        assert_eq!(nearest(&[(0.0, 1.0), (50.0, 1.0)], &[20.0, 20.0]), [0.0, 50.0]);
        // They meet in the middle, or nearer to where the heavier one wants to be.
        assert_eq!(nearest(&[(0.0, 1.0), (0.0, 1.0)], &[20.0, 20.0]), [-10.0, 10.0]);
        assert_eq!(nearest(&[(0.0, 3.0), (0.0, 1.0)], &[20.0, 20.0]), [-5.0, 15.0]);
        // Pushed together from both sides, in their order.
        let crowd = nearest(&[(9.0, 1.0), (5.0, 1.0), (0.0, 1.0)], &[4.0, 4.0, 4.0]);
        assert!(crowd.windows(2).all(|pair| (pair[1] - pair[0] - 4.0).abs() < 1e-9), "{crowd:?}");
    }
}
