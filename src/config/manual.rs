//! What is written from the table: the help text, the list of settings in force, the sample file, the reference page.

use std::fmt::Write;
use std::path::Path;

use super::settings::{self, Group, Kind, Setting, Standing};
use super::{ConfigError, Override, file, value};

/// The text of `sipvouch --help`.
pub fn help() -> String {
    let mut text = String::from(
        "\
Sipvouch: a SIP TLS server, registrar and proxy that vouches for who is calling

  sipvouch [repro.config] [--Name=value ...]
      serve; the file is repro.config in the working directory unless named
  sipvouch check [repro.config] [--Name=value ...]
      load everything, say what is wrong, unsafe or without effect, and end
  sipvouch settings [repro.config] [--Name=value ...]
      what is in force, and from which file and line
  sipvouch settings --sample | --markdown
      a configuration file of the settings in use, or a page of all
  sipvouch certs [--config repro.config] [--Name=value ...]
      every certificate loaded, its role, names, issuer and days left
  sipvouch explain --cert FILE --from URI [--config repro.config] [--method M]
                   [--to URI] [--to-tag] [--digest-user USER]
                   [--source ADDRESS[:PORT]] [--transport T] [--Name=value ...]
  sipvouch explain --cert FILE --message FILE|- [--config repro.config] ...
      whether a peer with this certificate, and the password of this user, may
      send such a request, or this one, and why
  sipvouch ctl [--socket PATH | --config repro.config] COMMAND [--json]
      ask a running server, or tell it something; sipvouch ctl --help
  sipvouch user | domain | route | acl | filter | identity | registration
           add | change | remove | list | show ...
      what the store holds; sipvouch user verify tries a password
  sipvouch import SOURCE | export DIR | backup FILE | restore BACKUP
      a whole store in or out; restore while no server runs
  sipvouch completions SHELL | man [COMMAND]
      completions for bash, zsh and fish; manual pages
  sipvouch --version | --help
      the commands on the store have a --help of their own

Exit status: 0 well, 1 failure, 2 a command line that is not understood.
check: 0 nothing to say, 1 the server would start, with notes, 2 it would not.
explain: 0 admitted, 1 refused. ctl: 1 the server said no, 3 no server there.

Settings, for the file as Name = value or here as --Name=value (-Name=value,
/Name=value, --Name:value). One given here goes before the file's.
",
    );
    for group in settings::GROUPS {
        let rows: Vec<&Setting> = group.rows.iter().filter(|row| row.is_honoured()).collect();
        if rows.is_empty() {
            continue;
        }
        let _ = write!(text, "\n{}\n", group.title);
        for row in rows {
            let default = shown_default(row);
            let _ = writeln!(text, "  {} = {default}", row.name);
            wrap(
                &mut text,
                "      ",
                &format!("{} [{}]", row.doc, takes(row)),
            );
        }
    }
    text.push_str("\nUnderstood and without effect in this version\n");
    let others: Vec<&str> = settings::all()
        .filter(|row| !row.is_honoured())
        .map(|row| row.name)
        .collect();
    wrap(&mut text, "  ", &others.join(", "));
    text
}

/// The text of `sipvouch settings`: each setting, its value, and where that comes from. Secrets are hidden.
///
/// # Errors
///
/// What is wrong with the files themselves; wrong values are shown as they are.
pub fn in_force(path: &Path, overrides: &[Override]) -> Result<String, Vec<ConfigError>> {
    let (settings, errors) = file::read(path);
    if !errors.is_empty() {
        return Err(errors);
    }
    let settings = settings.with_overrides(overrides);
    let mut text = String::new();
    for group in settings::GROUPS {
        let _ = writeln!(text, "# {}", group.title);
        for row in group.rows.iter().filter(|row| row.name != "Include") {
            let members: Vec<_> = settings
                .iter()
                .filter(|raw| settings::find(&raw.name).is_some_and(|found| found.name == row.name))
                .collect();
            for raw in &members {
                line(
                    &mut text,
                    &raw.name,
                    &shown(row, &raw.value),
                    &raw.origin.to_string(),
                    row,
                );
            }
            if members.is_empty() && row.family().is_none() {
                line(&mut text, row.name, row.default, "default", row);
            }
        }
        text.push('\n');
    }
    let unknown: Vec<_> = settings
        .iter()
        .filter(|raw| settings::find(&raw.name).is_none())
        .collect();
    if !unknown.is_empty() {
        text.push_str("# Unknown\n");
        for raw in unknown {
            // Nobody can say that it is no secret.
            let _ = writeln!(
                text,
                "{}   # {}, unknown",
                raw.name.escape_debug(),
                raw.origin
            );
        }
    }
    Ok(text)
}

