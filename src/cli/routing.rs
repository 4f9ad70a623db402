//! `shas train` with a recipe for the router: learns its heads, says how often they are right, and writes the model.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Common, commands, eval, indexing::Bar, output::say, train};
use crate::{
    corpus::BeirOptions,
    eval::{KindQuestion, RoutedVault, RouterRecipe, learn_router},
    model::save,
};

pub fn learn(common: &Common, args: &train::RunArgs, recipe: &RouterRecipe) -> Result<()> {
    let encoder = commands::encoder(common)?;
    let questions = questions(args, recipe)?;
    let vault = |path: &PathBuf| {
        let folder = train::source_folder(args, path)?;
        let index = eval::index_of(common, &folder, &encoder, &BeirOptions::default())?;
        Ok(RoutedVault { folder, index })
    };
    let vaults: Vec<RoutedVault> = recipe.vaults.iter().map(vault).collect::<Result<_>>()?;
    let bar = Bar::default();
    let progress = &|event| bar.show(event);
    let learned = learn_router(recipe, &questions, &vaults, &encoder, progress)?;
    bar.finish();
    save::copy_model(encoder.folder(), &args.output)?;
    save::config(encoder.config(), &args.output)?;
    save::router(&learned.router, &args.output)?;
    say!(
        "kinds of {} questions, on subjects left out: {:.3} right",
        questions.len(),
        learned.kinds
    );
    for own in learned.vaults {
        let [sections, documents, nodes] = own.levels;
        say!(
            "{} questions on {}, by what the other vaults teach: {:.3} at the right level (sections {sections:.3}, \
             documents {documents:.3}, nodes {nodes:.3})",
            own.n_questions,
            own.name,
            own.all
        );
    }
    Ok(())
}

/// The questions that lie beside the recipe.
fn questions(args: &train::RunArgs, recipe: &RouterRecipe) -> Result<Vec<KindQuestion>> {
    let path = args.recipe.with_file_name(&recipe.questions);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read the questions {}", path.display()))?;
    let lines = text.lines().enumerate();
    let parsed = lines.map(|(at, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("{}, line {}, is no question", path.display(), at + 1))
    });
    parsed.collect()
}
