//! Questions on their own thread: the model is loaded there, and the last ranking kept for another level.

use std::{path::PathBuf, sync::Arc};

use super::{library::Library, worker::Worker};
use crate::{
    answer::{self, Answer, AnswerOptions, Hit},
    model::Encoder,
    query::{self, Level, LevelAttention, Ranking, Target},
};

/// Documents listed under an answer.
const HITS: usize = 12;

/// What the thread is asked.
pub enum Request {
    /// To load the model.
    Load,
    /// A question to a library, and how its answer is wanted.
    Question(Arc<Library>, String, AnswerOptions),
}

/// What the thread replies.
pub enum Reply {
    Loaded,
    Answered(Box<Answered>),
    /// A sentence that says what failed.
    Failed(String),
}

/// An answer with all that is shown of it.
pub struct Answered {
    /// The level that was asked for.
    pub wanted: Option<Level>,
    pub answer: Answer,
    /// Those that it could be answered at, broadest first.
    pub levels: Vec<LevelAttention>,
    /// The level that the attention favours.
    pub favoured: Option<Level>,
    /// Where the answer's level looks.
    pub target: Option<Target>,
    /// The best passage of each of the best documents, best first.
    pub hits: Vec<Hit>,
}

/// Starts the thread that answers, without the joint reader where it is to be `fast`, and has it load the model from the
/// folder `model`.
pub fn spawn(model: PathBuf, fast: bool) -> std::io::Result<Worker<Request, Reply>> {
    let mut encoder: Option<Encoder> = None;
    let mut last: Option<Last> = None;
    let mut worker = Worker::spawn("answers", move |request| {
        let loaded = match encoder.take() {
            Some(loaded) => loaded,
            None => match Encoder::load(&model) {
                Ok(loaded) => loaded,
                Err(error) => return Reply::Failed(error.to_string()),
            },
        };
        let encoder = encoder.insert(loaded);
        match request {
            Request::Load => Reply::Loaded,
            Request::Question(library, question, options) => {
                match answered(library, encoder, fast, &mut last, (question, &options)) {
                    Ok(answered) => Reply::Answered(Box::new(answered)),
                    Err(error) => Reply::Failed(error.to_string()),
                }
            }
        }
    })?;
    worker.ask(Request::Load);
    Ok(worker)
}

/// What was asked last, of which library, and its ranking.
struct Last {
    library: Arc<Library>,
    question: String,
    ranking: Ranking,
}

fn answered(
    library: Arc<Library>,
    encoder: &Encoder,
    fast: bool,
    last: &mut Option<Last>,
    (question, options): (String, &AnswerOptions),
) -> Result<Answered, query::QueryError> {
    let snapshot = &library.snapshot;
    let asked = query::Question::parse(&question);
    let ranking = match last.take() {
        Some(last) if last.question == question && Arc::ptr_eq(&last.library, &library) => {
            last.ranking
        }
        _ => query::rank(snapshot, encoder, &asked, &encoder.fusion(fast))?,
    };
    let Last {
        library, ranking, ..
    } = last.insert(Last {
        library: Arc::clone(&library),
        question,
        ranking,
    });
    let snapshot = &library.snapshot;
    let answer = answer::answer(snapshot, encoder, &asked.text, ranking, options)?;
    let documents = ranking.documents().take(HITS);
    Ok(Answered {
        wanted: options.level,
        answer,
        levels: ranking.attention.answerable().cloned().collect(),
        favoured: ranking.route(None).map(|route| route.level),
        target: ranking
            .route(options.level)
            .and_then(LevelAttention::target),
        hits: documents
            .map(|ranked| answer::hit(snapshot, ranked))
            .collect(),
    })
}
