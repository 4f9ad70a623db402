//! Notes of links: a node that holds what one of them lists is named after it.

use std::collections::HashMap;

use super::{Edge, TreeDocument};

/// Titles of start pages, which list everything and name nothing.
const START_PAGES: [&str; 12] = [
    "home",
    "index",
    "start",
    "start here",
    "readme",
    "welcome",
    "contents",
    "table of contents",
    "moc",
    "map of content",
    "dashboard",
    "main page",
];

/// The index notes of a document, those that link to it and itself, and of how many documents each of them is one.
#[derive(Default)]
pub struct IndexNotes {
    notes: HashMap<usize, Vec<usize>>,
    sizes: HashMap<usize, usize>,
}

impl IndexNotes {
    pub fn new(documents: &[TreeDocument], links: &[Edge]) -> Self {
        let mut notes = Self::default();
        let own = (0..documents.len()).map(|own| (own, own));
        let links = links.iter().map(|link| (link.from, link.to));
        for (note, document) in own.chain(links) {
            let title = documents[note].title.to_lowercase();
            if documents[note].is_index && !START_PAGES.contains(&title.as_str()) {
                notes.notes.entry(document).or_default().push(note);
                *notes.sizes.entry(note).or_default() += 1;
            }
        }
        notes
    }

    /// The note whose documents are most nearly these; none where it has few of them, or many others.
    pub fn of(&self, members: &[usize]) -> Option<usize> {
        let mut shared: HashMap<usize, usize> = HashMap::new();
        let notes = members.iter().filter_map(|own| self.notes.get(own));
        for &note in notes.flatten() {
            *shared.entry(note).or_default() += 1;
        }
        let fits = shared.into_iter().filter_map(|(note, shared)| {
            let size = self.sizes[&note];
            let is_map = 2 * shared > members.len() && 2 * shared > size;
            is_map.then(|| (shared as f32 / (members.len() + size) as f32, note))
        });
        let best = fits.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        best.map(|(_, note)| note)
    }
}
