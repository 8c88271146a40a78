//! Artifacts staged by copy and by link, and originals changed behind links.

use std::os::unix::fs::MetadataExt;

use super::super::testing::{Place, place, reopen};
use super::*;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn stage(p: &Place, artifact: &Artifact, is_dir: bool, name: &str, how: Staging) -> (PathBuf, Vec<Guard>) {
    let target = p.path(name);
    let staged = p.store.stage(artifact, is_dir, &target, how, LargeFiles::Symlink).unwrap();
    assert!(staged.view.is_none());
    (target, staged.guards)
}

#[test]
fn files_come_back_read_only_before_and_after_commit() {
    let p = place();
    for (i, (text, bits)) in [("plain", 0o600), ("tool", 0o700)].into_iter().enumerate() {
        set_mode(&p.write("attempt/f", text), bits);
        let (artifact, blobs) = p.seal("attempt/f", false).unwrap();
        let (early, _) = stage(&p, &artifact, false, &format!("user/early{i}"), Staging::Auto);
        p.store.commit(&blobs).unwrap();
        let (late, guards) = stage(&p, &artifact, false, &format!("user/late{i}"), Staging::Auto);
        assert!(guards.is_empty());
        for path in [early, late] {
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(mode(&path), if bits == 0o700 { 0o555 } else { 0o444 });
        }
    }
}

#[test]
fn a_changed_copy_never_reaches_the_store() {
    let p = place();
    p.write("attempt/f", "content");
    let artifact = p.keep("attempt/f", false);
    for how in [Staging::Auto, Staging::Copy] {
        let (path, guards) = stage(&p, &artifact, false, &format!("user/{how:?}"), how);
        assert!(guards.is_empty());
        set_mode(&path, 0o644);
        fs::write(&path, "CONTENT").unwrap();
    }
    reopen(p.dir.path()).verify(&artifact, false).unwrap();
}

#[test]
fn directories_round_trip_from_store_and_origin() {
    let p = place();
    for root in ["attempt/d", "user/d"] {
        set_mode(&p.write(&format!("{root}/s/tool"), "#!"), 0o755);
        p.write(&format!("{root}/odd \n\u{e9}\"'"), "odd");
        fs::create_dir(p.path(&format!("{root}/empty"))).unwrap();
        symlink("s/tool", p.path(&format!("{root}/link"))).unwrap();
        symlink("..", p.path(&format!("{root}/s/up"))).unwrap();
    }
    let (own, _) = p.store.fingerprint(&p.path("user/d"), true).unwrap();
    let stored = p.keep("attempt/d", true);
    assert_eq!(own.digest, stored.digest);
    for (artifact, name) in [(&own, "user/own"), (&stored, "user/stored")] {
        let (path, _) = stage(&p, artifact, true, name, Staging::Auto);
        let (again, _) = p.store.fingerprint(&path, true).unwrap();
        assert_eq!(again.digest, stored.digest, "{name}");
        assert_eq!(fs::read_link(path.join("link")).unwrap(), Path::new("s/tool"));
        let modes = ["", "s", "empty", "s/tool", "odd \n\u{e9}\"'"].map(|entry| mode(&path.join(entry)));
        assert_eq!(modes, [0o555, 0o555, 0o555, 0o555, 0o444]);
    }
}

#[test]
fn links_are_guarded_and_a_spoiled_blob_is_set_aside() {
    let p = place();
    p.write("attempt/f", "content");
    // Not committed yet: the link must hold nevertheless.
    let (artifact, _blobs) = p.seal("attempt/f", false).unwrap();
    let (path, guards) = stage(&p, &artifact, false, "user/link", Staging::Link);
    assert_eq!(fs::read_link(&path).unwrap(), p.store.blob_path(&artifact.digest));
    assert_eq!(p.store.check(&guards), []);
    // Only opened up: nothing is spoiled, and it is closed again.
    set_mode(&path, 0o644);
    assert_eq!(p.store.check(&guards), []);
    assert_eq!(mode(&fs::canonicalize(&path).unwrap()), 0o444);
    let mtime = fs::metadata(&path).unwrap().modified().unwrap();
    set_mode(&path, 0o644);
    fs::write(&path, "CONTENT").unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(mtime).unwrap();
    set_mode(&path, 0o444);
    let spoiled = p.store.check(&guards);
    assert_eq!(spoiled.iter().map(|s| s.blob).collect::<Vec<_>>(), [Some(artifact.digest)]);
    assert!(p.path("store/damaged").join(artifact.digest.hex()).exists());
    assert_eq!(p.store.verify(&artifact, false).unwrap_err().wrong, Wrong::Missing);
}

