//! How good is the tree? Here is a gold taxonomy, gimme its [`TreeReport`].
//!
//! The knowledge tree and what others make of the same vectors are compared with the classes at every depth of the
//! taxonomy, cut at their number. Each is made twice: of the model's vectors alone, and of these beside the lexical
//! ones. No class is seen while groups are made or cut.

mod agreement;
mod baselines;
mod concepts;
mod gold;
mod hierarchy;
mod names;
mod nested;
mod vectors;

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use serde::Serialize;

use self::{agreement::Agreement, gold::Gold, hierarchy::Hierarchy};
use super::EvalError;
use crate::{
    corpus::Document,
    ingest::{Event, Progress},
    model::{PassageEncoder, abstraction::AbstractionHead},
    tree::{self, Contents, Tree, TreeDocument, TreeOptions},
};

pub use concepts::ConceptReport;
pub use names::NamesOfLevel;
pub use vectors::{encode as document_vectors, of_names as name_vectors};

/// How a tree is judged.
#[derive(Debug, Clone, Default)]
pub struct TreeEvalOptions {
    /// A folder where vectors are kept.
    pub cache: Option<PathBuf>,
    /// Judge so many documents, drawn with a seed.
    pub limit: Option<usize>,
    /// The model's, or the mean.
    pub head: AbstractionHead,
}

/// The figures of one gold set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TreeReport {
    pub set: String,
    pub n_documents: usize,
    /// Classes at each depth, from the broadest.
    pub n_classes: Vec<usize>,
    pub systems: Vec<SystemReport>,
    /// Names of the knowledge tree over both kinds of vectors.
    pub names: Vec<NamesOfLevel>,
    /// What vectors of nodes made of the classes tell.
    pub concepts: Vec<ConceptReport>,
}

/// The figures of one way to group documents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SystemReport {
    pub system: &'static str,
    pub vectors: &'static str,
    pub depths: Vec<DepthReport>,
    /// None where groups are not nested.
    pub hierarchical_f1: Option<f64>,
    /// The same where nodes of many parts are read as nodes of two, as those of the peers are.
    pub binary_hierarchical_f1: Option<f64>,
}

/// The figures at one depth of the taxonomy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DepthReport {
    #[serde(flatten)]
    pub agreement: Agreement,
    /// None where groups are not nested.
    pub dendrogram_purity: Option<f64>,
    /// As above, of nodes of two.
    pub binary_dendrogram_purity: Option<f64>,
}

/// Judges the trees over the set in `folder`; `progress` hears of documents encoded.
///
/// # Errors
/// When the set cannot be read, the model fails, or vectors cannot be kept.
pub fn evaluate_tree(
    folder: &Path,
    encoder: &dyn PassageEncoder,
    options: &TreeEvalOptions,
    progress: Progress,
) -> Result<TreeReport, EvalError> {
    let gold = gold::read(folder, options.limit)?;
    let set = folder.file_name().unwrap_or_default();
    let set = set.to_string_lossy().into_owned();
    let kept = options
        .cache
        .as_ref()
        .map(|folder| vectors::file(folder, &set, &gold.documents, encoder.fingerprint()));
    let model = match kept.as_deref().and_then(vectors::load) {
        Some(model) => model,
        None => vectors::encode(&gold.documents, encoder, progress)?,
    };
    progress(Event::Organising);
    let seed = TreeOptions::default().seed;
    let contents = GoldContents {
        documents: &gold.documents,
        vectors: &model,
    };
    let documents = contents.tree_documents();
    let joint = tree::joint_vectors(&documents, seed);
    if let Some(path) = &kept {
        vectors::save(path, &gold.documents, &model, &joint)?;
    }
    // Without words the tree has nothing but the model's vectors.
    let wordless = gold.documents.iter().map(|document| Document {
        path: document.path.clone(),
        ..Document::default()
    });
    let wordless: Vec<Document> = wordless.collect();
    let wordless = GoldContents {
        documents: &wordless,
        vectors: &model,
    };
    let wordless = build(&wordless.tree_documents());
    let built = build(&documents);
    let mut systems = judged("model", &wordless, &model, &gold);
    systems.extend(judged("model + lexical", &built, &joint, &gold));
    Ok(TreeReport {
        set,
        n_documents: gold.documents.len(),
        n_classes: gold.depths.iter().map(|own| own.classes.len()).collect(),
        systems,
        names: names::judge(&built, &gold.depths),
        concepts: concepts::judge(&gold, &model, encoder, options.head)?,
    })
}

fn build(documents: &[TreeDocument]) -> Tree {
    tree::build(documents, &[], &TreeOptions::default())
}

/// Documents as the tree is told them; their ids are their numbers.
struct GoldContents<'a> {
    documents: &'a [Document],
    vectors: &'a [Vec<f32>],
}

impl GoldContents<'_> {
    fn tree_documents(&self) -> Vec<TreeDocument<'_>> {
        let documents = self.documents.iter().zip(0..);
        let documents = documents.map(|(document, id)| TreeDocument {
            id,
            title: &document.title,
            tags: &document.tags,
            is_index: false,
            path: &document.path,
            contents: self,
        });
        documents.collect()
    }
}

impl Contents for GoldContents<'_> {
    fn text(&self, id: u32) -> Cow<'_, str> {
        Cow::Borrowed(&self.documents[id as usize].text)
    }

    fn vector(&self, id: u32) -> Cow<'_, [f32]> {
        Cow::Borrowed(&self.vectors[id as usize])
    }
}

/// The knowledge tree and its peers on one kind of vectors.
fn judged(kind: &'static str, tree: &Tree, vectors: &[Vec<f32>], gold: &Gold) -> Vec<SystemReport> {
    let seed = TreeOptions::default().seed;
    let own = Hierarchy::of(tree);
    let random = own.shuffled(seed);
    let nested = [
        ("shas", own),
        ("average-link", baselines::average_link(vectors)),
        ("bisecting", baselines::bisecting(vectors, seed)),
        ("random", random),
    ];
    let mut systems: Vec<SystemReport> = nested
        .iter()
        .map(|(system, hierarchy)| SystemReport {
            system,
            vectors: kind,
            ..of_hierarchy(hierarchy, vectors, gold)
        })
        .collect();
    let flat = gold.depths.iter().map(|depth| {
        let groups = baselines::flat(vectors, depth.classes.len(), seed);
        DepthReport {
            agreement: Agreement::of(&groups, &depth.of),
            dendrogram_purity: None,
            binary_dendrogram_purity: None,
        }
    });
    let flat = SystemReport {
        system: "k-means",
        vectors: kind,
        depths: flat.collect(),
        hierarchical_f1: None,
        binary_hierarchical_f1: None,
    };
    systems.insert(systems.len() - 1, flat);
    systems
}

fn of_hierarchy(hierarchy: &Hierarchy, vectors: &[Vec<f32>], gold: &Gold) -> SystemReport {
    let binary = hierarchy.binary(vectors);
    let depths = gold.depths.iter().map(|depth| {
        let groups = binary.cut(vectors, depth.classes.len());
        DepthReport {
            agreement: Agreement::of(&groups, &depth.of),
            dendrogram_purity: Some(nested::dendrogram_purity(hierarchy, depth)),
            binary_dendrogram_purity: Some(nested::dendrogram_purity(&binary, depth)),
        }
    });
    SystemReport {
        system: "",
        vectors: "",
        depths: depths.collect(),
        hierarchical_f1: Some(nested::hierarchical_f1(hierarchy, &gold.depths)),
        binary_hierarchical_f1: Some(nested::hierarchical_f1(&binary, &gold.depths)),
    }
}
