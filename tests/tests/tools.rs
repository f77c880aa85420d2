//! Real programs, and what build tools do with Winterop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use winterop_tests::{Host, Placement, built, fetched, finish, fnv, noise, placements, workspace};

#[test]
fn a_real_build_with_ninja() {
    let ninja = fetched("ninja");
    let host = Host::new();
    let build = "rule upper\n  command = cmd /c type $in > $out\n\
                 build a.out: upper a.in\nbuild b.out: upper b.in\n";
    for placement in placements() {
        let folder = host.work().join(placement.value());
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("build.ninja"), build).expect("build.ninja");
        fs::write(folder.join("a.in"), "one\n").expect("a.in");
        fs::write(folder.join("b.in"), "two\n").expect("b.in");
        let script = format!(
            "cd {}; {ninja} --version; {ninja}; {ninja}; cat a.out b.out; {ninja} none; echo $?",
            placement.value(),
            ninja = ninja.display()
        );
        let outcome = host.shell(placement, &script);
        let text = outcome.text();
        assert!(text.starts_with("1."), "{text}{}", outcome.errors());
        assert!(text.contains("ninja: no work to do.\none\ntwo\n"), "{text}{}", outcome.errors());
        assert!(text.ends_with("\n1\n"), "{text}{}", outcome.errors());
    }
}

#[test]
fn node_gets_the_pipes_that_it_needs() {
    let node = fetched("node");
    let _ = built("winterop/lib/winterop/winterop-helper.exe");
    let host = Host::new();
    let data = noise(4 << 20);
    for placement in placements() {
        let script = format!("exec {} -e 'process.stdin.pipe(process.stdout)'", node.display());
        let outcome = host.shell_with(placement, &script, data.clone());
        assert_eq!(outcome.code(), 0, "{}", outcome.errors());
        assert_eq!(fnv(&outcome.stdout), fnv(&data), "{} bytes", outcome.stdout.len());
        let script = format!(
            "{} -e 'console.log(process.argv.slice(1).join(\"|\")); process.exit(7)' a 'b c'; echo $?",
            node.display()
        );
        let outcome = host.shell(placement, &script);
        assert_eq!(outcome.text(), "a|b c\n7\n", "{}", outcome.errors());
    }
}

#[test]
fn a_node_that_wants_more_of_windows_memory_than_wine_has() {
    let node = fetched("node24");
    let host = Host::new();
    // More than one piece of its heap, another thread with a heap of its own, and WebAssembly.
    let work = "const { Worker } = require('worker_threads'); \
                const list = Array.from({ length: 1e6 }, (_, i) => ({ i })); \
                const wasm = new WebAssembly.Memory({ initial: 16, maximum: 1024 }); wasm.grow(64); \
                const other = new Worker('require(\"worker_threads\").parentPort.postMessage(41)', { eval: true }); \
                other.on('message', it => console.log(list.length + it, wasm.buffer.byteLength));";
    fs::write(host.work().join("work.js"), work).expect("work.js");
    for placement in placements() {
        let script = format!("{} work.js", node.display());
        let outcome = host.shell(placement, &script);
        assert_eq!(outcome.text(), "1000041 5242880\n", "{}", outcome.errors());
        // Also where another Windows program starts it.
        let line = format!("Z:{} work.js >out.txt 2>&1", node.display()).replace('/', "\\");
        let outcome =
            host.shell(placement, &format!("cmd.exe /c '{line}' </dev/null; cat out.txt"));
        assert_eq!(outcome.text(), "1000041 5242880\n", "{}", outcome.errors());
    }
}

/// The script that is npm, whoever has installed it.
fn npm() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let npm = std::env::split_paths(&path).map(|folder| folder.join("npm")).find(|it| it.exists());
    let npm = npm.and_then(|npm| fs::canonicalize(npm).ok()).expect("npm");
    assert!(npm.ends_with("npm-cli.js"), "{} is not npm itself", npm.display());
    npm
}

#[test]
fn npm_builds_a_project_with_its_tools() {
    let node = fetched("node");
    let host = Host::new();
    let project = host.work().join("project");
    let tool = project.join("tools/greet");
    fs::create_dir_all(&tool).expect("a folder");
    let package = r#"{ "name": "greet", "version": "1.0.0", "bin": "cli.js" }"#;
    fs::write(tool.join("package.json"), package).expect("package.json");
    let script = "#!/usr/bin/env node\nconsole.log(process.argv.slice(2).join('|'));\n";
    fs::write(tool.join("cli.js"), script).expect("cli.js");
    let package = r#"{ "name": "project", "version": "1.0.0",
        "dependencies": { "greet": "file:tools/greet" },
        "scripts": { "build": "greet \"a b\" c > built.txt && greet twice >> built.txt" } }"#;
    fs::write(project.join("package.json"), package).expect("package.json");
    // Windows' npm installs the tool, and writes the `.cmd` file by which the build finds it.
    let npm = npm();
    for placement in placements() {
        let _ = fs::remove_dir_all(project.join("node_modules"));
        let _ = fs::remove_file(project.join("built.txt"));
        let run = |words: &str| {
            let folder = node.parent().expect("a folder").display();
            let script = format!(
                "cd project && PATH={folder}:$PATH WSLENV=PATH/l {} {} {words} --offline --no-audit \
                 --install-links --no-fund </dev/null 2>&1",
                node.display(),
                format!("'Z:{}'", npm.display()).replace('/', "\\")
            );
            host.shell(placement, &script)
        };
        let installed = run("install");
        assert_eq!(installed.code(), 0, "{}", installed.text());
        let shim = fs::read_to_string(project.join("node_modules/.bin/greet.cmd"));
        assert!(shim.as_ref().is_ok_and(|it| it.contains("goto #_undefined_#")), "{shim:?}");
        let built = run("run build");
        assert_eq!(built.code(), 0, "{}", built.text());
        let text = fs::read_to_string(project.join("built.txt")).unwrap_or_default();
        assert_eq!(text, "a b|c\ntwice\n", "{}", built.text());
    }
}

