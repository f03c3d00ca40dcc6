//! Telling the running server over its control socket that tables have changed.

use std::io::ErrorKind;
use std::path::PathBuf;

use serde_json::json;

use super::place::{Notify, Told};
use crate::admin::{Client, ClientError};
use crate::store::Table;

/// The control socket of a server.
pub(crate) struct ControlSocket(pub(crate) PathBuf);

impl Notify for ControlSocket {
    fn changed(&self, tables: &[Table]) -> Told {
        let command = json!({ "command": "changed", "tables": tables });
        let told = Client::ask(&self.0, &command);
        match told {
            Ok(_) => Told::Heard,
            // No socket, or one that a server left when it was killed.
            Err(ClientError::NoServer { source, .. })
                if matches!(
                    source.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused
                ) =>
            {
                Told::NoServer
            }
            Err(ClientError::Refused(refused)) => Told::Failed(refused.error),
            Err(error) => Told::Failed(format!("{}: {error}", self.0.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{BufRead as _, BufReader, Write as _};
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
    fn a_busy_server_is_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sipvouch.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let busy = "{\"ok\":false,\"error\":\"8 clients\",\"busy\":true}\n";
            for answer in [busy, busy, "{\"ok\":true,\"result\":{}}\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                let mut line = String::new();
                BufReader::new(stream).read_line(&mut line).unwrap();
            }
        });
        assert_eq!(ControlSocket(path).changed(&[Table::User]), Told::Heard);
        server.join().unwrap();
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
