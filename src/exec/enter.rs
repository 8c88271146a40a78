//! The first moments of a command with views: a mount namespace of its own, the mounts, and then the command itself.
//!
//! Runs alone in a process of its own, with the command's environment and files. A view is an overlay whose lower layer
//! has a stub for each original, so that all of it can be renamed, removed and, with permission, written to, while the original
//! stays as it is. Where the kernel has no such overlays (they came with Linux 6.8 for root and 6.16 for others), originals
//! are bound over their stubs, read-only.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags, XattrFlags, open, setxattr, statvfs};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, mount_bind,
    mount_change, mount_remount, move_mount,
};
use rustix::process::{getegid, geteuid};

use super::views::{NOT_STARTED, Original, VERB, View, decode, failure_path};

/// How often the command is tried while another process has its program open for writing. Pauses double from 1 ms.
const TRIES: u32 = 11;

/// Becomes a command with views, if this process was started for that; returns only if it was not (`None`) or if the
/// command was not reached, with what is still to be said of that.
pub fn enter_views() -> Option<String> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != VERB {
        return None;
    }
    let (Some(plan), Some(program), Some(arg0)) = (args.next(), args.next(), args.next()) else {
        return Some(format!("{VERB} is for runner itself"));
    };
    let plan = PathBuf::from(plan);
    let report = match show(&plan) {
        Ok(()) => become_command(program, arg0, args.collect(), &plan),
        Err(problem) => problem,
    };
    Some(fs::write(failure_path(&plan), &report).map_or(report, |()| String::new()))
}

/// Returns only if it cannot.
fn become_command(program: OsString, arg0: OsString, args: Vec<OsString>, plan: &Path) -> String {
    let _ = fs::remove_file(plan);
    let mut command = Command::new(program);
    command.arg0(arg0).args(args);
    let mut tries = 1;
    loop {
        let error = command.exec();
        let number = error.raw_os_error().unwrap_or_default();
        if tries == TRIES || Errno::from_raw_os_error(number) != Errno::TXTBSY {
            return format!("{NOT_STARTED}{number}");
        }
        sleep(Duration::from_millis(1 << (tries - 1)));
        tries += 1;
    }
}

/// Shows the views of a description in a new mount namespace, which this process is in from then on.
fn show(plan: &Path) -> Result<(), String> {
    let problem = |what: &str, error: io::Error| format!("{what}: {error}");
    let bytes = fs::read(plan).map_err(|e| problem("its description cannot be read", e))?;
    let views = decode(&bytes).ok_or("its description is damaged")?;
    new_namespace().map_err(|e| problem("a mount namespace is refused", e))?;
    for view in &views {
        let shown = view.target.display();
        show_view(view).map_err(|e| problem(&format!("mounting {shown} is refused"), e))?;
    }
    Ok(())
}

/// A mount namespace of our own; who is not root needs a user namespace for it, in which the user is who it was.
fn new_namespace() -> io::Result<()> {
    if geteuid().is_root() {
        unshare(CloneFlags::CLONE_NEWNS)?;
    } else {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUSER)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    }
    // What is mounted or unmounted elsewhere later is seen here as well, and nothing of ours there.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(())
}

fn show_view(view: &View) -> io::Result<()> {
    if fs::canonicalize(&view.layers)?.starts_with(&view.data) {
        move_into_memory(view)?;
    }
    let overlaid = Flavor::of(view).and_then(|flavor| overlay(view, flavor)).and_then(|()| check(view));
    match overlaid {
        Ok(()) => Ok(()),
        Err(_) => bind(view).and_then(|()| check(view)),
    }
}

