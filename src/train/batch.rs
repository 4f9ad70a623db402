//! One step's passages and questions, drawn by a seed: the same step of the same run is always the same.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ops::Range,
};

use rand::{
    Rng, SeedableRng,
    distr::{Distribution, weighted::WeightedIndex},
    rngs::StdRng,
    seq::SliceRandom,
};

use super::{
    examples::{Example, ExamplePassage, Question},
    recipe::{BatchOptions, SourceKind},
    recurring::recurring,
};
use crate::model::{
    PassageInput,
    config::{CLS_TOKEN, MASK_TOKEN, SEP_TOKEN},
};

/// A hidden word is known in 1 of so many passages of its document, at most.
const RARE: usize = 3;
/// Documents that are tried for a window before it is left as full as it is.
const MAX_TRIES: usize = 128;

/// Passages that are ranked for questions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Documents one behind the other, each in order.
    pub passages: Vec<BatchPassage>,
    pub questions: Vec<BatchQuestion>,
    /// What is asked of the answer's place alone.
    pub spans: Vec<SpanQuestion>,
}

impl Batch {
    /// Word pieces of passages and questions.
    pub fn n_tokens(&self) -> usize {
        let passages = self.passages.iter().map(|own| own.tokens.len());
        let questions = self.questions.iter().map(|own| own.tokens.len());
        let spans = self.spans.iter();
        let spans = spans.map(|own| own.question.len() + own.prefix.len() + own.body.len());
        passages.chain(questions).chain(spans).sum()
    }

    /// A question before the first of its passages that holds the answer.
    fn span_question(&self, question: &BatchQuestion) -> Option<SpanQuestion> {
        let passages = question.passages.iter();
        passages.copied().find_map(|passage| {
            let passage = self.passages[passage].bare();
            let answers = places(&question.answer, passage.body);
            (!answers.is_empty()).then(|| SpanQuestion {
                question: question.bare().to_vec(),
                prefix: passage.prefix.to_vec(),
                body: passage.body.to_vec(),
                answers,
            })
        })
    }
}

/// A passage and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchPassage {
    /// `[CLS] prefix body [SEP]`.
    pub tokens: Vec<u32>,
    /// Word pieces of the prefix.
    pub n_prefix: usize,
    /// The passages of its section, as far as they are in the batch.
    pub section: Range<usize>,
    /// Those of its document.
    pub document: Range<usize>,
}

impl BatchPassage {
    /// Where the body stands in the tokens.
    fn body(&self) -> Range<usize> {
        1 + self.n_prefix..self.tokens.len() - 1
    }

    /// What the joint reader is shown: prefix and body.
    pub fn bare(&self) -> PassageInput<'_> {
        let (prefix, body) = self.tokens[1..self.tokens.len() - 1].split_at(self.n_prefix);
        PassageInput { prefix, body }
    }
}

/// A question and the passages that answer it.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchQuestion {
    /// `[CLS] question [SEP]`.
    pub tokens: Vec<u32>,
    /// At least one.
    pub passages: Vec<usize>,
    /// The passages of the document asked.
    pub document: Range<usize>,
    /// Word pieces of the answer, where it is known.
    pub answer: Vec<u32>,
}

impl BatchQuestion {
    /// The question without its frame.
    pub fn bare(&self) -> &[u32] {
        &self.tokens[1..self.tokens.len() - 1]
    }
}

/// A question before a passage that holds its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanQuestion {
    pub question: Vec<u32>,
    pub prefix: Vec<u32>,
    pub body: Vec<u32>,
    /// Where the answer stands in the body; at least one place.
    pub answers: Vec<Range<usize>>,
}

/// The documents of a source, those to learn from before those to look at.
pub struct Pool {
    examples: Vec<Example>,
    n_training: usize,
    kind: SourceKind,
    weight: f64,
}

impl Pool {
    /// Keeps `validation_share` of the documents for validation, drawn by `seed`.
    pub fn new(
        mut examples: Vec<Example>,
        kind: SourceKind,
        weight: f64,
        validation_share: f64,
        seed: u64,
    ) -> Self {
        examples.shuffle(&mut StdRng::seed_from_u64(seed));
        let kept = (examples.len() as f64 * validation_share).ceil() as usize;
        Self {
            n_training: (examples.len() - kept).max(1),
            examples,
            kind,
            weight,
        }
    }
}

