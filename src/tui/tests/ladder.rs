//! An answer as a ladder, and one that little speaks for.

use super::{Browser, fixed_answer};
use crate::{
    answer::{Depth, Place, Rung},
    tui::{answer_pane::AnswerPane, asking::Answered},
};

/// The fixed answer as a ladder down to its sentence.
fn fixed_ladder() -> Answered {
    let mut answered = fixed_answer();
    let place = |title: &str| Place {
        title: title.to_owned(),
        path: format!("bread/{title}.md"),
    };
    let node = |depth: Depth, name: &str, count: u32| Rung {
        depth,
        name: name.to_owned(),
        text: format!("All about *{name}*."),
        documents: vec![place("Ciabatta"), place("Sourdough")],
        n_documents: Some(count),
        citation: None,
    };
    let cited = |depth: Depth| Rung {
        depth,
        name: "Ciabatta".to_owned(),
        text: answered.answer.citations[0].quote.clone(),
        documents: Vec::new(),
        n_documents: None,
        citation: Some(answered.answer.citations[0].clone()),
    };
    answered.answer.ladder = vec![
        node(Depth::Domain, "Baking", 40),
        node(Depth::Category, "Bread", 12),
        node(Depth::Entity, "Dough and loaves", 3),
        cited(Depth::Document),
        cited(Depth::Sentence),
    ];
    answered
}

#[test]
fn a_ladder_leads_from_overview_to_sentence() {
    let mut browser = Browser::open(110, 40);
    browser.app.answer = Some(AnswerPane::new(fixed_ladder()));
    browser.draw();
    insta::assert_snapshot!(browser.view());
    browser.resize(60, 40);
    insta::assert_snapshot!("a_narrow_ladder", browser.view());
}

#[test]
fn an_answer_without_support_says_so() {
    let mut browser = Browser::open(110, 34);
    let mut answered = fixed_answer();
    answered.answer.judgement.supported = false;
    browser.app.answer = Some(AnswerPane::new(answered));
    browser.draw();
    assert!(
        browser.has("This corpus does not seem to answer"),
        "{}",
        browser.view()
    );
}

#[test]
fn a_key_goes_down_the_ladder() {
    let mut browser = Browser::open(110, 40);
    browser.keys("d");
    assert!(browser.has("Ladders are of an answer"));
    browser.ask("Who made the first ciabatta?");
    assert!(!browser.has("Answer down to"));
    for depth in Depth::ALL {
        browser.keys("d");
        assert!(
            browser.has(&format!("Answer down to the {}", depth.name())),
            "{}",
            browser.view()
        );
        assert!(browser.has("domain Baking"), "{}", browser.view());
    }
    assert!(browser.has("sentence Ciabatta"));
    browser.keys("d");
    assert!(!browser.has("Answer down to"));
}
