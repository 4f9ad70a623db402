//! The text index: one tantivy document for each retrieval unit (a passage, or a record of the source).

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use tantivy::{
    DocAddress, DocId, DocSet, Index, IndexReader, IndexWriter, ReloadPolicy, Searcher,
    SegmentReader, TERMINATED, TantivyDocument, TantivyError, Term,
    collector::{DocSetCollector, TopDocs},
    columnar::Column,
    directory::MmapDirectory,
    query::{BooleanQuery, EnableScoring, Occur, PhraseQuery, Query, TermQuery},
    schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions},
    tokenizer::TokenStream,
};

use super::{
    StoreError,
    analyzer::{ANALYZER, analyzer},
    lock, spelling,
};

/// Memory that the writer may fill before it flushes.
const WRITER_BYTES: usize = 64 << 20;

/// One retrieval unit as the text index sees it.
pub struct TextUnit<'a> {
    pub document: u32,
    /// Number of the unit in its document.
    pub ordinal: u32,
    pub title: &'a str,
    pub headings: &'a str,
    pub tags: &'a str,
    pub body: &'a str,
}

/// A unit that matches, with its BM25 score (k1 = 1.2, b = 0.75).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextHit {
    pub document: u32,
    pub ordinal: u32,
    pub score: f32,
}

/// A question as one text index understands it.
pub struct TextQuery(BooleanQuery);

#[derive(Clone, Copy)]
struct Fields {
    document: Field,
    ordinal: Field,
    /// `title. headings. body`: what BM25 scores.
    text: Field,
    title: Field,
    headings: Field,
    tags: Field,
}

/// Adds and removes units.
pub struct TextWriter {
    writer: IndexWriter,
    fields: Fields,
}

impl TextWriter {
    /// Opens or creates the text index in `folder`.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|source| StoreError::io(folder, source))?;
        let (schema, fields) = schema();
        let directory = MmapDirectory::open(folder).map_err(TantivyError::from)?;
        let index = Index::open_or_create(directory, schema)?;
        index.tokenizers().register(ANALYZER, analyzer());
        // One thread keeps the order of units, and so every tie in a ranking, the same in each run.
        let writer = lock::patiently(
            || index.writer_with_num_threads(1, WRITER_BYTES),
            |error| matches!(error, TantivyError::LockFailure(..)),
        )?;
        Ok(Self { writer, fields })
    }

    /// Adds one unit.
    pub fn add(&self, unit: &TextUnit) -> Result<(), StoreError> {
        let fields = self.fields;
        let mut document = TantivyDocument::default();
        document.add_u64(fields.document, u64::from(unit.document));
        document.add_u64(fields.ordinal, u64::from(unit.ordinal));
        document.add_text(fields.title, unit.title);
        document.add_text(fields.headings, unit.headings);
        document.add_text(fields.tags, unit.tags);
        let parts: Vec<&str> = [unit.title, unit.headings, unit.body]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        document.add_text(fields.text, parts.join(". "));
        self.writer.add_document(document)?;
        Ok(())
    }

    /// Removes every unit of a document.
    pub fn remove(&self, document: u32) {
        let term = Term::from_field_u64(self.fields.document, u64::from(document));
        self.writer.delete_term(term);
    }

    /// Makes what was added and removed lasting and visible.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.writer.commit()?;
        Ok(())
    }
}

/// Answers questions from a committed text index.
pub struct TextReader {
    index: Index,
    reader: IndexReader,
    fields: Fields,
}

