//! What a user changes in the tree outlasts whatever happens to documents and index, and can be taken back.

use std::{collections::BTreeSet, fs, path::Path};

use shas::{
    store::{Snapshot, doctor, lock::WriterLock},
    tree::{Level, Node, Tree},
};

use crate::vault::shas;

const NOTES: usize = 80;

/// Short notes on eight subjects.
fn write_notes(folder: &Path) {
    let subjects = [
        "rye bread",
        "basalt rock",
        "sonata form",
        "comet tails",
        "silk weaving",
        "chess openings",
        "river otters",
        "tax law",
    ];
    for note in 0..NOTES {
        let subject = subjects[note % subjects.len()];
        let text = format!(
            "# {subject} {note}\n\nThis note is about {subject}. It goes on for a while about {subject}.\n"
        );
        fs::write(folder.join(format!("note {note}.md")), text).expect("writes");
    }
}

fn run(index: &Path, arguments: &[&str]) -> String {
    let output = shas(index).args(arguments).output().expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("is text")
}

fn failure(index: &Path, arguments: &[&str]) -> String {
    let output = shas(index).args(arguments).output().expect("runs");
    assert!(!output.status.success(), "{arguments:?} succeeds");
    String::from_utf8(output.stderr).expect("is text")
}

/// The tree of an index, with the paths of its documents.
struct Published {
    tree: Tree,
    snapshot: Snapshot,
}

impl Published {
    fn open(index: &Path) -> Self {
        let snapshot = Snapshot::open(index).expect("opens");
        let tree = snapshot.body.tree.clone();
        Self { tree, snapshot }
    }

    fn entities(&self) -> Vec<Node> {
        let nodes = self.tree.nodes.iter();
        let entities = nodes.filter(|node| node.level == Level::Entity);
        entities.cloned().collect()
    }

    fn paths(&self, node: &Node) -> BTreeSet<String> {
        let ids = self.tree.documents_below(node).into_iter();
        let places = ids.filter_map(|id| self.snapshot.document_with_id(id));
        places
            .map(|place| self.snapshot.body.documents[place].path.clone())
            .collect()
    }

    /// The entity that all these documents are in; none where they are in several.
    fn holder(&self, paths: &BTreeSet<String>) -> Option<Node> {
        let mut entities = self.entities().into_iter();
        entities.find(|node| paths.is_subset(&self.paths(node)))
    }

    /// Names and documents of all nodes.
    fn content(&self) -> BTreeSet<(String, BTreeSet<String>)> {
        let nodes = self.tree.nodes.iter();
        nodes
            .map(|node| (node.name.clone(), self.paths(node)))
            .collect()
    }
}

