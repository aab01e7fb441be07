//! What the fuzz targets were given stays good: each file of `fuzz/corpus/`, through the same checks, on any compiler.

// Public in the crate that `fuzz/` is.
#[allow(dead_code, missing_docs, unreachable_pub)]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::{fs, path::Path};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn every_target_has_a_corpus_and_passes_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let targets: Vec<_> = fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let here = |mut names: Vec<String>| {
        names.retain(|name| cfg!(feature = "tls") || name != "tls");
        names
    };
    assert_eq!(here(names(&root.join("fuzz_targets"))), targets, "each target is in TARGETS");
    assert_eq!(here(names(&root.join("corpus"))), targets, "each target has a corpus");
    for (name, check) in fuzz::TARGETS {
        let corpus = root.join("corpus").join(name);
        let mut files = 0;
        for file in fs::read_dir(&corpus).expect("a corpus is a folder") {
            let path = file.expect("a readable folder").path();
            let input = fs::read(&path).expect("a readable file");
            // Its name is what one looks for when this fails; the test's output is shown then only.
            println!("{}", path.display());
            check(&input);
            files += 1;
        }
        assert!(files > 0, "{name} has no inputs");
    }
}
