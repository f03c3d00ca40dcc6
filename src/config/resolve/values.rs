//! Typed reading of settings, and the notes and errors of what they say together.

use super::super::file::{RawSetting, RawSettings};
use super::super::settings::{self, Kind, Setting};
use super::super::{ConfigError, Note, NoteClass, Origin, value};

/// The settings of one configuration.
pub(super) struct Values<'a> {
    settings: &'a RawSettings,
    errors: &'a mut Vec<ConfigError>,
    notes: Vec<Note>,
}

impl<'a> Values<'a> {
    pub(super) fn new(
        settings: &'a RawSettings,
        errors: &'a mut Vec<ConfigError>,
        notes: Vec<Note>,
    ) -> Self {
        Self {
            settings,
            errors,
            notes,
        }
    }

    /// All notes, those about safety first.
    pub(super) fn into_notes(mut self) -> Vec<Note> {
        self.notes
            .sort_by(|a, b| (a.class, &a.at).cmp(&(b.class, &b.at)));
        self.notes
    }

    /// The setting, if it was made.
    pub(super) fn find(&self, name: &str) -> Option<&'a RawSetting> {
        self.settings.find(name)
    }

    /// Every setting made.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a RawSetting> + use<'a> {
        self.settings.iter()
    }

    /// Numbers of the members of a family that any setting names, in ascending order. `example` is a whole name of one.
    pub(super) fn numbers(&mut self, family: &str, example: &str) -> Vec<String> {
        let mut numbers = Vec::new();
        for raw in self.all() {
            let Some((found, number, member)) = settings::split_family(&raw.name) else {
                continue;
            };
            if !found.eq_ignore_ascii_case(family) {
                continue;
            }
            if member.is_empty() {
                let fault = format!("a name ends after its number; expected one as {example}");
                self.fault(&raw.name, fault);
            } else if !numbers.iter().any(|known| known == number) {
                numbers.push(number.to_owned());
            }
        }
        // Without leading zeros, a shorter number is a smaller one.
        numbers.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        numbers
    }

    /// The setting, if it was made and holds what its kind says.
    fn good(&self, name: &str, row: &Setting) -> Option<&'a str> {
        let raw = self.find(name)?;
        value::parse(row, &raw.value)
            .ok()
            .map(|()| raw.value.as_str())
    }

    /// Its text, or the default of its row. Empty text is a value like others.
    pub(super) fn text(&self, name: &str) -> &'a str {
        match settings::find(name) {
            Some(row) => self.good(name, row).unwrap_or(row.default),
            None => "",
        }
    }

    /// Its text if it was made with any.
    pub(super) fn some_text(&self, name: &str) -> Option<&'a str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    pub(super) fn bool(&self, name: &str) -> bool {
        value::boolean(self.text(name)).unwrap_or_default()
    }

    pub(super) fn integer(&self, name: &str) -> u64 {
        value::integer(self.text(name)).unwrap_or_default()
    }

    /// A number that fits where its row's range says that it does.
    pub(super) fn number<T: TryFrom<u64> + Default>(&self, name: &str) -> T {
        T::try_from(self.integer(name)).unwrap_or_default()
    }

    /// The documented spelling of the word that it is.
    pub(super) fn choice(&self, name: &str) -> &'static str {
        match settings::find(name).map(|row| row.kind) {
            Some(Kind::Choice(words)) => value::choice(words, self.text(name)).unwrap_or_default(),
            _ => "",
        }
    }

    pub(super) fn list(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        value::list(self.text(name))
    }

    /// What an absent setting means.
    pub(super) fn default(&self, name: &str) -> &'static str {
        settings::find(name).map_or("", |row| row.default)
    }

    /// Whether it is absent or holds what its kind says.
    pub(super) fn is_acceptable(&self, name: &str) -> bool {
        let (raw, row) = (self.find(name), settings::find(name));
        raw.zip(row)
            .is_none_or(|(raw, row)| value::parse(row, &raw.value).is_ok())
    }

    /// Whether no error has been found so far.
    pub(super) fn is_faultless(&self) -> bool {
        self.errors.is_empty()
    }

    /// Where it was made.
    pub(super) fn origin(&self, name: &str) -> Origin {
        self.find(name)
            .map_or(Origin::Default, |raw| raw.origin.clone())
    }

    /// Reports a fault among settings.
    pub(super) fn fault(&mut self, name: &str, fault: impl Into<String>) {
        let at = self.origin(name);
        self.errors.push(ConfigError::Rule {
            at,
            name: name.to_owned(),
            fault: fault.into(),
        });
    }

    /// Notes something about a setting.
    pub(super) fn note(&mut self, class: NoteClass, name: &str, text: &str) {
        let at = self.origin(name);
        let note = Note {
            class,
            at,
            name: name.to_owned(),
            text: text.to_owned(),
        };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}