#[test]
fn without_the_helper_node_is_refused_in_words() {
    let node = fetched("node");
    // A layout of its own, without that part.
    let host = Host::new();
    let layout = host.base().join("layout");
    finish(Command::new("cp").arg("-a").arg(built("winterop")).arg(&layout)).clean();
    let helper = layout.join("lib/winterop/winterop-helper.exe");
    if helper.exists() {
        fs::remove_file(helper).expect("the helper");
    }
    for placement in placements() {
        let mut command = host.command(layout.join("bin/winterop"), placement);
        let outcome = finish(command.arg("run").arg(&node).args(["-e", "1"]));
        assert_eq!(outcome.code(), 126, "{}", outcome.errors());
        let errors = outcome.errors();
        assert!(errors.contains("winterop-helper") && errors.contains("node.exe"), "{errors}");
    }
}

#[test]
fn l7_run_needs_no_instance() {
    let host = Host::new();
    for placement in placements() {
        host.settled();
        let run = |arguments: &[&str]| finish(host.winterop(placement, &["run"]).args(arguments));
        assert_eq!(run(&["hello.exe"]).clean().text(), "hello\n");
        let hello = host.windows().join("hello.exe");
        assert_eq!(run(&[&hello.to_string_lossy()]).clean().text(), "hello\n");
        assert_eq!(run(&["cmd", "/c", "echo", "a b"]).clean().text(), "\"a b\"\n");
        assert_eq!(run(&["exit-with.exe", "259"]).code(), 3);
        let outcome =
            run(&["--env", "A=1", "--env", "B=", "env-report.exe", "A", "B", "C"]).clean();
        assert_eq!(outcome.text().lines().next(), Some("A=1"));
        let outcome = run(&["--verbatim", "argv-report.exe", "/x:\"a b\"", "c"]).clean();
        assert!(outcome.text().contains(r#"/x:\"a b\" c""#), "{}", outcome.text());
        run(&["not-there.exe"]).refused(127, &["not-there.exe"]);
        let mut unmarked = host.winterop(placement, &["run", "hello.exe"]);
        assert_eq!(finish(unmarked.env("WSL_INTEROP", "/nowhere")).clean().text(), "hello\n");
    }
}

/// A copy of the small crate, so that its lock file and folder are the test's own.
fn runner_crate(host: &Host) -> PathBuf {
    let folder = host.work().join("runner-crate");
    if !folder.exists() {
        let source = workspace().join("windows/fixtures/runner-crate");
        finish(Command::new("cp").arg("-a").arg(source).arg(&folder)).clean();
    }
    folder
}

fn cargo(host: &Host, placement: Placement, folder: &Path) -> Command {
    let cargo = workspace().join("target/windows/cargo");
    let mut command = host.command(cargo, placement);
    command
        .current_dir(folder)
        .args(["test", "--offline", "--tests"])
        .env("CARGO_TARGET_DIR", workspace().join("target/test-data/runner-target"))
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", "winterop runner")
        .env("CARGO_HOME", host.base().join("home/cargo"));
    command
}

#[test]
fn the_runner_runs_a_crates_tests() {
    let _ = built("windows/cargo");
    let host = Host::new();
    let folder = runner_crate(&host);
    for placement in placements() {
        let mut command = cargo(&host, placement, &folder);
        command.env("RUNNER_CRATE_VALUE", "a b").env("RUNNER_CRATE_EXPECT", "a b");
        let outcome = finish(&mut command);
        assert_eq!(outcome.code(), 0, "{}{}", outcome.text(), outcome.errors());
        assert!(outcome.text().contains("cargo_variables_arrive ... ok"), "{}", outcome.text());
        // A failed test fails the run.
        let outcome = finish(cargo(&host, placement, &folder).env("RUNNER_CRATE_FAIL", "1"));
        assert_eq!(outcome.code(), 101, "{}{}", outcome.text(), outcome.errors());
        assert!(outcome.text().contains("fails_on_demand ... FAILED"), "{}", outcome.text());
    }
}
