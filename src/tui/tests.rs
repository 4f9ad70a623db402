//! The browser driven as a user does, on a screen in memory.

mod edits;
mod fixture;
mod ladder;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::{Terminal, backend::TestBackend};

use super::{
    TuiOptions,
    action::action_of,
    answer_pane::AnswerPane,
    app::{App, Effect, Focus},
    asking::Answered,
    bindings::BINDINGS,
    screen,
};
use crate::{
    answer::{Answer, AnswerText, Citation, Hit, Judgement, Kind},
    query::{Level, LevelAttention, NodeAttention, Target},
    store::Snapshot,
};
use fixture::{FIXTURE, Fixture, NOTES, fixture, model};

struct Browser {
    app: App,
    screen: Terminal<TestBackend>,
    last_effect: Option<Effect>,
}

impl Browser {
    fn open(width: u16, height: u16) -> Self {
        Self::open_with(&FIXTURE, model(), (width, height))
    }

    /// Without the joint reader, which takes seconds where nothing is optimised.
    fn open_with(fixture: &Fixture, model: PathBuf, (width, height): (u16, u16)) -> Self {
        let options = TuiOptions {
            index: fixture.index.clone(),
            model,
            editor: "vi".to_owned(),
            colour: true,
            fast: true,
        };
        let snapshot = Snapshot::open(&fixture.index).unwrap();
        let mut browser = Self {
            app: App::new(snapshot, &options).unwrap(),
            screen: Terminal::new(TestBackend::new(width, height)).unwrap(),
            last_effect: None,
        };
        browser.settle();
        browser
    }

    /// Waits for the threads, then draws.
    fn settle(&mut self) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            self.app.poll();
            if !self.app.busy() {
                break;
            }
            assert!(Instant::now() < until, "a thread does not reply");
            thread::sleep(Duration::from_millis(2));
        }
        self.draw();
    }

    fn draw(&mut self) {
        let app = &mut self.app;
        self.screen.draw(|frame| screen::draw(frame, app)).unwrap();
    }

    fn event(&mut self, event: Event) {
        if let Some(action) = action_of(&event, self.app.scope()) {
            self.last_effect = self.app.update(action);
        }
        self.settle();
    }

    fn press(&mut self, code: KeyCode) {
        self.event(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }

    fn keys(&mut self, keys: &str) {
        keys.chars().for_each(|key| self.press(KeyCode::Char(key)));
    }

    fn ask(&mut self, question: &str) {
        self.keys("/");
        self.event(Event::Paste(question.to_owned()));
        self.press(KeyCode::Enter);
    }

    fn mouse(&mut self, kind: MouseEventKind, column: u16, row: u16) {
        self.event(Event::Mouse(MouseEvent {
            kind,
            column,
            row,
            modifiers: KeyModifiers::NONE,
        }));
    }

    fn resize(&mut self, width: u16, height: u16) {
        self.screen.backend_mut().resize(width, height);
        self.draw();
    }

    fn rows(&self) -> Vec<String> {
        let view = self.screen.backend().to_string();
        let rows = view.lines().map(|row| row.split('"').nth(1).unwrap_or(""));
        rows.map(|row| row.trim_end().to_owned()).collect()
    }

    fn view(&self) -> String {
        self.rows().join("\n")
    }

    fn has(&self, text: &str) -> bool {
        self.rows().iter().any(|row| row.contains(text))
    }

    fn level(&self) -> Level {
        self.app
            .answer
            .as_ref()
            .unwrap()
            .answered
            .answer
            .answer
            .level
    }

    /// The name of the selected item of the tree.
    fn landed(&self) -> String {
        let item = self.app.tree.selected().unwrap();
        self.app.library.name(item).to_owned()
    }
}

#[test]
fn the_first_screen_shows_the_top_of_the_tree() {
    insta::assert_snapshot!(Browser::open(100, 24).view());
}

#[test]
fn a_question_lands_the_tree_and_shows_the_attention() {
    let mut browser = Browser::open(110, 34);
    browser.ask("Who made the first ciabatta?");
    assert_eq!(browser.app.focus(), Focus::Answer);
    assert_eq!(browser.landed(), "Ciabatta");
    for shown in [
        "1 domain",
        "6 passage",
        "Arnaldo Cavallari",
        "bread/Ciabatta.md:3",
        "Hits",
    ] {
        assert!(browser.has(shown), "{shown} is not on\n{}", browser.view());
    }
}

