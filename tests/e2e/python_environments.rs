//! Which Python runs a function, what is installed there, what is kept of both, and hints that are others when it runs.

use std::fs;

use crate::common::python::{install, one};

#[test]
fn the_versions_of_packages_and_of_what_they_require_are_in_the_version() {
    let lab =
        one("import heavy\ndef f() -> int:\n    return heavy.X\n", "cache = true\npython_env = 'env'", "");
    let package = |name: &str, version: &str, requires: &str| {
        let text = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}");
        install(&lab, &format!("{name}-{version}.dist-info/METADATA"), &text)
    };
    install(&lab, "heavy.py", "X = 1\n");
    let heavy = package("heavy", "1.0", "Requires-Dist: light >= 1\n");
    let light = package("light", "1.0", "");
    assert_eq!(lab.ok("flow.toml", &[]).cache("f"), "populated");
    assert_eq!(lab.ok("flow.toml", &[]).cache("f"), "hit");
    fs::remove_dir_all(light.parent().unwrap()).unwrap();
    package("light", "2.0", "");
    assert_eq!(lab.ok("flow.toml", &[]).cache("f"), "populated");
    fs::remove_dir_all(heavy.parent().unwrap()).unwrap();
    package("heavy", "1.1", "Requires-Dist: light >= 1\n");
    assert_eq!(lab.ok("flow.toml", &[]).cache("f"), "populated");
}

