//! Manual pages and completions, written from the tree of commands.

use std::fs;
use std::io::Write;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::output::Output;
use super::refusal::Refusal;
use super::tree;

/// The page about the program as a whole, which is written by hand.
const PROGRAM: &str = include_str!("../../docs/man/sipvouch.1");

/// Options that every command on the store has; their section stands once in a page.
const COMMON: [&str; 5] = ["config", "store", "json", "quiet", "socket"];

/// `sipvouch completions`.
pub(super) fn completions(given: &ArgMatches, output: &mut Output) -> Result<(), Refusal> {
    let name = given.get_one::<String>("SHELL").map_or("", String::as_str);
    if let Some(text) = completions_of(name) {
        output.line(text.trim_end());
    }
    Ok(())
}

/// The completions of a shell; `None` for one that has none.
fn completions_of(shell: &str) -> Option<String> {
    let mut text = Vec::new();
    clap_complete::generate(
        tree::shell(shell)?,
        &mut tree::command(),
        "sipvouch",
        &mut text,
    );
    String::from_utf8(text).ok()
}

/// `sipvouch man`.
pub(super) fn man(given: &ArgMatches, output: &mut Output) -> Result<(), Refusal> {
    if let Some(dir) = given.get_one::<std::path::PathBuf>("dir") {
        return write_pages(dir);
    }
    let text = match given.get_one::<String>("COMMAND") {
        None => PROGRAM.to_owned(),
        Some(word) => pages()
            .into_iter()
            .find(|(name, _)| name == word)
            .map(|(_, text)| text)
            .ok_or_else(|| Refusal::NoPage(word.clone()))?,
    };
    output.line(text.trim_end());
    Ok(())
}

fn write_pages(dir: &Path) -> Result<(), Refusal> {
    let write = |name: String, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|source| Refusal::Output {
            what: path.display().to_string(),
            source,
        })
    };
    write("sipvouch.1".to_owned(), PROGRAM)?;
    for (word, text) in pages() {
        write(format!("sipvouch-{word}.1"), &text)?;
    }
    Ok(())
}

/// A page for each word that is managed here, and for `ctl`, with a section for each command of it.
fn pages() -> Vec<(String, String)> {
    let mut program = tree::command();
    program.build();
    program
        .get_subcommands()
        .filter(|word| {
            let word = word.get_name();
            word == "ctl" || crate::config::cli::MANAGED.contains(&word)
        })
        .map(|word| (word.get_name().to_owned(), page(word)))
        .collect()
}

fn page(word: &Command) -> String {
    let title = format!("sipvouch-{}", word.get_name());
    let about = word
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut leaves: Vec<&Command> = word.get_subcommands().collect();
    if leaves.is_empty() {
        leaves.push(word);
    }
    let mut roff = Roff::new();
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{title} - {}", lowered(&about)))]);
    // An empty argument, the date, is none for the crate.
    let mut text = format!(
        ".TH {} 1 \"\" \"Sipvouch\" \"User commands\"\n{}",
        title.to_uppercase(),
        roff.render()
    );
    text.push_str(".SH SYNOPSIS\n");
    for leaf in &leaves {
        text.push_str(".br\n");
        let mut roff = Roff::new();
        roff.text(synopsis(&without_common(leaf)));
        text.push_str(&roff.to_roff());
    }
    for leaf in &leaves {
        section(leaf, &mut text);
    }
    if let Some(leaf) = leaves.iter().find(|leaf| has_common(leaf)) {
        text.push_str(".SH \"COMMON OPTIONS\"\n");
        text.push_str(&body(|out| {
            Man::new(only_common(leaf)).render_options_section(out)
        }));
    }
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    roff.text([roman(match word.get_name() {
        "ctl" => "0 done; 1 the server said no; 2 the command line is not understood; 3 no server is there.",
        _ => "0 done; 1 refused, not there, or failed; 2 the command line is not understood.",
    })]);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("sipvouch"), roman("(1)")]);
    text.push_str(&roff.to_roff());
    text
}

/// One line that says how a command is given: options with their values, what can be chosen, and what may come several times.
fn synopsis(leaf: &Command) -> Vec<Inline> {
    let name = leaf.get_bin_name().unwrap_or_else(|| leaf.get_name());
    let mut line = vec![bold(name)];
    let shown = |own: &&Arg| !own.is_hide_set();
    let options = leaf.get_arguments().filter(|own| !own.is_positional());
    for argument in options.chain(leaf.get_positionals()).filter(shown) {
        let (before, after) = match argument.is_required_set() {
            true => (" ", ""),
            false => (" [", "]"),
        };
        line.push(roman(before));
        if let Some(long) = argument.get_long() {
            line.push(bold(format!("--{long}")));
        }
        if argument.get_action().takes_values() {
            if !argument.is_positional() {
                line.push(roman(" "));
            }
            line.extend(value(argument));
        }
        line.push(roman(after));
    }
    line
}

