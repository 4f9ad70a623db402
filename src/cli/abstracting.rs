//! `shas train` with a recipe for the abstraction head: encodes the sections, learns, and writes the model.

use anyhow::Result;

use super::{Common, commands, indexing::Bar, output::say, train};
use crate::{
    corpus::{Document, parse},
    eval::{document_vectors, name_vectors},
    model::save,
    train::{AbstractionRecipe, Sibling, learn_abstraction, read_headings},
};

pub fn learn(common: &Common, args: &train::RunArgs, recipe: &AbstractionRecipe) -> Result<()> {
    let encoder = commands::encoder(common)?;
    let headings = read_headings(&train::source_folder(args, &recipe.headings)?)?;
    let sections = headings.sections.into_iter();
    let documents = sections.map(|(title, text)| Document {
        title,
        ..parse("section.txt", text)
    });
    let documents: Vec<Document> = documents.collect();
    let bar = Bar::default();
    let vectors = document_vectors(&documents, &encoder, &|event| bar.show(event))?;
    bar.finish();
    let mut groups: [Vec<Vec<Sibling>>; 2] = [Vec::new(), Vec::new()];
    for (groups, named) in groups.iter_mut().zip(headings.siblings) {
        for siblings in named {
            let names: Vec<&str> = siblings.iter().map(|(name, _)| name.as_str()).collect();
            let names = name_vectors(&names, &encoder)?.into_iter();
            let siblings = names.zip(siblings);
            let siblings = siblings.map(|(name, (_, members))| Sibling { name, members });
            groups.push(siblings.collect());
        }
    }
    let learned = learn_abstraction(recipe, &vectors, &groups)?;
    save::copy_model(encoder.folder(), &args.output)?;
    save::abstraction(learned.head, &args.output)?;
    say!(
        "{} groups of siblings: loss {:.3} → {:.3}; agreement {:.3}, contrast {:.3}",
        groups.iter().map(Vec::len).sum::<usize>(),
        learned.first_loss,
        learned.last_loss,
        learned.head.agreement,
        learned.head.contrast
    );
    Ok(())
}