fn line(text: &mut String, name: &str, value: &str, origin: &str, row: &Setting) {
    let standing = match row.standing {
        Standing::Honoured => "",
        Standing::Replaced { .. } => ", replaced",
        Standing::NotYet { .. } => ", not yet",
        Standing::Unread => ", unread",
    };
    let assignment = format!("{name} = {value}");
    let _ = writeln!(text, "{assignment:<50} # {origin}{standing}");
}

fn shown(row: &Setting, text: &str) -> String {
    if row.is_secret() && !text.is_empty() {
        "(hidden)".to_owned()
    } else {
        text.escape_debug()
            .collect::<String>()
            .replace("\\\\", "\\")
            .replace("\\\"", "\"")
            .replace("\\'", "'")
    }
}

/// The sample configuration file: every setting that has an effect, commented out, with its default.
pub fn sample() -> String {
    let mut text = String::from(
        "\
# Sipvouch configuration.
#
# Every setting that has an effect in this version stands here with the value
# that it has when it is absent. A line is Name = value; a comment needs a line
# of its own. docs/settings.md has the settings of repro that have no effect.
#
# Written by `sipvouch settings --sample`.
",
    );
    for group in settings::GROUPS {
        let rows: Vec<&Setting> = group
            .rows
            .iter()
            .filter(|row| row.is_honoured() && row.name != "Include")
            .collect();
        if rows.is_empty() {
            continue;
        }
        let rule = "#".repeat(78);
        let _ = write!(text, "\n{rule}\n# {}\n{rule}\n", group.title);
        for row in rows {
            text.push('\n');
            wrap(&mut text, "# ", &format!("{} [{}]", row.doc, takes(row)));
            let _ = writeln!(
                text,
                "{}",
                format!("#{} = {}", row.name.replace("<N>", "1"), row.default).trim_end()
            );
        }
    }
    text
}

/// The reference page: the whole table.
pub fn markdown() -> String {
    let mut text = String::from(
        "\
# Settings

Written by `sipvouch settings --markdown` from the table in `src/config/settings`; a test compares. The table has every
setting of repro, and ours. *Not yet* settings are understood and have no effect in this version; the server says so at
start when one of them is used. `<N>` is a number of your choice: settings with the same number belong together.

A line of the file is `Name = value`; names are alike in any letter case, and a comment begins with `#` on a line of its
own. A name given twice is an error, and so is a value that the setting does not take. `--Name=value` on the command
line goes before the file.

- true or false: `true`, `yes`, `on`, `enable`, `1`, and `false`, `no`, `off`, `disable`, `0`.
- number: digits and nothing else; nothing at all is 0.
- list: items parted by comma or blank.
- file, directory: a relative name is looked for beside the main configuration file, then in the working directory.
",
    );
    for Group { title, rows } in settings::GROUPS {
        let _ = write!(
            text,
            "\n## {title}\n\n| setting | takes | default | meaning |\n|---|---|---|---|\n"
        );
        for row in *rows {
            let standing = match row.standing {
                Standing::Honoured => String::new(),
                Standing::NotYet { meanwhile, .. } => format!(" *Not yet:* {meanwhile}."),
                Standing::Replaced { advice, .. } => format!(" *Replaced:* {advice}."),
                Standing::Unread => " *Unread.*".to_owned(),
            };
            let default = match row.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let name = row.name;
            let meaning = escape(&format!("{}{standing}", row.doc));
            let _ = writeln!(
                text,
                "| `{name}` | {} | {default} | {meaning} |",
                escape(&takes(row))
            );
        }
    }
    text
}

/// Markdown takes `<N>` for a tag, `*` for emphasis and `|` for the end of a cell.
fn escape(text: &str) -> String {
    text.replace('|', "\\|")
        .replace("<N>", "\\<N\\>")
        .replace("<TLS", "\\<TLS")
        .replace("*.", "\\*.")
}

