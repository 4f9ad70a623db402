//! The tree edited by keys.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::{
    Browser,
    fixture::{NOTES, indexed},
    model,
};
use crate::{store::doctor, tree::Level, tui::library::Item};

fn entities(browser: &Browser) -> usize {
    let nodes = browser.app.library.snapshot.body.tree.nodes.iter();
    nodes.filter(|node| node.level == Level::Entity).count()
}

/// Moves down to the next entity.
fn to_next_entity(browser: &mut Browser) {
    for _ in 0..30 {
        browser.keys("j");
        if let Some(Item::Node(index)) = browser.app.tree.selected()
            && browser.app.library.node(index).level == Level::Entity
        {
            return;
        }
    }
    panic!("no entity below\n{}", browser.view());
}

#[test]
fn keys_edit_the_tree_and_take_it_back() {
    let fixture = indexed(&NOTES);
    let mut browser = Browser::open_with(&fixture, model(), (130, 40));
    browser.keys("gL");
    let before = browser.app.library.snapshot.body.tree.clone();
    browser.keys("r");
    assert!(browser.has("A new name") && browser.has(&before.nodes[0].name));
    browser.press(KeyCode::Esc);
    browser.keys("r");
    let clear = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
    browser.event(Event::Key(clear));
    browser.event(Event::Paste("All of it".to_owned()));
    browser.press(KeyCode::Enter);
    assert!(browser.has("All of it *"), "{}", browser.view());
    assert!(browser.has("Edit 1: rename"), "{}", browser.view());
    assert_eq!(browser.landed(), "All of it");

    to_next_entity(&mut browser);
    browser.keys("M");
    assert!(browser.has("with m first"), "{}", browser.view());
    let count = entities(&browser);
    browser.keys("s");
    assert!(browser.has("Edit 2: split"), "{}", browser.view());
    assert_eq!(entities(&browser), count + 1);
    browser.keys("p");
    assert!(browser.has("Edit 3: pin"), "{}", browser.view());
    browser.keys("p");
    assert!(browser.has("is pinned already"), "{}", browser.view());
    browser.keys("u");
    assert!(browser.has("Taken back: pin"), "{}", browser.view());

    browser.keys("gj");
    to_next_entity(&mut browser);
    browser.keys("Lm");
    to_next_entity(&mut browser);
    browser.keys("M");
    assert!(browser.has("Edit 3: merge"), "{}", browser.view());
    assert_eq!(entities(&browser), count);
    browser.keys("uuu");
    assert!(browser.has("Taken back: rename"), "{}", browser.view());
    let names = |tree: &crate::tree::Tree| -> Vec<(u64, String, u32)> {
        let nodes = tree.nodes.iter();
        nodes
            .map(|node| (node.id, node.name.clone(), node.n_documents))
            .collect()
    };
    let after = &browser.app.library.snapshot.body.tree;
    assert_eq!(names(after), names(&before));
    browser.keys("u");
    assert!(browser.has("nothing to undo"), "{}", browser.view());
    let findings = doctor::examine(&fixture.index).unwrap();
    assert!(findings.iter().all(|own| !own.is_damage), "{findings:?}");
    browser.ask("Who made the first ciabatta?");
    assert_eq!(browser.landed(), "Ciabatta");
}
