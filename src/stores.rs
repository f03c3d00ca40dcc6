//! Finds and opens stores, and what is taken over into one, for the operator's commands.

use std::path::Path;

use crate::auth::Algorithm;
use crate::manage::{Held, NobodyToTell, Opened, Place, Purpose, StoreOpener};
use crate::store::embedded::{Access, Embedded};
use crate::store::import::{Export, Source};

/// Opens what the command line names.
pub(crate) struct Stores;

impl StoreOpener for Stores {
    fn open(&self, place: &Place, purpose: Purpose) -> Result<Opened, Vec<String>> {
        let path = match place {
            Place::File(path) => path,
            Place::Configuration(file) => {
                return Err(vec![format!(
                    "{}: no configuration names a store in this version; give its file with --store PATH",
                    file.display()
                )]);
            }
        };
        let access = match purpose {
            Purpose::Look => Access::ReadOnly,
            Purpose::Change => Access::Existing,
            Purpose::Fill => Access::Create,
        };
        Ok(Opened {
            store: Held::Embedded(Embedded::open(path, access).map_err(said)?),
            algorithms: Algorithm::ALL.to_vec(),
            domains: None,
            notify: Box::new(NobodyToTell),
        })
    }

    fn source(&self, path: &Path) -> Result<Box<dyn Source>, Vec<String>> {
        Ok(Box::new(Export::open(path).map_err(said)?))
    }
}

fn said(error: impl ToString) -> Vec<String> {
    vec![error.to_string()]
}