#[test]
fn links_to_a_users_own_files_are_guarded() {
    let p = place();
    p.write("user/d/a", "a");
    p.write("user/d/b", "b");
    let (artifact, _) = p.store.fingerprint(&p.path("user/d"), true).unwrap();
    let (path, guards) = stage(&p, &artifact, true, "user/staged", Staging::Link);
    assert_eq!(guards.len(), 2);
    assert_eq!(p.store.check(&guards), []);
    fs::write(path.join("b"), "longer").unwrap();
    assert_eq!(p.store.check(&guards), [Spoiled { path: p.path("user/d/b"), blob: None }]);
}

/// A file over the limit; whether the file system shares blocks, so that it is never linked.
fn large(p: &Place, name: &str, mode: u32) -> PathBuf {
    let path = p.write(name, "large");
    File::options().write(true).open(&path).unwrap().set_len(LARGE + 1).unwrap();
    set_mode(&path, mode);
    path
}

fn shares_blocks(p: &Place) -> bool {
    let from = p.write("user/reflink", "x");
    reflink_copy::reflink(&from, p.path("user/reflinked")).is_ok()
}

#[test]
fn large_files_are_copied_where_they_are_asked_for_so_or_executable() {
    let p = place();
    large(&p, "attempt/f", 0o644);
    let mut artifact = p.keep("attempt/f", false);
    for (how, large) in [(Staging::Copy, LargeFiles::Symlink), (Staging::Auto, LargeFiles::Copy)] {
        let target = p.path(&format!("user/{how:?}"));
        let staged = p.store.stage(&artifact, false, &target, how, large).unwrap();
        assert!(staged.guards.is_empty() && mode(&target) == 0o444);
        assert_eq!(fs::metadata(&target).unwrap().len(), LARGE + 1);
    }
    artifact.executable = true;
    for how in [Staging::Auto, Staging::Link] {
        let (tool, guards) = stage(&p, &artifact, false, &format!("user/tool-{how:?}"), how);
        assert!(guards.is_empty() && mode(&tool) == 0o555);
    }
}

#[test]
fn a_hard_link_is_guarded_and_is_for_the_store_alone() {
    let p = place();
    if shares_blocks(&p) {
        return;
    }
    large(&p, "attempt/f", 0o644);
    let artifact = p.keep("attempt/f", false);
    let target = p.path("user/hard");
    let staged = p.store.stage(&artifact, false, &target, Staging::Auto, LargeFiles::HardLink).unwrap();
    assert!(staged.view.is_none() && !staged.has_symlink);
    assert_eq!(fs::symlink_metadata(&target).unwrap().nlink(), 2);
    assert_eq!(p.store.check(&staged.guards), []);
    // Another attempt gives the blob another ctime, which is no change of it.
    let other = p.store.stage(&artifact, false, &p.path("user/other"), Staging::Auto, LargeFiles::HardLink);
    assert_eq!(p.store.check(&staged.guards), []);
    set_mode(&target, 0o644);
    fs::write(&target, "CONTENT").unwrap();
    assert_eq!(p.store.check(&staged.guards).len(), 1);
    assert_eq!(p.store.check(&other.unwrap().guards).len(), 1);
    assert!(p.path("store/damaged").join(artifact.digest.hex()).exists());

    let own = large(&p, "user/own", 0o644);
    let (artifact, _) = p.store.fingerprint(&own, false).unwrap();
    let target = p.path("user/soft");
    let staged = p.store.stage(&artifact, false, &target, Staging::Auto, LargeFiles::HardLink).unwrap();
    assert!(staged.has_symlink && staged.guards.len() == 1);
    assert_eq!(fs::read_link(&target).unwrap(), own);
}

