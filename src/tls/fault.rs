//! What is wrong with a file or a setting, for the operator: what, where, and how to mend it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::pem::PemBlock;

/// Whether the fault keeps us from serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// We can serve, and the operator should know.
    Warning,
    /// We do not start; a reload keeps what was there.
    Error,
}

/// One fault found while loading. It never holds any text of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadFault {
    /// Whether it keeps us from serving.
    pub severity: Severity,
    /// The file, if it is about one.
    pub file: Option<PathBuf>,
    /// Which PEM block of the file, if it is about one.
    pub block: Option<PemBlock>,
    /// The setting, if it is about one.
    pub setting: Option<&'static str>,
    /// What is wrong.
    pub reason: String,
    /// How to mend it.
    pub mend: String,
    /// What was read from the file before stays in force.
    pub is_kept: bool,
}

impl LoadFault {
    pub(super) fn file(file: &Path, reason: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: Some(file.to_owned()),
            block: None,
            setting: None,
            reason: reason.into(),
            mend: mend.into(),
            is_kept: false,
        }
    }

    pub(super) fn setting(
        setting: &'static str,
        reason: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            file: None,
            block: None,
            setting: Some(setting),
            reason: reason.into(),
            mend: mend.into(),
            is_kept: false,
        }
    }

    pub(super) fn in_block(mut self, block: &PemBlock) -> Self {
        self.block = Some(block.clone());
        self
    }

    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// A warning, since what was read before stays in force.
    pub(super) fn kept(mut self) -> Self {
        self.is_kept = true;
        self.warning()
    }

    /// Whether it keeps us from serving.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for LoadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file name may hold anything; escape_debug keeps it on one line.
        let file = self.file.as_ref().map(|file| file.to_string_lossy());
        let file = file.as_ref().map(|file| file.escape_debug());
        match (self.setting, file) {
            (Some(setting), Some(file)) => write!(f, "{setting} = {file}: ")?,
            (Some(setting), None) => write!(f, "{setting}: ")?,
            (None, Some(file)) => write!(f, "{file}: ")?,
            (None, None) => {}
        }
        if let Some(block) = &self.block {
            write!(f, "{block}: ")?;
        }
        f.write_str(&self.reason)?;
        if !self.mend.is_empty() {
            write!(f, "; {}", self.mend)?;
        }
        Ok(())
    }
}

/// Faults as they are found; loading goes on after each, so that all are shown together.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) found: Vec<LoadFault>,
    /// What an operator may like to know.
    pub(super) notes: Vec<String>,
}

impl Faults {
    pub(super) fn push(&mut self, fault: LoadFault) {
        // Several listeners may meet the same file.
        if !self.found.contains(&fault) {
            self.found.push(fault);
        }
    }

    /// Says of each error about one of these files which setting has named it.
    pub(super) fn name_setting(&mut self, setting: &'static str, files: &[PathBuf]) {
        let about =
            |fault: &LoadFault| fault.file.as_ref().is_some_and(|file| files.contains(file));
        for fault in &mut self.found {
            if fault.is_error() && fault.setting.is_none() && about(fault) {
                fault.setting = Some(setting);
            }
        }
    }

    pub(super) fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    pub(super) fn any_error(&self) -> bool {
        self.found.iter().any(LoadFault::is_error)
    }
}