/// An answer that no ranking gave, so that its screen stays the same when ranking changes.
fn fixed_answer() -> Answered {
    let quote = "Arnaldo Cavallari made the first ciabatta in 1982 near Venice.";
    let citation = |line: usize, quote: &str| Citation {
        path: "bread/Ciabatta.md".to_owned(),
        line_start: line,
        line_end: line,
        byte_start: 12,
        byte_end: 12 + quote.len(),
        quote: quote.to_owned(),
        score: 1.0,
        ..Citation::default()
    };
    let weights = [0.01, 0.02, 0.07, 0.2, 0.3, 0.4];
    let levels = Level::ALL.into_iter().zip(weights);
    Answered {
        wanted: Some(Level::Document),
        answer: Answer {
            question: "Who made the first ciabatta?".to_owned(),
            levels: levels.clone().collect(),
            attention: Vec::new(),
            judgement: Judgement {
                supported: true,
                support: 0.9,
            },
            answer: AnswerText {
                text: quote.to_owned(),
                level: Level::Document,
                kind: Kind::Detail,
            },
            written: None,
            citations: vec![
                citation(3, quote),
                citation(3, &"Its dough is **very** wet. ".repeat(8)),
            ],
            hops: Vec::new(),
            ladder: Vec::new(),
            explanation: None,
            timings_ms: BTreeMap::new(),
        },
        levels: levels
            .map(|(level, weight)| LevelAttention {
                level,
                weight,
                nodes: vec![NodeAttention {
                    target: Target::Document(0),
                    share: 1.0,
                }],
            })
            .collect(),
        favoured: Some(Level::Passage),
        target: Some(Target::Document(0)),
        hits: vec![Hit {
            name: "二十八宿 › 角宿".to_owned(),
            document: 0,
            place: None,
            path: "stars/二十八宿.md".to_owned(),
            start: 0,
            line: 1,
            snippet: "二十八宿是中国古代天文学的星区，沿着月亮的路径排列。角宿是第一宿。"
                .to_owned(),
        }],
    }
}

#[test]
fn an_answer_stands_beside_its_attention_and_above_its_hits() {
    let mut browser = Browser::open(110, 34);
    browser.app.answer = Some(AnswerPane::new(fixed_answer()));
    browser.draw();
    insta::assert_snapshot!(browser.view());
    browser.resize(80, 40);
    insta::assert_snapshot!("a_narrow_answer", browser.view());
}

#[test]
fn a_key_answers_at_another_level() {
    let mut browser = Browser::open(110, 34);
    browser.ask("How often is a starter fed?");
    let favoured = browser.level();
    browser.keys("1");
    assert_eq!(browser.level(), Level::Domain);
    assert!(browser.has("Answer at the level of the domain"));
    assert_eq!(browser.landed(), "Baking");
    browser.keys("5");
    assert_eq!(browser.level(), Level::Section);
    assert_eq!(browser.landed(), "Feeding");
    browser.keys("[");
    assert_eq!(browser.level(), Level::Document);
    assert_eq!(browser.landed(), "Sourdough");
    browser.keys("]]");
    assert_eq!(browser.level(), Level::Passage);
    browser.keys("]");
    assert!(browser.has("no level beyond"));
    browser.keys("0");
    assert_eq!(browser.level(), favoured);
}

#[test]
fn citations_open_in_the_editor_and_hits_show_in_the_tree() {
    let mut browser = Browser::open(110, 40);
    browser.ask("What did Jocelyn Bell find?");
    browser.keys("j");
    browser.press(KeyCode::Enter);
    let file = FIXTURE.corpus.join("stars/Neutron star.md");
    assert_eq!(browser.last_effect, Some(Effect::Edit(file, 3)));
    browser.keys("y");
    assert_eq!(
        browser.last_effect,
        Some(Effect::Copy("stars/Neutron star.md:3".to_owned()))
    );
    browser.keys("Gt");
    assert_eq!(browser.app.focus(), Focus::Tree);
    assert!(browser.app.tree.selected().unwrap().document().is_some());
}

#[test]
fn items_open_and_close() {
    let mut browser = Browser::open(100, 30);
    browser.keys("gHL");
    assert!(browser.has("▸ Sourdough") && !browser.has("Feeding"));
    while browser.landed() != "Sourdough" {
        browser.keys("j");
    }
    browser.keys("l");
    assert!(browser.has("▾ Sourdough"));
    browser.keys("lj");
    assert_eq!(browser.landed(), "Baking");
    assert!(
        browser.has("Bake the loaf") && browser.has("line 12 of 14"),
        "{}",
        browser.view()
    );
    browser.keys("o");
    let file = FIXTURE.corpus.join("bread/Sourdough.md");
    assert_eq!(browser.last_effect, Some(Effect::Edit(file, 12)));
    browser.keys("h");
    assert_eq!(browser.landed(), "Sourdough");
    browser.keys("h");
    assert!(browser.has("▸ Sourdough"));
    browser.keys("H");
    assert!(!browser.has("Sourdough"));
}

