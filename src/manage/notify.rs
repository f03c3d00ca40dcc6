//! Telling the running server over its control socket that tables have changed.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::place::{Notify, Told};
use crate::store::Table;

/// Longest time that the server may take: it only marks the tables.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer, in octets.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// The control socket of a server; one JSON object a line in, one out.
pub(crate) struct ControlSocket(pub(crate) PathBuf);

impl Notify for ControlSocket {
    fn changed(&self, tables: &[Table]) -> Told {
        match ask(&self.0, tables) {
            Ok(answer) if answer.get("ok") == Some(&Value::Bool(true)) => Told::Heard,
            Ok(answer) => {
                let why = answer.get("error").and_then(Value::as_str);
                Told::Failed(why.unwrap_or("its answer is not understood").to_owned())
            }
            // No socket, or one that a server left when it was killed.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused
                ) =>
            {
                Told::NoServer
            }
            Err(error) => Told::Failed(format!("{}: {error}", self.0.display())),
        }
    }
}

fn ask(socket: &Path, tables: &[Table]) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let line = json!({ "command": "changed", "tables": tables });
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = Vec::new();
    BufReader::new(stream)
        .take(LONGEST_ANSWER)
        .read_until(b'\n', &mut answer)?;
    serde_json::from_slice(&answer).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// A server that answers one question with this line; gives the question back.
    fn told_by(answer: &'static str) -> (Told, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sipvouch.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap())
                .read_line(&mut line)
                .unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            line
        });
        let told = ControlSocket(path).changed(&[Table::User, Table::Route]);
        (told, server.join().unwrap())
    }

    #[test]
    fn the_server_is_told_which_tables_have_changed() {
        let (told, question) = told_by("{\"ok\":true,\"result\":{}}\n");
        assert_eq!(told, Told::Heard);
        assert_eq!(
            question,
            "{\"command\":\"changed\",\"tables\":[\"user\",\"route\"]}\n"
        );
    }

    #[test]
    fn a_server_that_says_no_or_nothing_has_not_been_told() {
        for (answer, why) in [
            ("{\"ok\":false,\"error\":\"busy\"}\n", "busy"),
            ("{}\n", "not understood"),
            ("hello\n", "sipvouch.sock"),
            ("", "sipvouch.sock"),
        ] {
            match told_by(answer).0 {
                Told::Failed(said) => assert!(said.contains(why), "{answer:?}: {said}"),
                other => assert_eq!(other, Told::Failed(why.to_owned()), "{answer:?}"),
            }
        }
    }

    #[test]
    fn without_a_socket_there_is_no_server_to_tell() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sipvouch.sock");
        assert_eq!(
            ControlSocket(path.clone()).changed(&[Table::User]),
            Told::NoServer
        );
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(
            ControlSocket(path).changed(&[Table::User]),
            Told::NoServer,
            "a socket that a killed server left"
        );
    }
}