impl TextReader {
    /// Opens the text index in `folder`.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let index = Index::open_in_dir(folder)?;
        index.tokenizers().register(ANALYZER, analyzer());
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        Ok(Self {
            index,
            reader,
            fields: schema().1,
        })
    }

    /// The best `limit` units for a question, best first.
    pub fn search(&self, question: &TextQuery, limit: usize) -> Result<Vec<TextHit>, StoreError> {
        let searcher = self.reader.searcher();
        let top = searcher.search(
            &question.0,
            &TopDocs::with_limit(limit.max(1)).order_by_score(),
        )?;
        let mut hits = Vec::with_capacity(top.len());
        for (score, address) in top {
            hits.push(TextHit {
                score,
                ..self.unit(&searcher, address)?
            });
        }
        hits.sort_by(|a, b| {
            b.score
                .total_cmp(&a.score)
                .then((a.document, a.ordinal).cmp(&(b.document, b.ordinal)))
        });
        Ok(hits)
    }

    /// The scores of all units of the given documents that match, by `(document, ordinal)`.
    pub fn scores(
        &self,
        question: &TextQuery,
        documents: &HashSet<u32>,
    ) -> Result<HashMap<(u32, u32), f32>, StoreError> {
        let searcher = self.reader.searcher();
        let weight = question
            .0
            .weight(EnableScoring::enabled_from_searcher(&searcher))?;
        let mut scores = HashMap::new();
        for segment in searcher.segment_readers() {
            let wanted = self.units_of(segment, documents)?;
            let document = segment.fast_fields().u64("document")?;
            let ordinal = segment.fast_fields().u64("ordinal")?;
            let mut scorer = weight.scorer(segment, 1.0)?;
            for unit in wanted {
                if scorer.doc() < unit {
                    scorer.seek(unit);
                }
                if scorer.doc() == unit {
                    let key = |column: &Column<u64>| column.first(unit).unwrap_or_default() as u32;
                    scores.insert((key(&document), key(&ordinal)), scorer.score());
                }
            }
        }
        Ok(scores)
    }

    /// Documents of which a unit holds all terms of `words`; none where `words` has no terms.
    pub fn holding(&self, words: &str) -> Result<Option<HashSet<u32>>, StoreError> {
        let clauses = self.terms(words);
        if clauses.is_empty() {
            return Ok(None);
        }
        let clauses = clauses.into_iter().map(|term| {
            let query = TermQuery::new(term, IndexRecordOption::Basic);
            (Occur::Must, Box::new(query) as Box<dyn Query>)
        });
        let query = BooleanQuery::new(clauses.collect());
        let searcher = self.reader.searcher();
        let mut found = HashSet::new();
        for address in searcher.search(&query, &DocSetCollector)? {
            found.insert(self.unit(&searcher, address)?.document);
        }
        Ok(Some(found))
    }

    /// The units that hold the words of `phrase` in their order, as `(document, ordinal)`; none where it has no terms.
    pub fn with_phrase(&self, phrase: &str) -> Result<Vec<(u32, u32)>, StoreError> {
        let terms = self.terms_and_positions(phrase);
        let query: Box<dyn Query> = match terms.as_slice() {
            [] => return Ok(Vec::new()),
            [(_, term)] => Box::new(TermQuery::new(term.clone(), IndexRecordOption::Basic)),
            _ => Box::new(PhraseQuery::new_with_offset(terms)),
        };
        let searcher = self.reader.searcher();
        let found = searcher.search(&query, &DocSetCollector)?;
        let units = found.into_iter().map(|address| {
            let unit = self.unit(&searcher, address)?;
            Ok((unit.document, unit.ordinal))
        });
        units.collect()
    }

    /// The units of some documents in one segment of the text index, in order.
    fn units_of(
        &self,
        segment: &SegmentReader,
        documents: &HashSet<u32>,
    ) -> Result<Vec<DocId>, StoreError> {
        let postings = segment.inverted_index(self.fields.document)?;
        let mut units = Vec::new();
        for &document in documents {
            let term = Term::from_field_u64(self.fields.document, u64::from(document));
            let own = postings.read_postings(&term, IndexRecordOption::Basic);
            let Some(mut own) = own.map_err(TantivyError::from)? else {
                continue;
            };
            while own.doc() != TERMINATED {
                units.push(own.doc());
                own.advance();
            }
        }
        units.retain(|&unit| !segment.is_deleted(unit));
        units.sort_unstable();
        Ok(units)
    }

    fn unit(&self, searcher: &Searcher, address: DocAddress) -> Result<TextHit, StoreError> {
        let fast = searcher.segment_reader(address.segment_ord).fast_fields();
        let value = |name: &str| -> Result<u32, StoreError> {
            Ok(fast.u64(name)?.first(address.doc_id).unwrap_or_default() as u32)
        };
        Ok(TextHit {
            document: value("document")?,
            ordinal: value("ordinal")?,
            score: 0.0,
        })
    }

    /// Any of the question's terms may match; each counts as often as it is asked. A term that no unit has stands for the
    /// one that is spelled most like it.
    pub fn query(&self, question: &str) -> Result<TextQuery, StoreError> {
        let searcher = &self.reader.searcher();
        let mut clauses = Vec::new();
        for term in self.terms(question) {
            let term = match searcher.doc_freq(&term)? {
                0 => spelling::nearest(searcher, self.fields.text, &term)?.unwrap_or(term),
                _ => term,
            };
            let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
            clauses.push((Occur::Should, Box::new(query) as Box<dyn Query>));
        }
        Ok(TextQuery(BooleanQuery::new(clauses)))
    }

    fn terms(&self, text: &str) -> Vec<Term> {
        let terms = self.terms_and_positions(text).into_iter();
        terms.map(|(_, term)| term).collect()
    }

    fn terms_and_positions(&self, text: &str) -> Vec<(usize, Term)> {
        let mut analyzer = analyzer();
        let mut stream = analyzer.token_stream(text);
        let mut terms = Vec::new();
        while stream.advance() {
            let token = stream.token();
            let term = Term::from_field_text(self.fields.text, &token.text);
            terms.push((token.position, term));
        }
        terms
    }

    /// Number of units of every document.
    pub fn units(&self) -> Result<HashMap<u32, u32>, StoreError> {
        let mut units = HashMap::new();
        for segment in self.reader.searcher().segment_readers() {
            let document = segment.fast_fields().u64("document")?;
            for unit in segment.doc_ids_alive() {
                let id = document.first(unit).unwrap_or_default() as u32;
                *units.entry(id).or_default() += 1;
            }
        }
        Ok(units)
    }

    /// Number of units.
    pub fn n_units(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Bytes that the text index takes on disk.
    pub fn bytes(&self) -> u64 {
        let space = self.reader.searcher().space_usage();
        space
            .map(|space| space.total().get_bytes())
            .unwrap_or_default()
    }

    /// The schema's version of the index, for diagnosis.
    pub fn n_segments(&self) -> usize {
        self.index
            .searchable_segment_ids()
            .map(|ids| ids.len())
            .unwrap_or_default()
    }
}

fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let text = TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(ANALYZER)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions),
    );
    let fields = Fields {
        document: builder.add_u64_field("document", FAST | INDEXED),
        ordinal: builder.add_u64_field("ordinal", FAST),
        text: builder.add_text_field("text", text.clone()),
        title: builder.add_text_field("title", text.clone()),
        headings: builder.add_text_field("headings", text.clone()),
        tags: builder.add_text_field("tags", text),
    };
    (builder.build(), fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_scored_and_removed() -> Result<(), StoreError> {
        let folder =
            tempfile::tempdir().map_err(|source| StoreError::io(Path::new("tmp"), source))?;
        let mut writer = TextWriter::open(folder.path())?;
        let bodies = [
            "Rye bread needs a starter, and the rover Curiosity.",
            "Volcanoes erupt.",
            "酸面包需要酵母。",
        ];
        for (document, body) in bodies.iter().enumerate() {
            writer.add(&TextUnit {
                document: document as u32,
                ordinal: 0,
                title: "Note",
                headings: "",
                tags: "",
                body,
            })?;
        }
        writer.commit()?;
        let reader = TextReader::open(folder.path())?;
        let found = |question: &str| -> Result<Vec<u32>, StoreError> {
            Ok(reader
                .search(&reader.query(question)?, 10)?
                .iter()
                .map(|hit| hit.document)
                .collect())
        };
        assert_eq!(found("the starter of breads")?, [0]);
        assert_eq!(found("酵母")?, [2]);
        assert_eq!(found("a volcanoe or a vulcano")?, [1]);
        assert_eq!(found("startre")?, [0]);
        assert_eq!(found("rovre")?, [0]);
        assert_eq!(found("curiosty")?, [0]);
        assert_eq!(found("quasar")?, [] as [u32; 0]);
        assert_eq!(found("")?, [] as [u32; 0]);
        let scores = reader.scores(&reader.query("erupting volcano")?, &[0, 1].into())?;
        assert_eq!(scores.keys().collect::<Vec<_>>(), [&(1, 0)]);
        writer.remove(1);
        writer.commit()?;
        let reader = TextReader::open(folder.path())?;
        assert_eq!(
            (
                reader.search(&reader.query("volcano")?, 10)?.len(),
                reader.n_units()
            ),
            (0, 2)
        );
        Ok(())
    }
}
