//! The settings of one load, kept to be compared with those of the next.

use std::collections::BTreeMap;
use std::fmt;

use super::file::RawSettings;
use super::settings;

/// Every setting that was made. Values of secret settings, and of unknown ones, are compared and never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SettingsMade(BTreeMap<String, Made>);

#[derive(Clone, PartialEq, Eq)]
struct Made {
    name: String,
    value: String,
    /// What may be shown of the value.
    shown: String,
}

/// A setting that has another value than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    /// Its name, as written.
    pub name: String,
    /// The value before; `None` if it was not set.
    pub before: Option<String>,
    /// The value now; `None` if it is not set any more.
    pub now: Option<String>,
}

impl SettingsMade {
    pub(super) fn of(settings: &RawSettings) -> Self {
        let made = settings.iter().map(|raw| {
            let shown = match settings::find(&raw.name) {
                Some(row) if !row.is_secret() => raw.value.clone(),
                // Of an unknown one nobody can say that it is no secret.
                _ => "(hidden)".to_owned(),
            };
            let made = Made {
                name: raw.name.clone(),
                value: raw.value.clone(),
                shown,
            };
            (settings::canonical(&raw.name), made)
        });
        Self(made.collect())
    }

    /// What is different in `newer`, in the order of the alphabet.
    pub fn changes(&self, newer: &Self) -> Vec<SettingChange> {
        let mut keys: Vec<&String> = self.0.keys().chain(newer.0.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let change = |key: &String| {
            let (before, now) = (self.0.get(key), newer.0.get(key));
            let is_same = before.map(|made| &made.value) == now.map(|made| &made.value);
            if is_same {
                return None;
            }
            Some(SettingChange {
                name: now.or(before)?.name.clone(),
                before: before.map(|made| made.shown.clone()),
                now: now.map(|made| made.shown.clone()),
            })
        };
        keys.into_iter().filter_map(change).collect()
    }
}

impl fmt::Debug for SettingsMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.values().map(|made| (&made.name, &made.shown));
        f.debug_map().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn made(text: &str) -> SettingsMade {
        SettingsMade::of(&file::read_text(text.as_bytes()).0)
    }

    #[test]
    fn changes_are_those_of_values_and_show_no_secret() {
        let before =
            made("TLSPort = 5061\nServerText = a\nTLSPrivateKeyPassPhrase = s3cret\nDomains = b\n");
        let now =
            made("tlsport = 5061\nServerText = c\nTLSPrivateKeyPassPhrase = other\nTCPPort = 0\n");
        let changes = before.changes(&now);
        let told: Vec<(&str, Option<&str>, Option<&str>)> = changes
            .iter()
            .map(|c| (c.name.as_str(), c.before.as_deref(), c.now.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("Domains", Some("b"), None),
                ("ServerText", Some("a"), Some("c")),
                ("TCPPort", None, Some("0")),
                (
                    "TLSPrivateKeyPassPhrase",
                    Some("(hidden)"),
                    Some("(hidden)")
                ),
            ]
        );
        assert!(!format!("{changes:?}{before:?}").contains("s3cret"));
        assert!(before.changes(&before).is_empty());
    }
}
