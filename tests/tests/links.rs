//! Removing and renaming links: what they lead to stays.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use winterop_tests::{Host, Outcome, Placement, fetched, placements};

/// A folder with files, and a tree with links into it.
struct Trees {
    work: PathBuf,
}

impl Trees {
    fn new(host: &Host) -> Self {
        let trees = Self { work: host.work() };
        for folder in ["kept", "tree"] {
            let _ = fs::remove_dir_all(trees.work.join(folder));
        }
        for folder in ["kept/below", "tree/deep"] {
            fs::create_dir_all(trees.work.join(folder)).expect(folder);
        }
        for file in ["kept/file", "kept/below/file", "tree/own", "tree/deep/own"] {
            fs::write(trees.work.join(file), "text").expect(file);
        }
        for (to, link) in [
            ("../kept", "tree/folder"),
            ("../kept/file", "tree/link"),
            ("../../kept", "tree/deep/folder"),
        ] {
            symlink(to, trees.work.join(link)).expect(link);
        }
        trees
    }

    fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.work.join(name)).is_ok()
    }

    /// What the links lead to is as it was.
    #[track_caller]
    fn are_kept(&self, what: &str, outcome: &Outcome) {
        for file in ["kept/file", "kept/below/file"] {
            let text = fs::read_to_string(self.work.join(file)).ok();
            let said = (outcome.text(), outcome.errors());
            assert_eq!(text.as_deref(), Some("text"), "{what}: {file}: {said:?}");
        }
    }
}

/// Runs a command in fresh trees, and sees what is gone and what stays beside what must not be lost.
#[track_caller]
fn sees(host: &Host, placement: Placement, command: &str, gone: &[&str], stays: &[&str]) {
    let trees = Trees::new(host);
    let outcome = host.shell(placement, command);
    trees.are_kept(command, &outcome);
    let said = (outcome.text(), outcome.errors());
    for name in gone {
        assert!(!trees.has(name), "{command}: {name} is still there: {said:?}");
    }
    for name in stays {
        assert!(trees.has(name), "{command}: {name} is gone: {said:?}");
    }
}

#[test]
fn the_command_processor_removes_links_alone() {
    let host = Host::new();
    for placement in placements() {
        let cmd = |line: &str, gone: &[&str], stays: &[&str]| {
            let command = format!("cmd.exe /c '{line}' </dev/null");
            sees(&host, placement, &command, gone, stays);
        };
        cmd(r"del tree\link", &["tree/link"], &["tree/own", "tree/folder"]);
        cmd(r"rmdir tree\folder", &["tree/folder"], &["tree/own", "tree/link"]);
        cmd(r"rmdir /s /q tree\folder", &["tree/folder"], &["tree/own", "tree/link"]);
        cmd(r"rmdir /s /q tree", &["tree"], &[]);
        let links = ["tree/folder", "tree/deep/folder"];
        cmd(r"del /s /q tree", &["tree/own", "tree/link", "tree/deep/own"], &links);
        cmd(r"del /s /q tree\*", &["tree/own", "tree/link", "tree/deep/own"], &links);
        cmd(r"cd tree && del /s /q own file", &["tree/own", "tree/deep/own"], &links);
    }
}

#[test]
fn a_tree_is_removed_with_questions_and_answers() {
    let host = Host::new();
    // For each folder it is asked; the answers must not make it forget where it is.
    let command = r"yes y | head -20 | cmd.exe /c 'del /s tree'";
    let (gone, stays) = (["tree/own", "tree/deep/own"], ["tree/folder", "tree/deep/folder"]);
    sees(&host, Placement::InPlace, command, &gone, &stays);
}

#[test]
fn a_renamed_link_is_a_link_still() {
    let host = Host::new();
    for placement in placements() {
        let trees = Trees::new(&host);
        let work = host.work();
        fs::create_dir_all(work.join("other")).expect("a folder");
        symlink("own", work.join("tree/beside")).expect("a link");
        let line =
            r"ren tree\folder renamed & ren tree\link renamed2 & move tree\beside other\beside";
        let outcome = host.shell(placement, &format!("cmd.exe /c '{line}' </dev/null"));
        trees.are_kept(line, &outcome);
        // The last one leads nowhere in its new place.
        for (link, to) in [
            ("tree/renamed", "../kept"),
            ("tree/renamed2", "../kept/file"),
            ("other/beside", "own"),
        ] {
            let found = fs::read_link(work.join(link)).ok();
            assert_eq!(found.as_deref(), Some(Path::new(to)), "{link}: {}", outcome.text());
        }
        assert!(trees.has("tree/own") && !trees.has("tree/beside"));
        fs::remove_dir_all(work.join("other")).expect("the folder");
    }
}

