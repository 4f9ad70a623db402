//! One frame of the whole screen.

use ratatui::{Frame, buffer::Buffer, layout::Position};

use super::{
    app::{App, Focus},
    frame, pages, status_line,
    tree_pane::Look,
};

/// Draws everything.
pub fn draw(screen: &mut Frame, app: &mut App) {
    app.area = screen.area();
    let buffer = screen.buffer_mut();
    let cursor = draw_query(app, buffer);
    draw_tree(app, buffer);
    draw_answer(app, buffer);
    draw_preview(app, buffer);
    let areas = app.areas();
    status_line::draw(&app.notice(), app.scope(), areas.status, buffer, &app.theme);
    match (&mut app.help, cursor) {
        (Some(help), _) => help.draw(app.area, buffer, &app.theme),
        (None, Some(cursor)) => screen.set_cursor_position(cursor),
        (None, None) => {}
    }
}

fn draw_query(app: &App, buffer: &mut Buffer) -> Option<Position> {
    let body = &app.library.snapshot.body;
    let name = body.corpus.file_name().unwrap_or(body.corpus.as_os_str());
    let frame = frame::Frame {
        title: match app.naming() {
            Some(_) => "A new name".to_owned(),
            None => format!("SHAS · {}", name.to_string_lossy()),
        },
        note: format!(
            "{} · {}",
            pages::counted(body.documents.len(), "document"),
            pages::counted(app.library.snapshot.n_passages(), "passage"),
        ),
        focused: app.focus() == Focus::Query,
        low: true,
    };
    let inner = frame::draw(&frame, app.areas().query, buffer, &app.theme);
    let line = app.naming().unwrap_or(&app.query);
    line.draw(inner, buffer, &app.theme, frame.focused)
}

fn draw_tree(app: &mut App, buffer: &mut Buffer) {
    let area = app.areas().tree;
    let focused = matches!(app.focus(), Focus::Tree);
    let frame = frame::Frame {
        title: "Tree".to_owned(),
        note: "documents".to_owned(),
        focused,
        low: false,
    };
    let inner = frame::draw(&frame, area, buffer, &app.theme);
    let look = Look {
        library: &app.library,
        theme: &app.theme,
        marked: app.marked(),
        focused,
    };
    app.tree.draw(inner, buffer, &look);
}

fn draw_answer(app: &mut App, buffer: &mut Buffer) {
    let area = app.areas().answer;
    let focused = app.focus() == Focus::Answer;
    let Some(answer) = app.answer.as_mut().filter(|_| !area.is_empty()) else {
        return;
    };
    let frame = frame::Frame {
        title: answer.title(),
        note: String::new(),
        focused,
        low: false,
    };
    let inner = frame::draw(&frame, area, buffer, &app.theme);
    answer.draw(inner, buffer, &app.theme, focused);
}

fn draw_preview(app: &mut App, buffer: &mut Buffer) {
    let area = app.areas().preview;
    let (title, note) = app.preview.titles(&app.library);
    let frame = frame::Frame {
        title,
        note,
        focused: app.focus() == Focus::Preview,
        low: false,
    };
    let inner = frame::draw(&frame, area, buffer, &app.theme);
    app.preview.draw(inner, buffer, &app.theme, frame.focused);
}
