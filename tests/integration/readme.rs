//! What the README and the demo promise: their lines are run as they stand and must print what stands behind the `#`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Server, Setup, free_port, report};

/// Where the gateway of the README listens, and sends `demo/gateway.sip`.
const GATEWAY: &str = "127.0.0.9:5071";

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
    let gateway = format!("127.0.0.9:{}", free_port());
    let message = setup.dir().join("demo/gateway.sip");
    fs::write(&message, read(&message).replace(GATEWAY, &gateway)).expect("demo/gateway.sip");
    let server = setup.with(&config).start();
    let mut run = 0;
    for (name, text) in &texts {
        let text = text.replace(GATEWAY, &gateway);
        let lines = promises(&text);
        assert!(lines.len() >= 5, "{name} promises {} lines", lines.len());
        for (command, promised) in &lines {
            let printed = shell(&server, &text, command);
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

/// Commands and what is promised of them: indented lines with `# ` behind a request that is sent, or a call that is made.
fn promises(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter(|line| line.starts_with("    "))
        .filter(|line| line.contains(".sip ") || line.contains("demo/phone "))
        .filter_map(|line| line.split_once("# "))
        .map(|(command, promised)| (command.trim(), promised.trim()))
        .collect()
}

/// Runs one command with the functions that the text defines, against our server instead of port 5061.
fn shell(server: &Server, text: &str, command: &str) -> String {
    let mut in_function = false;
    let functions: Vec<&str> = text
        .lines()
        .filter(|line| {
            in_function |= line.starts_with("    ") && line.contains("() {");
            let is_part = in_function;
            in_function &= !line.ends_with('}');
            is_part
        })
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
