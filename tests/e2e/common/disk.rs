//! A file system of its own for a test, unmounted at the end: small, full, or cut off from its power.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Disk(PathBuf);

impl Disk {
    /// One in memory, with these options of `mount`; `None` where this user may not mount.
    pub fn in_memory(folder: &Path, options: &str) -> Option<Disk> {
        fs::create_dir_all(folder).ok()?;
        let options = format!("{options},mode=0700");
        Disk::mounted(
            folder,
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder),
        )
    }

    /// An ext4 in the file `image`, which is made if it does not exist. A journal that was cut off is replayed.
    pub fn ext4(folder: &Path, image: &Path) -> Option<Disk> {
        fs::create_dir_all(folder).ok()?;
        if !image.exists() {
            fs::File::create(image).ok()?.set_len(96 << 20).ok()?;
            let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image).output().ok()?;
            made.status.success().then_some(())?;
        }
        Disk::mounted(folder, Command::new("mount").args(["-o", "loop"]).arg(image).arg(folder))
    }

    fn mounted(folder: &Path, mount: &mut Command) -> Option<Disk> {
        let done = mount.output().is_ok_and(|done| done.status.success());
        let disk = done.then(|| Disk(folder.to_owned()))?;
        let dev = |path: &Path| fs::metadata(path).unwrap().dev();
        assert_ne!(dev(folder), dev(folder.parent().unwrap()), "it is a file system of its own");
        Some(disk)
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Gives a file system in memory other options.
    pub fn change(&self, options: &str) {
        let options = format!("remount,{options}");
        let done = Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap();
        assert!(done.success(), "remount {options}");
    }

    pub fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    /// From now on nothing reaches the disk, not even its journal: `EXT4_IOC_SHUTDOWN` without a flush of the log.
    pub fn cut_power(&self) {
        let script = "import fcntl, os, struct, sys\n\
                      fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
        let done = Command::new("python3").args(["-c", script]).arg(&self.0).status().unwrap();
        assert!(done.success(), "the file system cannot be shut down");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // One that is still in use goes when its last user does.
        if !Command::new("umount").arg(&self.0).output().is_ok_and(|done| done.status.success()) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
}
