//! How a task sees its input files.

/// How input files are brought to a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Staging {
    /// By reflink where the file system can; else small files are copied and large ones linked to.
    #[default]
    Auto,
    /// By reflink or copy.
    Copy,
    /// By a symbolic link to the read-only original.
    Link,
}
