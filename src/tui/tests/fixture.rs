//! Notes, indexed, under a tree that stays the same when the building of trees changes.

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

use tempfile::TempDir;

use crate::{
    ingest::{self, IndexOptions},
    model::Encoder,
    store::{Snapshot, SnapshotBody},
    tree::{Level, Node, Tree},
};

/// Notes of two subjects; the words of one note stand in no other.
pub const NOTES: [(&str, &str); 6] = [
    (
        "bread/Sourdough.md",
        "---\ntags: [bread]\n---\n# Sourdough\n\nA starter is flour and water that ferments. \
         Wild yeast raises it, bacteria sour it, and neither was put there by anybody: both came with \
         the grain, and with care they live together for decades in one jar.\n\n\
         ## Feeding\n\nFeed the starter every twelve hours with equal parts of rye flour and water. \
         It doubles in four hours at room temperature, and then it smells of apples and yoghurt; \
         a cold one takes a day, and a hungry one smells of paint thinner.\n\n## Baking\n\nBake the loaf at 240 °C in a \
         closed iron pot for forty minutes.\n",
    ),
    (
        "bread/Ciabatta.md",
        "# Ciabatta\n\nArnaldo Cavallari made the first ciabatta in 1982 near Venice. Its dough is \
         **very wet**, about 80% water.\n\n- fold it\n- [ ] do not knead it, see [[Sourdough]]\n",
    ),
    (
        "bread/Rye.md",
        "# Rye\n\nRye has little gluten, so its bread is dense. Pumpernickel bakes for a whole day.\n",
    ),
    (
        "stars/Neutron star.md",
        "# Neutron star\n\nA neutron star packs the mass of the sun into twenty kilometres. Jocelyn \
         Bell found the first pulsar in 1967.\n\n## Glitches\n\nNow and then a pulsar suddenly spins \
         faster, because its superfluid core couples to the crust.\n",
    ),
    (
        "stars/Red giant.md",
        "# Red giant\n\nA red giant burns helium in its core after its hydrogen is spent.\n",
    ),
    (
        "stars/二十八宿.md",
        "# 二十八宿\n\n二十八宿是中国古代天文学的星区，沿着月亮的路径排列。角宿是第一宿。\n",
    ),
];

/// An index that goes when it is dropped.
pub struct Fixture {
    pub corpus: PathBuf,
    pub index: PathBuf,
    _folder: TempDir,
}

/// Indexed once for all tests.
pub static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| fixture(&NOTES));

pub fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/model")
}

/// Indexes notes under the tree that is built of them.
pub fn indexed(notes: &[(&str, &str)]) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("notes");
    for (path, text) in notes {
        let path = corpus.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let index = folder.path().join("index");
    let encoder = Encoder::load(&model()).unwrap();
    ingest::index(&corpus, &index, &encoder, &IndexOptions::default(), &|_| {
        true
    })
    .unwrap();
    Fixture {
        corpus,
        index,
        _folder: folder,
    }
}

/// Indexes notes, a domain for each of their folders.
pub fn fixture(notes: &[(&str, &str)]) -> Fixture {
    let fixture = indexed(notes);
    let mut body = Snapshot::open(&fixture.index).unwrap().body;
    let mut nodes = Vec::new();
    for (first, folder, names) in [
        (0, "bread/", ["Baking", "Bread", "Dough and loaves"]),
        (3, "stars/", ["Astronomy", "Stars", "星, old and spent"]),
    ] {
        let documents = body.documents.iter();
        let below: Vec<u32> = documents
            .filter(|document| document.path.starts_with(folder))
            .map(|document| document.id)
            .collect();
        if below.is_empty() {
            continue;
        }
        let levels = [Level::Domain, Level::Category(1), Level::Entity];
        for ((id, level), name) in (first..).zip(levels).zip(names) {
            let mut node = node(id, level, id.checked_sub(1).filter(|_| id > first));
            node.name = name.to_owned();
            node.summary = format!("All about *{name}*.");
            node.n_documents = below.len() as u32;
            match level {
                Level::Entity => node.documents.clone_from(&below),
                _ => node.children = vec![id + 1],
            }
            nodes.push(node);
        }
    }
    body.tree = Tree::new(nodes);
    publish(&fixture.index, &body);
    fixture
}

/// The notes many times over, all on the same passages: ten to an entity, a hundred categories, one domain.
pub fn large(n_documents: usize) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    for part in ["segments", "text"] {
        std::fs::create_dir_all(folder.path().join(part)).unwrap();
        for entry in std::fs::read_dir(FIXTURE.index.join(part)).unwrap() {
            let entry = entry.unwrap();
            let copy = folder.path().join(part).join(entry.file_name());
            std::fs::copy(entry.path(), copy).unwrap();
        }
    }
    let small = Snapshot::open(&FIXTURE.index).unwrap().body;
    let mut body: SnapshotBody = SnapshotBody {
        corpus: small.corpus,
        segments: small.segments,
        ..SnapshotBody::default()
    };
    for id in 0..n_documents {
        let mut record = small.documents[id % NOTES.len()].clone();
        record.id = id as u32;
        record.title = format!("Note {id}");
        body.documents.push(record);
    }
    let entities = 1_000..1_000 + n_documents as u64 / 10;
    let mut domain = node(0, Level::Domain, None);
    domain.children = (1..=100).collect();
    body.tree.nodes.push(domain);
    for id in 1..=100 {
        let mut category = node(id, Level::Category(1), Some(0));
        category.children = entities
            .clone()
            .filter(|entity| entity % 100 + 1 == id)
            .collect();
        body.tree.nodes.push(category);
    }
    for (id, first) in entities.zip((0..).step_by(10)) {
        let mut entity = node(id, Level::Entity, Some(id % 100 + 1));
        entity.documents = (first..first + 10).collect();
        body.tree.nodes.push(entity);
    }
    publish(folder.path(), &body);
    Fixture {
        corpus: FIXTURE.corpus.clone(),
        index: folder.path().to_owned(),
        _folder: folder,
    }
}

fn node(id: u64, level: Level, parent: Option<u64>) -> Node {
    Node {
        id,
        level,
        name: format!("{level} {id}"),
        summary: String::new(),
        parent,
        children: Vec::new(),
        documents: Vec::new(),
        n_documents: 10,
        vector: Vec::new(),
    }
}

/// Replaces what is published, behind the header of the fixture's or its own.
fn publish(index: &Path, body: &SnapshotBody) {
    let own = index.join("snapshot");
    let header = match own.exists() {
        true => own.clone(),
        false => FIXTURE.index.join("snapshot"),
    };
    let content = postcard::to_stdvec(body).unwrap();
    // Magic and version, then the checksum of what follows.
    let mut bytes = std::fs::read(header).unwrap();
    bytes.truncate(12);
    bytes.extend(crc32fast::hash(&content).to_le_bytes());
    bytes.extend(content);
    std::fs::write(own, bytes).unwrap();
}
