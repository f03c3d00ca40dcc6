//! Every combination of certificate and password, row by row as `docs/permutations.md` has it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::harness::{
    Answer, Connection, Login, Outcome, Request, Response, Server, Setup, TlsPeer, report,
    tcp_from, tests_dir, udp_from,
};

const SOURCE: &str = "127.0.0.3";
const PASSWORD: &str = "pw";

/// One row of either table.
#[derive(Debug)]
struct Row {
    number: String,
    settings: Vec<(String, String)>,
    transport: String,
    certificate: String,
    method: String,
    to_tag: bool,
    from: String,
    to: Option<String>,
    answer: String,
    with_password: String,
}

#[test]
fn the_table_of_permutations_holds() {
    let rows = rows();
    assert!(rows.len() >= 150, "{} rows", rows.len());
    let mut by_settings: BTreeMap<&[(String, String)], Vec<&Row>> = BTreeMap::new();
    for row in &rows {
        by_settings.entry(&row.settings).or_default().push(row);
    }
    let mut differences = Vec::new();
    for (settings, rows) in by_settings {
        let mut server = start(settings);
        for row in rows {
            let (answer, with_password) = run(&server, row);
            if (answer.as_str(), with_password.as_str()) != (&row.answer, &row.with_password) {
                differences.push(format!("{row:?}\n    got {answer}, then {with_password}"));
            }
        }
        assert!(server.lives(), "{settings:?}:\n{}", server.log());
    }
    report(&format!(
        "permutations: rows {}, equal {}\n",
        rows.len(),
        rows.len() - differences.len()
    ));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn start(settings: &[(String, String)]) -> Server {
    let setup = Setup::usual();
    let mappings = tests_dir().join("golden/tlsUserMappings.txt");
    fs::copy(mappings, setup.dir().join("mappings.txt")).expect("mappings");
    for user in ["alice", "bob", "eve"] {
        setup.add_user(&format!("{user}@example.org"));
    }
    let set = |setup: Setup, (name, value): &(String, String)| setup.set(name, value);
    settings.iter().fold(setup, set).start()
}

/// What the row gives: the first answer, and the one to alice's password.
fn run(server: &Server, row: &Row) -> (String, String) {
    let none = "-".to_owned();
    let mut connection = match connect(server, row) {
        Ok(connection) => connection,
        Err(Outcome::Alert(name)) => return (format!("alert {name}"), none),
        Err(other) => return (other.to_string(), none),
    };
    let request = request(row);
    let first = match connection.ask(&request) {
        Answer::Response(response) => response,
        other => return (format!("{other:?}"), none),
    };
    if !matches!(first.status, 401 | 407) {
        return (said(&first), none);
    }
    let mut again = request.following();
    let answer = Login::new("alice", PASSWORD).answer(&first, &again);
    again.headers.push(answer);
    (
        first.status.to_string(),
        said(&connection.ask(&again).response()),
    )
}

/// What is behind admission has its own answers.
fn said(response: &Response) -> String {
    match response.status {
        200 | 404 | 480 => "admitted".to_owned(),
        status => format!("{status} {}", response.reason),
    }
}

fn connect(server: &Server, row: &Row) -> Result<Connection, Outcome> {
    let source = SOURCE.parse().expect("an address");
    match row.transport.as_str() {
        "UDP" => Ok(udp_from(source, server.udp())),
        "TCP" => Ok(tcp_from(source, server.tcp())),
        _ => TlsPeer::named(&row.certificate)
            .settling()
            .connect(server.tls()),
    }
}

fn request(row: &Row) -> Request {
    let uri = if row.method == "REGISTER" {
        "sip:example.org"
    } else {
        "sip:eve@example.org"
    };
    let mut request = Request::new(&row.method, uri, &format!("sip:{}", row.from));
    if let Some(to) = &row.to {
        request.to = format!("sip:{to}");
    }
    request.to_tag = row.to_tag;
    request
}

/// The rows of both tables of the page.
fn rows() -> Vec<Row> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/permutations.md");
    let page = fs::read_to_string(page).expect("docs/permutations.md");
    let mut rows: Vec<Row> = Vec::new();
    for line in page.lines() {
        let cells: Vec<&str> = line
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        if cells
            .first()
            .is_none_or(|cell| cell.parse::<u32>().is_err())
        {
            continue;
        }
        let row = match *cells.as_slice() {
            [
                number,
                method,
                digest,
                certificates,
                from,
                verification,
                certificate,
                answer,
                then,
            ] => {
                let disable = if digest == "on" { "false" } else { "true" };
                let authenticator = if certificates == "on" {
                    "true"
                } else {
                    "false"
                };
                let (from, own, others) = match from {
                    "ours" => ("alice@example.org", "alice-uri", "bob-uri"),
                    "third party" => ("carol@other.example.net", "other-dns", "alice-uri"),
                    other => panic!("From {other}"),
                };
                let certificate = match certificate {
                    "none" => "none",
                    "its own" => own,
                    "another's" => others,
                    other => panic!("certificate {other}"),
                };
                let settings = format!(
                    "DisableAuth={disable} EnableCertificateAuthenticator={authenticator} \
                     TLSClientVerification={verification}"
                );
                row_of([
                    number,
                    &settings,
                    "TLS",
                    certificate,
                    method,
                    from,
                    "-",
                    answer,
                    then,
                ])
            }
            [
                number,
                _situation,
                settings,
                over,
                certificate,
                method,
                from,
                to,
                answer,
                then,
            ] => row_of([
                number,
                settings,
                over,
                certificate,
                method,
                from,
                to,
                answer,
                then,
            ]),
            _ => panic!("a row with {} cells: {line}", cells.len()),
        };
        assert_eq!(
            row.number,
            (rows.len() + 1).to_string(),
            "rows are numbered"
        );
        rows.push(row);
    }
    rows
}

fn row_of(cells: [&str; 9]) -> Row {
    let [
        number,
        settings,
        over,
        certificate,
        method,
        from,
        to,
        answer,
        then,
    ] = cells;
    let (method, to_tag) = match method.strip_suffix("+tag") {
        Some(method) => (method, true),
        None => (method, false),
    };
    let mut settings: Vec<(String, String)> = settings
        .split_whitespace()
        .map(|setting| setting.trim_matches('`'))
        .map(|setting| setting.split_once('=').expect("Name=value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    settings.sort();
    Row {
        number: number.to_owned(),
        settings,
        transport: over.to_owned(),
        certificate: certificate.to_owned(),
        method: method.to_owned(),
        to_tag,
        from: from.to_owned(),
        to: (to != "-").then(|| to.to_owned()),
        answer: answer.to_owned(),
        with_password: then.to_owned(),
    }
}
