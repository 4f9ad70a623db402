//! A small vault as people keep one: every link whose note exists leads to it.

use std::{fs, path::Path};

use shas::corpus::{Document, LinkResolver, read};

const NOTES: &[(&str, &str)] = &[
    (
        "Home.md",
        "---\nup: \"[[Food/Index]]\"\nrelated:\n  - \"[[Rye|dark]]\"\n---\n# Home\n\n[[Rye]] [[rye#Flour]] [[Rye^id]] \
         ![[Rye#^a1|shown]] [[Food/Rye.md]] [[Loaf]]\n\n| a |\n|---|\n| [[Rye\\|cell]] |\n\n> [!note] Callout\n> [[Café]]\n\n\
         Foot[^1].\n\n[^1]: See [[Week.canvas]].\n\n- [ ] [[Old Bread]]\n\n`[[no]]` %%[[Hidden]]%% [[Nowhere]] ![[picture.png]]\n",
    ),
    (
        "Food/Index.md",
        "[a](Rye.md) [b](<Old Bread.md>) [c](Old%20Bread.md#Part) [d](../Home.md) [e](../Home)",
    ),
    (
        "Food/Rye.md",
        "---\naliases: Loaf, Brot\n---\n## Flour\n\nRye. ^a1",
    ),
    (
        "Food/Old Bread.md",
        "[[Brot]] [[#Part]]\n\n# Part\n\n[[../Home]]",
    ),
    ("Cafe\u{301}.md", "[[caf\u{e9}]]"),
    (
        "Week.canvas",
        r#"{"nodes":[{"type":"text","text":"[[Home]]"},{"type":"file","file":"Food/Rye.md"}]}"#,
    ),
    ("Hidden.md", "Nothing links here."),
];

fn vault(folder: &Path) -> Vec<Document> {
    for (path, text) in NOTES {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("has a folder")).expect("creates");
        fs::write(path, text).expect("writes");
    }
    let documents = read(folder).expect("opens");
    documents.map(|own| own.expect("reads")).collect()
}

#[test]
fn links_whose_note_exists_lead_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let documents = vault(folder.path());
    let resolver = LinkResolver::new(&documents);
    let check = |path: &str, expected: &[&str]| {
        let document = documents.iter().find(|own| own.path == path).expect(path);
        let found = document.links.iter().map(|link| {
            let target = resolver.resolve(path, link);
            target.map_or("-", |target| documents[target as usize].path.as_str())
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{path}");
    };
    let rye = "Food/Rye.md";
    check(
        "Home.md",
        &[
            rye,
            rye,
            "-",
            rye,
            rye,
            rye,
            rye,
            "Cafe\u{301}.md",
            "Week.canvas",
            "Food/Old Bread.md",
            "-",
            "-",
            "Food/Index.md",
            rye,
        ],
    );
    check(
        "Food/Index.md",
        &[
            rye,
            "Food/Old Bread.md",
            "Food/Old Bread.md",
            "Home.md",
            "Home.md",
        ],
    );
    check("Food/Old Bread.md", &[rye, "Food/Old Bread.md", "Home.md"]);
    check("Cafe\u{301}.md", &["Cafe\u{301}.md"]);
    check("Week.canvas", &["Home.md", rye]);
}
