//! Python functions in a laboratory, and an environment with what is installed there.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::Lab;

/// Writes a file among the installed packages of the environment `env`, which is made if it is not there; the path.
/// `@COUNT@` stands for the file that counts.
pub fn install(lab: &Lab, file: &str, text: &str) -> PathBuf {
    let env = lab.path("env");
    if !env.exists() {
        let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&env).status().unwrap();
        assert!(made.success());
    }
    let lib = fs::read_dir(env.join("lib")).unwrap().next().unwrap().unwrap().path();
    let path = lib.join("site-packages").join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text.replace("@COUNT@", lab.path("count").to_str().unwrap())).unwrap();
    path
}

/// One function `f` as the task and node of a workflow; `node` is the node's table.
pub fn one(code: &str, task: &str, node: &str) -> Lab {
    let lab = Lab::new();
    lab.write("f.py", code);
    let flow = format!("[workflow]\nname = 'one'\n[tasks.f]\npython = 'f.py:f'\n{task}\n[nodes.f]\n{node}\n");
    lab.write("flow.toml", &flow);
    lab
}
