//! The languages whose structure is read, and what their grammars call things.

use std::{ffi::OsStr, path::Path};

/// A language with a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Rust,
    Python,
    TypeScript,
    /// JavaScript as well: it is a part of this.
    Tsx,
    Go,
    /// C as well, as headers do not say which they are.
    Cpp,
    Java,
}

const ENDINGS: &[(Language, &[&str])] = &[
    (Language::Rust, &["rs"]),
    (Language::Python, &["py", "pyi"]),
    (Language::TypeScript, &["ts", "mts", "cts"]),
    (Language::Tsx, &["tsx", "jsx", "js", "mjs", "cjs"]),
    (Language::Go, &["go"]),
    (
        Language::Cpp,
        &[
            "c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx", "cu", "cuh",
        ],
    ),
    (Language::Java, &["java"]),
];

/// What a grammar calls the things that an outline is made of.
pub struct Kinds {
    /// Definitions that hold others.
    pub containers: &'static [&'static str],
    /// Definitions in which no others are looked for.
    pub leaves: &'static [&'static str],
    /// Nodes around a definition that belong to it.
    pub wrappers: &'static [&'static str],
    /// What stands before a definition and belongs to it.
    pub preludes: &'static [&'static str],
    pub imports: &'static [&'static str],
}

impl Language {
    pub fn by_name(path: &Path) -> Option<Self> {
        let ending = path.extension().and_then(OsStr::to_str)?.to_lowercase();
        let own = ENDINGS
            .iter()
            .find(|(_, endings)| endings.contains(&ending.as_str()));
        own.map(|(language, _)| *language)
    }

    pub fn grammar(self) -> tree_sitter::Language {
        match self {
            Self::Rust => tree_sitter_rust::LANGUAGE,
            Self::Python => tree_sitter_python::LANGUAGE,
            Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
            Self::Tsx => tree_sitter_typescript::LANGUAGE_TSX,
            Self::Go => tree_sitter_go::LANGUAGE,
            Self::Cpp => tree_sitter_cpp::LANGUAGE,
            Self::Java => tree_sitter_java::LANGUAGE,
        }
        .into()
    }

    pub fn kinds(self) -> &'static Kinds {
        match self {
            Self::Rust => &RUST,
            Self::Python => &PYTHON,
            Self::TypeScript | Self::Tsx => &TYPESCRIPT,
            Self::Go => &GO,
            Self::Cpp => &CPP,
            Self::Java => &JAVA,
        }
    }
}

const RUST: Kinds = Kinds {
    containers: &["mod_item", "impl_item", "trait_item"],
    leaves: &[
        "function_item",
        "function_signature_item",
        "struct_item",
        "enum_item",
        "union_item",
        "macro_definition",
    ],
    wrappers: &[],
    preludes: &["line_comment", "block_comment", "attribute_item"],
    imports: &["use_declaration", "mod_item"],
};

const PYTHON: Kinds = Kinds {
    containers: &["class_definition"],
    leaves: &["function_definition"],
    wrappers: &["decorated_definition"],
    preludes: &["comment"],
    imports: &["import_statement", "import_from_statement"],
};

const TYPESCRIPT: Kinds = Kinds {
    containers: &[
        "class_declaration",
        "abstract_class_declaration",
        "internal_module",
        "module",
    ],
    leaves: &[
        "function_declaration",
        "generator_function_declaration",
        "method_definition",
        "interface_declaration",
        "type_alias_declaration",
        "enum_declaration",
        "variable_declarator",
    ],
    wrappers: &[
        "export_statement",
        "lexical_declaration",
        "variable_declaration",
        "ambient_declaration",
        "expression_statement",
    ],
    preludes: &["comment", "decorator"],
    imports: &["import_statement", "export_statement", "call_expression"],
};

const GO: Kinds = Kinds {
    containers: &[],
    leaves: &["function_declaration", "method_declaration", "type_spec"],
    wrappers: &["type_declaration"],
    preludes: &["comment"],
    imports: &["import_spec"],
};

const CPP: Kinds = Kinds {
    containers: &[
        "namespace_definition",
        "class_specifier",
        "struct_specifier",
    ],
    leaves: &[
        "function_definition",
        "enum_specifier",
        "union_specifier",
        "concept_definition",
    ],
    wrappers: &["template_declaration", "type_definition", "declaration"],
    preludes: &["comment"],
    imports: &["preproc_include"],
};

const JAVA: Kinds = Kinds {
    containers: &[
        "class_declaration",
        "interface_declaration",
        "enum_declaration",
        "record_declaration",
        "annotation_type_declaration",
    ],
    leaves: &["method_declaration", "constructor_declaration"],
    wrappers: &[],
    preludes: &["line_comment", "block_comment"],
    imports: &["import_declaration"],
};