#[test]
fn what_a_renamed_link_leads_to_keeps_its_mode() {
    let host = Host::new();
    host.settled();
    let work = host.work();
    let program = work.join("program.exe");
    fs::write(&program, "text").expect("a file");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("the mode");
    symlink("program.exe", work.join("link.exe")).expect("a link");
    let rename = |line: &str| {
        host.shell(Placement::InPlace, &format!("cmd.exe /c '{line}' </dev/null")).clean();
        fs::metadata(&program).expect("the file").permissions().mode() & 0o777
    };
    assert_eq!(rename("ren link.exe link.txt"), 0o755);
    // A file's own mode follows its name, as ever.
    assert_eq!(rename("ren program.exe p.txt & ren p.txt program.exe"), 0o755);
    assert_eq!(fs::read_link(work.join("link.txt")).ok(), Some("program.exe".into()));
}

#[test]
fn what_is_named_behind_a_link_is_meant() {
    let host = Host::new();
    for placement in placements() {
        let trees = Trees::new(&host);
        let run = |line: &str| host.shell(placement, &format!("cmd.exe /c '{line}' </dev/null"));
        run(r"del tree\folder\file");
        assert!(!trees.has("kept/file") && trees.has("kept/below/file"));
        // Also where the folder has just been listed.
        let trees = Trees::new(&host);
        run(r"dir tree & del /q tree\folder\*");
        assert!(!trees.has("kept/file") && trees.has("kept/below/file"));
        let trees = Trees::new(&host);
        run(r"for /d %d in (tree\*) do del /q %d\file");
        assert!(!trees.has("kept/file") && trees.has("tree/folder"));
        // A folder that is none's link is removed where it is empty, and only there.
        fs::create_dir(host.work().join("kept/empty")).expect("a folder");
        run(r"rmdir tree\folder\empty & rmdir tree\folder\below");
        assert!(!trees.has("kept/empty") && trees.has("kept/below/file"));
    }
}

#[test]
fn rust_removes_trees_without_links_and_refuses_others() {
    let host = Host::new();
    for placement in placements() {
        // What it cannot remove it says.
        let command = "remove-tree.exe tree; test $? = 1 && rm -r tree";
        sees(&host, placement, command, &["tree"], &[]);
        let command = r"remove-tree.exe tree\\folder; test $? = 1 && rm tree/folder";
        sees(&host, placement, command, &["tree/folder"], &["tree/own"]);
        let command = "find tree -type l -delete; remove-tree.exe tree && rm -f tree";
        sees(&host, placement, command, &["tree"], &[]);
    }
}

#[test]
fn node_removes_and_renames_links_alone() {
    let host = Host::new();
    for node in [fetched("node"), fetched("node24")] {
        let node = node.display();
        let script = |script: &str, gone: &[&str], stays: &[&str]| {
            let command = format!("{node} -e '{script}' </dev/null");
            sees(&host, Placement::InPlace, &command, gone, stays);
        };
        script(r#"fs.unlinkSync("tree/link")"#, &["tree/link"], &["tree/own"]);
        script(r#"fs.rmdirSync("tree/folder")"#, &["tree/folder"], &["tree/own"]);
        script(r#"fs.rmSync("tree", { recursive: true, force: true })"#, &["tree"], &[]);
        script(
            r#"fs.renameSync("tree/folder", "tree/f"); fs.renameSync("tree/link", "tree/l")"#,
            &["tree/folder", "tree/link"],
            &["tree/f", "tree/l"],
        );
        // Where a file really is programs still learn.
        Trees::new(&host);
        let name = r#"console.log(fs.realpathSync.native("tree/link"))"#;
        let outcome = host.shell(Placement::InPlace, &format!("{node} -e '{name}' </dev/null"));
        let expected = format!("Z:{}/kept/file\n", host.work().display()).replace('/', "\\");
        assert_eq!(outcome.text(), expected, "{}", outcome.errors());
    }
}