#[test]
fn a_view_has_stubs_for_large_files_and_everything_else() {
    let p = place();
    if shares_blocks(&p) {
        return;
    }
    for root in ["attempt/d", "user/d"] {
        large(&p, &format!("{root}/s/big"), 0o600);
        p.write(&format!("{root}/small"), "small");
        symlink("s/big", p.path(&format!("{root}/link"))).unwrap();
    }
    let (own, _) = p.store.fingerprint(&p.path("user/d"), true).unwrap();
    let stored = p.keep("attempt/d", true);
    for (i, artifact) in [own, stored].into_iter().enumerate() {
        let (layers, target) = (p.path(&format!("user/layers{i}")), p.path(&format!("user/at{i}/d")));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let staged =
            p.store.stage(&artifact, true, &target, Staging::Auto, LargeFiles::View(&layers)).unwrap();
        assert!(staged.guards.is_empty() && !target.exists());
        let view = staged.view.unwrap();
        let lower = layers.join("lower");
        assert_eq!(view.files.len(), 1);
        let (name, original) = &view.files[0];
        assert!(name.ends_with("s/big"), "{name:?}");
        let root = lower.join(&*artifact.name);
        assert_eq!(fs::read(view.data.join(original)).unwrap()[..5], *b"large");
        let stub = fs::metadata(lower.join(name)).unwrap();
        assert_eq!((stub.len(), stub.mode() & 0o7777, stub.blocks()), (LARGE + 1, 0o444, 0));
        assert_eq!(fs::read_to_string(root.join("small")).unwrap(), "small");
        assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new("s/big"));
        assert_eq!(mode(&root), 0o555);
    }
}

#[test]
fn what_needs_no_view_is_put_in_its_place() {
    let p = place();
    p.write("user/d/a", "a");
    let (artifact, _) = p.store.fingerprint(&p.path("user/d"), true).unwrap();
    let (layers, target) = (p.path("user/layers"), p.path("user/staged"));
    let staged = p.store.stage(&artifact, true, &target, Staging::Auto, LargeFiles::View(&layers)).unwrap();
    assert!(staged.view.is_none() && !layers.exists());
    assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "a");
    // A link inside the folder to a large file outside it: the file is copied, for its folder is not shown.
    large(&p, "elsewhere/big", 0o644);
    symlink("../../elsewhere/big", p.path("user/d/big")).unwrap();
    let (artifact, _) = p.store.fingerprint(&p.path("user/d"), true).unwrap();
    let target = p.path("user/copied");
    let staged = p.store.stage(&artifact, true, &target, Staging::Auto, LargeFiles::View(&layers)).unwrap();
    assert!(staged.view.is_none());
    assert_eq!(fs::symlink_metadata(target.join("big")).unwrap().len(), LARGE + 1);
    assert_eq!(mode(&target), 0o555);
}

#[test]
fn what_is_in_the_way_or_missing_is_an_error() {
    let p = place();
    p.write("attempt/f", "content");
    let artifact = p.keep("attempt/f", false);
    let there = p.write("user/there", "mine");
    symlink("there", p.path("user/planted")).unwrap();
    for name in ["user/there", "user/planted"] {
        assert!(p.store.stage(&artifact, false, &p.path(name), Staging::Auto, LargeFiles::Copy).is_err());
    }
    assert_eq!(fs::read_to_string(there).unwrap(), "mine");
    fs::remove_file(p.store.blob_path(&artifact.digest)).unwrap();
    let error =
        p.store.stage(&artifact, false, &p.path("user/new"), Staging::Auto, LargeFiles::Copy).unwrap_err();
    assert!(error.to_string().contains("is missing"), "{error}");
}
