//! From sizes and edges to boxes and curves: one graph that hangs together, top down.
//!
//! A curve bends between two layers only, and inside a layer keeps to the room of a waypoint or of its end: so none
//! ever passes through a node.

use super::layers::{Layers, Link};
use super::order::untangle;
use super::place::{bounds, place};

/// The gap between lines, and between layers, in pixels.
const LINE_GAP: f64 = 12.0;
const LAYER_GAP: f64 = 36.0;
/// The gap between layers grows with how far an edge goes sideways there, so that it stays to be seen where it goes.
const SLANT: f64 = 0.07;
const WIDEST_LAYER_GAP: f64 = 150.0;

/// A stretch of an edge that goes straight down; curves lead from one to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    pub x: f64,
    pub top: f64,
    pub bottom: f64,
}

/// Where everything is.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub width: f64,
    pub height: f64,
    /// By node, its middle.
    pub middles: Vec<(f64, f64)>,
    /// By link, from its beginning to its end; empty for one that would close a cycle.
    pub ways: Vec<Vec<Stretch>>,
}

/// Lays out nodes of these sizes (width, height), with `gap` between nodes that stand side by side.
pub fn layout(sizes: &[(f64, f64)], links: &[Link], gap: f64) -> Layout {
    let mut layers = Layers::of(sizes.len(), links);
    untangle(&mut layers);
    let widths: Vec<f64> = (0..layers.layer.len())
        .map(|item| if layers.is_waypoint(item) { LINE_GAP } else { sizes[item].0 + gap })
        .collect();
    let mut x = place(&layers, &widths);
    let (left, right) = bounds(&x, &widths);
    x.iter_mut().for_each(|x| *x -= left + gap / 2.0);
    let bands = bands(&layers, &x, sizes);
    let middle = |item: usize| (x[item], (bands[layers.layer[item]].0 + bands[layers.layer[item]].1) / 2.0);
    let ways = layers.ways.iter().map(|way| stretches(way, &layers, &x, &bands, sizes)).collect();
    Layout {
        width: (right - left - gap).max(0.0),
        height: bands.last().map_or(0.0, |band| band.1),
        middles: (0..sizes.len()).map(middle).collect(),
        ways,
    }
}

/// By layer, where it begins and ends.
fn bands(layers: &Layers, x: &[f64], sizes: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut bands: Vec<(f64, f64)> = Vec::with_capacity(layers.rows.len());
    for row in &layers.rows {
        let height = row
            .iter()
            .filter(|item| !layers.is_waypoint(**item))
            .map(|item| sizes[*item].1)
            .fold(0.0, f64::max);
        let top = bands.last().map_or(0.0, |(_, bottom)| {
            let steps =
                row.iter().flat_map(|item| layers.above[*item].iter().map(|other| x[*item] - x[*other]));
            let farthest = steps.map(f64::abs).fold(0.0, f64::max);
            bottom + (LAYER_GAP + farthest * SLANT).min(WIDEST_LAYER_GAP)
        });
        bands.push((top, top + height));
    }
    bands
}

fn stretches(
    way: &[usize],
    layers: &Layers,
    x: &[f64],
    bands: &[(f64, f64)],
    sizes: &[(f64, f64)],
) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    for (at, item) in way.iter().enumerate() {
        let (top, bottom) = bands[layers.layer[*item]];
        let middle = (top + bottom) / 2.0;
        let half = sizes.get(*item).map_or(0.0, |size| size.1 / 2.0);
        let stretch = match at {
            0 => Stretch { x: x[*item], top: middle + half, bottom },
            _ if at + 1 == way.len() => Stretch { x: x[*item], top, bottom: middle - half },
            _ => Stretch { x: x[*item], top, bottom },
        };
        match found.last_mut() {
            // Straight on.
            Some(last) if (last.x - stretch.x).abs() < 0.5 => last.bottom = stretch.bottom,
            _ => found.push(stretch),
        }
    }
    found
}
