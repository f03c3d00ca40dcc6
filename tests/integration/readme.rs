//! What the README and the demo promise: their lines are run as they stand and must print what stands behind the `#`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Server, Setup, report};

#[test]
fn the_lines_of_the_readme_and_of_the_demo_print_what_they_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let setup = demo();
    let read = |path: &Path| {
        fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    // The harness starts its server from a copy of the file, one directory up.
    let config = read(&setup.dir().join("demo/repro.config"))
        .replace("= pki/", "= demo/pki/")
        .replace("= tlsUser", "= demo/tlsUser");
    let texts = [
        ("README.md", read(&root.join("README.md"))),
        ("demo/TRY", read(&setup.dir().join("demo/TRY"))),
    ];
    let server = setup.with(&config).start();
    let mut run = 0;
    for (name, text) in &texts {
        let lines = promises(text);
        assert!(lines.len() >= 5, "{name} promises {} lines", lines.len());
        for (command, promised) in &lines {
            let printed = shell(&server, text, command);
            let kept = promised
                .split('…')
                .all(|part| printed.contains(part.trim()));
            assert!(
                kept,
                "{name}: `{command}` promises {promised:?} and prints:\n{printed}\n{}",
                server.log()
            );
            run += 1;
        }
    }
    report(&format!("readme: {run} lines print what they promise\n"));
}

#[test]
fn the_explanation_of_the_readme_tells_the_refusal() {
    let setup = demo();
    let (status, text) = setup.run(&[
        "explain",
        "--config",
        "demo/repro.config",
        "--cert",
        "demo/pki/clients/alice-uri.pem",
        "--from",
        "sip:bob@example.org",
        "--method",
        "REGISTER",
    ]);
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.contains("403") && text.contains("sip:alice@example.org"),
        "{text}"
    );
}

/// A directory with what `make demo` makes.
fn demo() -> Setup {
    let setup = Setup::new("");
    let made = Command::new("sh")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-demo"))
        .arg("demo")
        .current_dir(setup.dir())
        .output()
        .expect("scripts/make-demo");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    setup
}

/// Commands and what is promised of them: indented lines with `# ` behind a request that is sent.
fn promises(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter(|line| line.starts_with("    ") && line.contains(".sip "))
        .filter_map(|line| line.split_once("# "))
        .map(|(command, promised)| (command.trim(), promised.trim()))
        .collect()
}

/// Runs one command with the functions that the text defines, against our server instead of port 5061.
fn shell(server: &Server, text: &str, command: &str) -> String {
    let functions: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.trim_start().starts_with("try()"))
        .take_while(|line| line.starts_with("    ") && !line.contains("# "))
        .collect();
    let script = format!("{}\n{command}\n", functions.join("\n"));
    let script = script.replace("127.0.0.1:5061", &server.tls().to_string());
    let done = Command::new("bash")
        .arg("-c")
        .arg(script)
        .current_dir(server.dir())
        .output()
        .expect("bash");
    String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
}