#[test]
fn a_receipt_stands_until_code_packages_or_python_change() {
    let lab = one(
        "import heavy\nfrom near import X\ndef f() -> int:\n    return heavy.X + X\n",
        "cache = true",
        "",
    );
    lab.write("near.py", "X = 1\n");
    install(&lab, "heavy.py", "X = 1\n");
    fs::rename(lab.path("env"), lab.path(".venv")).unwrap();
    let package = lab.path(".venv/lib");
    let package = fs::read_dir(package).unwrap().next().unwrap().unwrap().path().join("site-packages");
    let receipts = || {
        let db = rusqlite::Connection::open(lab.home().join("runner.db")).unwrap();
        db.query_row("SELECT COUNT(*) FROM receipt", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let settle = || {
        // Files count once they have been still for longer than clocks tick.
        std::thread::sleep(std::time::Duration::from_millis(50));
        for _ in 0..2 {
            assert_eq!(lab.ok("flow.toml", &[]).cache("f"), "hit");
        }
    };
    assert_eq!(lab.ok("flow.toml", &[]).cache("f"), "populated");
    settle();
    assert_eq!(receipts(), 1);
    lab.write("near.py", "X = 2\n");
    assert_eq!(lab.ok("flow.toml", &[]).cache("f"), "populated");
    settle();
    fs::create_dir(package.join("heavy-2.0.dist-info")).unwrap();
    fs::write(
        package.join("heavy-2.0.dist-info/METADATA"),
        "Metadata-Version: 2.1\nName: heavy\nVersion: 2.0\n",
    )
    .unwrap();
    assert_eq!(lab.ok("flow.toml", &[]).cache("f"), "populated");
    settle();
    // A file that comes to stand in front of the package is code.
    lab.write("heavy.py", "X = 5\n");
    let shadowed = lab.ok("flow.toml", &[]);
    assert_eq!(shadowed.cache("f"), "populated");
    assert_eq!(shadowed.node("f")["outputs"]["result"], 7);
    settle();
    // Another Python is not asked as if it were the same.
    fs::write(lab.path("python"), "#!/bin/sh\nexit 1\n").unwrap();
    let refused = lab.run(&["exec", "flow.toml", "--json", "--python-env", "python"]).expect_code(2);
    assert!(refused.err.contains("Python at"), "{}", refused.err);
    fs::rename(lab.path(".venv"), lab.path("gone")).unwrap();
    let mut command = lab.command(&["exec", "flow.toml", "--json"]);
    let other = crate::common::finish(command.env("PATH", "/nonexistent"));
    assert_eq!(other.code, Some(2), "no Python is left: {}", other.err);
}

#[test]
fn names_of_environments_are_no_paths() {
    let lab = one("def f() -> int:\n    return 1\n", "", "");
    let refused = lab.run(&["exec", "flow.toml", "--python-env", "conda:no-such-env"]).expect_code(2).err;
    assert!(refused.contains("conda has no environment `no-such-env`"), "{refused}");
    let refused = lab.run(&["check", "flow.toml", "--python-env", "uv"]).expect_code(2).err;
    assert!(refused.contains("there is no pyproject.toml"), "{refused}");
}

#[test]
fn hints_that_differ_from_the_file_fail_the_attempt() {
    for (change, said) in [
        (
            "f.__annotations__['x'] = str",
            "the hint of `x` of `f` means string now, and meant int when the file was read",
        ),
        ("del f.__annotations__['x']", "`x` of `f` has no hint now, and had int when the file was read"),
        (
            "f.__annotations__['return'] = str",
            "the hint of output `result` means string now, and meant float when the file was read",
        ),
    ] {
        let lab =
            one(&format!("def f(x: int) -> float:\n    return x\n{change}\n"), "", "inputs = { x = 1 }");
        let error = lab.exec("flow.toml", &[]).expect_code(1).events("node_finished")[0]["error"].clone();
        assert_eq!(error["message"], said);
    }
}

#[test]
fn the_first_of_all_that_name_a_python_is_used() {
    use std::os::unix::fs::PermissionsExt;
    let lab = crate::common::Lab::new();
    lab.write("flows/f.py", "def f() -> int:\n    return 1\n");
    // Each says that it was asked, and is Python.
    let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("python3"))
        .find(|path| path.is_file())
        .unwrap();
    let python = |path: &str| {
        let text = format!(
            "#!/bin/sh\necho {path} >> {}\nexec {} \"$@\"\n",
            lab.path("asked").display(),
            real.display()
        );
        lab.write(path, &text);
        fs::set_permissions(lab.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let order = [
        "flag/bin/python",
        "variable/bin/python",
        "flows/task/bin/python",
        "flows/defaults/bin/python",
        "flows/.venv/bin/python",
        ".venv/bin/python",
        "active/bin/python",
        "conda/bin/python",
        "path/python3",
    ];
    order.iter().for_each(|path| python(path));
    for (i, expected) in order.iter().enumerate() {
        let task = if i <= 2 { "python_env = 'task'" } else { "" };
        let defaults = if i <= 3 { "[defaults]\npython_env = 'defaults'\n" } else { "" };
        lab.write(
            "flows/flow.toml",
            &format!("[workflow]\nname = 'one'\n{defaults}[tasks.f]\npython = 'f.py:f'\n{task}\n[nodes.f]\n"),
        );
        lab.write("asked", "");
        let flag: &[&str] = if i == 0 { &["--python-env", "flag"] } else { &[] };
        let mut command = lab.command(&[&["plan", "flows/flow.toml"], flag].concat());
        let there = |at: usize| if i <= at { lab.path(order[at]) } else { lab.path("nowhere/bin/python") };
        let env = |at: usize| there(at).parent().unwrap().parent().unwrap().to_owned();
        command.env("VIRTUAL_ENV", env(6)).env("CONDA_PREFIX", env(7));
        command
            .env("PATH", std::env::join_paths([lab.path("path"), "/usr/bin".into(), "/bin".into()]).unwrap());
        if i <= 1 {
            command.env("RUNNER_PYTHON_ENV", "variable");
        }
        for above in &order[4..6.min(i).max(4)] {
            let _ = fs::remove_file(lab.path(above));
        }
        crate::common::finish(&mut command).expect_code(0);
        assert_eq!(lab.read("asked"), format!("{expected}\n"), "{i}");
    }
}