#[test]
fn the_help_lists_every_binding() {
    let mut browser = Browser::open(120, 60);
    browser.keys("?");
    for binding in BINDINGS {
        let first: Vec<&str> = binding.help.split(' ').take(3).collect();
        let label = binding.keys[0].label();
        let row = format!("{} of {:?}", first.join(" "), label);
        assert!(
            browser.has(&first.join(" ")) && browser.has(&label),
            "{row} is missing"
        );
    }
    insta::assert_snapshot!(browser.view());
    browser.keys("?");
    assert!(!browser.has("Everywhere"));
}

#[test]
fn no_size_is_too_small() {
    let mut browser = Browser::open(80, 24);
    let sizes = [
        (1, 1),
        (2, 1),
        (1, 2),
        (3, 3),
        (5, 2),
        (9, 4),
        (16, 5),
        (20, 9),
        (63, 14),
        (64, 15),
        (300, 90),
    ];
    let walk = |browser: &mut Browser, keys: &str| {
        for (width, height) in sizes {
            browser.resize(width, height);
            browser.keys(keys);
            browser.mouse(MouseEventKind::ScrollDown, width / 2, height / 2);
            browser.mouse(
                MouseEventKind::Down(MouseButton::Left),
                width - 1,
                height - 1,
            );
        }
    };
    walk(&mut browser, "jljkhG");
    browser.ask("二十八宿");
    walk(&mut browser, "jjjGg");
    walk(&mut browser, "?jj?");
    for pane in [Focus::Tree, Focus::Answer, Focus::Preview] {
        while browser.app.focus() != pane {
            browser.press(KeyCode::Tab);
        }
        walk(&mut browser, "jGk");
    }
    browser.keys("/");
    walk(&mut browser, "a long question about 二十八宿");
    browser.press(KeyCode::Esc);
}

#[test]
fn a_low_and_narrow_screen_shows_what_has_the_focus() {
    let mut browser = Browser::open(40, 12);
    browser.keys("LG");
    insta::assert_snapshot!(browser.view());
}

#[test]
fn wide_characters_keep_the_columns() {
    let mut browser = Browser::open(70, 20);
    browser.keys("H");
    browser.ask("角宿");
    browser.keys("4");
    assert_eq!(browser.landed(), "二十八宿");
    let edges = |row: &String| row.ends_with(['│', '┃', '╮', '╯']);
    let rows = browser.rows();
    assert!(rows[..19].iter().all(edges), "{}", browser.view());
}

#[test]
fn the_mouse_selects_scrolls_and_opens() {
    let mut browser = Browser::open(100, 24);
    browser.keys("H");
    browser.mouse(MouseEventKind::Down(MouseButton::Left), 6, 4);
    assert!(browser.has("▾"), "{}", browser.view());
    browser.mouse(MouseEventKind::Down(MouseButton::Left), 6, 1);
    assert_eq!(browser.app.focus(), Focus::Query);
    browser.mouse(MouseEventKind::Down(MouseButton::Left), 80, 10);
    assert_eq!(browser.app.focus(), Focus::Preview);
}

#[test]
fn a_file_that_changed_or_went_is_told() {
    let fixture = fixture(&NOTES[..1]);
    let path = fixture.corpus.join("bread/Sourdough.md");
    let mut browser = Browser::open_with(&fixture, model(), (110, 30));
    std::fs::write(&path, "# Rye\n\nAnother text.\n").unwrap();
    browser.keys("L");
    while browser.landed() != "Sourdough" {
        browser.keys("j");
    }
    assert!(browser.has("has changed since it was indexed"));
    assert!(browser.has("Another text"));
    std::fs::remove_file(&path).unwrap();
    browser.app.reload();
    browser.settle();
    assert!(browser.has("cannot be read"));
    browser.keys("o");
    assert!(browser.has("is gone") && browser.last_effect.is_none());
}

#[test]
fn a_model_that_is_missing_is_told_and_the_tree_still_works() {
    let mut browser = Browser::open_with(&FIXTURE, PathBuf::from("/nowhere"), (100, 24));
    browser.ask("anything");
    assert!(browser.has("/nowhere"), "{}", browser.view());
    browser.keys("HL");
    assert!(browser.has("Ciabatta"));
    browser.keys("q");
    assert_eq!(browser.last_effect, Some(Effect::Quit));
}

#[test]
fn a_hundred_thousand_documents_are_walked_without_delay() {
    let large = fixture::large(100_000);
    let mut browser = Browser::open_with(&large, model(), (120, 40));
    let mut slowest = Duration::ZERO;
    for key in "LGgjhlHLGkkhHl".chars() {
        let event = Event::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE));
        let started = Instant::now();
        if let Some(action) = action_of(&event, browser.app.scope()) {
            browser.app.update(action);
        }
        browser.draw();
        slowest = slowest.max(started.elapsed());
    }
    println!("the slowest key took {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}
