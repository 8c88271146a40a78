//! The loop without processes and without a disk: what it decides, in which order, and what follows.

mod attempts;
mod cache;
mod flow;
mod lab;
mod ran;
mod world;