/// No layer of an overlay may lie inside another one: layers inside the folder of the originals move to a file system
/// of their own. Only where they are nothing but stubs: a whole tree may be too large.
fn move_into_memory(view: &View) -> io::Result<()> {
    let lower = view.layers.join("lower");
    let mut stubs = Vec::new();
    for Original { name, .. } in &view.files {
        if name.components().count() != 1 {
            return Ok(());
        }
        stubs.push((name, fs::metadata(lower.join(name))?));
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", &view.layers, "tmpfs", flags, Some(c"mode=700"))?;
    DirBuilder::new().mode(0o700).create(&lower)?;
    for (name, metadata) in stubs {
        let stub = OpenOptions::new().write(true).create_new(true).open(lower.join(name))?;
        stub.set_len(metadata.size())?;
        stub.set_permissions(Permissions::from_mode(metadata.mode() & 0o777))?;
    }
    Ok(())
}

/// In whose name an overlay keeps its notes.
#[derive(Clone, Copy)]
enum Flavor {
    /// The system's, as only root can write them.
    Trusted,
    User,
}

impl Flavor {
    /// Turns the stubs into references to the originals, in the name that we are allowed to use.
    fn of(view: &View) -> io::Result<Self> {
        match Self::Trusted.mark(view) {
            Err(_) => Self::User.mark(view).map(|()| Self::User),
            Ok(()) => Ok(Self::Trusted),
        }
    }

    fn mark(self, view: &View) -> io::Result<()> {
        let name = match self {
            Self::Trusted => "trusted.overlay",
            Self::User => "user.overlay",
        };
        for Original { name: stub, path } in &view.files {
            let stub = view.layers.join("lower").join(stub);
            let place = [b"/", path.as_os_str().as_bytes()].concat();
            setxattr(&stub, format!("{name}.redirect"), &place, XattrFlags::empty())?;
            setxattr(&stub, format!("{name}.metacopy"), &[], XattrFlags::empty())?;
        }
        Ok(())
    }
}

fn overlay(view: &View, flavor: Flavor) -> io::Result<()> {
    for name in ["upper", "work"] {
        DirBuilder::new().mode(0o700).create(view.layers.join(name))?;
    }
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // By descriptor: options are short, and some letters mean something in them.
    let mut layers: Vec<OwnedFd> = Vec::new();
    let mut layer = |key: &str, path: &Path| {
        let folder = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        fsconfig_set_string(&fs, key, format!("/proc/self/fd/{}", folder.as_raw_fd()))?;
        layers.push(folder);
        Ok::<_, io::Error>(())
    };
    layer("lowerdir+", &view.layers.join("lower"))?;
    layer("datadir+", &view.data)?;
    layer("upperdir", &view.layers.join("upper"))?;
    layer("workdir", &view.layers.join("work"))?;
    fsconfig_set_string(&fs, "source", "runner")?;
    // The upper layer is never used again: nothing in it has to reach the disk.
    fsconfig_set_flag(&fs, "volatile")?;
    match flavor {
        Flavor::Trusted => fsconfig_set_string(&fs, "metacopy", "on")?,
        Flavor::User => fsconfig_set_flag(&fs, "userxattr")?,
    }
    fsconfig_create(&fs)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let mounted = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, flags)?;
    move_mount(&mounted, "", CWD, &view.target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// The tree in its place, and each original over its stub.
fn bind(view: &View) -> io::Result<()> {
    mount_bind(view.layers.join("lower"), &view.target)?;
    for Original { name, path } in &view.files {
        let place = view.target.join(name);
        mount_bind(view.data.join(path), &place)?;
        // What its file system forbids already must stay forbidden.
        let now = statvfs(&place)?.f_flag;
        let kept = [
            (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
            (StatVfsMountFlags::NODEV, MountFlags::NODEV),
            (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
            (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
            (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
            (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
        ];
        let kept = kept.into_iter().filter(|(set, _)| now.contains(*set)).map(|(_, flag)| flag);
        let flags = kept.fold(MountFlags::BIND | MountFlags::RDONLY, |all, flag| all | flag);
        mount_remount(&place, flags, c"")?;
    }
    Ok(())
}

/// Whether each original can be read in its place.
fn check(view: &View) -> io::Result<()> {
    for Original { name, path } in &view.files {
        let mut file = File::open(view.target.join(name))?;
        let original = fs::metadata(view.data.join(path))?;
        file.read_exact(&mut [0; 1])?;
        if file.metadata()?.len() != original.len() {
            return Err(io::Error::other("an original has changed"));
        }
    }
    Ok(())
}