/// Which documents a batch is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Training,
    Validation,
}

/// Draws batches from pools.
pub struct Sampler {
    pools: Vec<Pool>,
    weights: WeightedIndex<f64>,
    options: BatchOptions,
    seed: u64,
}

impl Sampler {
    pub fn new(pools: Vec<Pool>, options: BatchOptions, seed: u64) -> anyhow::Result<Self> {
        let weights = WeightedIndex::new(pools.iter().map(|pool| pool.weight))?;
        Ok(Self {
            pools,
            weights,
            options,
            seed,
        })
    }

    /// Batch `number` of a part.
    pub fn draw(&self, part: Part, number: usize) -> Batch {
        let stream = (number as u64) << 1 | u64::from(part == Part::Validation);
        let mut random =
            StdRng::seed_from_u64(self.seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut batch = Batch::default();
        let mut drawn = HashSet::new();
        // A window may hold nothing that can be asked for; a batch never does.
        for slot in 0..MAX_TRIES {
            if slot >= self.options.slots && !batch.questions.is_empty() {
                break;
            }
            let pool = self.weights.sample(&mut random);
            self.fill_slot(pool, part, &mut drawn, &mut random, &mut batch);
        }
        batch
    }

    /// Adds one window: of a long document, or of as many short ones as it holds.
    fn fill_slot(
        &self,
        pool_number: usize,
        part: Part,
        drawn: &mut HashSet<(usize, usize)>,
        random: &mut StdRng,
        batch: &mut Batch,
    ) {
        let pool = &self.pools[pool_number];
        let range = match part {
            Part::Training => 0..pool.n_training,
            Part::Validation => pool.n_training.min(pool.examples.len() - 1)..pool.examples.len(),
        };
        let mut room = self.options.passages;
        let (mut questions, mut asked) = (Vec::new(), Vec::new());
        for _ in 0..MAX_TRIES {
            if room == 0 {
                break;
            }
            let number = random.random_range(range.clone());
            let example = &pool.examples[number];
            // A piece of a long document would stand for it where little room is left.
            let too_long = example.passages.len() > room && room < self.options.passages / 2;
            if too_long || !drawn.insert((pool_number, number)) {
                continue;
            }
            let window = window(example, room, random);
            room -= window.len();
            let first = batch.passages.len();
            let from = Shift {
                window: &window,
                first,
            };
            batch
                .passages
                .extend(window.clone().map(|at| from.passage(example, at)));
            questions.extend(
                match pool.kind {
                    SourceKind::Texts => self.cloze(example, &from, batch, random),
                    _ => example
                        .questions
                        .iter()
                        .filter_map(|own| from.question(own))
                        .collect(),
                }
                .into_iter()
                .map(|question| self.framed(question, &example.title, random)),
            );
            self.hide(&mut batch.passages[first..], random);
            asked.extend(example.passages[window].iter());
        }
        questions.shuffle(random);
        let more = questions.split_off(questions.len().min(self.options.questions));
        batch.questions.extend(questions);
        self.ask_for_places(&more, asked, random, batch);
    }

    /// Adds questions for the reader's spans: those that are left over, then sentences of the window.
    fn ask_for_places(
        &self,
        questions: &[BatchQuestion],
        mut passages: Vec<&ExamplePassage>,
        random: &mut StdRng,
        batch: &mut Batch,
    ) {
        if self.options.spans == 0 {
            return;
        }
        let own = questions.iter().filter_map(|own| batch.span_question(own));
        let mut spans: Vec<SpanQuestion> = own.take(self.options.spans).collect();
        passages.shuffle(random);
        let room = self.options.spans - spans.len();
        let made = passages
            .into_iter()
            .filter_map(|own| recurring(own, random));
        spans.extend(made.take(room));
        batch.spans.extend(spans);
    }

    /// Sentences of the window's passages, most of them taken out of where they stand.
    fn cloze(
        &self,
        example: &Example,
        from: &Shift,
        batch: &mut Batch,
        random: &mut StdRng,
    ) -> Vec<BatchQuestion> {
        let mut questions = Vec::new();
        for at in from.window.clone() {
            let own = &example.passages[at];
            if own.sentences.is_empty() {
                continue;
            }
            let sentence = own.sentences[random.random_range(0..own.sentences.len())].clone();
            let place = from.place(at);
            if random.random_bool(self.options.cloze_removed) {
                let before = 1 + own.prefix.len();
                let passage = &mut batch.passages[place];
                passage
                    .tokens
                    .drain(before + sentence.start..before + sentence.end);
            }
            questions.push(BatchQuestion {
                tokens: own.body[sentence].to_vec(),
                passages: vec![place],
                document: batch.passages[place].document.clone(),
                answer: Vec::new(),
            });
        }
        questions
    }

    /// Hides words of a document's passages, each in all of its places there.
    fn hide(&self, passages: &mut [BatchPassage], random: &mut StdRng) {
        if self.options.hidden == 0.0 {
            return;
        }
        let words = |own: &BatchPassage| own.tokens[own.body()].iter().copied().collect();
        let words: Vec<BTreeSet<u32>> = passages.iter().map(words).collect();
        let mut known: HashMap<u32, usize> = HashMap::new();
        for word in words.iter().flatten() {
            *known.entry(*word).or_default() += 1;
        }
        let elsewhere = 2..=(passages.len() / RARE).max(2);
        for (passage, words) in passages.iter_mut().zip(words) {
            let mut is_hidden = |word: &u32| {
                elsewhere.contains(&known[word]) && random.random_bool(self.options.hidden)
            };
            let hidden: BTreeSet<u32> = words.into_iter().filter(|word| is_hidden(word)).collect();
            let body = passage.body();
            let tokens = passage.tokens[body].iter_mut();
            tokens
                .filter(|token| hidden.contains(token))
                .for_each(|token| *token = MASK_TOKEN);
        }
    }

    /// Frames a question, some behind their document's title.
    fn framed(
        &self,
        mut question: BatchQuestion,
        title: &[u32],
        random: &mut StdRng,
    ) -> BatchQuestion {
        let title = match random.random_bool(self.options.titled) {
            true => title,
            false => &[],
        };
        question.tokens = [&[CLS_TOKEN], title, &question.tokens, &[SEP_TOKEN]].concat();
        question
    }
}

/// Where `answer` stands in `body`, both in word pieces.
pub fn places(answer: &[u32], body: &[u32]) -> Vec<Range<usize>> {
    match answer.len() {
        0 => Vec::new(),
        length => (0..(body.len() + 1).saturating_sub(length))
            .filter(|&start| body[start..].starts_with(answer))
            .map(|start| start..start + length)
            .collect(),
    }
}

/// The passages of a document that fill at most `room`, around one of its questions.
fn window(example: &Example, room: usize, random: &mut StdRng) -> Range<usize> {
    let count = example.passages.len();
    if count <= room {
        return 0..count;
    }
    let middle = match example.questions.len() {
        0 => random.random_range(0..count),
        n => example.questions[random.random_range(0..n)].passages[0],
    };
    let start = middle.saturating_sub(random.random_range(0..room));
    let start = start.min(count - room);
    start..start + room
}

/// Where the passages of a document's window stand in a batch.
struct Shift<'a> {
    window: &'a Range<usize>,
    first: usize,
}

impl Shift<'_> {
    fn place(&self, at: usize) -> usize {
        self.first + at.clamp(self.window.start, self.window.end) - self.window.start
    }

    fn passage(&self, example: &Example, at: usize) -> BatchPassage {
        let own = &example.passages[at];
        BatchPassage {
            tokens: [&[CLS_TOKEN], &own.prefix[..], &own.body, &[SEP_TOKEN]].concat(),
            n_prefix: own.prefix.len(),
            section: self.place(own.section.start)..self.place(own.section.end),
            document: self.first..self.first + self.window.len(),
        }
    }

    /// None where no passage of the window answers.
    fn question(&self, question: &Question) -> Option<BatchQuestion> {
        let passages = question.passages.iter();
        let passages: Vec<usize> = passages
            .filter(|at| self.window.contains(at))
            .map(|&at| self.place(at))
            .collect();
        (!passages.is_empty()).then(|| BatchQuestion {
            tokens: question.tokens.clone(),
            passages,
            document: self.first..self.first + self.window.len(),
            answer: question.answer.clone(),
        })
    }
}
