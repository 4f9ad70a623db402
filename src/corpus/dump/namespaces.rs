//! What the part of a title before its colon means in one wiki.

use std::collections::HashMap;

/// Where a title leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    Article,
    Category,
    /// A picture, a recording or a film, or the page about one.
    File,
    /// A page of the same wiki that is no article, or a page of a sister project.
    Other,
    /// The same article in another language.
    Language,
}

/// Names that every wiki knows besides its own.
const CANONICAL: &[(Namespace, &[&str])] = &[
    (Namespace::Category, &["category"]),
    (Namespace::File, &["file", "image", "media"]),
    (
        Namespace::Other,
        &[
            "special",
            "talk",
            "user",
            "user talk",
            "project",
            "project talk",
            "wikipedia",
            "wikipedia talk",
            "wp",
            "file talk",
            "mediawiki",
            "mediawiki talk",
            "template",
            "template talk",
            "help",
            "help talk",
            "category talk",
            "portal",
            "portal talk",
            "draft",
            "module",
            "timedtext",
            // Sister projects.
            "w",
            "wikt",
            "wiktionary",
            "s",
            "wikisource",
            "q",
            "wikiquote",
            "b",
            "wikibooks",
            "n",
            "wikinews",
            "v",
            "wikiversity",
            "voy",
            "wikivoyage",
            "d",
            "wikidata",
            "c",
            "commons",
            "m",
            "meta",
            "mw",
            "species",
            "wikispecies",
            "phab",
            "doi",
            "arxiv",
            "rfc",
        ],
    ),
];
/// Names in large wikis: dumps that are put together from several wikis carry the namespaces of one of them.
const LOCAL: &[(Namespace, &[&str])] = &[
    (
        Namespace::Category,
        &[
            "kategorie",
            "catégorie",
            "categoría",
            "categoria",
            "categorie",
            "kategoria",
            "kategori",
            "kategória",
            "kategorija",
            "категория",
            "категорія",
            "カテゴリ",
            "分类",
            "分類",
            "분류",
            "تصنيف",
            "קטגוריה",
            "κατηγορία",
            "luokka",
            "thể loại",
        ],
    ),
    (
        Namespace::File,
        &[
            "datei",
            "bild",
            "fichier",
            "archivo",
            "imagen",
            "immagine",
            "ficheiro",
            "imagem",
            "bestand",
            "afbeelding",
            "plik",
            "grafika",
            "fil",
            "soubor",
            "tiedosto",
            "kuva",
            "файл",
            "изображение",
            "зображення",
            "ファイル",
            "画像",
            "文件",
            "檔案",
            "图像",
            "圖像",
            "파일",
            "ملف",
            "קובץ",
            "αρχείο",
            "tập tin",
        ],
    ),
];
/// Codes of languages that do not look like one.
const LANGUAGES: &[&str] = &["simple", "nah", "tokipona"];
/// Endings of files; a name before a colon and one of these is a file in whatever language.
const FILE_ENDINGS: &[&str] = &[
    ".jpg", ".jpeg", ".png", ".svg", ".gif", ".tif", ".tiff", ".webp", ".ogg", ".ogv", ".oga",
    ".webm", ".mp3", ".wav", ".djvu",
];

/// The names of one wiki's namespaces, lower case.
#[derive(Debug, Clone)]
pub(super) struct Namespaces(HashMap<String, Namespace>);

impl Default for Namespaces {
    fn default() -> Self {
        let mut names = HashMap::new();
        for (namespace, own) in LOCAL.iter().chain(CANONICAL) {
            names.extend(own.iter().map(|name| ((*name).to_owned(), *namespace)));
        }
        Self(names)
    }
}

impl Namespaces {
    /// Adds a namespace as `<siteinfo>` has it: its number and its name in the wiki's language.
    pub fn insert(&mut self, number: i32, name: &str) {
        let namespace = match number {
            0 => return,
            14 => Namespace::Category,
            -2 | 6 => Namespace::File,
            _ => Namespace::Other,
        };
        self.0.insert(normal(name), namespace);
    }

    /// Where `title`, without a leading colon, leads.
    pub fn of(&self, title: &str) -> Namespace {
        let Some((prefix, rest)) = title.split_once(':') else {
            return Namespace::Article;
        };
        // No name is as long; so a title is looked at in constant time.
        if prefix.len() > 64 {
            return Namespace::Article;
        }
        if let Some(known) = self.0.get(&normal(prefix)) {
            return *known;
        }
        if is_language(prefix.trim()) {
            return Namespace::Language;
        }
        let start = rest.ceil_char_boundary(rest.len().saturating_sub(5));
        let ending = rest[start..].trim_end().to_lowercase();
        match FILE_ENDINGS.iter().any(|own| ending.ends_with(own)) {
            true => Namespace::File,
            false => Namespace::Article,
        }
    }
}

fn normal(name: &str) -> String {
    name.trim().replace('_', " ").to_lowercase()
}

/// `de`, `als`, `zh-min-nan`: how links to other languages begin.
fn is_language(prefix: &str) -> bool {
    let mut parts = prefix.split('-');
    let is_code = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    let first = parts.next().unwrap_or("");
    let like_code = first.len() >= 2 && is_code(first, 3) && parts.all(|part| is_code(part, 10));
    like_code || LANGUAGES.contains(&prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_lead_where_the_wiki_says() {
        let mut names = Namespaces::default();
        names.insert(14, "Kategoreja");
        names.insert(6, "Fails");
        names.insert(2, "Lītuotuojs");
        let check = |title: &str, expected: Namespace| {
            assert_eq!(names.of(title), expected, "{title}");
        };
        check("Reiga", Namespace::Article);
        check("Kategoreja:Latgola", Namespace::Category);
        check("category :Latgola", Namespace::Category);
        check("Fails:Reiga.jpg", Namespace::File);
        check("Image:Reiga", Namespace::File);
        check("Attēls:Reiga.JPG", Namespace::File);
        check("lītuotuojs:Kas", Namespace::Other);
        check("User_talk:Kas", Namespace::Other);
        check("wikt:word", Namespace::Other);
        check("lv:Rīga", Namespace::Language);
        check("zh-min-nan:Rīga", Namespace::Language);
        check("Star Trek: Picard", Namespace::Article);
        check("2001: A Space Odyssey", Namespace::Article);
    }
}