/// What stands for the value of an argument: the words it may be, or its name.
fn value(argument: &Arg) -> Vec<Inline> {
    let mut value = Vec::new();
    for (at, word) in argument.get_possible_values().iter().enumerate() {
        if at > 0 {
            value.push(roman("|"));
        }
        value.push(bold(word.get_name()));
    }
    if value.is_empty() {
        let name = argument.get_value_names().and_then(<[_]>::first);
        let name = name.map_or(argument.get_id().as_str(), |name| name.as_str());
        value.push(italic(name));
    }
    let several = argument
        .get_num_args()
        .is_some_and(|range| range.max_values() > 1)
        || matches!(argument.get_action(), ArgAction::Append);
    if several {
        value.push(roman(" …"));
    }
    value
}

/// The section of one command: what it does, its own options, its examples.
fn section(leaf: &Command, text: &mut String) {
    let name = leaf.get_bin_name().unwrap_or_else(|| leaf.get_name());
    let name = name.trim_start_matches("sipvouch ").to_uppercase();
    let mut roff = Roff::new();
    roff.control("SH", [name.as_str()]);
    let about = leaf
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    roff.text([roman(format!("{about}."))]);
    text.push_str(&roff.to_roff());
    text.push_str(&body(|out| {
        Man::new(without_common(leaf)).render_options_section(out)
    }));
    let after = leaf
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut roff = Roff::new();
    // What stands behind the examples is text again.
    let (examples, rest) = after.split_once("\n\n").unwrap_or((&after, ""));
    let mut lines = examples.lines();
    roff.control("PP", []);
    roff.text([roman(lines.next().unwrap_or_default())]);
    roff.control("PP", []);
    roff.control("EX", []);
    roff.control("RS", ["4"]);
    for line in lines {
        roff.text([roman(line.trim_start())]);
    }
    roff.control("RE", []);
    roff.control("EE", []);
    for paragraph in rest.split("\n\n").filter(|own| !own.is_empty()) {
        roff.control("PP", []);
        roff.text([roman(paragraph)]);
    }
    text.push_str(&roff.to_roff());
}

/// What a section of clap_mangen holds, without its heading and what stands before it.
fn body(render: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    // A vector takes everything.
    let _ = render(&mut out);
    let text = String::from_utf8_lossy(&out).into_owned();
    match text.split_once("\n.SH ") {
        Some((_, rest)) => rest
            .split_once('\n')
            .map_or(String::new(), |(_, body)| body.to_owned()),
        None => String::new(),
    }
}

fn has_common(leaf: &Command) -> bool {
    leaf.get_arguments()
        .any(|argument| argument.get_id() == "store")
}

fn without_common(leaf: &Command) -> Command {
    leaf.clone().mut_args(|argument| {
        let hide = COMMON.contains(&argument.get_id().as_str()) || argument.get_id() == "help";
        if hide { argument.hide(true) } else { argument }
    })
}

fn only_common(leaf: &Command) -> Command {
    leaf.clone().mut_args(|argument| {
        let show = COMMON.contains(&argument.get_id().as_str());
        if show { argument } else { argument.hide(true) }
    })
}

/// A sentence as it stands behind the dash of NAME.
fn lowered(about: &str) -> String {
    let mut chars = about.chars();
    let second_is_upper = about.chars().nth(1).is_some_and(char::is_uppercase);
    match chars.next() {
        Some(first) if !second_is_upper => first.to_lowercase().chain(chars).collect(),
        _ => about.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    /// Where the files that are written from the tree are kept.
    fn kept(path: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        fs::read_to_string(&path).unwrap_or_default()
    }

    #[test]
    fn the_pages_that_are_kept_are_those_of_the_tree() {
        for (word, text) in pages() {
            let path = format!("docs/man/sipvouch-{word}.1");
            assert!(
                kept(&path) == text,
                "{path} is not up to date; run make man"
            );
        }
    }

    #[test]
    fn the_completions_that_are_kept_are_those_of_the_tree() {
        for (shell, path) in [
            ("bash", "conf/completions/sipvouch.bash"),
            ("zsh", "conf/completions/_sipvouch"),
            ("fish", "conf/completions/sipvouch.fish"),
        ] {
            let text = format!("{}\n", completions_of(shell).unwrap().trim_end());
            assert!(kept(path) == text, "{path} is not up to date; run make man");
        }
    }

    #[test]
    fn a_synopsis_says_what_can_be_chosen_and_what_may_come_several_times() {
        for (word, part) in [
            (
                "completions",
                "\\fBsipvouch completions\\fR \\fBbash\\fR|\\fBzsh\\fR|\\fBfish\\fR\n",
            ),
            (
                "user",
                "\\fBsipvouch user remove\\fR \\fIUSER@DOMAIN\\fR …\n",
            ),
            ("acl", "[\\fB\\-\\-port\\fR \\fIPORT\\fR] \\fIENTRY\\fR\n"),
        ] {
            let (_, text) = pages().into_iter().find(|(own, _)| own == word).unwrap();
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn every_command_has_a_section_with_its_example() {
        for (word, text) in pages() {
            let mut program = tree::command();
            program.build();
            let word = program.find_subcommand(word).unwrap();
            for leaf in word.get_subcommands() {
                let name = format!("{} {}", word.get_name(), leaf.get_name()).to_uppercase();
                let (_, section) = text
                    .split_once(&format!(".SH \"{name}\"\n"))
                    .unwrap_or_else(|| panic!("no section {name}"));
                let section = section.split("\n.SH").next().unwrap();
                assert!(section.contains("Example"), "{name}");
                assert!(section.contains(".EX"), "{name}");
            }
        }
    }
}