/// What a setting takes, in a few words.
fn takes(row: &Setting) -> String {
    match row.kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Integer { unit: "port", .. } => "port, or 0".to_owned(),
        Kind::Integer { min, max, unit: "" } => format!("{min}-{max}"),
        Kind::Integer { min, max, unit } => format!("{min}-{max} {unit}"),
        Kind::Index => "number, or -1".to_owned(),
        Kind::Regex => "regular expression".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Secret => "secret text".to_owned(),
        Kind::SecretList => "list of secret texts".to_owned(),
        Kind::Path => "file or directory".to_owned(),
        Kind::List => "list".to_owned(),
        Kind::PathList => "list of files or directories".to_owned(),
        Kind::Choice(words) => words
            .iter()
            .map(|word| value::main_spelling(word))
            .collect::<Vec<_>>()
            .join(" | "),
        Kind::Domain => "domain".to_owned(),
        Kind::DomainList => "list of domains".to_owned(),
        Kind::Address => "IP address".to_owned(),
        Kind::Networks => "list of addresses and networks".to_owned(),
        Kind::Peers => "list of addresses, networks and names".to_owned(),
        Kind::Interface => "address:port".to_owned(),
        Kind::NameServers => "list of addresses, with or without port".to_owned(),
        Kind::OpensslOptions => "list of SSL_OP_ names".to_owned(),
        Kind::RecordRoute => "auto, or a URI".to_owned(),
    }
}

fn shown_default(row: &Setting) -> &'static str {
    if row.default.is_empty() {
        "(empty)"
    } else {
        row.default
    }
}

/// Breaks text into lines of at most 78 columns that begin with `indent`.
fn wrap(out: &mut String, indent: &str, text: &str) {
    let mut line = indent.to_owned();
    for word in text.split(' ') {
        if line.len() > indent.len() {
            if line.chars().count() + 1 + word.chars().count() > 78 {
                let _ = writeln!(out, "{line}");
                line = indent.to_owned();
            } else {
                line.push(' ');
            }
        }
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::PathBuf;

    use super::*;

    fn in_project(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::read_to_string(&path)
            .unwrap_or_else(|error| format!("{}: {error}", path.display()))
    }

    #[test]
    fn sample_file_is_the_one_that_the_table_gives() {
        // `sipvouch settings --sample > conf/repro.config` mends it.
        assert!(
            in_project("conf/repro.config") == sample(),
            "conf/repro.config is not what the table gives"
        );
    }

    #[test]
    fn reference_page_is_the_one_that_the_table_gives() {
        // `sipvouch settings --markdown > docs/settings.md` mends it.
        assert!(
            in_project("docs/settings.md") == markdown(),
            "docs/settings.md is not what the table gives"
        );
    }

    #[test]
    fn sample_file_with_all_its_settings_taken_out_of_their_comments_is_free_of_errors() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repro.config");
        let mut text: String = sample()
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| {
                line.starts_with(|c: char| c.is_ascii_uppercase())
                    && !line.starts_with("Transport1")
            })
            .map(|line| format!("{line}\n"))
            .collect();
        text = text.replace("TLSDomainName =\n", "TLSDomainName = example.org\n");
        std::fs::write(&path, text).unwrap();
        super::super::load(&path, &[]).unwrap();
    }

    #[test]
    fn help_names_every_setting_and_fits_a_terminal() {
        let help = help();
        for row in settings::all() {
            assert!(help.contains(row.name), "{}", row.name);
        }
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn settings_in_force_come_with_their_place_and_without_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("repro.config");
        std::fs::write(
            &path,
            "TLSPort = 5071\nTLSPrivateKeyPassPhrase = s3cret\nDatabase1Password = pw1\nHttpAdminPasswort = pw2\n",
        )
        .unwrap();
        let port = Override {
            name: "TCPPort".to_owned(),
            value: "0".to_owned(),
        };
        let text = in_force(&path, &[port]).unwrap();
        let line = |name: &str| {
            let found = text
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_default();
            found.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            line("TLSPort"),
            format!("TLSPort = 5071 # {}:1", path.display())
        );
        assert_eq!(line("TCPPort"), "TCPPort = 0 # command line");
        assert_eq!(line("IdleTimeout"), "IdleTimeout = 7200 # default");
        assert_eq!(
            line("TLSPrivateKeyPassPhrase"),
            format!("TLSPrivateKeyPassPhrase = (hidden) # {}:2", path.display())
        );
        for secret in ["s3cret", "pw1", "pw2"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
