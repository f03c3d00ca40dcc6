//! The text of one SIP message, as somebody has taken it out of a log or a packet capture.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest file that is read, in octets; a message that the server takes is shorter.
const MAX_FILE: u64 = 1024 * 1024;

/// Why a file is no message to explain.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCaptured {
    /// It cannot be read.
    #[error("{}: cannot read it: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is read and is none.
    #[error("{}: {defect}", path.display())]
    Defect {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        defect: Defect,
    },
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Defect {
    /// Nothing in it.
    #[error("there is nothing in it; expected the text of one SIP message")]
    Empty,
    /// Too long to be one message.
    #[error("longer than {MAX_FILE} octets; expected the text of one SIP message")]
    TooLong,
    /// The packets, not their text.
    #[error(
        "this is a file of packets; expected the text of one message, as `tshark -r FILE -Y sip -V` or sngrep's save as text give it"
    )]
    Packets,
    /// A response, which nobody has to admit.
    #[error("a response; only requests are admitted or refused")]
    Response,
    /// The first line is not that of a request.
    #[error("line {line}: {text:?} is no request line; expected METHOD URI SIP/2.0")]
    NoRequestLine {
        /// Line, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A line of the head that is no header field.
    #[error(
        "line {line}: {text:?} is no header field; expected Name: value, and an empty line before the body"
    )]
    NoField {
        /// Line, from 1.
        line: usize,
        /// The line.
        text: String,
    },
}

/// Reads the message in this file, or in standard input if that is `-`: its head, with the line ends that SIP has.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, NotCaptured> {
    let unreadable = |source| NotCaptured::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut octets = Vec::new();
    let read =
        |input: &mut dyn Read, octets: &mut Vec<u8>| input.take(MAX_FILE + 1).read_to_end(octets);
    if path == Path::new("-") {
        read(&mut io::stdin().lock(), &mut octets).map_err(unreadable)?;
    } else {
        let mut file = File::open(path).map_err(unreadable)?;
        read(&mut file, &mut octets).map_err(unreadable)?;
    }
    head(&octets).map_err(|defect| NotCaptured::Defect {
        path: path.to_owned(),
        defect,
    })
}

/// The head of the message. Blank lines before it, a lacking empty line behind it and line ends without CR are what copying
/// makes of a message; anything else is as its sender wrote it, and is judged so.
fn head(octets: &[u8]) -> Result<Vec<u8>, Defect> {
    /// What the files of tcpdump and Wireshark begin with.
    const PACKETS: [[u8; 4]; 5] = [
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    if octets.len() as u64 > MAX_FILE {
        return Err(Defect::TooLong);
    }
    if PACKETS.iter().any(|magic| octets.starts_with(magic)) {
        return Err(Defect::Packets);
    }
    let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    let lines = octets.split(|octet| *octet == b'\n').enumerate();
    let mut lines = lines
        .map(|(at, line)| (at + 1, line.strip_suffix(b"\r").unwrap_or(line)))
        .skip_while(|(_, line)| line.trim_ascii().is_empty());
    let (number, first) = lines.next().ok_or(Defect::Empty)?;
    if first.starts_with(b"SIP/2.0 ") {
        return Err(Defect::Response);
    }
    if !first.ends_with(b" SIP/2.0") || first.split(|o| *o == b' ').count() < 3 {
        return Err(Defect::NoRequestLine {
            line: number,
            text: shown(first),
        });
    }
    let mut head = Vec::with_capacity(octets.len());
    push(&mut head, first);
    for (number, line) in lines.take_while(|(_, line)| !line.is_empty()) {
        let is_continued = line.starts_with(b" ") || line.starts_with(b"\t");
        if !is_continued && !line.contains(&b':') {
            return Err(Defect::NoField {
                line: number,
                text: shown(line),
            });
        }
        push(&mut head, line);
    }
    push(&mut head, b"");
    Ok(head)
}

fn push(head: &mut Vec<u8>, line: &[u8]) {
    head.extend_from_slice(line);
    head.extend_from_slice(b"\r\n");
}

/// The beginning of a line, for an error. A line that is no header field is nobody's secret by its place, but might be by
/// mistake: little of it is told.
fn shown(line: &[u8]) -> String {
    let start = line.get(..40).unwrap_or(line);
    let more = if start.len() < line.len() { "…" } else { "" };
    format!("{}{more}", String::from_utf8_lossy(start))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const HEAD: &str = "MESSAGE sip:bob@example.org SIP/2.0\r\nFrom: <sip:a@b>\r\n folded\r\n\r\n";

    #[test]
    fn what_copying_does_to_a_message_does_not_matter() {
        for (situation, text) in [
            ("as it was", HEAD.to_owned()),
            ("with its body", format!("{HEAD}body\nno: field")),
            ("line ends of Unix", HEAD.replace('\r', "")),
            ("blank lines before it", format!("\n \r\n{HEAD}")),
            ("no empty line", HEAD.trim_end().to_owned()),
            ("a byte order mark", format!("\u{feff}{HEAD}")),
        ] {
            let found = head(text.as_bytes()).map(|head| String::from_utf8(head).unwrap());
            assert_eq!(found.as_deref(), Ok(HEAD), "{situation}");
        }
    }

    #[test]
    fn what_is_no_message_is_told_by_its_line() {
        let long = vec![b'x'; MAX_FILE as usize + 1];
        for (octets, wanted) in [
            (&b""[..], "nothing in it"),
            (b" \r\n\n", "nothing in it"),
            (&long, "longer than"),
            (&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0], "a file of packets"),
            (&[0x0a, 0x0d, 0x0d, 0x0a, 2, 0], "a file of packets"),
            (b"SIP/2.0 200 OK\r\n\r\n", "a response"),
            (b"hello\n", "line 1: \"hello\" is no request line"),
            (b"GET / HTTP/1.1\r\n\r\n", "line 1:"),
            (
                b"\nMESSAGE sip:b@c SIP/2.0\nnonsense\n\n",
                "line 3: \"nonsense\" is no header field",
            ),
            (b"\xff\x00\n", "line 1:"),
        ] {
            let told = head(octets).unwrap_err().to_string();
            assert!(told.contains(wanted), "{wanted:?} in {told:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("no/such.sip")).unwrap_err();
        assert!(error.to_string().contains("no/such.sip"), "{error}");
    }
}