#[test]
fn edits_outlast_documents_and_trees() {
    let [corpus, folder] = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
    let (corpus, index) = (corpus.path(), folder.path());
    write_notes(corpus);
    let corpus_name = corpus.to_string_lossy().into_owned();
    run(index, &["index", &corpus_name]);
    let before = Published::open(index);
    let entities = before.entities();
    assert!(entities.len() >= 5, "{}", run(index, &["tree"]));
    let paths: Vec<BTreeSet<String>> = entities.iter().map(|own| before.paths(own)).collect();
    let ids: Vec<String> = entities.iter().map(|own| own.id.to_string()).collect();
    let moved = paths[1].first().expect("has documents").clone();
    run(index, &["tree", "pin", &ids[0]]);
    run(index, &["tree", "rename", &ids[1], "My notes"]);
    run(index, &["tree", "split", &ids[2], "--into", "2"]);
    run(index, &["tree", "merge", &ids[3], &ids[4]]);
    run(index, &["tree", "move", &moved, &ids[0]]);
    let printed = run(index, &["tree", "--depth", "9"]);
    assert!(printed.contains("My notes * ("), "{printed}");
    let merged = paths[3].union(&paths[4]).cloned().collect();
    let check = |when: &str, moved: &str| {
        let now = Published::open(index);
        let mut pinned = paths[0].clone();
        pinned.insert(moved.to_owned());
        let holder = now.holder(&pinned);
        assert_eq!(holder.map(|own| own.name), Some(entities[0].name.clone()));
        assert!(now.holder(&merged).is_some(), "{when}: merged");
        assert!(now.holder(&paths[2]).is_none(), "{when}: split");
        let mut named = now.entities().into_iter();
        assert!(named.any(|own| own.name == "My notes"), "{when}: named");
        let listed = run(index, &["tree", "edits"]);
        assert_eq!(listed.lines().count(), 5, "{listed}");
        assert!(!listed.contains("waits"), "{when}: {listed}");
        let findings = doctor::examine(index).expect("opens");
        assert!(findings.iter().all(|own| !own.is_damage), "{findings:?}");
    };
    check("at once", &moved);
    let text = "# Otters\n\nThis note was rewritten, and it is about river otters now.\n";
    fs::write(corpus.join(paths[0].last().expect("has documents")), text).expect("writes");
    fs::write(corpus.join("new.md"), "# New\n\nA new note on rye bread.\n").expect("writes");
    run(index, &["index", &corpus_name]);
    check("after other texts", &moved);
    fs::rename(corpus.join(&moved), corpus.join("renamed.md")).expect("renames");
    run(index, &["index", &corpus_name]);
    check("after a rename", "renamed.md");
    run(index, &["tree", "--rebuild"]);
    check("in a new tree", "renamed.md");
    run(index, &["index", &corpus_name, "--rebuild"]);
    check("in a new index", "renamed.md");

    run(index, &["tree", "undo", "2"]);
    assert!(!run(index, &["tree"]).contains("My notes"));
    for _ in 0..4 {
        run(index, &["tree", "undo"]);
    }
    run(index, &["tree", "--rebuild"]);
    let fresh = tempfile::tempdir().expect("a folder");
    run(fresh.path(), &["index", &corpus_name]);
    let [own, fresh] = [index, fresh.path()].map(Published::open);
    assert_eq!(own.content(), fresh.content());
}

#[test]
fn what_cannot_be_edited_is_told() {
    let [corpus, folder] = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
    let index = folder.path();
    for note in 0..3 {
        let text = format!("# Rye {note}\n\nThis note is about rye, number {note}.\n");
        fs::write(corpus.path().join(format!("{note}.md")), text).expect("writes");
    }
    run(index, &["index", &corpus.path().to_string_lossy()]);
    let before = Published::open(index);
    let entity = &before.entities()[0];
    let id = entity.id.to_string();
    let domain = before.tree.nodes[0].id.to_string();
    let check = |arguments: &[&str], expected: &str| {
        let told = failure(index, &[&["tree"], arguments].concat());
        assert!(told.contains(expected), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    };
    check(&["undo"], "nothing to undo");
    check(&["pin", "zzz"], "no node is called “zzz”");
    check(&["move", "Rye 9", &id], "near it 0.md");
    check(&["move", "Rye 1", &domain], "of the level domain");
    check(&["merge", &id, &domain], "another level");
    check(&["split", &id, "--into", "4"], "cannot be split into 4");
    run(index, &["tree", "rename", &id, "Grains"]);
    check(&["undo", "7"], "there is no edit 7");
    let lock = WriterLock::take(index, "shas watch").expect("locks");
    check(&["pin", "grains"], "(shas watch); wait for it or stop it");
    drop(lock);
    let edits = index.join("edits.json");
    let whole = fs::read_to_string(&edits).expect("reads");
    fs::write(&edits, &whole[..whole.len() / 2]).expect("writes");
    check(&["pin", "grains"], "mend the file, or remove it");
    fs::write(&edits, whole).expect("writes");
    run(index, &["tree", "pin", "grains"]);
    let one = fs::remove_file(corpus.path().join("0.md"));
    one.expect("removes");
    run(index, &["index", &corpus.path().to_string_lossy()]);
    assert!(run(index, &["tree"]).contains("Grains * (2)"));
}
