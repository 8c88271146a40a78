//! A node or element as a place from which one can look upward: its frame and the frames around it.

use super::frames::Frame;

/// A use of a workflow, and where it stands itself.
#[derive(Clone, Copy)]
pub struct FrameChain<'s> {
    pub frame: &'s Frame,
    /// The use that it is inside, the index of the node that it is there, and the element's number.
    pub outer: Option<(&'s FrameChain<'s>, usize, Option<usize>)>,
}

/// A node in a use of a workflow, and the number of the element that is meant.
#[derive(Clone, Copy)]
pub struct NodeSite<'s> {
    pub scene: &'s FrameChain<'s>,
    pub node: usize,
    pub element: Option<usize>,
}
