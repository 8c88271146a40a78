//! What the program can do, as functions that any caller may use: the command line first of all.

pub mod picture;
